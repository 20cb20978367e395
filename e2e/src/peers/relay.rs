//! A relay in front of a peer, which knows from when to when each connection was open.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Passes bytes both ways, on a port of its own, until it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    book: Arc<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// When each connection was opened, and when its client closed it.
    times: Mutex<Vec<(Instant, Option<Instant>)>>,
    is_closed: AtomicBool,
}

impl Relay {
    /// In front of this address.
    ///
    /// # Panics
    /// When there is no port left.
    #[must_use]
    pub fn to(target: SocketAddr) -> Relay {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let book = Arc::new(Book::default());
        let shared = Arc::clone(&book);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.is_closed.load(SeqCst) {
                    return;
                }
                let book = Arc::clone(&shared);
                std::thread::spawn(move || book.pass(&client, target));
            }
        });
        Relay { address, book }
    }

    /// The port that clients connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.book.times().iter().filter(|(_, closed)| closed.is_none()).count()
    }

    /// Connections that were opened since then.
    #[must_use]
    pub fn since(&self, then: Instant) -> usize {
        self.book.times().iter().filter(|(opened, _)| *opened >= then).count()
    }

    /// The most connections opened since then that were open at a time. One that closes within `slack`
    /// of another's opening has made room for it: a busy machine tells of an end later than of a beginning.
    #[must_use]
    pub fn most(&self, then: Instant, slack: Duration) -> usize {
        let now = Instant::now();
        let times = self.book.times();
        let all = || times.iter().filter(|(opened, _)| *opened >= then);
        let at = |moment: Instant| {
            all()
                .filter(|(opened, closed)| {
                    *opened <= moment && closed.unwrap_or(now) > moment + slack
                })
                .count()
        };
        all().map(|(opened, _)| at(*opened).max(1)).max().unwrap_or(0)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.book.is_closed.store(true, SeqCst);
        // The accept that waits needs a connection to see it.
        TcpStream::connect(self.address).ok();
    }
}

impl Book {
    fn times(&self) -> MutexGuard<'_, Vec<(Instant, Option<Instant>)>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self, client: &TcpStream, target: SocketAddr) {
        let number = {
            let mut times = self.times();
            times.push((Instant::now(), None));
            times.len() - 1
        };
        if let Ok(server) = TcpStream::connect(target) {
            std::thread::scope(|scope| {
                scope.spawn(|| copy(&server, client));
                copy(client, &server);
            });
        }
        self.times()[number].1 = Some(Instant::now());
    }
}

/// Until one of the two has closed; then both are.
fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let mut buffer = [0; 16_384];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}
