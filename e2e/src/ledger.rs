//! A ledger that survives whoever writes it: what an application is about to count, and what it has
//! counted, each as a record that is appended by one system call.
//!
//! Between the two a process may be killed, so what is begun and not ended may be counted or not; a
//! process that handles one thing at a time leaves at most one such record.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Amounts are below this.
pub const AMOUNTS: usize = 8;

/// A ledger that several processes append to.
#[derive(Debug)]
pub struct Ledger {
    file: File,
}

/// How many records there are of each amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entries(pub [u64; AMOUNTS]);

impl Entries {
    /// How many there are of amounts up to `most`.
    #[must_use]
    pub fn count(&self, most: usize) -> u64 {
        self.0.iter().take(most.saturating_add(1)).sum()
    }

    /// The sum of all amounts.
    #[must_use]
    pub fn sum(&self) -> u64 {
        (0..).zip(&self.0).map(|(amount, count): (u64, _)| amount * count).sum()
    }
}

impl Ledger {
    /// Opens a ledger to write, or makes it.
    ///
    /// # Errors
    /// When that is not possible.
    pub fn open(path: &Path) -> io::Result<Ledger> {
        Ok(Ledger { file: File::options().create(true).append(true).open(path)? })
    }

    /// Notes that an amount is about to be counted.
    ///
    /// # Errors
    /// When it cannot be noted, and so is not to be counted.
    pub fn begin(&self, amount: u8) -> io::Result<()> {
        (&self.file).write_all(&[amount])
    }

    /// Notes that it has been counted.
    ///
    /// # Errors
    /// When it cannot be noted.
    pub fn end(&self, amount: u8) -> io::Result<()> {
        (&self.file).write_all(&[amount | ENDED])
    }

    /// What has been begun, and what has ended.
    ///
    /// # Errors
    /// When it cannot be read.
    ///
    /// # Panics
    /// When something stands there that no ledger writes.
    pub fn read(path: &Path) -> io::Result<(Entries, Entries)> {
        let (mut begun, mut ended) = (Entries::default(), Entries::default());
        for byte in std::fs::read(path)? {
            let of = if byte & ENDED == 0 { &mut begun } else { &mut ended };
            of.0[usize::from(byte & !ENDED)] += 1;
        }
        Ok((begun, ended))
    }
}

const ENDED: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_and_not_ended_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger");
        let (one, other) = (Ledger::open(&path).unwrap(), Ledger::open(&path).unwrap());
        one.begin(3).unwrap();
        other.begin(1).unwrap();
        one.end(3).unwrap();
        let (begun, ended) = Ledger::read(&path).unwrap();
        assert_eq!((begun.count(7), begun.sum(), ended.count(7), ended.sum()), (2, 4, 1, 3));
        assert_eq!((begun.count(1), ended.count(2)), (1, 0));
    }
}
