//! Processes of a running server: which they are, what they have used, how they end.

use std::{
    fs,
    process::Child,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// The processor time, user and system, that these processes have used since they began.
///
/// # Errors
/// When one of them is gone: the difference of two such sums would be too small.
pub(crate) fn cpu_time(pids: &[u32]) -> std::io::Result<Duration> {
    let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
    let mut ticks = 0;
    for pid in pids {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        ticks += Stat::parse(&stat).map_or(0, |stat| stat.cpu_ticks);
    }
    Ok(Duration::from_secs_f64(ticks as f64 / ticks_per_second))
}

/// `roots` and all their descendants.
///
/// # Errors
/// When /proc cannot be read.
pub(crate) fn family(roots: &[u32]) -> std::io::Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        // A process that ends between the listing and the reading is none of ours.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        if let Some(stat) = Stat::parse(&stat) {
            parents.push((pid, stat.parent));
        }
    }
    let mut found = roots.to_vec();
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(parents.iter().filter(|(_, theirs)| *theirs == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    Ok(found)
}

/// What is needed of `/proc/<pid>/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    cpu_ticks: u64,
}

impl Stat {
    fn parse(line: &str) -> Option<Stat> {
        // The name may hold blanks and brackets: what is wanted follows the last bracket.
        let mut fields = line.rsplit_once(')')?.1.split_whitespace();
        let parent = fields.nth(1)?.parse().ok()?;
        let user: u64 = fields.nth(9)?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        Some(Stat { parent, cpu_ticks: user + system })
    }
}

/// A child that is killed when it is no longer wanted.
#[derive(Debug)]
pub(crate) struct Guarded(pub(crate) Child);

impl Guarded {
    /// Sends `signal`. Only for a child that has not been seen to end: then its pid is its own.
    pub(crate) fn signal(&self, signal: Signal) -> std::io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.0), signal)?)
    }

    /// Asks the process to end and waits; kills it when `patience` is over.
    pub(crate) fn stop(&mut self, patience: Duration) -> std::io::Result<()> {
        if self.0.try_wait()?.is_some() {
            return Ok(());
        }
        self.signal(Signal::TERM)?;
        let ended = wait_until(patience, || self.0.try_wait().is_ok_and(|status| status.is_some()));
        if ended {
            Ok(())
        } else {
            Err(std::io::Error::other("a server did not stop when it was asked to"))
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Both fail only for a child that has ended, which is what is wanted.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Polls until `condition` holds; `false` when `patience` is over first.
pub(crate) fn wait_until(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_does_not_shift_the_fields() {
        let line = "42 (a) b (c)) S 7 42 42 0 -1 4194304 100 0 0 0 1200 34 0 0 20 0 1 0 5 0 0";
        assert_eq!(Stat::parse(line), Some(Stat { parent: 7, cpu_ticks: 1_234 }));
    }

    #[test]
    fn a_process_is_part_of_its_own_family() {
        let own = std::process::id();
        assert!(family(&[own]).expect("/proc is there").contains(&own));
        assert!(cpu_time(&[own]).is_ok());
    }
}
