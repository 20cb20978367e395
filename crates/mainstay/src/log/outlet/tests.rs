//! Outlets over real files, and over places that fail when told to.

use super::*;
use crate::config::{Level, Sources};
use crate::log::{LINE, level_word};
use mainstay_os::segment::Layout;
use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

pub(crate) const DEATH: &str = "dies here, as told";

/// A segment of three slots whose rings hold so many bytes.
pub(crate) fn segment(ring_bytes: usize) -> Segment {
    let ring_bytes = [ring_bytes; 3];
    Segment::on_heap(Layout { slots: 3, in_flight: 1, ring_bytes, ..Layout::small(names::CELLS) })
}

/// Hands a line over, if there is room.
pub(crate) fn push(segment: &Segment, slot: usize, stream: Stream, time: u64, line: &str) -> bool {
    let record = [&time.to_le_bytes(), line.as_bytes()].concat();
    segment.slot(slot).unwrap().ring(stream as usize).push(LINE, &record)
}

/// What the error log says by now, for the tests of whoever writes there.
pub(crate) fn drained(segment: &Segment) -> String {
    let fake = Fake::default();
    let log = Log::new(segment.clone(), 0);
    let mut outlet = Outlet::new(vec![Stream::Error], Box::new(fake.clone()), log);
    outlet.finish(Mono(0)).unwrap();
    while outlet.finish(Mono(0)).unwrap() > 0 {}
    fake.text()
}

/// What the next write does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// Takes so many bytes.
    Takes(usize),
    /// Fails.
    Fails(io::ErrorKind),
    /// Takes all, while somebody removes the file.
    Removed,
}

/// Memory that takes everything, or what its plan says.
#[derive(Clone, Debug, Default)]
struct Fake {
    text: Arc<Mutex<Vec<u8>>>,
    plan: Arc<Mutex<VecDeque<Fault>>>,
}

impl Fake {
    fn text(&self) -> String {
        String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
    }
}

impl Place for Fake {
    fn write(&mut self, bytes: &[u8], _: Mono) -> io::Result<usize> {
        let taken = match self.plan.lock().unwrap().pop_front() {
            Some(Fault::Fails(kind)) => return Err(kind.into()),
            Some(Fault::Takes(most)) => bytes.len().min(most),
            Some(Fault::Removed) | None => bytes.len(),
        };
        self.text.lock().unwrap().extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }
}

/// A real file whose writes go as planned.
#[derive(Debug)]
pub(super) struct Faulty {
    file: LogFile,
    path: PathBuf,
    plan: Arc<Mutex<VecDeque<Fault>>>,
}

impl Faulty {
    pub(super) fn new(path: &Path, plan: &Arc<Mutex<VecDeque<Fault>>>) -> Faulty {
        Faulty { file: LogFile::new(path), path: path.to_owned(), plan: Arc::clone(plan) }
    }
}

impl Place for Faulty {
    fn mark(&mut self) -> io::Result<Option<note::Mark>> {
        self.file.mark()
    }

    fn write(&mut self, bytes: &[u8], until: Mono) -> io::Result<usize> {
        let next = self.plan.lock().unwrap().pop_front();
        match next {
            Some(Fault::Fails(kind)) => Err(kind.into()),
            Some(Fault::Takes(most)) => self.file.write(&bytes[..bytes.len().min(most)], until),
            Some(Fault::Removed) => {
                let written = self.file.write(bytes, until);
                fs::remove_file(&self.path).unwrap();
                written
            }
            None => self.file.write(bytes, until),
        }
    }

    fn is_lost(&mut self) -> bool {
        self.file.is_lost()
    }

    fn has_moved(&mut self) -> bool {
        self.file.has_moved()
    }

    fn move_on(&mut self) {
        self.file.move_on();
    }

    fn look_again(&mut self) {
        self.file.look_again();
    }

    fn resume(&mut self, mark: note::Mark, expected: &[u8]) -> Option<place::Resumed> {
        self.file.resume(mark, expected)
    }
}

/// A log file in a directory of its own.
struct Rig {
    segment: Segment,
    directory: tempfile::TempDir,
    plan: Arc<Mutex<VecDeque<Fault>>>,
    outlet: Outlet,
    said: u64,
}

impl Rig {
    fn new() -> Rig {
        let segment = segment(64 * 1024);
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("logs")).unwrap();
        let plan = Arc::default();
        let outlet = Rig::outlet(&segment, directory.path(), &plan, 1);
        Rig { segment, directory, plan, outlet, said: 0 }
    }

    fn outlet(
        segment: &Segment,
        directory: &Path,
        plan: &Arc<Mutex<VecDeque<Fault>>>,
        slot: usize,
    ) -> Outlet {
        let place = Faulty::new(&directory.join("logs/app.log"), plan);
        let log = Log::new(segment.clone(), slot);
        let mut outlets = [Outlet::new(vec![Stream::Error], Box::new(place), log.clone())];
        (0..JOURNALS).for_each(|journal| resume(journal, &mut outlets, &log));
        let [outlet] = outlets;
        outlet
    }

    /// The drainer is killed, and another one takes over.
    fn succeed(&mut self, slot: usize) {
        self.outlet = Rig::outlet(&self.segment, self.directory.path(), &self.plan, slot);
    }

    /// Says so many lines: `1`, `2`, and so on.
    fn say(&mut self, lines: u64) {
        for _ in 0..lines {
            self.said += 1;
            let line = format!("{}\n", self.said);
            assert!(push(&self.segment, 0, Stream::Error, self.said, &line));
        }
    }

    fn plan(&self, faults: &[Fault]) {
        *self.plan.lock().unwrap() = faults.iter().copied().collect();
    }

    fn write(&mut self) -> io::Result<usize> {
        self.outlet.run(Mono(u64::MAX))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("logs").join(name)
    }

    /// The lines of a file, with blanks between them.
    fn read(&self, name: &str) -> String {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        assert!(text.is_empty() || text.ends_with('\n'), "torn: {text}");
        text.lines().collect::<Vec<_>>().join(" ")
    }

    fn rename(&mut self) {
        fs::rename(self.path("app.log"), self.path("app.log.1")).unwrap();
        self.outlet.reopen();
    }
}

#[test]
fn a_file_that_was_renamed_is_left_and_made_anew() {
    let mut rig = Rig::new();
    rig.say(2);
    rig.write().unwrap();
    rig.rename();
    rig.say(1);
    rig.write().unwrap();
    assert_eq!((rig.read("app.log.1"), rig.read("app.log")), ("1 2".into(), "3".into()));
}

#[test]
fn a_file_that_was_renamed_is_made_anew_though_nothing_is_to_be_written() {
    let mut rig = Rig::new();
    rig.say(1);
    rig.write().unwrap();
    rig.rename();
    rig.write().unwrap();
    assert!(rig.path("app.log").exists());
}

#[test]
fn lines_wait_in_their_ring_while_there_is_no_directory() {
    let mut rig = Rig::new();
    rig.say(1);
    rig.write().unwrap();
    fs::remove_dir_all(rig.path("")).unwrap();
    rig.say(1);
    assert!(rig.write().is_err());
    rig.say(1);
    assert!(rig.write().is_err());
    fs::create_dir(rig.path("")).unwrap();
    rig.write().unwrap();
    assert_eq!(rig.read("app.log"), "2 3", "what was removed with its file is gone");
}

#[test]
fn while_a_renamed_file_has_no_successor_it_is_written_to() {
    let mut rig = Rig::new();
    rig.say(1);
    rig.write().unwrap();
    let elsewhere = rig.directory.path().join("moved");
    fs::rename(rig.path(""), &elsewhere).unwrap();
    rig.outlet.reopen();
    rig.say(1);
    rig.write().unwrap();
    fs::create_dir(rig.path("")).unwrap();
    rig.outlet.reopen();
    rig.say(1);
    rig.write().unwrap();
    assert_eq!(fs::read_to_string(elsewhere.join("app.log")).unwrap(), "1\n2\n");
    assert_eq!(rig.read("app.log"), "3");
}

#[test]
fn lines_of_a_write_into_a_removed_file_are_written_again() {
    let mut rig = Rig::new();
    rig.say(1);
    rig.write().unwrap();
    fs::remove_file(rig.path("app.log")).unwrap();
    rig.say(1);
    rig.write().unwrap();
    assert_eq!(rig.read("app.log"), "2");
    rig.say(2);
    rig.plan(&[Fault::Takes(1), Fault::Takes(2), Fault::Removed]);
    rig.write().unwrap();
    assert_eq!(rig.read("app.log"), "3 4", "also those of the same batch before");
}

#[test]
fn what_a_full_disk_did_not_take_follows_when_there_is_room() {
    let mut rig = Rig::new();
    rig.say(12);
    let full = Fault::Fails(io::ErrorKind::StorageFull);
    rig.plan(&[Fault::Takes(21), full, full, Fault::Takes(1), full]);
    (0..3).for_each(|_| assert!(rig.write().is_err()));
    rig.say(1);
    rig.write().unwrap();
    assert_eq!(rig.read("app.log"), "1 2 3 4 5 6 7 8 9 10 11 12 13");
    assert_eq!(rig.segment.total(names::ERROR_WRITTEN), 13);
}

#[test]
fn a_line_that_was_begun_is_finished_before_the_next_file() {
    let mut rig = Rig::new();
    rig.say(12);
    let full = Fault::Fails(io::ErrorKind::StorageFull);
    rig.plan(&[Fault::Takes(19), full]);
    assert!(rig.write().is_err());
    rig.rename();
    rig.write().unwrap();
    assert_eq!(rig.read("app.log.1"), "1 2 3 4 5 6 7 8 9 10");
    assert_eq!(rig.read("app.log"), "11 12");
}

#[test]
fn a_line_that_cannot_be_finished_is_written_whole_in_the_next_file() {
    let mut rig = Rig::new();
    rig.say(12);
    let full = Fault::Fails(io::ErrorKind::StorageFull);
    rig.plan(&[Fault::Takes(19), full, full]);
    assert!(rig.write().is_err());
    rig.rename();
    rig.write().unwrap();
    let torn = fs::read_to_string(rig.path("app.log.1")).unwrap();
    assert!(torn.ends_with("\n9\n1"), "{torn}");
    assert_eq!(rig.read("app.log"), "10 11 12");
}

#[test]
fn whoever_reads_no_more_may_read_again() {
    let segment = segment(4_096);
    let fake = Fake::default();
    let log = Log::new(segment.clone(), 2);
    let mut outlet = Outlet::new(vec![Stream::Access], Box::new(fake.clone()), log);
    assert!(push(&segment, 0, Stream::Access, 1, "a\n"));
    *fake.plan.lock().unwrap() = [Fault::Fails(io::ErrorKind::BrokenPipe); 3].into();
    (0..3).for_each(|_| assert!(outlet.run(Mono(0)).is_err()));
    assert!(push(&segment, 1, Stream::Access, 2, "b\n"));
    assert_eq!(outlet.run(Mono(u64::MAX)).unwrap(), 2);
    assert_eq!(fake.text(), "a\nb\n");
    assert_eq!(segment.total(names::ACCESS_WRITTEN), 2);
}

#[test]
fn what_a_full_ring_refuses_is_told_to_the_line() {
    let segment = segment(1_024);
    let log = Log::new(segment.clone(), 0);
    (0..100).for_each(|_| log.event(&Event::LogsReopened {}));
    let text = drained(&segment);
    let written = text.lines().filter(|line| line.contains("Reopening")).count();
    let told = format!("{} log lines", 100 - written);
    assert!(written > 0 && text.contains(&told), "{text}");
    log.event(&Event::LogsReopened {});
    assert_eq!(drained(&segment).lines().count(), 1, "a gap is told once");
    // Those of requests are counted by the workers.
    segment.slot(1).unwrap().add(names::ACCESS_DROPPED, 7);
    let mut outlet = Outlet::new(vec![Stream::Access], Box::new(Nowhere), log);
    outlet.run(Mono(u64::MAX)).unwrap();
    let text = drained(&segment);
    assert!(text.contains("7 log lines of pid 0 were dropped (access log)"), "{text}");
}

#[test]
fn what_finds_no_room_to_be_told_is_told_later() {
    let segment = segment(256);
    let log = Log::new(segment.clone(), 0);
    segment.slot(1).unwrap().add(names::ACCESS_DROPPED, 7);
    (0..100).for_each(|_| log.event(&Event::LogsReopened {}));
    let mut outlet = Outlet::new(vec![Stream::Access], Box::new(Nowhere), log);
    outlet.run(Mono(u64::MAX)).unwrap();
    drained(&segment);
    outlet.run(Mono(u64::MAX)).unwrap();
    let told = segment.total(names::event_cell(&Event::LinesDropped {
        lines: 0,
        log: "",
        process: String::new(),
    }));
    let text = drained(&segment);
    assert!(text.contains("7 log lines of pid 0 were dropped (access log)"), "{text}");
    assert_eq!(told, 2, "one for each log, however often it was tried");
}

#[test]
fn a_log_that_cannot_be_written_for_a_second_is_told_once_and_once_when_it_can() {
    let segment = segment(16_384);
    let log = Log::new(segment.clone(), 0);
    let mut outlet = Outlet::new(vec![Stream::Access], Box::new(Nowhere), log);
    let (fails, works) = (|| Err(io::ErrorKind::TimedOut.into()), Ok(1));
    let at = |millis| Mono(0) + Duration::from_millis(millis);
    outlet.judge(&fails(), at(0));
    outlet.judge(&fails(), at(900));
    outlet.judge(&works, at(950));
    assert_eq!(drained(&segment), "", "short ones are nobody's business");
    for millis in [1_000, 1_500, 2_001, 5_000] {
        outlet.judge(&fails(), at(millis));
    }
    segment.slot(2).unwrap().add(names::ACCESS_DROPPED, 3);
    outlet.judge(&works, at(6_000));
    outlet.judge(&works, at(6_001));
    let text = drained(&segment);
    let told: Vec<_> = text.lines().map(|line| line.split("] ").nth(3).unwrap()).collect();
    let again = "The access log is written again after 5.0 s; 3 lines were dropped meanwhile";
    assert_eq!(told, ["The access log cannot be written: nobody reads it", again]);
}

#[test]
fn lines_below_the_level_are_counted_and_not_written() {
    let segment = segment(1_024);
    let log = Log::new(segment.clone(), 0);
    segment.header().set_log_level(level_word(Level::Error));
    log.event(&Event::LogsReopened {});
    assert_eq!(drained(&segment), "");
    assert_eq!(segment.total(names::event_cell(&Event::LogsReopened {})), 1);
}

#[test]
fn a_drainer_may_die_at_any_step_and_each_line_stands_once_in_the_file() {
    let full = Fault::Fails(io::ErrorKind::StorageFull);
    let mut deaths = 0;
    for renamed in [false, true] {
        for step in 0.. {
            let mut rig = Rig::new();
            rig.say(3);
            rig.write().unwrap();
            rig.say(12);
            rig.plan(&[Fault::Takes(1), Fault::Takes(20), full]);
            assert!(rig.write().is_err());
            rig.outlet.dies_at = Some(step.into());
            let died = rig.write().is_err();
            if renamed {
                rig.rename();
            }
            // Another one dies on its way, too.
            rig.succeed(2);
            rig.outlet.dies_at = Some((step / 2).into());
            let died_again = rig.write().is_err();
            rig.succeed(1);
            rig.say(1);
            rig.write().unwrap();
            let all = [rig.read("app.log.1"), rig.read("app.log")].join(" ");
            assert_eq!(all.trim(), "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", "step {step}");
            assert_eq!(rig.segment.total(names::ERROR_WRITTEN), 16, "step {step}");
            deaths += usize::from(died) + usize::from(died_again);
            if !died && !died_again {
                break;
            }
        }
    }
    assert!(deaths > 10, "{deaths}");
}

#[test]
fn logs_that_go_to_one_place_share_an_outlet_and_keep_their_lines_when_that_changes() {
    let segment = segment(4_096);
    let log = Log::new(segment.clone(), 2);
    let directory = tempfile::tempdir().unwrap();
    let [one, other] = ["one.log", "other.log"].map(|name| directory.path().join(name));
    let config = |access: &Path, error: &Path| {
        let flags = [("log.access", access), ("log.error", error)];
        let flags = flags.map(|(key, path)| (key, path.display().to_string())).to_vec();
        Config::resolve(&Sources { flags, ..Sources::default() }).unwrap()
    };
    let names = |outlets: &[Outlet]| outlets.iter().map(Outlet::name).collect::<Vec<_>>();

    let mut shared = Outlet::take_over(&config(&one, &one), &log);
    assert_eq!(names(&shared), ["access and error log"]);
    assert!(push(&segment, 0, Stream::Access, 1, "a\n"));
    assert!(push(&segment, 0, Stream::Error, 2, "b\n"));
    // It dies when all is written, before it is taken from the rings.
    shared[0].dies_at = Some(3.into());
    assert!(shared[0].run(Mono(u64::MAX)).is_err());
    drop(shared);
    assert_eq!(fs::read_to_string(&one).unwrap(), "a\nb\n");

    let mut apart = Outlet::take_over(&config(&one, &other), &log);
    assert_eq!(names(&apart), ["access log", "error log"]);
    apart.iter_mut().for_each(|outlet| _ = outlet.run(Mono(u64::MAX)).unwrap());
    assert_eq!(fs::read_to_string(&one).unwrap(), "a\nb\n");
    assert!(!other.exists(), "nothing was left to write");
    assert_eq!(segment.total(names::ACCESS_WRITTEN), 1);

    fs::hard_link(&one, &other).unwrap();
    assert_eq!(names(&Outlet::take_over(&config(&one, &other), &log)), ["access and error log"]);
    let nowhere = Path::new("");
    assert_eq!(names(&Outlet::take_over(&config(nowhere, &one), &log)).len(), 2);
}

#[test]
fn a_file_that_cannot_be_appended_to_is_refused_beforehand_and_nothing_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let good = directory.path().join("app.log");
    file::try_path(&good).unwrap();
    assert!(!good.exists());
    fs::write(&good, "").unwrap();
    file::try_path(&good).unwrap();
    let kind = |path: &Path| file::try_path(path).unwrap_err().kind();
    assert_eq!(kind(&directory.path().join("missing/app.log")), io::ErrorKind::NotFound);
    assert_eq!(kind(directory.path()), io::ErrorKind::IsADirectory);
    assert_eq!(kind(&good.join("app.log")), io::ErrorKind::NotADirectory);
}
