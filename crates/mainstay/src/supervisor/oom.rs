//! Whether the kernel killed for want of memory, by the counter of this process's memory cgroup.

use std::fs;
use std::path::PathBuf;

/// The counter's file, and its value when last asked.
#[derive(Debug, Default)]
pub(crate) struct OomCounter {
    file: Option<PathBuf>,
    seen: u64,
}

impl OomCounter {
    /// Finds the counter: `memory.events` of cgroup 2, or `memory.oom_control` of cgroup 1.
    pub(crate) fn find() -> OomCounter {
        let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mut files = cgroups.lines().filter_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let path = path.trim_start_matches('/');
            if controllers.is_empty() {
                Some(PathBuf::from("/sys/fs/cgroup").join(path).join("memory.events"))
            } else if controllers.split(',').any(|name| name == "memory") {
                Some(PathBuf::from("/sys/fs/cgroup/memory").join(path).join("memory.oom_control"))
            } else {
                None
            }
        });
        let mut counter = OomCounter { file: files.find(|file| file.exists()), seen: 0 };
        counter.seen = counter.read();
        counter
    }

    /// Whether there was a kill since the last call.
    pub(crate) fn killed(&mut self) -> bool {
        let now = self.read();
        now > std::mem::replace(&mut self.seen, now)
    }

    fn read(&self) -> u64 {
        let text = self.file.as_ref().and_then(|file| fs::read_to_string(file).ok());
        text.as_deref().and_then(oom_kills).unwrap_or(0)
    }
}

fn oom_kills(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_read_from_both_kinds_of_cgroup() {
        let v2 = "low 0\nhigh 0\nmax 3\noom 2\noom_kill 1\noom_group_kill 0\n";
        let v1 = "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n";
        assert_eq!(oom_kills(v2), Some(1));
        assert_eq!(oom_kills(v1), Some(4));
        assert_eq!(oom_kills("oom 2\n"), None);
    }
}
