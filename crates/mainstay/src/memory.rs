//! How much memory this process holds.

/// Resident memory in bytes, shared pages included; 0 where /proc does not tell.
pub(crate) fn resident() -> u64 {
    // The second field of statm is the number of resident pages.
    let Ok(statm) = std::fs::read_to_string("/proc/self/statm") else { return 0 };
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}
