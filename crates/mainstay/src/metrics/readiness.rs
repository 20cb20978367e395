//! What is counted of answers to requests for readiness.

use super::names;
use mainstay_os::segment::{Header, Slot};

/// Counts an answer in the slot of whoever gives it, and in the run of them all, before it is sent. One
/// that says that the question is none is no answer.
pub(crate) fn answered(header: Header<'_>, slot: Slot<'_>, status: u16) {
    let cell = match status {
        200 => names::READINESS[0],
        503 => names::READINESS[1],
        _ => return,
    };
    slot.add(cell, 1);
    header.answered(status == 200);
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_os::segment::{Capacity, Layout, Segment};

    #[test]
    fn the_run_is_one_of_all_answers_of_all_processes() {
        let (ring_bytes, metrics) = ([64; 3], Capacity::NONE);
        let counters = names::CELLS;
        let segment =
            Segment::on_heap(Layout { slots: 2, ring_bytes, metrics, ..Layout::small(counters) });
        let answer = |slot, status| {
            answered(segment.header(), segment.slot(slot).unwrap(), status);
            segment.header().bad_run()
        };
        let runs: Vec<_> = [(0, 503), (1, 503), (0, 405), (1, 503), (0, 200), (1, 503)]
            .map(|(slot, status)| answer(slot, status))
            .into();
        assert_eq!(runs, [1, 2, 2, 3, 0, 1]);
        assert_eq!(names::READINESS.map(|cell| segment.total(cell)), [1, 4]);
    }
}
