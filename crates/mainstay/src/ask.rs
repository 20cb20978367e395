//! One question over HTTP to a listener of the service, as commands ask it: without a client and without a
//! runtime. And the command `health`, which is one such question.

use crate::clock::{self, Mono};
use crate::config::{Bind, Config};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The service is not well, or nobody answers. Docker takes no other code than 0 and 1.
const ILL: u8 = 1;
/// The longest answer that is read.
const LONGEST: u64 = 16 << 20;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    fn read(bytes: &[u8]) -> Option<Answer> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
        Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
    }
}

/// `GET path` of a listener, whole within `patience`.
///
/// # Errors
/// When it does not answer, or with something that is not HTTP.
pub(crate) fn get(bind: &Bind, path: &str, patience: Duration) -> io::Result<Answer> {
    let end = Mono(clock::mono().0.saturating_add(nanoseconds(patience)));
    let question = format!("GET {path} HTTP/1.0\r\nhost: mainstay\r\n\r\n");
    let answer = match bind {
        Bind::Tcp { host, port } => {
            let address = (host.as_str(), *port).to_socket_addrs()?.next();
            let address = address.ok_or_else(|| io::Error::other("it has no address"))?;
            let stream = TcpStream::connect_timeout(&address, patience)?;
            let limits = |left| {
                stream
                    .set_read_timeout(Some(left))
                    .and_then(|()| stream.set_write_timeout(Some(left)))
            };
            exchange(&stream, limits, question.as_bytes(), end)?
        }
        Bind::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            let limits = |left| {
                stream
                    .set_read_timeout(Some(left))
                    .and_then(|()| stream.set_write_timeout(Some(left)))
            };
            exchange(&stream, limits, question.as_bytes(), end)?
        }
        Bind::Fd(_) => return Err(io::Error::other("its address is not known")),
    };
    Answer::read(&answer).ok_or_else(|| io::Error::other("it does not speak HTTP"))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Asks, and reads until the other end closes.
fn exchange(
    mut stream: impl Read + Write,
    limits: impl Fn(Duration) -> io::Result<()>,
    question: &[u8],
    end: Mono,
) -> io::Result<Vec<u8>> {
    let left = || {
        let left = end.since(clock::mono());
        if left.is_zero() { Err(io::Error::from(io::ErrorKind::TimedOut)) } else { Ok(left) }
    };
    limits(left()?)?;
    stream.write_all(question)?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while (answer.len() as u64) < LONGEST {
        limits(left()?)?;
        match stream.read(&mut buffer)? {
            0 => break,
            read => answer.extend_from_slice(&buffer[..read]),
        }
    }
    Ok(answer)
}

/// The command `health`: asks the admin listener, or where there is none the application's, whether the service
/// lives, or is ready.
///
/// # Errors
/// Text for standard error, and exit code 1: it is not well, or nobody answers within the time.
pub(crate) fn health(
    config: &Config,
    ready: bool,
    within: Duration,
) -> Result<String, (u8, String)> {
    let path = if ready { &config.health.ready_path } else { &config.health.live_path };
    let mut binds = config.server.admin.iter().chain(&config.server.bind);
    let known = |it: &&Bind| !matches!(it, Bind::Fd(_) | Bind::Tcp { port: 0, .. });
    let Some(bind) = binds.find(known) else {
        return Err((
            ILL,
            "error: no listener has an address that is known; set server.admin".into(),
        ));
    };
    match get(bind, path, within) {
        Ok(answer) if answer.status == 200 => Ok(format!("{path} of {bind} answers 200\n")),
        Ok(answer) => {
            let state = answer.header("x-readiness-state");
            let state = state.map_or_else(String::new, |it| format!(" ({})", it.escape_debug()));
            Err((ILL, format!("error: {path} of {bind} answers {}{state}", answer.status)))
        }
        Err(error) => Err((ILL, format!("error: {path} of {bind} does not answer: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;
    use std::thread;

    fn config(admin: &str) -> Config {
        let flags =
            vec![("server.admin", admin.to_owned()), ("server.bind", "127.0.0.1:0".to_owned())];
        Config::resolve(&Sources { flags, ..Sources::default() }).unwrap()
    }

    /// Answers one question, and gives its first line.
    fn once(mut stream: impl Read + Write, answer: &str) -> String {
        let mut asked = Vec::new();
        let mut byte = [0];
        while !asked.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            asked.push(byte[0]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(asked).unwrap().lines().next().unwrap().to_owned()
    }

    #[test]
    fn health_is_what_the_admin_listener_answers() {
        let well = "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let ill = "HTTP/1.0 503 X\r\nX-Readiness-State: draining\r\n\r\n";
        for (ready, answer, line, good) in [
            (false, well, "GET /healthz HTTP/1.0", true),
            (true, well, "GET /readyz HTTP/1.0", true),
            (true, ill, "GET /readyz HTTP/1.0", false),
            (false, "SSH-2.0\r\n", "GET /healthz HTTP/1.0", false),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let config = config(&listener.local_addr().unwrap().to_string());
            let server = thread::spawn(move || once(listener.accept().unwrap().0, answer));
            let told = health(&config, ready, Duration::from_secs(20));
            assert_eq!(server.join().unwrap(), line);
            assert_eq!(told.is_ok(), good, "{told:?}");
            if answer == ill {
                let (code, text) = told.unwrap_err();
                assert!(code == 1 && text.contains("503 (draining)"), "{text}");
            }
        }
    }

    #[test]
    fn a_unix_socket_is_asked_too() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("admin.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let config = config(&format!("unix:{}", path.display()));
        let server =
            thread::spawn(move || once(listener.accept().unwrap().0, "HTTP/1.0 200 X\r\n\r\n"));
        assert!(health(&config, false, Duration::from_secs(20)).is_ok());
        assert_eq!(server.join().unwrap(), "GET /healthz HTTP/1.0");
    }

    #[test]
    fn who_says_nothing_in_time_is_ill_and_so_is_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = config(&listener.local_addr().unwrap().to_string());
        assert_eq!(health(&silent, false, Duration::from_millis(50)).unwrap_err().0, 1);
        drop(listener);
        assert_eq!(health(&silent, false, Duration::from_secs(20)).unwrap_err().0, 1);
        assert!(
            health(&config(""), false, Duration::from_secs(1))
                .unwrap_err()
                .1
                .contains("server.admin")
        );
    }
}
