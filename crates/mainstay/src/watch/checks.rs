//! Watch's part in the checks of health: what has an address it asks itself, with a fresh connection,
//! off every request's path and once for the whole host.

use crate::clock;
use crate::db::probe::{self, Target};
use crate::health::prober::Prober;
use crate::log::Log;
use std::sync::Arc;
use std::time::Duration;

/// The longest sleep: a new check, and one that was not made by somebody else, is found this soon.
const LOOK: Duration = Duration::from_millis(250);

/// Makes checks until the process ends.
#[expect(clippy::disallowed_methods, reason = "the time of a check is what it waits for")]
pub(crate) async fn run(log: Log) {
    let prober = Arc::new(Prober::of_service(log));
    loop {
        let now = clock::mono();
        let mut next = now + LOOK;
        let mut due = Vec::new();
        for check in prober.wanted().filter(|check| check.nature.kind.has_address()) {
            if check.due() > now {
                next = next.min(check.due());
                continue;
            }
            // While its target is being changed there is nothing to ask.
            let Some(url) = check.target().filter(|url| !url.is_empty()) else { continue };
            if prober.begin(&check) {
                let (kind, needs_writes) = (check.nature.kind, check.nature.needs_writes);
                let identity = check.identity();
                due.push((check.index, Target { kind, url, needs_writes, identity }));
            }
        }
        for (index, target) in due {
            let prober = Arc::clone(&prober);
            tokio::spawn(async move { prober.make(index, probe::probe(target)).await });
        }
        tokio::time::sleep(next.since(clock::mono()).max(Duration::from_millis(10))).await;
    }
}
