//! The local time zone, as the C library knows it: `TZ`, else the system's zone.

/// Seconds east of UTC at `unix` (seconds since the epoch) in the local zone; 0 when the C library
/// cannot tell.
#[must_use]
pub fn offset_at(unix: i64) -> i32 {
    let mut broken_down = std::mem::MaybeUninit::<libc::tm>::zeroed();
    let time: libc::time_t = unix;
    // SAFETY: both pointers are to live values of the types that the call takes; it keeps neither.
    // It reads TZ from the environment at most once, which nothing in this workspace writes.
    let done = unsafe { libc::localtime_r(&raw const time, broken_down.as_mut_ptr()) };
    if done.is_null() {
        return 0;
    }
    // SAFETY: zeroed is a valid `tm`, and the call has filled it.
    let broken_down = unsafe { broken_down.assume_init() };
    i32::try_from(broken_down.tm_gmtoff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_is_one_that_a_zone_may_have_and_absurd_times_have_none() {
        assert!(offset_at(1_795_342_252).abs() <= 14 * 3_600);
        assert_eq!(offset_at(i64::MAX), 0);
    }
}
