//! Giving memory back that only the start of a process needed.

use std::{fs, io};

/// Takes the program's code out of this process's resident memory. What runs on comes back from the
/// page cache as it runs; what parsed the command line and the configuration does not. For a
/// process that lives long and does little.
///
/// # Errors
/// When the list of mappings cannot be read.
pub fn forget_code() -> io::Result<()> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    for (begin, len) in maps.lines().filter_map(code_mapping) {
        // SAFETY: the range is a whole mapping of this process that is private, executable, not
        // writable and backed by a file, as the kernel just said; nothing unmaps code while it
        // runs. Dropping its pages loses nothing: they are what the file holds, unless somebody
        // changed code in place (a debugger's breakpoints, text relocations, which position
        // independent programs as rustc makes them do not have).
        let given_back =
            unsafe { libc::madvise(begin as *mut libc::c_void, len, libc::MADV_DONTNEED) };
        debug_assert_eq!(given_back, 0, "a mapping of ours can be advised on");
    }
    Ok(())
}

/// Start and length of a line of `/proc/self/maps` that is code of a file.
fn code_mapping(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (range, rights) = (fields.next()?, fields.next()?);
    let file = fields.nth(3)?;
    if rights != "r-xp" || !file.starts_with('/') {
        return None;
    }
    let (begin, end) = range.split_once('-')?;
    let begin = usize::from_str_radix(begin, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    Some((begin, end.checked_sub(begin)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_is_forgotten() {
        let code = "55d0c0a00000-55d0c0b00000 r-xp 00010000 fe:00 1234   /usr/bin/program";
        assert_eq!(code_mapping(code), Some((0x55d0_c0a0_0000, 0x10_0000)));
        for other in [
            "55d0c0a00000-55d0c0b00000 r--p 00010000 fe:00 1234   /usr/bin/program",
            "55d0c0a00000-55d0c0b00000 rw-p 00010000 fe:00 1234   /usr/bin/program",
            "7ffd1d5f0000-7ffd1d5f2000 r-xp 00000000 00:00 0      [vdso]",
            "7f0000000000-7f0000001000 r-xp 00000000 00:00 0",
            "",
        ] {
            assert_eq!(code_mapping(other), None, "{other}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "reads /proc and advises the kernel")]
    fn a_process_runs_on_after_forgetting_its_code() {
        forget_code().unwrap();
        assert_eq!((1..=10).product::<u64>(), 3_628_800);
    }
}
