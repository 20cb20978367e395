//! What the system says of the processes of the service: supervisor, watch and workers.

use crate::status::OTHER_SLOTS;
use mainstay_os::segment::{Segment, Slot};
use std::fs;
use std::path::PathBuf;

/// What one process, or several, use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Use {
    /// Processor time, user and system, microseconds.
    pub(crate) cpu: u64,
    pub(crate) resident: u64,
    pub(crate) virtual_bytes: u64,
    pub(crate) threads: u64,
    pub(crate) fds: u64,
    pub(crate) max_fds: u64,
}

/// The parts of a service.
pub(crate) struct Parts {
    pub(crate) supervisor: Use,
    pub(crate) watch: Use,
    pub(crate) workers: Use,
    /// Descriptors of each worker that there is, by its slot.
    pub(crate) worker_fds: Vec<(usize, u64)>,
}

impl Use {
    /// Both together.
    pub(crate) fn and(self, other: Use) -> Use {
        Use {
            cpu: self.cpu.wrapping_add(other.cpu),
            resident: self.resident.wrapping_add(other.resident),
            virtual_bytes: self.virtual_bytes.wrapping_add(other.virtual_bytes),
            threads: self.threads.wrapping_add(other.threads),
            fds: self.fds.wrapping_add(other.fds),
            max_fds: self.max_fds.wrapping_add(other.max_fds),
        }
    }
}

/// Looks at all processes.
pub(crate) fn look(segment: &Segment) -> Parts {
    let slots = segment.layout().slots;
    let workers = slots.saturating_sub(OTHER_SLOTS);
    let mut parts = Parts {
        supervisor: Use::default(),
        watch: segment.slot(slots - 1).map(|slot| of_slot(slot).0).unwrap_or_default(),
        workers: Use::default(),
        worker_fds: Vec::new(),
    };
    // What it has awaited is in the slots of those.
    let pid = u32::try_from(segment.header().supervisor_pid()).unwrap_or(0);
    parts.supervisor = of_process(pid, false).unwrap_or_default();
    for (index, slot) in segment.slots().enumerate().take(workers) {
        let (found, is_there) = of_slot(slot);
        parts.workers = parts.workers.and(found);
        if is_there {
            parts.worker_fds.push((index, found.fds));
        }
    }
    parts
}

/// What all holders of a slot have used, and what the present one uses, if there is one.
fn of_slot(slot: Slot<'_>) -> (Use, bool) {
    let mut burnt = slot.burnt();
    // A holder that dies moves from the system's books to the slot's: it is looked at again when that
    // happened meanwhile. Nobody dies so often in so short a time.
    for _ in 0..8 {
        let holder = if burnt.with_last { None } else { of_process(slot.pid(), true) };
        let now = slot.burnt();
        if now == burnt {
            let cpu = burnt.micros.wrapping_add(holder.map_or(0, |it| it.cpu));
            return (Use { cpu, ..holder.unwrap_or_default() }, holder.is_some());
        }
        burnt = now;
    }
    (Use { cpu: burnt.micros, ..Use::default() }, false)
}

/// What the system says of a process; `None` when there is none of this pid.
fn of_process(pid: u32, with_children: bool) -> Option<Use> {
    if pid == 0 {
        return None;
    }
    let directory = PathBuf::from(format!("/proc/{pid}"));
    let stat = fs::read_to_string(directory.join("stat")).ok()?;
    let ticks = rustix::param::clock_ticks_per_second();
    let mut found = read_stat(&stat, ticks, rustix::param::page_size() as u64, with_children)?;
    let fds = directory.join("fd");
    // Recent kernels tell how many there are as the size; others show each.
    found.fds = match fs::metadata(&fds).map(|fds| fds.len()) {
        Ok(known) if known > 0 => known,
        _ => fs::read_dir(&fds).map_or(0, |all| all.count() as u64),
    };
    found.max_fds = fs::read_to_string(directory.join("limits"))
        .ok()
        .and_then(|limits| read_limit(&limits))
        .unwrap_or(0);
    Some(found)
}

/// Reads `/proc/PID/stat`.
fn read_stat(stat: &str, ticks: u64, page: u64, with_children: bool) -> Option<Use> {
    // The name stands in parentheses, and may hold any.
    let (_, rest) = stat.rsplit_once(')')?;
    // The first of these is the third of all.
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let own = field(14)?.checked_add(field(15)?)?;
    let cpu =
        if with_children { own.checked_add(field(16)?)?.checked_add(field(17)?)? } else { own };
    Some(Use {
        cpu: cpu.checked_mul(1_000_000)?.checked_div(ticks)?,
        threads: field(20)?,
        virtual_bytes: field(23)?,
        resident: field(24)?.checked_mul(page)?,
        ..Use::default()
    })
}

/// The soft limit of descriptors, from `/proc/PID/limits`.
fn read_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::names;
    use mainstay_os::segment::Layout;

    #[test]
    fn what_the_system_writes_is_read() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 50 25 10 15 20 0 3 0 99 4096 2 18446744073709551615";
        let found = read_stat(stat, 100, 4_096, true).unwrap();
        assert_eq!((found.cpu, found.threads), (1_000_000, 3));
        assert_eq!((found.virtual_bytes, found.resident), (4_096, 8_192));
        assert_eq!(read_stat(stat, 100, 4_096, false).unwrap().cpu, 750_000);
        assert_eq!(read_stat("7 (x", 100, 4_096, true), None);
        let limits = "Limit  Soft Limit\nMax open files            1024    4096   files\n";
        assert_eq!(read_limit(limits), Some(1_024));
    }

    #[test]
    fn time_of_the_dead_is_counted_once_and_never_goes_down() {
        let (ring_bytes, metrics) = ([64; 3], names::CAPACITY);
        let segment =
            Segment::on_heap(Layout { slots: 3, ring_bytes, metrics, ..Layout::small(0) });
        let slot = segment.slot(0).unwrap();
        slot.hand_out(1, 0, 0);
        slot.set_pid(std::process::id());
        let (alive, is_there) = of_slot(slot);
        assert!(is_there && alive.resident > 0 && alive.fds > 2 && alive.max_fds >= alive.fds);
        // It has ended, and what it used is in the slot's books, while the system still tells of it.
        slot.add_burnt(alive.cpu + 5);
        assert_eq!(of_slot(slot), (Use { cpu: alive.cpu + 5, ..Use::default() }, false));
        slot.take_back();
        slot.hand_out(1, 0, 0);
        assert_eq!(of_slot(slot).0.cpu, alive.cpu + 5, "nobody holds it yet");
        slot.set_pid(std::process::id());
        assert!(of_slot(slot).0.cpu >= 2 * alive.cpu + 5);
        let workers = look(&segment).workers;
        assert!(workers.cpu >= 2 * alive.cpu + 5);
    }
}
