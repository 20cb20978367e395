//! An outside monitor that is asked again and again, and counts it.

use super::inbox;
use std::io::{BufReader, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The monitor. It listens as long as the test runs.
#[derive(Clone, Debug)]
pub struct Monitor {
    address: SocketAddr,
    count: Arc<AtomicUsize>,
    targets: Arc<Mutex<Vec<String>>>,
}

impl Monitor {
    /// Starts one.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn start() -> Monitor {
        let (listener, address) = inbox::bound();
        let monitor = Monitor { address, count: Arc::default(), targets: Arc::default() };
        let own = monitor.clone();
        inbox::serve(listener, move |mut stream| {
            let mut reader = BufReader::new(stream.try_clone().ok()?);
            loop {
                let request = inbox::read(&mut reader)?;
                own.count.fetch_add(1, Ordering::SeqCst);
                let mut targets = own.targets.lock().unwrap_or_else(PoisonError::into_inner);
                targets.push(request.target);
                drop(targets);
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK").ok()?;
            }
        });
        monitor
    }

    /// What it is asked for.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/ping/hunter2", self.address)
    }

    /// How often it was asked.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// For what, each time.
    #[must_use]
    pub fn targets(&self) -> Vec<String> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
