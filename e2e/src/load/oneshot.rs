//! Single requests: one that is waited for, and a burst that is not.

use super::client::request;
use super::failure::Failure;
use super::stream::{Connection, Target};
use std::net::Shutdown;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Header lines in the order of arrival, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Decoded body.
    pub body: Vec<u8>,
    /// From connecting to the last byte.
    pub took: Duration,
}

impl Response {
    /// The first header of this (lower-case) name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as text, with replacement characters for what is no UTF-8.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// GETs `path` over a new connection.
///
/// # Errors
/// The class of the failure; an answer of any status is no failure here.
pub fn get(target: &Target, path: &str, timeout: Duration) -> Result<Response, Failure> {
    send(target, &request(path, false), timeout)
}

/// Sends the bytes of one request over a new connection and reads the answer.
///
/// # Errors
/// The class of the failure; an answer of any status is no failure here.
///
/// # Panics
/// When the system refuses an epoll descriptor.
pub fn send(target: &Target, bytes: &[u8], timeout: Duration) -> Result<Response, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for one request");
    let begun = Instant::now();
    runtime.block_on(async {
        let answer = async {
            let mut connection = Connection::open(target, bytes.starts_with(b"HEAD ")).await?;
            let head = connection.exchange(bytes).await?;
            let took = begun.elapsed();
            let (headers, body) = connection.into_parts();
            Ok(Response { status: head.status, headers, body, took })
        };
        tokio::time::timeout(timeout, answer).await.unwrap_or(Err(Failure::Timeout))
    })
}

/// Requests on their way, each over a connection of its own.
#[derive(Debug)]
pub struct Burst {
    connected: usize,
    outcomes: mpsc::Receiver<Result<Response, Failure>>,
}

impl Burst {
    /// How many connections were established and carry a request.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.connected
    }

    /// Waits for every outcome; ends within the burst's own timeout.
    #[must_use]
    pub fn collect(self) -> Vec<Result<Response, Failure>> {
        self.outcomes.iter().collect()
    }
}

/// Opens `count` connections, sends a GET of `path` on each and returns as
/// soon as the kernel has taken all of them, whether or not anybody accepts.
///
/// A connection that cannot be opened within `timeout` counts with its
/// failure; each answer has `timeout` from its request on.
///
/// # Panics
/// When the system refuses a thread.
#[must_use]
pub fn burst(target: &Target, path: &str, count: usize, timeout: Duration) -> Burst {
    let (outcome, outcomes) = mpsc::channel();
    let (connected, sent) = mpsc::channel();
    for _ in 0..count {
        let (target, outcome, connected) = (target.clone(), outcome.clone(), connected.clone());
        let bytes = request(path, true);
        let body = move || {
            let result = one(&target, &bytes, timeout, &connected);
            // The test may have lost its interest.
            outcome.send(result).ok();
        };
        std::thread::Builder::new()
            .stack_size(256 * 1024)
            .spawn(body)
            .expect("a thread for one connection");
    }
    drop(connected);
    Burst { connected: sent.iter().take(count).filter(|ok| *ok).count(), outcomes }
}

/// One connection of a burst. Blocking sockets: the request is in the kernel
/// when `write_all` returns, which an asynchronous client cannot promise.
fn one(
    target: &Target,
    bytes: &[u8],
    timeout: Duration,
    connected: &mpsc::Sender<bool>,
) -> Result<Response, Failure> {
    let begun = Instant::now();
    let mut socket = match BlockingSocket::connect(target, timeout) {
        Ok(socket) => socket,
        Err(error) => {
            connected.send(false).ok();
            return Err(Failure::of_connect(&error));
        }
    };
    let written = socket.writer().write_all(bytes);
    connected.send(written.is_ok()).ok();
    let result = socket.answer(begun, timeout);
    socket.close();
    result
}

enum BlockingSocket {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl BlockingSocket {
    fn connect(target: &Target, timeout: Duration) -> std::io::Result<Self> {
        let socket = match target {
            Target::Tcp(address) => {
                Self::Tcp(std::net::TcpStream::connect_timeout(address, timeout)?)
            }
            Target::Unix(path) => Self::Unix(std::os::unix::net::UnixStream::connect(path)?),
        };
        match &socket {
            Self::Tcp(tcp) => tcp.set_read_timeout(Some(timeout))?,
            Self::Unix(unix) => unix.set_read_timeout(Some(timeout))?,
        }
        Ok(socket)
    }

    fn writer(&mut self) -> &mut dyn std::io::Write {
        match self {
            Self::Tcp(tcp) => tcp,
            Self::Unix(unix) => unix,
        }
    }

    fn reader(&mut self) -> &mut dyn std::io::Read {
        match self {
            Self::Tcp(tcp) => tcp,
            Self::Unix(unix) => unix,
        }
    }

    fn answer(&mut self, begun: Instant, timeout: Duration) -> Result<Response, Failure> {
        let mut decoder = super::wire::Decoder::new(false);
        let mut chunk = [0_u8; 4096];
        loop {
            let reset = match self.reader().read(&mut chunk) {
                Ok(0) if decoder.eof() => break,
                Ok(0) => false,
                Ok(n) if decoder.feed(&chunk[..n])? => break,
                Ok(_) if begun.elapsed() < timeout => continue,
                Ok(_) => return Err(Failure::Timeout),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return Err(Failure::Timeout);
                }
                Err(_) => true,
            };
            return Err(Failure::of_end(reset, false, !decoder.is_empty()));
        }
        let status = decoder.head().ok_or(Failure::Malformed)?.status;
        let (headers, body) = decoder.into_parts();
        Ok(Response { status, headers, body, took: begun.elapsed() })
    }

    fn close(&self) {
        // The peer may be gone already; then there is nothing to close.
        match self {
            Self::Tcp(tcp) => tcp.shutdown(Shutdown::Both).ok(),
            Self::Unix(unix) => unix.shutdown(Shutdown::Both).ok(),
        };
    }
}
