//! Statsd servers: one of our own that adds up what it is sent, and Navdoon, a server in Python.

use super::process::Server;
use super::python;
use crate::harness::free_port;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What came by each name: the sum of counts and of timings, or the last value of a gauge.
type Sums = BTreeMap<String, f64>;

/// A server that adds up. It listens as long as the test runs.
#[derive(Clone, Debug)]
pub struct Statsd {
    address: SocketAddr,
    sums: Arc<Mutex<Sums>>,
}

impl Statsd {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn start() -> Statsd {
        Statsd::at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Starts one there.
    ///
    /// # Panics
    /// When somebody else is there.
    #[must_use]
    pub fn at(address: SocketAddr) -> Statsd {
        let socket = UdpSocket::bind(address).expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let statsd = Statsd { address, sums: Arc::default() };
        let sums = Arc::clone(&statsd.sums);
        thread::spawn(move || {
            let mut packet = [0; 65_536];
            while let Ok(length) = socket.recv(&mut packet) {
                let text = String::from_utf8_lossy(&packet[..length]);
                let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
                text.lines().for_each(|line| add(line, &mut sums));
            }
        });
        statsd
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came by this name.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.get(name).copied().unwrap_or_default()
    }

    /// All names that came.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

/// Takes a line `NAME:VALUE|TYPE|@RATE`. A timing counts as many as its rate stands for.
fn add(line: &str, sums: &mut Sums) {
    let (name, rest) = line.split_once(':').unwrap_or_else(|| panic!("no statsd: {line}"));
    let mut parts = rest.split('|');
    let value: f64 = parts.next().and_then(|it| it.parse().ok()).expect("a number");
    let kind = parts.next().expect("a type");
    let rate =
        parts.find_map(|it| it.strip_prefix('@')).map_or(1.0, |it| it.parse().expect("a rate"));
    let sum = sums.entry(name.to_owned()).or_default();
    match kind {
        "c" => *sum += value / rate,
        "ms" => *sum += 1.0 / rate,
        "g" => *sum = value,
        _ => panic!("{line}"),
    }
}

/// Navdoon, which runs.
#[derive(Debug)]
pub struct Navdoon {
    _server: Server,
    port: u16,
    flushed: PathBuf,
    _directory: tempfile::TempDir,
}

impl Navdoon {
    /// Starts one; `None` where it cannot be installed.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Option<Navdoon> {
        let program = python("navdoon", "0.3.0")?.join("navdoon");
        let directory = tempfile::Builder::new().prefix("e2e-statsd-").tempdir();
        let directory = directory.expect("a temporary directory");
        let (port, flushed) = (free_port(), directory.path().join("flushed.csv"));
        let mut command = Command::new(program);
        command.args(["--flush-interval", "1", "--flush-file-csv"]).arg(&flushed);
        command.args(["--collect-udp", &format!("127.0.0.1:{port}")]);
        let mut server = Server::start(command, directory.path().join("navdoon.log"));
        // Bound is what nobody else can bind.
        server.wait(|| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_err());
        Some(Navdoon { _server: server, port, flushed, _directory: directory })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The sum of all that it has flushed by this name.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        let text = std::fs::read_to_string(&self.flushed).unwrap_or_default();
        let rows = text.lines().filter_map(|line| {
            let mut cells = line.split(',').map(|cell| cell.trim_matches('"'));
            (cells.next() == Some(name)).then(|| cells.next()?.parse::<f64>().ok()).flatten()
        });
        rows.sum()
    }
}
