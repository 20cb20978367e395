//! Whether this host can reach anything at all. When it cannot, what it fails to reach is not down for that.

use super::dns;
use super::failure::Failure;
use crate::clock::{self, Mono};
use crate::config::Config;
use crate::config::probes::references;
use crate::event::{Event, Time};
use crate::log::Log;
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// For one reference.
const PATIENCE: Duration = Duration::from_secs(2);
/// What was found counts for so long.
const FRESH: Duration = Duration::from_secs(2);

/// What all probes know of it.
pub(super) struct Vantage {
    references: Vec<(String, u16)>,
    log: Log,
    known: Mutex<Known>,
}

/// What is known.
#[derive(Default)]
struct Known {
    /// The last look, and whether anything could be reached then.
    looked: Option<(Mono, bool)>,
    /// Since when nothing can be.
    lost: Option<Mono>,
}

impl Vantage {
    pub(super) fn new(config: &Config, log: &Log) -> Vantage {
        // The configuration has judged them.
        let references = references(&config.probing.references).unwrap_or_default();
        Vantage { references, log: log.clone(), known: Mutex::default() }
    }

    /// Whether anything can be reached now that something could not be. Without references only the system itself
    /// says so: no way leads there.
    pub(super) fn can_reach(&self, failure: Failure) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::mono();
        let can = match known.looked {
            _ if self.references.is_empty() => failure != Failure::NoWay,
            Some((at, can)) if now.since(at) < FRESH => can,
            _ => {
                let can = self.references.iter().any(|(host, port)| answers(host, *port));
                // Only what has just been seen is fresh.
                known.looked = Some((clock::mono(), can));
                can
            }
        };
        match (can, known.lost) {
            (false, None) => {
                known.lost = Some(now);
                self.log.event(&Event::VantageLost {});
            }
            (true, Some(since)) => {
                known.lost = None;
                self.log.event(&Event::VantageBack { after: Time(now.since(since)) });
            }
            _ => {}
        }
        can
    }

    /// Something that is away from this host was reached.
    pub(super) fn reached(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = known.lost.take() {
            let after = Time(clock::mono().since(since));
            known.looked = None;
            self.log.event(&Event::VantageBack { after });
        }
    }
}

/// Who refuses is there.
fn answers(host: &str, port: u16) -> bool {
    let deadline = clock::mono() + PATIENCE;
    let addresses = dns::resolve(host, port, deadline).unwrap_or_default();
    addresses.iter().any(|address| {
        let left = deadline.since(clock::mono()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(address, left) {
            Ok(_) => true,
            Err(error) => Failure::of_connect(&error) == Failure::Refused,
        }
    })
}
