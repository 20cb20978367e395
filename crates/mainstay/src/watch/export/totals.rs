//! What is told of the sending in numbers: in the segment, where it outlives watch.
//!
//! *Taken = sent + lost + waiting* holds after the death of watch too: what waits is counted in the spool
//! again, and what has gone with the memory of a watch is lost, for a reason of its own.

use crate::clock;
use crate::metrics::families::{self, Family};
use crate::metrics::label::render;
use crate::metrics::{Merge, registry};
use mainstay_os::segment::{Kind, Pin, Segment};

/// Why items are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Reason {
    /// The spool had no room for them.
    SpoolFull,
    /// They could not be written into the spool.
    SpoolFailed,
    /// A worker handed over what is not of its kind.
    Malformed,
    /// The receiver refused the request.
    Refused,
    /// The receiver took the request, but not these.
    Rejected,
    /// The receiver had said to hold back.
    HeldBack,
    /// They were in the memory of a watch that died.
    WatchDied,
    /// They could not be read from the spool again.
    Unreadable,
}

const REASONS: [(Reason, &str); 8] = [
    (Reason::SpoolFull, "spool_full"),
    (Reason::SpoolFailed, "spool_failed"),
    (Reason::Malformed, "malformed"),
    (Reason::Refused, "refused"),
    (Reason::Rejected, "rejected"),
    (Reason::HeldBack, "held_back"),
    (Reason::WatchDied, "watch_died"),
    (Reason::Unreadable, "unreadable"),
];

/// The series of one receiver. Without room in the register there are none. Each counter is one thread's.
#[derive(Debug)]
pub(super) struct Totals {
    segment: Segment,
    taken: Option<Series>,
    sent: Option<Series>,
    lost: [Option<Series>; REASONS.len()],
    spool: Option<Series>,
    last: Option<Series>,
}

#[derive(Debug)]
struct Series {
    kind: Kind,
    index: usize,
    pin: Pin,
}

impl Series {
    fn find(
        segment: &Segment,
        slot: usize,
        family: &Family,
        labels: &[(&str, &str)],
    ) -> Option<Series> {
        let (kind, merge) = match family.shape {
            crate::metrics::text::Shape::Counter => (Kind::Counter, Merge::Sum),
            _ => (Kind::Gauge, Merge::Last),
        };
        let (name, help) = (family.name.as_bytes(), family.help.trim().as_bytes());
        let register = segment.register();
        let metric = register.declare(name, registry::nature(kind, merge), help).ok()?;
        let labels = render(labels.iter().copied());
        let index = register.claim(kind, metric, labels.as_bytes(), u64::MAX)?;
        Some(Series { kind, index, pin: segment.pin(slot, kind, index)? })
    }
}

impl Totals {
    /// The totals of `receiver`, counted in `slot`, which this process holds: all of them there, at 0 where
    /// nothing was counted yet.
    pub(super) fn new(segment: &Segment, slot: usize, receiver: &str) -> Totals {
        let of = |family: &Family| Series::find(segment, slot, family, &[("receiver", receiver)]);
        let lost = REASONS.map(|(_, reason)| {
            let labels = [("receiver", receiver), ("reason", reason)];
            Series::find(segment, slot, &families::TELEMETRY_LOST, &labels)
        });
        let totals = Totals {
            segment: segment.clone(),
            taken: of(&families::TELEMETRY_TAKEN),
            sent: of(&families::TELEMETRY_SENT),
            lost,
            spool: of(&families::TELEMETRY_SPOOL),
            last: of(&families::TELEMETRY_LAST),
        };
        totals.set_spool(0);
        totals
    }

    /// Makes the numbers agree with what waits in the spool that was found.
    pub(super) fn reconcile(&self, waiting: u64) {
        let (taken, gone) = (self.total(self.taken.as_ref()), self.gone());
        let expected = taken.saturating_sub(gone);
        if waiting > expected {
            // An earlier service left it, or what was counted as sent is sent again.
            self.taken(waiting - expected);
        } else {
            self.lost(Reason::WatchDied, expected - waiting);
        }
    }

    fn gone(&self) -> u64 {
        let lost = self.lost.iter().map(|lost| self.total(lost.as_ref()));
        self.total(self.sent.as_ref()) + lost.sum::<u64>()
    }

    fn total(&self, series: Option<&Series>) -> u64 {
        let Some(Series { kind: Kind::Counter, index, .. }) = series else { return 0 };
        // A slot that nobody ever held has counted nothing, and looking at it would take memory.
        let slots = self.segment.slots().filter(|slot| slot.epoch() != 0);
        slots.map(|slot| slot.measures().counted(*index)).sum()
    }

    pub(super) fn taken(&self, items: u64) {
        count(self.taken.as_ref(), items);
    }

    pub(super) fn sent(&self, items: u64) {
        count(self.sent.as_ref(), items);
        if let Some(last) = &self.last {
            last.pin.set_at(clock::wall() as f64 / 1e9, clock::mono().0);
        }
    }

    pub(super) fn lost(&self, reason: Reason, items: u64) {
        count(self.lost[reason as usize].as_ref(), items);
    }

    pub(super) fn set_spool(&self, bytes: u64) {
        if let Some(spool) = &self.spool {
            spool.pin.set_at(bytes as f64, clock::mono().0);
        }
    }

    /// How many items were taken, sent and lost.
    #[cfg(test)]
    pub(super) fn read(&self) -> (u64, u64, Vec<(&'static str, u64)>) {
        let lost = REASONS.iter().zip(&self.lost);
        let lost = lost.map(|((_, name), series)| (*name, self.total(series.as_ref())));
        let lost = lost.filter(|(_, count)| *count > 0).collect();
        (self.total(self.taken.as_ref()), self.total(self.sent.as_ref()), lost)
    }
}

fn count(series: Option<&Series>, by: u64) {
    if let Some(series) = series.filter(|_| by > 0) {
        series.pin.count(by);
    }
}
