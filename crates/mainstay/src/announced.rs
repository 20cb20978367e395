//! Work that the application has announced: a file beside the state of the alerts, which workers write anew and watch
//! reads when it has changed. What it covers is told to nobody while it lasts.

use crate::config::matchers::Matcher;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

const FILE: &str = "announced.json";
/// Largest file that is read, bytes.
const LARGEST: u64 = 256 << 10;

/// One piece of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Announced {
    pub(crate) name: String,
    /// Which alerts it covers: those of which all is true.
    pub(crate) matchers: Vec<Matcher>,
    /// When it is over at the latest, seconds since the Unix epoch.
    pub(crate) until: u64,
}

/// Says what is announced, in place of what was before: all of it, or nothing.
///
/// # Errors
/// When it cannot be written; what was there before is there still.
pub(crate) fn write(state: &Path, all: &[Announced]) -> io::Result<()> {
    let text = serde_json::to_vec(all).map_err(io::Error::other)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::other("it is too much for one file"));
    }
    if fs::read(state.join(FILE)).is_ok_and(|it| it == text) {
        return Ok(());
    }
    // Two processes may write at once, in a reload.
    let new = state.join(format!("{FILE}.{}", rustix::process::getpid().as_raw_nonzero()));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&new, state.join(FILE)).inspect_err(|_| drop(fs::remove_file(&new)))
}

/// What was announced, as it was read last.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// By which it is seen whether the file is another one.
    seen: Option<(u64, i64, i64)>,
    all: Vec<Announced>,
}

impl Board {
    /// What is announced now. What cannot be read announces nothing.
    pub(crate) fn look(&mut self, state: &Path) -> &[Announced] {
        let found = fs::metadata(state.join(FILE)).ok();
        let mark = found.map(|it| (it.ino(), it.mtime(), it.mtime_nsec()));
        if mark != self.seen {
            self.seen = mark;
            self.all = read(&state.join(FILE)).unwrap_or_default();
        }
        &self.all
    }
}

fn read(path: &Path) -> Option<Vec<Announced>> {
    let file = File::open(path).ok()?;
    let is_one = file.metadata().is_ok_and(|it| it.is_file() && it.len() <= LARGEST);
    is_one.then(|| serde_json::from_reader(io::BufReader::new(file)).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(name: &str) -> Announced {
        let matchers = vec![Matcher::parse("probe=shop").unwrap()];
        Announced { name: name.to_owned(), matchers, until: 7 }
    }

    #[test]
    fn what_was_announced_last_is_what_counts_for_whoever_looks() {
        let place = tempfile::tempdir().unwrap();
        let state = place.path();
        let mut board = Board::default();
        assert!(board.look(state).is_empty(), "nobody has announced anything");
        for all in [vec![work("disk")], vec![work("move"), work("disk")], Vec::new()] {
            write(state, &all).unwrap();
            assert_eq!(board.look(state), all);
            assert_eq!(Board::default().look(state), all, "a watch that has just begun");
        }
        assert_eq!(fs::read_dir(state).unwrap().count(), 1, "nothing else is left there");
    }

    #[test]
    fn what_is_no_announcement_announces_nothing() {
        let place = tempfile::tempdir().unwrap();
        let state = place.path();
        let mut board = Board::default();
        for text in ["", "[", "{\"name\":7}", &" ".repeat(300 << 10)] {
            write(state, &[work("disk")]).unwrap();
            assert_eq!(board.look(state).len(), 1);
            fs::write(state.join("other"), text).unwrap();
            fs::rename(state.join("other"), state.join(FILE)).unwrap();
            assert!(board.look(state).is_empty(), "{}", text.len());
        }
        assert!(write(&state.join("gone"), &[]).is_err());
        // Nor is it said that something was announced of which nobody will know.
        let long = "x".repeat(1_000);
        assert!(write(state, &vec![work(&long); 300]).is_err());
    }
}
