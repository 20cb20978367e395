//! What outlives watch: the state of all alerts and what is still to be delivered, in one file that is written
//! anew each time. So a decision and what follows from it are there together or not at all.

use super::super::rules::Moment;
use super::super::rules::engine::Memory;
use super::super::rules::facts::Windows;
use super::desk::Desk;
use super::hours::Place;
use super::hush::Hush;
use super::letter::Letter;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const FILE: &str = "alerts.json";
/// Beside it while it is written.
const NEW: &str = "alerts.json.new";
/// What cannot be read is put aside.
const BAD: &str = "alerts.json.bad";
const LOCK: &str = "alerts.lock";
/// Most letters that wait for one receiver; the oldest go.
const MOST: usize = 500;
/// What the file's fields mean.
const VERSION: u32 = 2;

/// What is in the file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    version: u32,
    pub(super) memory: Memory,
    pub(super) windows: Windows,
    /// By receiver, the oldest first.
    pub(super) outbox: BTreeMap<String, VecDeque<Letter>>,
    /// What each receiver was told and is to be told, by its name.
    pub(super) desks: BTreeMap<String, Desk>,
    pub(super) hush: Hush,
    /// The service was ended, so nobody was to look after it from then on.
    #[serde(default)]
    pub(super) ended: bool,
    /// Where the last look was.
    #[serde(default)]
    pub(super) place: Place,
}

/// The file, or memory alone.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) kept: Kept,
    directory: Option<PathBuf>,
    /// Held as long as the directory is used.
    _lock: Option<File>,
}

impl Book {
    /// Takes over a directory, which is made if it is not there. Also gives why what was in it is not used.
    ///
    /// # Errors
    /// When it cannot be used, or another process uses it.
    pub(super) fn open(directory: &Path) -> io::Result<(Book, Option<String>)> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let lock = open(&directory.join(LOCK))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| io::Error::other("another service uses it"))?;
        let (kept, complaint) = match read(&directory.join(FILE)) {
            Ok(kept) => (kept, None),
            Err(reason) => {
                fs::rename(directory.join(FILE), directory.join(BAD))?;
                (Kept::default(), Some(reason))
            }
        };
        let book = Book { kept, directory: Some(directory.to_owned()), _lock: Some(lock) };
        // Better now than when there is something to lose.
        book.save()?;
        Ok((book, complaint))
    }

    /// Writes it down, if there is a place for that.
    ///
    /// # Errors
    /// When that fails; what was there before is there still.
    pub(super) fn save(&self) -> io::Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let text = serde_json::to_vec(&Kept::borrowed(&self.kept)).map_err(io::Error::other)?;
        let new = directory.join(NEW);
        let mut file = open(&new)?;
        file.set_len(0)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(new, directory.join(FILE))?;
        // The name is safe only with its directory.
        File::open(directory)?.sync_all()
    }

    /// Adds a letter for a receiver; returns how many older ones had to go.
    pub(super) fn post(&mut self, receiver: &str, letter: Letter) -> usize {
        let letters = self.kept.outbox.entry(receiver.to_owned()).or_default();
        letters.push_back(letter);
        let over = letters.len().saturating_sub(MOST);
        letters.drain(..over);
        over
    }

    /// The oldest letter for a receiver.
    pub(super) fn first(&self, receiver: &str) -> Option<&Letter> {
        self.kept.outbox.get(receiver)?.front()
    }

    pub(super) fn waiting(&self, receiver: &str) -> usize {
        self.kept.outbox.get(receiver).map_or(0, VecDeque::len)
    }

    /// A letter need not be sent again.
    pub(super) fn done(&mut self, receiver: &str, id: &str) {
        let Some(letters) = self.kept.outbox.get_mut(receiver) else { return };
        letters.retain(|letter| letter.id != id);
        if letters.is_empty() {
            self.kept.outbox.remove(receiver);
        }
    }

    /// The desk of a receiver.
    pub(super) fn desk(&mut self, receiver: &str) -> &mut Desk {
        self.kept.desks.entry(receiver.to_owned()).or_default()
    }

    /// Hands letters for a receiver that takes nothing over to the one that stands in for it, those that `is_one`
    /// names; each once. They stay where they are. Returns how many there were, and how many older ones had to go.
    pub(super) fn hand_over(
        &mut self,
        receiver: &str,
        stand_in: &str,
        now: Moment,
        is_one: impl Fn(&Letter) -> bool,
    ) -> (usize, usize) {
        let letters = self.kept.outbox.get_mut(receiver).into_iter().flatten();
        let mut handed = Vec::new();
        // That somebody knows of an alert is for who was told of it, and would be news to another.
        let may = |it: &&mut Letter| !it.is_handed && it.known_by.is_none();
        for letter in letters.filter(may).filter(|it| is_one(it)) {
            letter.is_handed = true;
            handed.push(letter.clone());
        }
        let desk = self.desk(stand_in);
        let new: Vec<_> = handed.iter().filter_map(|it| desk.stand_in(it, receiver, now)).collect();
        let count = new.len();
        let lost = new.into_iter().map(|letter| self.post(stand_in, letter)).sum();
        (count, lost)
    }

    /// Letters for whom there is no receiver any more.
    pub(super) fn strangers(&mut self, receivers: &[&str]) -> Vec<(String, Letter)> {
        self.kept.desks.retain(|name, _| receivers.contains(&name.as_str()));
        let named = |name: &String| receivers.contains(&name.as_str());
        let (ours, others) =
            std::mem::take(&mut self.kept.outbox).into_iter().partition(|(name, _)| named(name));
        self.kept.outbox = ours;
        let others: BTreeMap<String, VecDeque<Letter>> = others;
        let each = others.into_iter().flat_map(|(name, letters)| {
            letters.into_iter().map(move |letter| (name.clone(), letter))
        });
        each.collect()
    }
}

/// The same, to be written.
#[derive(Serialize)]
struct Borrowed<'a> {
    version: u32,
    memory: &'a Memory,
    windows: &'a Windows,
    outbox: &'a BTreeMap<String, VecDeque<Letter>>,
    desks: &'a BTreeMap<String, Desk>,
    hush: &'a Hush,
    ended: bool,
    place: Place,
}

impl Kept {
    /// The time has moved on by so much of which nothing has passed: what waits, and for how long, stays as it was.
    pub(super) fn put_off(&mut self, leap: u64) {
        self.hush.put_off(leap);
        self.desks.values_mut().for_each(|desk| desk.put_off(leap));
        for letter in self.outbox.values_mut().flatten() {
            letter.made = letter.made.saturating_add(leap);
        }
    }

    fn borrowed(&self) -> Borrowed<'_> {
        let Kept { memory, windows, outbox, desks, hush, ended, place, .. } = self;
        let (version, ended, place) = (VERSION, *ended, *place);
        Borrowed { version, memory, windows, outbox, desks, hush, ended, place }
    }
}

fn read(path: &Path) -> Result<Kept, String> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
        Err(error) => return Err(error.to_string()),
    };
    // What is in it is shown by no error: a letter tells of what is wrong.
    let kept: Kept = serde_json::from_slice(&text).map_err(|error| {
        format!("line {}, column {}: it is damaged", error.line(), error.column())
    })?;
    if kept.version == VERSION {
        Ok(kept)
    } else {
        Err("another version has written it".to_owned())
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::super::super::rules::engine::Kind;
    use super::super::letter::tests::{self, FIRED};
    use super::*;

    fn letter(id: &str) -> Letter {
        Letter { id: id.to_owned(), ..tests::letter(Kind::Firing) }
    }

    #[test]
    fn letters_are_handed_over_once_and_stay_where_they_are() {
        let mut book = Book::default();
        book.post("ops", letter("1"));
        let of = |rule| Letter::of(vec![tests::item(Kind::Firing, rule, "", FIRED)], None, FIRED);
        book.post("ops", of("a"));
        assert_eq!(book.hand_over("ops", "two", FIRED, |it| it.id == "1"), (1, 0));
        assert_eq!(book.hand_over("ops", "two", FIRED, |_| true), (1, 0));
        assert_eq!(book.hand_over("ops", "two", FIRED, |_| true), (0, 0));
        assert_eq!(book.hand_over("two", "ops", FIRED, |_| true), (0, 0), "not back again");
        assert_eq!((book.waiting("ops"), book.waiting("two")), (2, 2));
    }

    fn ids(book: &Book, receiver: &str) -> Vec<String> {
        let letters = book.kept.outbox.get(receiver);
        letters.into_iter().flatten().map(|letter| letter.id.clone()).collect()
    }

    #[test]
    fn what_was_saved_is_there_in_order_for_whoever_comes_next() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("a/b");
        let (mut book, complaint) = Book::open(&directory).unwrap();
        assert_eq!(complaint, None);
        assert!(Book::open(&directory).unwrap_err().to_string().contains("another service"));
        for id in ["1", "2", "3"] {
            book.post("ops", letter(id));
        }
        book.done("ops", "2");
        book.save().unwrap();
        // Killed while it writes the next one.
        fs::write(directory.join(NEW), "{\"version\":1,\"mem").unwrap();
        drop(book);
        let (mut book, complaint) = Book::open(&directory).unwrap();
        assert_eq!((ids(&book, "ops"), complaint), (vec!["1".to_owned(), "3".to_owned()], None));
        assert_eq!((book.first("ops").unwrap().id.as_str(), book.waiting("ops")), ("1", 2));
        assert_eq!(book.strangers(&["other"]).len(), 2);
        assert_eq!(book.waiting("ops"), 0);
    }

    #[test]
    fn what_is_damaged_is_put_aside_and_told() {
        let place = tempfile::tempdir().unwrap();
        for text in ["{\"version\":1,\"memory\":", "{\"hunter2\":1}", ""] {
            fs::write(place.path().join(FILE), text).unwrap();
            let (book, complaint) = Book::open(place.path()).unwrap();
            assert!(!complaint.unwrap().contains("hunter2"));
            assert_eq!(fs::read_to_string(place.path().join(BAD)).unwrap(), text);
            assert!(book.kept.outbox.is_empty());
        }
    }

    #[test]
    fn a_leap_of_the_clock_makes_no_letter_that_waits_older() {
        let mut book = Book::default();
        book.post("ops", letter("1"));
        let made = book.first("ops").unwrap().made;
        book.kept.put_off(7);
        let letter = book.first("ops").unwrap();
        assert_eq!((letter.made, letter.items[0].fired), (made + 7, FIRED));
    }

    #[test]
    fn a_receiver_that_takes_nothing_for_ever_costs_a_bounded_room() {
        let mut book = Book::default();
        let lost: usize = (0..MOST + 7).map(|id| book.post("ops", letter(&id.to_string()))).sum();
        assert_eq!((lost, book.waiting("ops")), (7, MOST));
        assert_eq!(book.first("ops").unwrap().id, "7");
        book.save().unwrap();
    }
}
