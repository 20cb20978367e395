//! A relay in front of a peer, which knows how many connections are open at a time.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// Passes bytes both ways, on a port of its own, until it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    most: AtomicUsize,
    all: AtomicUsize,
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
        let counts = Arc::new(Counts::default());
        let shared = counts.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.is_closed.load(SeqCst) {
                    return;
                }
                let counts = shared.clone();
                std::thread::spawn(move || counts.pass(&client, target));
            }
        });
        Relay { address, counts }
    }

    /// The port that clients connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.counts.open.load(SeqCst)
    }

    /// Connections that there ever were.
    #[must_use]
    pub fn all(&self) -> usize {
        self.counts.all.load(SeqCst)
    }

    /// The most that were open at a time since the last call, those of now included.
    #[must_use]
    pub fn most(&self) -> usize {
        self.counts.most.swap(self.open(), SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.counts.is_closed.store(true, SeqCst);
        // The accept that waits needs a connection to see it.
        TcpStream::connect(self.address).ok();
    }
}

impl Counts {
    fn pass(&self, client: &TcpStream, target: SocketAddr) {
        self.all.fetch_add(1, SeqCst);
        self.most.fetch_max(self.open.fetch_add(1, SeqCst) + 1, SeqCst);
        if let Ok(server) = TcpStream::connect(target) {
            std::thread::scope(|scope| {
                scope.spawn(|| copy(&server, client));
                copy(client, &server);
            });
        }
        self.open.fetch_sub(1, SeqCst);
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
