//! Whether each phase is timed where it passes: a server of our own waits in one phase at a time, and says for how
//! long it did. Its certificates are for nobody but these tests; `openssl ca` has made them.

use super::*;
use crate::config::probes::{Expect, Target};

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};

/// What is injected.
const DELAY: Duration = Duration::from_millis(60);
/// As exact as that, beyond what the phase takes without any delay.
const EXACT: Duration = Duration::from_millis(5);
/// No machine that others use is punctual each time.
const TRIES: usize = 20;

fn pem(name: &str) -> PathBuf {
    PathBuf::from(format!("{}/src/watch/probes/pem/{name}.pem", env!("CARGO_MANIFEST_DIR")))
}

/// Waits at least so long; says how long it was.
fn pause(time: Duration) -> Duration {
    let begun = clock::mono();
    while clock::mono().since(begun) < time {
        thread::park_timeout(time.saturating_sub(clock::mono().since(begun)));
    }
    clock::mono().since(begun)
}

/// A server that waits in this phase of each connection.
struct Slow {
    port: u16,
    waited: Receiver<Duration>,
}

impl Slow {
    fn start(certificate: &str, phase: &'static str) -> Slow {
        let chain = CertificateDer::pem_file_iter(pem(certificate)).unwrap();
        let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(pem("key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key);
        let config = Arc::new(config.unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, waited) = channel();
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                // Who does not trust it goes away in the middle.
                serve(&config, stream, phase, &tell).unwrap_or_default();
            }
        });
        Slow { port, waited }
    }

    /// It is asked, with these certificates trusted.
    fn ask(&self, trusted: &str) -> Attempt {
        let target = Target::parse(&format!("https://localhost:{}/", self.port)).unwrap();
        let expect =
            Expect { status: vec![(200, 200)], ca: Some(pem(trusted)), ..Expect::default() };
        attempt(&Probe { expect, ..Probe::usual("slow", target) })
    }
}

fn serve(
    config: &Arc<ServerConfig>,
    stream: TcpStream,
    slow: &str,
    tell: &Sender<Duration>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut waited = Duration::ZERO;
    let mut reach = |phase: &str| {
        if phase == slow {
            waited = pause(DELAY);
        }
    };
    reach("tls");
    let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    // The question is one piece.
    assert!(stream.read(&mut [0; 4_096])? > 0);
    reach("first_byte");
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")?;
    stream.flush()?;
    reach("transfer");
    stream.write_all(b"hello")?;
    stream.conn.send_close_notify();
    stream.flush()?;
    tell.send(waited).map_err(io::Error::other)
}

fn phase(found: &Attempt, name: &str) -> Duration {
    assert_eq!(found.failure, None, "{found:?}");
    let each = found.phases.each();
    let named = each.into_iter().find(|(it, _)| *it == name);
    named.and_then(|(_, took)| took).unwrap_or_default()
}

/// The delay is found in this phase, exactly, and in no other. `ask` gives what it was, too. What the phase takes
/// without it is measured beside, and is what a busy machine is not punctual by.
fn is_found_in(name: &str, plain: impl Fn() -> Attempt, ask: impl Fn() -> (Attempt, Duration)) {
    let mut bare: Vec<_> = (0..TRIES).map(|_| plain()).collect();
    bare.sort_by_key(|it| phase(it, name));
    let [least, middle] = [0, TRIES / 2].map(|it| phase(&bare[it], name));
    let most = EXACT + (middle - least);
    let mut seen = Vec::new();
    for _ in 0..TRIES {
        let (found, injected) = ask();
        assert!(injected >= DELAY, "{found:?}");
        let off = phase(&found, name).abs_diff(injected + least);
        let usual = |other: &str| bare.iter().map(|it| phase(it, other)).max().unwrap_or_default();
        let mut others = found.phases.each().into_iter().filter(|(it, _)| *it != name);
        let is_alone = others.all(|(it, took)| took.unwrap_or_default() < usual(it) + DELAY / 2);
        if off <= most && is_alone {
            return;
        }
        seen.push((off, found.phases));
    }
    panic!("{name}, which takes {least:?} to {middle:?} by itself: {seen:#?}");
}

#[test]
fn a_delay_is_found_in_the_phase_in_which_it_passed_to_five_milliseconds() {
    let plain = Slow::start("good", "");
    for name in ["tls", "first_byte", "transfer"] {
        let slow = Slow::start("good", name);
        is_found_in(
            name,
            || plain.ask("good"),
            || (slow.ask("good"), slow.waited.recv_timeout(Duration::from_secs(20)).unwrap()),
        );
    }
}

#[test]
fn a_connection_that_is_long_in_coming_is_so_in_the_phase_of_connecting() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, accept, bind, listen, socket};
    let ask = |delay: Duration| {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("slow.sock");
        let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        listen(&listener, 0).unwrap();
        // With this one its queue is full.
        let first = (!delay.is_zero()).then(|| UnixStream::connect(&path).unwrap());
        let serving = thread::spawn(move || {
            let mut waited = Duration::ZERO;
            if let Some(first) = first {
                waited = pause(delay);
                drop((accept(&listener).unwrap(), first));
            }
            let mut stream = UnixStream::from(accept(&listener).unwrap());
            assert!(stream.read(&mut [0; 4_096]).unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            waited
        });
        let target = Target::Unix { socket: path, path: "/".to_owned() };
        let found = attempt(&Probe::usual("slow", target));
        (found, serving.join().unwrap())
    };
    // The delay begins a moment before the attempt does.
    is_found_in_about("connect", || ask(Duration::ZERO).0, || ask(DELAY));
}

/// The same where the delay may have begun before the phase: no less than some of it is found.
fn is_found_in_about(
    name: &str,
    plain: impl Fn() -> Attempt,
    ask: impl Fn() -> (Attempt, Duration),
) {
    let mut bare: Vec<_> = (0..TRIES).map(|_| phase(&plain(), name)).collect();
    bare.sort_unstable();
    let (least, middle) = (bare[0], bare[TRIES / 2]);
    let offs = (0..TRIES).map(|_| {
        let (found, injected) = ask();
        phase(&found, name).abs_diff(injected + least)
    });
    let best = offs.into_iter().min().unwrap_or(Duration::MAX);
    assert!(best <= EXACT + (middle - least), "{name} is off by {best:?}");
}

#[test]
fn a_name_server_that_takes_its_time_is_so_in_the_phase_of_names() {
    // Who is not root has no such port; whoever holds everything to all tests is.
    let socket = match UdpSocket::bind("127.0.0.77:53") {
        Ok(socket) => socket,
        Err(error) => {
            assert!(!crate::config::env::is_ci(), "no port for a name server: {error}");
            return;
        }
    };
    let (tell, told) = channel();
    let is_slow = Arc::new(AtomicBool::new(false));
    let slow = Arc::clone(&is_slow);
    thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut question) {
            let waited = if slow.load(SeqCst) { pause(DELAY) } else { Duration::ZERO };
            // The question, with one address behind it: 192.0.2.1.
            let mut answer = question[..length].to_vec();
            answer[2..4].copy_from_slice(&[0x81, 0x80]);
            answer[6..8].copy_from_slice(&[0, 1]);
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
            socket.send_to(&answer, peer).unwrap();
            tell.send(waited).unwrap();
        }
    });
    let target = Target::parse("dns://127.0.0.77/shop.example").unwrap();
    let ask = || {
        let found = attempt(&Probe::usual("names", target.clone()));
        (found, told.recv_timeout(Duration::from_secs(20)).unwrap())
    };
    let plain = || {
        is_slow.store(false, SeqCst);
        ask().0
    };
    is_found_in("dns", plain, || {
        is_slow.store(true, SeqCst);
        ask()
    });
}

#[test]
fn certificates_that_are_no_good_have_a_word_each_and_their_end_is_known() {
    for (certificate, trusted, failure) in [
        ("good", "good", None),
        ("expired", "expired", Some(Failure::TlsExpired)),
        ("other", "other", Some(Failure::TlsName)),
        ("good", "other", Some(Failure::TlsUntrusted)),
        ("good", "key", Some(Failure::Authorities)),
        ("good", "nothing", Some(Failure::Authorities)),
    ] {
        let found = Slow::start(certificate, "").ask(trusted);
        assert_eq!(found.failure, failure, "{certificate} {trusted}: {found:?}");
        let is_met = failure != Some(Failure::Authorities);
        // 2021 and 2120.
        let end = if certificate == "expired" { 1_609_459_200 } else { 4_733_510_400 };
        assert_eq!(found.ends, is_met.then_some(end), "{certificate} {trusted}");
    }
}
