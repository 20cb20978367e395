//! The way from a command to the running watch: a wish is a file in the directory of the alerts' state, which is
//! this service's user's alone. Whichever watch comes next grants it, so that none is lost with a process.

use super::hush::Wish;
use crate::clock;
use crate::config::Config;
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

const DIRECTORY: &str = "wishes";
const WISH: &str = "json";
const ANSWER: &str = "answer";
/// Largest file that is read, bytes.
const LARGEST: u64 = 64 << 10;
/// For an answer.
const PATIENCE: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_millis(20);
const REFUSED: u8 = 1;
const NOBODY: u8 = 2;

/// What was answered.
type Granted = Result<String, String>;

fn place(state: &Path) -> PathBuf {
    state.join(DIRECTORY)
}

/// What root makes is for the user of the service, whose the directory of the state is.
fn hand_over(path: &Path, directory: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let state = directory.parent().unwrap_or(directory).metadata()?;
    chown(path, Some(state.uid()), Some(state.gid()))
}

/// Writes a file that is there as a whole or not at all.
fn write(directory: &Path, name: &str, text: &[u8]) -> io::Result<()> {
    let new = directory.join(format!("{name}.new"));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    hand_over(&new, directory)?;
    fs::rename(new, directory.join(name))
}

/// The wishes that wait, with their ids.
pub(super) fn waiting(state: &Path) -> Vec<(String, Wish)> {
    // Without a directory nobody has ever wished for anything.
    let Ok(entries) = fs::read_dir(place(state)) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.extension().is_none_or(|it| it != WISH) {
            continue;
        }
        let Some(id) = path.file_stem().and_then(|it| it.to_str()) else { continue };
        let is_small = path.metadata().is_ok_and(|it| it.is_file() && it.len() <= LARGEST);
        let text = match fs::read(&path) {
            Ok(text) if is_small => Some(text),
            Ok(_) => None,
            // It may become readable.
            Err(_) => continue,
        };
        match text.and_then(|text| serde_json::from_slice(&text).ok()) {
            Some(wish) => found.push((id.to_owned(), wish)),
            // Nobody who waits for an answer has written it.
            None => drop(fs::remove_file(&path)),
        }
    }
    found
}

/// Answers a wish, which is then forgotten.
pub(super) fn answer(state: &Path, id: &str, granted: &Granted) {
    let directory = place(state);
    let text = serde_json::to_vec(granted).unwrap_or_default();
    // Who waits for it in vain is told so.
    write(&directory, &format!("{id}.{ANSWER}"), &text).ok();
    fs::remove_file(directory.join(format!("{id}.{WISH}"))).ok();
}

/// Forgets answers that nobody has fetched.
pub(super) fn tidy(state: &Path) {
    let Ok(entries) = fs::read_dir(place(state)) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.extension().is_some_and(|it| it == ANSWER) {
            fs::remove_file(path).ok();
        }
    }
}

/// Asks the running watch for something, and waits for its answer.
///
/// # Errors
/// Text for standard error and the exit code: 2 when no service answers.
pub(crate) fn ask(config: &Config, wish: &Wish) -> Result<String, (u8, String)> {
    let Some(state) = &config.alerts.state else {
        let told = "error: alerts.state is empty, and wishes are kept there\n";
        return Err((NOBODY, told.to_owned()));
    };
    let granted = asked(state, wish, PATIENCE)
        .map_err(|error| (NOBODY, format!("error: {}: {error}\n", state.display())))?;
    match granted {
        Some(Ok(told)) => Ok(format!("{told}\n")),
        Some(Err(why)) => Err((REFUSED, format!("error: {why}\n"))),
        None => {
            let told = format!("error: no running service answers in {}\n", state.display());
            Err((NOBODY, told))
        }
    }
}

fn asked(state: &Path, wish: &Wish, patience: Duration) -> io::Result<Option<Granted>> {
    let directory = place(state);
    // The service has made the directory around it.
    match DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Err(_) => {}
        Ok(()) => hand_over(&directory, &directory)?,
    }
    let text = serde_json::to_vec(wish).map_err(io::Error::other)?;
    let mut hash = Sha256::new();
    hash.update(clock::wall().to_le_bytes());
    hash.update(rustix::process::getpid().as_raw_nonzero().get().to_le_bytes());
    hash.update(&text);
    let id: String = hash.finalize()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let name = format!("{id}.{WISH}");
    write(&directory, &name, &text)?;
    let path = directory.join(format!("{id}.{ANSWER}"));
    let (mut deadline, mut is_last) = (clock::mono() + patience, false);
    loop {
        match fs::read(&path) {
            Ok(text) => {
                fs::remove_file(&path)?;
                return serde_json::from_slice(&text).map(Some).map_err(io::Error::other);
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) if clock::mono() < deadline => thread::park_timeout(SOON),
            Err(_) if is_last => return Ok(None),
            Err(_) => match fs::remove_file(directory.join(&name)) {
                Ok(()) => return Ok(None),
                // It is granted in this moment.
                Err(_) => (deadline, is_last) = (clock::mono() + patience, true),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_granted_by_whoever_looks_next_and_withdrawn_when_nobody_does() {
        let place = tempfile::tempdir().unwrap();
        let state = place.path();
        assert!(waiting(state).is_empty());
        let wish = Wish::End { id: "x".to_owned() };
        assert_eq!(asked(state, &wish, Duration::ZERO).unwrap(), None);
        assert!(waiting(state).is_empty(), "withdrawn");
        fs::write(super::place(state).join("odd.json"), "{").unwrap();
        assert!(waiting(state).is_empty());
        assert!(!super::place(state).join("odd.json").exists());
        for granted in [Ok("so be it".to_owned()), Err("no".to_owned())] {
            let found = thread::scope(|scope| {
                let asking = scope.spawn(|| asked(state, &wish, PATIENCE).unwrap());
                let deadline = clock::mono() + PATIENCE;
                while clock::mono() < deadline {
                    if let Some((id, found)) = waiting(state).pop() {
                        assert_eq!(found, wish);
                        answer(state, &id, &granted);
                        break;
                    }
                    thread::park_timeout(SOON);
                }
                asking.join().unwrap()
            });
            assert_eq!(found, Some(granted));
        }
        fs::write(super::place(state).join("old.answer"), "{}").unwrap();
        tidy(state);
        assert_eq!(fs::read_dir(super::place(state)).unwrap().count(), 0);
    }
}
