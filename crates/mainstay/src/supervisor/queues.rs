//! The queues of the listeners, which the supervisor alone has for the whole life of the service.

use super::listeners::Listener;
use crate::log::Log;
use crate::metrics::{Merge, families, registry::Metrics};
use mainstay_os::queue::queue;

/// Measures them once. One that does not tell, as where a sandbox forbids to ask, has no series.
pub(super) fn measure(log: &Log, listeners: &[Listener]) {
    let metrics = Metrics::new(log.segment().clone(), log.slot_index(), log.teller());
    for listener in listeners {
        let Ok((waiting, most)) = queue(&listener.fd) else { continue };
        let labels = [("listener", &*listener.shown)];
        for (family, value) in
            [(&families::LISTENER_QUEUE, waiting), (&families::LISTENER_QUEUE_MAX, most)]
        {
            // Where there is no room for metrics there is no series either.
            if let Ok(gauge) = metrics.own_gauge(family, Merge::Last, &labels) {
                gauge.set(f64::from(value));
            }
        }
    }
}
