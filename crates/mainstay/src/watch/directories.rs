//! How full the file systems of directories are: those of the configuration, and those that workers
//! name. Each is asked by a thread of its own, since a file system may never answer; what is shown is
//! what it said last, and how long ago that was.

use super::metrics::{begin, one};
use super::rules::facts;
use super::rules::trend::Trend;
use crate::clock::{self, Mono};
use crate::metrics::text::{Sink, Value};
use crate::metrics::{families, label};
use crate::status::worker_slots;
use mainstay_os::segment::{Kind, Phase, Segment};
use rustix::fs::{StatVfs, statvfs};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How often a file system is asked.
const EVERY: Duration = Duration::from_secs(10);
/// Enough for a system call.
const STACK: usize = 64 * 1024;

/// The directories that are measured.
#[derive(Debug, Default)]
pub(crate) struct Directories {
    configured: Option<String>,
    known: Mutex<BTreeMap<String, Arc<Directory>>>,
}

/// One of them, which its thread shares. The thread ends when nobody else does.
#[derive(Debug)]
struct Directory {
    since: Mono,
    found: Mutex<Found>,
    /// Of space and of inodes.
    trends: Mutex<[Trend; 2]>,
}

/// What was found last.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    /// The last time that it was asked, it answered.
    is_up: bool,
    /// What it answered last, and when.
    space: Option<(Mono, Space)>,
    /// When it is full, if it goes on as in the last hours.
    full_in: Option<Duration>,
}

/// What a directory's file system said, and how long ago that was.
#[derive(Debug)]
struct Seen {
    path: String,
    found: Found,
    age: Duration,
}

/// Of all directories, at one time. Whoever shows it at leisure holds no lock of [`Directories`].
#[derive(Debug, Default)]
pub(crate) struct AllSeen(Vec<Seen>);

/// A file system.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Space {
    size: u64,
    used: u64,
    available: u64,
    inodes: u64,
    inodes_free: u64,
}

impl Space {
    fn of(found: &StatVfs) -> Space {
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Space {
            size: bytes(found.f_blocks),
            used: bytes(found.f_blocks.saturating_sub(found.f_bfree)),
            available: bytes(found.f_bavail),
            inodes: found.f_files,
            inodes_free: found.f_ffree,
        }
    }

    /// As df has it: what is kept for root is neither used nor available.
    fn ratio(&self) -> f64 {
        part(self.used, self.used.saturating_add(self.available))
    }

    /// Some file systems make inodes as they go, and count none.
    fn counted(&self, value: Value) -> Option<Value> {
        (self.inodes > 0).then_some(value)
    }

    fn inodes_ratio(&self) -> f64 {
        part(self.inodes.saturating_sub(self.inodes_free), self.inodes)
    }
}

fn part(some: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { some as f64 / all as f64 }
}

impl Directories {
    /// Those of the configuration.
    pub(crate) fn new(configured: Option<&Path>) -> Directories {
        let absolute = configured.and_then(|path| std::path::absolute(path).ok());
        let configured = absolute.map(|path| path.to_string_lossy().into_owned());
        Directories { configured, known: Mutex::default() }
    }

    /// Begins with what is wanted now, and ends with what is not. Never waits for a file system.
    ///
    /// # Errors
    /// When the system has no room for a thread.
    pub(crate) fn settle(&self, segment: &Segment) -> io::Result<()> {
        let mut wanted = wanted(segment);
        wanted.extend(self.configured.clone());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // While no worker is there to say so, what was wanted still is.
        if worker_slots(segment).any(|(_, slot)| slot.phase() == Phase::Ready) {
            known.retain(|path, _| wanted.contains(path));
        }
        for path in wanted {
            if known.contains_key(&path) {
                continue;
            }
            let directory = Arc::new(Directory::new(clock::mono()));
            let ours = Arc::downgrade(&directory);
            let asked = path.clone();
            let thread = thread::Builder::new().name("directory".into()).stack_size(STACK);
            thread.spawn(move || {
                loop {
                    let answer = statvfs(&*asked);
                    let Some(directory) = ours.upgrade() else { return };
                    directory.note(clock::mono(), answer.ok().as_ref().map(Space::of));
                    drop(directory);
                    thread::park_timeout(EVERY);
                }
            })?;
            known.insert(path, directory);
        }
        Ok(())
    }

    /// How much of each is used.
    pub(super) fn used(&self) -> Vec<facts::Directory> {
        let used = self.seen().0.into_iter().map(|Seen { path, found, .. }| {
            let space = found.space.filter(|_| found.is_up).map(|(_, space)| space);
            let inodes = |space: &Space| (space.inodes > 0).then(|| space.inodes_ratio());
            let used = space.map(|space| (space.ratio(), inodes(&space)));
            facts::Directory { path, used, full_in: found.full_in.filter(|_| found.is_up) }
        });
        used.collect()
    }

    /// What each said last.
    pub(super) fn seen(&self) -> AllSeen {
        let now = clock::mono();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = known.iter().map(|(path, directory)| {
            let found = *directory.found.lock().unwrap_or_else(PoisonError::into_inner);
            let last = found.space.map_or(directory.since, |(at, _)| at);
            Seen { path: path.clone(), found, age: now.since(last) }
        });
        AllSeen(seen.collect())
    }
}

impl AllSeen {
    /// Appends what is known.
    pub(super) fn expose(&self, page: &mut dyn Sink) {
        let all = &self.0;
        begin(page, &families::DIRECTORY_UP);
        for Seen { path, found, .. } in all {
            let labels = [("directory", path.as_str())];
            one(page, &families::DIRECTORY_UP, &labels, Value::Whole(found.is_up.into()));
        }
        begin(page, &families::DIRECTORY_AGE);
        for Seen { path, age, .. } in all {
            let (labels, age) = ([("directory", path.as_str())], age.as_secs_f64());
            one(page, &families::DIRECTORY_AGE, &labels, Value::Real(age));
        }
        let mut each = |family, value: fn(&Space) -> Option<Value>| {
            begin(page, family);
            for Seen { path, found, .. } in all {
                if let Some(value) = found.space.and_then(|(_, space)| value(&space)) {
                    one(page, family, &[("directory", path.as_str())], value);
                }
            }
        };
        each(&families::DIRECTORY_SIZE, |it| Some(Value::Whole(it.size)));
        each(&families::DIRECTORY_USED, |it| Some(Value::Whole(it.used)));
        each(&families::DIRECTORY_FREE, |it| Some(Value::Whole(it.available)));
        each(&families::DIRECTORY_RATIO, |it| Some(Value::Real(it.ratio())));
        each(&families::DIRECTORY_INODES, |it| it.counted(Value::Whole(it.inodes)));
        each(&families::DIRECTORY_INODES_FREE, |it| it.counted(Value::Whole(it.inodes_free)));
        each(&families::DIRECTORY_INODES_RATIO, |it| it.counted(Value::Real(it.inodes_ratio())));
        begin(page, &families::DIRECTORY_FULL_IN);
        for Seen { path, found, .. } in all {
            if let Some(time) = found.full_in {
                let labels = [("directory", path.as_str())];
                one(page, &families::DIRECTORY_FULL_IN, &labels, Value::Real(time.as_secs_f64()));
            }
        }
    }
}

impl Directory {
    fn new(since: Mono) -> Directory {
        Directory { since, found: Mutex::default(), trends: Mutex::default() }
    }

    /// Takes note of what its file system said at `now`.
    fn note(&self, now: Mono, space: Option<Space>) {
        let mut trends = self.trends.lock().unwrap_or_else(PoisonError::into_inner);
        let full_in = space.and_then(|space| {
            let parts = [Some(space.ratio()), (space.inodes > 0).then(|| space.inodes_ratio())];
            let each = trends.iter_mut().zip(parts).filter_map(|(trend, part)| {
                trend.note(now.0, part?);
                trend.full_in(part?)
            });
            each.min()
        });
        drop(trends);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.is_up = space.is_some();
        found.full_in = full_in;
        if let Some(space) = space {
            found.space = Some((now, space));
        }
    }
}

/// What workers that live want measured.
fn wanted(segment: &Segment) -> BTreeSet<String> {
    let register = segment.register();
    let name = families::DIRECTORY_WANTED.name.as_bytes();
    let metric = register.metrics().find(|(_, metric)| metric.name() == name);
    let Some((metric, _)) = metric else { return BTreeSet::new() };
    let slots: Vec<_> = segment.slots().filter(|slot| slot.epoch() != 0).collect();
    register
        .series(Kind::Gauge)
        .filter(|series| series.metric == metric)
        .filter(|series| {
            slots.iter().any(|slot| slot.measures().read_gauge(series.index).is_some())
        })
        .filter_map(|series| label::only(std::str::from_utf8(&series.labels).ok()?, "directory"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::registry::Metrics;
    use crate::metrics::text::{Format, Page};
    use crate::metrics::{Merge, names};
    use mainstay_os::segment::Layout;

    fn segment() -> Segment {
        let (counters, metrics, ring_bytes) = (names::CELLS, names::CAPACITY, [64; 3]);
        let segment =
            Segment::on_heap(Layout { slots: 4, ring_bytes, metrics, ..Layout::small(counters) });
        let slot = segment.slot(0).unwrap();
        slot.hand_out(1, 0, 0);
        slot.set_phase(Phase::Ready);
        segment
    }

    fn want(segment: &Segment, slot: usize, path: &str) {
        let metrics = Metrics::new(segment.clone(), slot, |_| {});
        let labels = [("directory", path)];
        let gauge = metrics.own_gauge(&families::DIRECTORY_WANTED, Merge::Sum, &labels);
        gauge.unwrap().set(1.0);
    }

    fn page(directories: &Directories) -> String {
        let mut page = Page::new(Format::Prometheus);
        directories.seen().expose(&mut page);
        page.finish()
    }

    /// Waits for a line that begins so, and returns the rest of it.
    fn value(directories: &Directories, series: &str) -> String {
        let deadline = clock::mono() + Duration::from_secs(20);
        loop {
            let page = page(directories);
            if let Some(value) = page.lines().find_map(|line| line.strip_prefix(series)) {
                return value.trim().to_owned();
            }
            assert!(clock::mono() < deadline, "no {series} in {page}");
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    #[test]
    fn directories_are_measured_while_a_worker_wants_them() {
        let segment = segment();
        let place = tempfile::tempdir().unwrap();
        let path = place.path().to_str().unwrap();
        let directories = Directories::new(Some(Path::new("/nowhere/at/all")));
        want(&segment, 0, path);
        directories.settle(&segment).unwrap();
        let labels = format!("{{directory=\"{path}\"}}");
        let size: u64 =
            value(&directories, &format!("mainstay_directory_size_bytes{labels}")).parse().unwrap();
        assert!(size > 0);
        assert_eq!(value(&directories, &format!("mainstay_directory_up{labels}")), "1");
        let gone = "{directory=\"/nowhere/at/all\"}";
        assert_eq!(value(&directories, &format!("mainstay_directory_up{gone}")), "0");
        assert!(!page(&directories).contains(&format!("mainstay_directory_size_bytes{gone}")));
        // Its worker has gone, and no other is there: what was wanted still is.
        let slot = segment.slot(0).unwrap();
        slot.take_back();
        directories.settle(&segment).unwrap();
        assert!(page(&directories).contains(path));
        slot.hand_out(2, 0, 0);
        slot.set_phase(Phase::Ready);
        directories.settle(&segment).unwrap();
        assert!(!page(&directories).contains(path));
    }

    #[test]
    fn what_fills_up_says_when_it_is_full_and_what_does_not_answer_says_nothing() {
        let directories = Directories::default();
        let directory = Arc::new(Directory::new(Mono(0)));
        let known = [("/x".to_owned(), Arc::clone(&directory))];
        directories.known.lock().unwrap().extend(known);
        let minute = |minute: u64| Mono(minute * 60_000_000_000);
        // Inodes are used up before the space is.
        let space = |gone| Space {
            size: 1_000,
            used: gone,
            available: 1_000 - gone,
            inodes: 500,
            inodes_free: 500 - gone,
        };
        let series = "mainstay_directory_full_in_seconds{directory=\"/x\"} ";
        for at in 0..=100 {
            assert!(at > 30 || !page(&directories).contains(series));
            directory.note(minute(at), Some(space(at)));
        }
        let left: f64 = value(&directories, series).parse().unwrap();
        assert!((left - 400.0 * 60.0).abs() < 600.0, "{left}");
        assert_eq!(directories.used()[0].full_in.map(|it| it.as_secs()), Some(left as u64));
        directory.note(minute(101), None);
        assert!(!page(&directories).contains(series));
        assert_eq!((directories.used()[0].used, directories.used()[0].full_in), (None, None));
    }

    #[test]
    fn a_ratio_leaves_out_what_is_kept_for_root() {
        let space = Space { size: 100, used: 60, available: 20, inodes: 10, inodes_free: 4 };
        assert_eq!((space.ratio(), space.inodes_ratio()), (0.75, 0.6));
        let none = Space { size: 0, used: 0, available: 0, inodes: 0, inodes_free: 0 };
        assert_eq!((none.ratio(), none.inodes_ratio()), (0.0, 0.0));
    }
}
