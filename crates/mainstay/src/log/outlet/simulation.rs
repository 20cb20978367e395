//! Drainers that die at random steps, disks that fill up, files that are renamed and removed, by
//! seed: whatever happens, each line stands once, whole.

use super::tests::{Fault, Faulty, push, segment};
use super::*;
use crate::testing::Dice;
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

struct World {
    dice: Dice,
    segment: Segment,
    directory: tempfile::TempDir,
    plan: Arc<Mutex<VecDeque<Fault>>>,
    outlets: Vec<Outlet>,
    shared: bool,
    said: u64,
    refused: u64,
    renamed: u64,
    /// Lines of files that were removed: gone, or written again.
    removed: Vec<String>,
}

impl World {
    fn new(seed: u64) -> World {
        let mut dice = Dice(seed);
        let shared = dice.roll(2) == 0;
        let mut world = World {
            dice,
            segment: segment(8 * 1024),
            directory: tempfile::tempdir().unwrap(),
            plan: Arc::default(),
            outlets: Vec::new(),
            shared,
            said: 0,
            refused: 0,
            renamed: 0,
            removed: Vec::new(),
        };
        world.succeed();
        world
    }

    fn path(&self, stream: Stream) -> PathBuf {
        let name = if self.shared || stream == Stream::Access { "access.log" } else { "error.log" };
        self.directory.path().join(name)
    }

    /// A drainer takes over, in this slot or that.
    fn succeed(&mut self) {
        let log = Log::new(self.segment.clone(), 1 + self.dice.roll(2) as usize);
        let groups = if self.shared {
            vec![vec![Stream::Access, Stream::Error]]
        } else {
            vec![vec![Stream::Access], vec![Stream::Error]]
        };
        self.outlets.clear();
        for streams in groups {
            let place = Faulty::new(&self.path(streams[0]), &self.plan);
            self.outlets.push(Outlet::new(streams, Box::new(place), log.clone()));
        }
        (0..JOURNALS).for_each(|journal| resume(journal, &mut self.outlets, &log));
    }

    fn say(&mut self) {
        for _ in 0..self.dice.roll(40) {
            let stream = [Stream::Access, Stream::Error][self.dice.roll(2) as usize];
            let long = "x".repeat(self.dice.roll(60) as usize);
            let line = format!("{}-{long}.\n", self.said);
            let time = self.said + self.dice.roll(5);
            if push(&self.segment, self.dice.roll(3) as usize, stream, time, &line) {
                self.said += 1;
            } else {
                self.refused += 1;
            }
        }
    }

    fn step(&mut self) {
        self.say();
        let faults = self.dice.roll(4);
        for _ in 0..faults {
            let fault = match self.dice.roll(3) {
                0 => Fault::Fails(io::ErrorKind::StorageFull),
                _ => Fault::Takes(1 + self.dice.roll(300) as usize),
            };
            self.plan.lock().unwrap().push_back(fault);
        }
        let which = self.dice.roll(self.outlets.len() as u64) as usize;
        let dies = self.dice.roll(3) == 0;
        let deadly = self.dice.roll(24) as usize;
        let outlet = &mut self.outlets[which];
        outlet.dies_at = dies.then(|| deadly.into());
        let died = outlet.run(Mono(u64::MAX)).is_err_and(|it| it.to_string() == tests::DEATH);
        if !died {
            outlet.dies_at = None;
        }
        match self.dice.roll(10) {
            0 => self.rename(which),
            1 => self.remove(which),
            _ => {}
        }
        if died {
            self.succeed();
        }
    }

    fn rename(&mut self, which: usize) {
        let path = self.path(self.outlets[which].streams[0]);
        self.renamed += 1;
        fs::rename(&path, path.with_extension(format!("{}", self.renamed))).ok();
        self.outlets[which].reopen();
    }

    fn remove(&mut self, which: usize) {
        let path = self.path(self.outlets[which].streams[0]);
        self.removed.extend(whole_lines(&path));
        fs::remove_file(path).ok();
        self.outlets[which].reopen();
    }

    /// The end: everything is written.
    fn finish(mut self, seed: u64) {
        self.plan.lock().unwrap().clear();
        self.succeed();
        for _ in 0..3 {
            for outlet in &mut self.outlets {
                outlet.finish(Mono(u64::MAX)).unwrap();
            }
        }
        let mut seen = BTreeMap::new();
        for file in fs::read_dir(self.directory.path()).unwrap() {
            for line in whole_lines(&file.unwrap().path()) {
                let events = line.starts_with('[');
                let is_line = line.ends_with('.') && line.matches('.').count() == 1;
                assert!(events || is_line, "seed {seed}: torn: {line}");
                if !events {
                    *seen.entry(number(&line)).or_insert(0) += 1;
                }
            }
        }
        let removed: Vec<_> = self.removed.iter().map(|line| number(line)).collect();
        for line in 0..self.said {
            let times = seen.get(&line).copied().unwrap_or(0);
            let fits = times == 1 || times == 0 && removed.contains(&line);
            assert!(fits, "seed {seed}: line {line} stands {times} times");
        }
        let events: u64 = names::event_cells().map(|(_, cell)| self.segment.total(cell)).sum();
        let written =
            [names::ACCESS_WRITTEN, names::ERROR_WRITTEN].map(|cell| self.segment.total(cell));
        assert_eq!(written[0] + written[1], self.said + events, "seed {seed}");
        let dropped: u64 = self.outlets.iter().map(Outlet::dropped).sum();
        assert!(dropped >= self.refused, "seed {seed}: {dropped} dropped, {}", self.refused);
    }
}

/// What a line that was said begins with.
fn number(line: &str) -> u64 {
    line.split('-').next().unwrap().parse().unwrap_or(u64::MAX)
}

/// The lines of a file. What is torn within shows as a line that is none of ours. At the end of a
/// file that was renamed the beginning of a line may stand that could not be finished there.
fn whole_lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let is_left = path.extension().is_some_and(|it| it != "log");
    let end = if is_left { text.rfind('\n').map_or(0, |end| end + 1) } else { text.len() };
    text[..end].lines().map(str::to_owned).collect()
}

#[test]
fn whatever_happens_to_drainers_disks_and_files_each_line_stands_once() {
    for seed in 0..300 {
        let mut world = World::new(seed);
        (0..60).for_each(|_| world.step());
        world.finish(seed);
    }
}
