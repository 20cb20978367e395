//! The file of bans (`bans.file`): a thread looks at it each second and puts in force what it says. Whatever becomes of the
//! file, what it said last stays in force until its time.

use super::threads;
use crate::clock::{self, Mono};
use crate::config::Config;
use crate::event::Event;
use crate::limits::banned::{self, Taken, Waiting};
use crate::limits::exchange;
use crate::limits::jails::{Banned, Jails};
use crate::log::Log;
use crate::metrics::names;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often those are tried again for whom there was no place. Each try is counted that fails.
const AGAIN: Duration = Duration::from_secs(60);
/// How often is looked.
const EACH: Duration = Duration::from_secs(1);
/// The largest file that is read.
const LARGEST: u64 = 4 << 20;
/// How long a look that is under way at the end is waited for.
const LAST: Duration = Duration::from_millis(300);
const STACK: usize = 256 * 1024;

/// The thread, if there is a file.
#[derive(Debug)]
pub(crate) struct BanFile {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl BanFile {
    /// Starts what the configuration asks for. Without a file, what an earlier one said ends.
    ///
    /// # Errors
    /// When the system has no room for a thread.
    pub(crate) fn start(log: &Log, config: &Config) -> io::Result<BanFile> {
        let is_over = Arc::new(AtomicBool::new(false));
        let jails = Jails::of(config).map_err(|(key, reason)| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{key}: {reason}"))
        })?;
        let Some(path) = config.bans.file.clone() else {
            let limits = log.segment().limits();
            banned::take(&jails, &limits, &[], clock::mono().0, clock::wall());
            return Ok(BanFile { is_over, thread: None });
        };
        let mut reader = Reader::new(log.clone(), jails, path);
        let over = Arc::clone(&is_over);
        let thread = thread::Builder::new().name("bans".into()).stack_size(STACK);
        let thread = thread.spawn(move || {
            while !over.load(SeqCst) {
                reader.look(clock::mono(), clock::wall());
                thread::park_timeout(EACH);
            }
        })?;
        Ok(BanFile { is_over, thread: Some(thread) })
    }

    /// The thread has ended by itself, which only a fault in it does.
    pub(crate) fn has_failed(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Ends it.
    pub(crate) fn finish(self) {
        self.is_over.store(true, SeqCst);
        threads::end(self.thread.into_iter().collect(), clock::mono() + LAST);
    }
}

/// Which file it was, and when it was changed: another one in its place is another.
type Stamp = (u64, u64, u64, i64, i64);

struct Reader {
    log: Log,
    jails: Jails,
    path: PathBuf,
    /// Of what was read last.
    stamp: Option<Stamp>,
    /// That it cannot be read has been told.
    is_away: bool,
    /// Bans whose clients are banned for something else.
    waiting: Vec<Waiting>,
    /// Bans for which there was no place, and when they are tried again.
    unplaced: (Vec<(Banned, i64)>, Mono),
}

impl Reader {
    fn new(log: Log, jails: Jails, path: PathBuf) -> Reader {
        let (waiting, unplaced) = (Vec::new(), (Vec::new(), Mono(0)));
        Reader { log, jails, path, stamp: None, is_away: false, waiting, unplaced }
    }

    /// Looks whether the file has changed, and does what it says.
    fn look(&mut self, now: Mono, wall: u64) {
        match read(&self.path, self.stamp) {
            Ok(None) => self.retry(now, wall),
            Ok(Some((stamp, text))) => {
                self.stamp = Some(stamp);
                self.is_away = false;
                self.take(&text, now, wall);
            }
            Err(error) => {
                self.stamp = None;
                if !std::mem::replace(&mut self.is_away, true) {
                    let (file, reason) = (self.shown(), error.to_string());
                    self.log.event(&Event::BansUnread { file, reason });
                }
                self.retry(now, wall);
            }
        }
    }

    fn take(&mut self, text: &str, now: Mono, wall: u64) {
        let seconds = i64::try_from(wall / 1_000_000_000).unwrap_or(i64::MAX);
        let listed = exchange::read(text, &self.jails, seconds);
        let limits = self.log.segment().limits();
        let taken = banned::take(&self.jails, &limits, &listed.bans, now.0, wall);
        self.count(&taken, listed.spared);
        let lines = listed.refused + taken.unplaced.len();
        if lines > 0 {
            let no_place = || {
                let half = limits.bans().places() / 2;
                format!("there is no place; a file has {half} at most")
            };
            let (file, reason) = (self.shown(), listed.why.unwrap_or_else(no_place));
            self.log.event(&Event::BansRefused { file, lines, reason });
        }
        self.waiting = taken.waiting;
        self.unplaced = (taken.unplaced, now + AGAIN);
    }

    /// Tries those again whose clients were banned for something else, or for whom there was no place.
    fn retry(&mut self, now: Mono, wall: u64) {
        let log = self.log.clone();
        let (limits, mut taken) = (log.segment().limits(), Taken::default());
        let waiting = std::mem::take(&mut self.waiting);
        taken.retry(&self.jails, &limits, &waiting, now.0, wall);
        if now >= self.unplaced.1 {
            let unplaced = std::mem::take(&mut self.unplaced.0);
            taken.place(&self.jails, &limits, &unplaced, now.0, wall);
            self.unplaced.1 = now + AGAIN;
        }
        self.count(&taken, 0);
        self.waiting = taken.waiting;
        self.unplaced.0.append(&mut taken.unplaced);
    }

    /// Counts what was done, and tells of it.
    fn count(&self, taken: &Taken, spared: usize) {
        let (added, lifted) = (taken.added, taken.lifted);
        if added + lifted > 0 {
            let file = self.shown();
            self.log.event(&Event::BansRead { file, added, lifted, spared });
        }
        let added = if self.jails.dry_run { 0 } else { taken.added };
        self.log.slot().add(names::BANS, u64::try_from(added).unwrap_or(0));
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }
}

/// What is in the file, unless it is the one of this stamp.
fn read(path: &Path, known: Option<Stamp>) -> io::Result<Option<(Stamp, String)>> {
    let about = fs::metadata(path)?;
    // Whoever opens a pipe waits for its writer.
    if !about.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let stamp = (about.dev(), about.ino(), about.size(), about.mtime(), about.mtime_nsec());
    if known == Some(stamp) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("it is larger than {} MiB", LARGEST >> 20)));
    }
    Ok(Some((stamp, String::from_utf8_lossy(&bytes).into_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;
    use crate::limits::banned::list;
    use mainstay_os::segment::{Layout, Segment};

    const WALL: u64 = 1_795_773_600_000_000_000;
    const NOW: Mono = Mono(1_000_000_000_000);

    struct Rig {
        reader: Reader,
        segment: Segment,
        _directory: tempfile::TempDir,
        /// How often it has looked.
        looks: u64,
    }

    impl Rig {
        fn new(lines: &str) -> Rig {
            let (ring_bytes, limits) = ([64 << 10; 3], 1 << 20);
            let layout = Layout { ring_bytes, limits, ..Layout::small(names::CELLS) };
            let segment = Segment::on_heap(layout);
            segment.header().set_log_level(crate::log::level_word(crate::config::Level::Info));
            let file = Some(("mainstay.toml".into(), lines.to_owned()));
            let config = Config::resolve(&Sources { file, ..Sources::default() }).unwrap();
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("bans");
            let log = Log::new(segment.clone(), 0);
            let reader = Reader::new(log, Jails::of(&config).unwrap(), path);
            Rig { reader, segment, _directory: directory, looks: 0 }
        }

        /// Puts another file in its place.
        fn write(&self, text: impl AsRef<[u8]>) {
            let next = self.reader.path.with_extension("next");
            fs::write(&next, text).unwrap();
            fs::rename(next, &self.reader.path).unwrap();
        }

        fn now(&self) -> Mono {
            Mono(NOW.0 + self.looks * 1_000_000_000)
        }

        /// A second later.
        fn look(&mut self) -> Vec<String> {
            self.looks += 1;
            self.reader.look(self.now(), WALL + self.looks * 1_000_000_000);
            self.banned()
        }

        fn banned(&self) -> Vec<String> {
            let list = list(&self.segment.limits(), self.now().0, WALL);
            let show = |it: &serde_json::Value| {
                let word = |key: &str| it[key].as_str().unwrap().to_owned();
                format!("{} {}", word("client"), word("reason"))
            };
            let mut shown: Vec<_> = list["bans"].as_array().unwrap().iter().map(show).collect();
            shown.sort_unstable();
            shown
        }

        fn lines(&self) -> Vec<String> {
            let slot = self.segment.slot(0).unwrap();
            let (mut buffer, mut lines) = (Vec::new(), Vec::new());
            let path = self.reader.path.display().to_string();
            while let Some(record) = slot.ring(1).pop(&mut buffer) {
                let line = String::from_utf8(record.bytes[8..].to_vec()).unwrap();
                let message = line.match_indices("] ").nth(2).expect("three brackets").0 + 2;
                lines.push(line[message..].trim_end().replace(&path, "FILE"));
            }
            lines
        }
    }

    #[test]
    fn what_the_file_says_is_in_force_and_what_it_says_no_more_is_not() {
        let mut rig = Rig::new("");
        rig.write(
            "192.0.2.7 2026-11-27T11:00:00Z authn_login_fail\n192.0.2.8 2026-11-27T10:00:30Z x",
        );
        assert_eq!(rig.look(), ["192.0.2.7 authn_login_fail", "192.0.2.8 file"]);
        assert_eq!(rig.look().len(), 2);
        rig.write("192.0.2.9 2026-11-27T11:00:00Z\n192.0.2.8 2026-11-27T10:00:30Z x\n127.0.0.1 2026-11-27T11:00:00Z");
        assert_eq!(rig.look(), ["192.0.2.8 file", "192.0.2.9 file"]);
        assert_eq!(
            rig.lines(),
            [
                "Bans of FILE: 2 added, 0 lifted, 0 never banned",
                "Bans of FILE: 1 added, 1 lifted, 1 never banned",
            ]
        );
        assert_eq!(rig.segment.slot(0).unwrap().counter(names::BANS), 3);
        rig.looks = 40;
        assert_eq!(rig.look(), ["192.0.2.9 file"], "the other has ended");
        rig.write("");
        assert_eq!(rig.look(), [""; 0]);
    }

    #[test]
    fn a_file_that_is_away_is_told_once_and_what_it_said_stays() {
        let mut rig = Rig::new("");
        rig.look();
        rig.look();
        assert!(rig.lines()[0].starts_with("Bans of FILE cannot be read: "));
        rig.write("192.0.2.7 2026-11-27T11:00:00Z\nnonsense\n");
        assert_eq!(rig.look(), ["192.0.2.7 file"]);
        let told = rig.lines();
        let wrong =
            "Bans of FILE: 1 lines are not in force: line 2: it is not \"NETWORK UNTIL REASON\"";
        assert_eq!(told[1..], [wrong]);
        fs::remove_file(&rig.reader.path).unwrap();
        assert_eq!([rig.look(), rig.look()], [["192.0.2.7 file"]; 2]);
        assert_eq!(rig.lines().len(), 1, "each time that it goes away");
        rig.write(vec![b'\n'; LARGEST as usize + 1]);
        assert_eq!(rig.look(), ["192.0.2.7 file"]);
        rig.write([0, 255, 10, 200]);
        assert_eq!(rig.look(), [""; 0], "it was read, and names nobody");
        fs::remove_file(&rig.reader.path).unwrap();
        fs::create_dir(&rig.reader.path).unwrap();
        rig.look();
        assert!(rig.lines().last().unwrap().ends_with("it is no file"));
    }

    #[test]
    fn a_ban_of_this_host_goes_before_one_of_the_file_which_follows_it() {
        let mut rig = Rig::new("");
        let add = |rig: &Rig, client, seconds| {
            let (jails, limits) = (&rig.reader.jails, rig.segment.limits());
            let lasts = Some(Duration::from_secs(seconds));
            banned::add(jails, &limits, client, lasts, rig.now().0).unwrap();
        };
        add(&rig, "192.0.2.7", 5);
        rig.write("192.0.2.7 2026-11-27T11:00:00Z x\n192.0.2.8 2026-11-27T11:00:00Z x");
        assert_eq!(rig.look(), ["192.0.2.7 operator", "192.0.2.8 file"]);
        rig.looks = 5;
        assert_eq!(rig.look(), ["192.0.2.7 file", "192.0.2.8 file"]);
        let limits = rig.segment.limits();
        assert_eq!(
            banned::lift(&rig.reader.jails, &limits, Some("192.0.2.8"), rig.now().0).unwrap().len(),
            1
        );
        assert_eq!(rig.look(), ["192.0.2.7 file"], "what an operator lifts stays lifted");
        rig.write("192.0.2.8 2026-11-27T11:00:00Z");
        assert_eq!(rig.look(), ["192.0.2.8 file"], "until the file is another");
    }

    #[test]
    fn who_waits_behind_a_ban_that_is_lifted_is_not_banned_and_who_follows_one_is_told() {
        let mut rig = Rig::new("");
        let (jails, limits) = (rig.reader.jails.clone(), rig.segment.clone());
        for client in ["192.0.2.7", "192.0.2.8"] {
            let lasts = Some(Duration::from_secs(5));
            banned::add(&jails, &limits.limits(), client, lasts, rig.now().0).unwrap();
        }
        rig.write("192.0.2.7 2026-11-27T11:00:00Z x\n192.0.2.8 2026-11-27T11:00:00Z x");
        assert_eq!(rig.look(), ["192.0.2.7 operator", "192.0.2.8 operator"]);
        banned::lift(&jails, &limits.limits(), Some("192.0.2.7"), rig.now().0).unwrap();
        assert_eq!(rig.look(), ["192.0.2.8 operator"]);
        rig.looks = 5;
        assert_eq!(rig.look(), ["192.0.2.8 file"]);
        assert_eq!(rig.lines(), ["Bans of FILE: 1 added, 0 lifted, 0 never banned"]);
    }

    #[test]
    fn a_file_has_half_of_the_places_and_what_has_none_follows_when_others_have_ended() {
        let mut rig = Rig::new("");
        let half = rig.segment.limits().bans().places() / 2;
        let until = |it: usize| if it < half { "2026-11-27T10:00:30Z" } else { "1795780000" };
        let lines = (0..half + 3).map(|it| format!("198.18.0.{it} {}\n", until(it)));
        rig.write(lines.collect::<String>());
        assert_eq!(rig.look().len(), half);
        let told = rig.lines();
        let wrong = "Bans of FILE: 3 lines are not in force: there is no place; a file has";
        assert!(told[1].starts_with(wrong), "{told:?}");
        let (jails, limits) = (&rig.reader.jails, rig.segment.limits());
        banned::add(jails, &limits, "192.0.2.7", None, rig.now().0).unwrap();
        rig.looks = 40;
        assert_eq!(rig.look(), ["192.0.2.7 operator"], "not yet");
        rig.looks = 61;
        assert_eq!(rig.look().len(), 4);
        assert_eq!(rig.lines(), ["Bans of FILE: 3 added, 0 lifted, 0 never banned"]);
        assert_eq!(rig.segment.limits().bans().unmade(), 0);
    }

    #[test]
    fn with_a_dry_run_the_file_is_shown_and_refuses_nobody() {
        let mut rig = Rig::new("bans.dry_run = true");
        rig.write("192.0.2.7 2026-11-27T11:00:00Z x");
        assert_eq!(rig.look(), ["192.0.2.7 file"]);
        assert!(!rig.segment.limits().any_banned(rig.now().0));
        assert_eq!(rig.segment.slot(0).unwrap().counter(names::BANS), 0);
    }
}
