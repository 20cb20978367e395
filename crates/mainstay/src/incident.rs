//! What receivers of alerts were told of a watch that dies again and again: a file beside the state of the alerts, which
//! outlives the service. Who tells them writes it; the supervisor reads at its start whether an end is still to be told.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

const FILE: &str = "watch_crash_loop.json";
/// Largest file that is read, bytes.
const LARGEST: u64 = 256 << 10;

/// Who knows that it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Heard {
    /// Who has taken it.
    Taken,
    /// Who was asked to, and did not say that they have.
    Unsure,
}

/// One incident, of which the end was not told to everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Incident {
    /// When it began, nanoseconds since the Unix epoch: by that one is told from another.
    pub(crate) since: u64,
    /// Somebody was told that it is over.
    #[serde(default)]
    pub(crate) is_over: bool,
    /// By their names. Whoever was told the end is not among them any more.
    pub(crate) receivers: BTreeMap<String, Heard>,
}

impl Incident {
    /// Writes it down in place of what was there; one of which nobody knows any more is none.
    ///
    /// # Errors
    /// When that fails; what was there before is there still.
    pub(crate) fn save(&self, state: &Path) -> io::Result<()> {
        if self.receivers.is_empty() {
            return forget(state);
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(state)?;
        let text = serde_json::to_vec(self).map_err(io::Error::other)?;
        // Beside it while it is written, under a name of this process's own: another service may write one too.
        let new = state.join(format!("{FILE}.new.{}", std::process::id()));
        let written = write(&new, &text).and_then(|()| fs::rename(&new, state.join(FILE)));
        if written.is_err() {
            // Nobody would clear it away.
            fs::remove_file(&new).ok();
        }
        written?;
        // The name is safe only with its directory.
        File::open(state)?.sync_all()
    }
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

/// The one that is not over for everybody. What cannot be read is none.
pub(crate) fn read(state: &Path) -> Option<Incident> {
    let path = state.join(FILE);
    let found = fs::metadata(&path).ok().filter(|it| it.is_file() && it.len() <= LARGEST);
    found.and_then(|_| serde_json::from_slice(&fs::read(path).ok()?).ok())
}

/// Nobody is to be told of it any more.
///
/// # Errors
/// When the file cannot be removed.
pub(crate) fn forget(state: &Path) -> io::Result<()> {
    match fs::remove_file(state.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_is_there_until_the_last_one_knows_its_end() {
        let place = tempfile::tempdir().unwrap();
        let state = place.path().join("a/b");
        assert_eq!(read(&state), None);
        let receivers = [("ops", Heard::Taken), ("two", Heard::Unsure)];
        let receivers = receivers.map(|(name, heard)| (name.to_owned(), heard)).into();
        let mut incident = Incident { since: 7, is_over: false, receivers };
        incident.save(&state).unwrap();
        assert_eq!(read(&state), Some(incident.clone()));
        incident.receivers.clear();
        incident.save(&state).unwrap();
        assert_eq!(read(&state), None);
        forget(&state).unwrap();
    }

    #[test]
    fn what_is_damaged_or_too_large_is_none() {
        let place = tempfile::tempdir().unwrap();
        for text in ["", "{\"since\":", &" ".repeat(LARGEST as usize + 1)] {
            fs::write(place.path().join(FILE), text).unwrap();
            assert_eq!(read(place.path()), None);
        }
    }
}
