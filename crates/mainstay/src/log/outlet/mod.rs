//! The writing of the logs: an outlet is one place where lines go, fed from the rings of all
//! processes. Logs that go to the same place share an outlet, so that nothing tears their lines.
//!
//! A line leaves its ring when it is written, never before, so who is killed here loses none. What
//! is written to a file is also noted beforehand in the segment: whoever comes after sees what of
//! it was done, and goes on there, so that in a file each line stands once. Where nothing can be
//! read back (pipes, sockets, terminals) the last write of a killed drainer, at most 4,096 bytes or
//! one line, may come twice.

mod batch;
mod file;
mod note;
mod place;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use tests::drained;

use super::{Log, Stream};
use crate::clock::{self, Mono};
use crate::config::{Config, LogTarget};
use crate::event::{Event, Time};
use crate::metrics::names;
use batch::Batch;
use file::LogFile;
use mainstay_os::segment::{JOURNALS, Segment, Slot};
use note::Note;
use place::{Nowhere, Place, Standard};
use std::io;
use std::time::Duration;

/// A log that is not written for this long is told of.
const STALL: Duration = Duration::from_secs(1);
/// Dropped lines are told at most this often, unless nothing else is to be written.
const TELL: Duration = Duration::from_secs(1);

/// One place, and the logs that go there. Of each log at most one process has a running outlet.
#[derive(Debug)]
pub(crate) struct Outlet {
    streams: Vec<Stream>,
    place: Box<dyn Place>,
    log: Log,
    batch: Batch,
    /// How much of the batch is written.
    written: usize,
    /// From where on the place has it; before are lines that another file has.
    since: usize,
    /// What is about to be written stands in the journal, if the place is one for that.
    noted: bool,
    /// The rings say how far the batch goes.
    intended: bool,
    told_at: Mono,
    trouble: Option<Trouble>,
    /// The number of the step before which this outlet dies.
    #[cfg(test)]
    dies_at: Option<std::cell::Cell<usize>>,
}

/// Nothing can be written.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    since: Mono,
    told: bool,
    /// Lines dropped before.
    dropped: u64,
}

/// Tries the files that the configuration names, so that a start can be refused.
///
/// # Errors
/// The key, and why its file cannot be appended to.
pub(crate) fn probe(config: &Config) -> Result<(), (&'static str, io::Error)> {
    for (key, target) in [("log.access", &config.log.access), ("log.error", &config.log.error)] {
        if let LogTarget::File(path) = target {
            file::try_path(path).map_err(|error| (key, error))?;
        }
    }
    Ok(())
}

impl Outlet {
    /// The outlets that the configuration asks for; every log has one. Takes up what an earlier
    /// drainer left unfinished, so nobody else may be draining.
    pub(crate) fn take_over(config: &Config, log: &Log) -> Vec<Outlet> {
        let mut outlets: Vec<Outlet> = Vec::new();
        for (stream, target) in
            [(Stream::Access, &config.log.access), (Stream::Error, &config.log.error)]
        {
            let place: Box<dyn Place> = match target {
                LogTarget::Nowhere => Box::new(Nowhere),
                LogTarget::Stdout => Box::new(Standard::new(false)),
                LogTarget::Stderr => Box::new(Standard::new(true)),
                LogTarget::File(path) => Box::new(LogFile::new(path)),
            };
            let is_same = target == &config.log.access
                || place.identity().is_some_and(|it| {
                    outlets.first().is_some_and(|first| first.place.identity() == Some(it))
                });
            match outlets.first_mut() {
                Some(outlet) if is_same => {
                    outlet.streams.push(stream);
                    if matches!(target, LogTarget::File(_)) {
                        // A file can be followed when it is moved.
                        outlet.place = place;
                    }
                }
                _ => outlets.push(Outlet::new(vec![stream], place, log.clone())),
            }
        }
        for journal in 0..JOURNALS {
            resume(journal, &mut outlets, log);
        }
        outlets
    }

    fn new(streams: Vec<Stream>, place: Box<dyn Place>, log: Log) -> Outlet {
        Outlet {
            streams,
            place,
            log,
            batch: Batch::default(),
            written: 0,
            since: 0,
            noted: false,
            intended: false,
            told_at: Mono(0),
            trouble: None,
            #[cfg(test)]
            dies_at: None,
        }
    }

    /// The name by which events speak of it.
    pub(crate) fn name(&self) -> &'static str {
        match self.streams[..] {
            [Stream::Access] => "access log",
            [Stream::Error] => "error log",
            _ => "access and error log",
        }
    }

    /// As [`Outlet::run`], for the last time: whatever was dropped is told.
    ///
    /// # Errors
    /// As [`Outlet::run`].
    pub(crate) fn finish(&mut self, until: Mono) -> io::Result<usize> {
        self.told_at = Mono(0);
        self.run(until)
    }

    /// Looks with the next line whether the file was moved.
    pub(crate) fn reopen(&mut self) {
        self.place.look_again();
    }

    /// Writes what is in the rings, and returns how many lines that was. What can block is waited
    /// for until `until`; a file is written to its end, but no batch is begun after that time.
    ///
    /// What a ring dropped is told in the error log; so is, once, that this outlet has not been
    /// able to write for more than a second, and, once, that it is again.
    ///
    /// # Errors
    /// What kept it from writing. Lines that were not written are still in their rings, which count
    /// what they have no room for.
    pub(crate) fn run(&mut self, until: Mono) -> io::Result<usize> {
        let done = self.work(until);
        self.judge(&done, clock::mono());
        done
    }

    fn work(&mut self, until: Mono) -> io::Result<usize> {
        let mut lines = 0;
        loop {
            if self.batch.is_empty() {
                let most = self.place.most();
                self.batch.gather(self.log.segment(), &self.streams, most);
            }
            if self.batch.is_empty() {
                self.follow(until);
                if self.may_tell() && self.tell_dropped() && self.streams.contains(&Stream::Error) {
                    continue;
                }
                return Ok(lines);
            }
            match self.send(until) {
                Ok(()) => {}
                // Slow is not stalled.
                Err(error) if error.kind() == io::ErrorKind::TimedOut && lines > 0 => break,
                Err(error) => return Err(error),
            }
            lines += self.complete()?;
            if clock::mono() >= until {
                break;
            }
        }
        if self.may_tell() {
            self.tell_dropped();
        }
        Ok(lines)
    }

    fn may_tell(&self) -> bool {
        self.told_at == Mono(0) || clock::mono() >= self.told_at + TELL
    }

    /// Writes what remains of the batch.
    fn send(&mut self, until: Mono) -> io::Result<()> {
        self.start_anew_if_lost();
        self.follow(until);
        while self.written < self.batch.text.len() {
            if !self.noted {
                self.note()?;
            }
            self.step()?;
            let rest = self.batch.text.get(self.written..).unwrap_or_default();
            match self.place.write(rest, until) {
                Ok(more) => self.written = (self.written + more).min(self.batch.text.len()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            self.step()?;
            // Removed before or after these bytes came: either way nobody has them.
            self.start_anew_if_lost();
        }
        Ok(())
    }

    /// What was written into a file that nobody can open any more is written again.
    fn start_anew_if_lost(&mut self) {
        if self.place.is_lost() {
            self.written = self.since;
            self.noted = false;
        }
    }

    /// Goes where the path leads now.
    fn follow(&mut self, until: Mono) {
        if self.place.has_moved() {
            self.finish_line(until);
            self.place.move_on();
            self.noted = false;
        }
    }

    /// A line that was begun is finished where it was begun, or will be written whole.
    fn finish_line(&mut self, until: Mono) {
        let (done, rest) = self.batch.text.split_at(self.written.min(self.batch.text.len()));
        if done.last().is_none_or(|byte| *byte == b'\n') {
            return;
        }
        let begin = memchr::memrchr(b'\n', done).map_or(0, |end| end + 1);
        let end = done.len() + memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        while self.written < end {
            let rest = self.batch.text.get(self.written..end).unwrap_or_default();
            match self.place.write(rest, until) {
                Ok(more) => self.written += more,
                Err(_) => {
                    self.written = begin;
                    return;
                }
            }
        }
    }

    /// Notes what is about to be written.
    fn note(&mut self) -> io::Result<()> {
        let mark = self.place.mark()?;
        self.since = self.written;
        // A stream is noted where a line needs several writes, so that nobody glues another to it.
        if mark.is_some() || self.batch.text.len() > self.place.most() {
            self.intend();
            self.step()?;
            let slot = self.log.slot();
            let [access, error] = self.batch.lines;
            let note = Note {
                streams: self.streams.clone(),
                mark,
                offset: self.since as u64,
                len: self.batch.text.len() as u64,
                slot: self.log.slot_index(),
                counts: [
                    slot.counter(names::ACCESS_WRITTEN) + access,
                    slot.counter(names::ERROR_WRITTEN) + error,
                ],
                is_done: false,
            };
            note.write(self.log.segment().header().journal(self.journal()));
        }
        self.noted = true;
        Ok(())
    }

    /// Writes the batch's ends into the rings, once: while a note stands they are part of it. A
    /// ring that has no part in the batch says so, whatever was left in it.
    fn intend(&mut self) {
        if std::mem::replace(&mut self.intended, true) {
            return;
        }
        let segment = self.log.segment();
        for slot in segment.slots() {
            for stream in &self.streams {
                let ring = slot.ring(*stream as usize);
                ring.intend(ring.position());
            }
        }
        for end in &self.batch.ends {
            if let Some(slot) = segment.slot(end.slot) {
                slot.ring(end.stream as usize).intend(end.position);
            }
        }
    }

    fn journal(&self) -> usize {
        self.streams.first().map_or(0, |stream| *stream as usize)
    }

    /// The batch is written: takes it from the rings and counts it, and returns how many lines that
    /// is.
    fn complete(&mut self) -> io::Result<usize> {
        let [access, error] = self.batch.lines;
        let segment = self.log.segment();
        let journal = segment.header().journal(self.journal());
        if let Some(mut note) = Note::read(journal) {
            // From here on, what the journal says is done whatever becomes of this process.
            note.is_done = true;
            note.write(journal);
            self.step()?;
            for end in &self.batch.ends {
                take(segment, end);
                self.step()?;
            }
            note.count(segment, [access, error]);
            self.step()?;
            journal.clear();
        } else {
            self.batch.ends.iter().for_each(|end| take(segment, end));
            if self.place.keeps() {
                self.log.slot().add(names::ACCESS_WRITTEN, access);
                self.log.slot().add(names::ERROR_WRITTEN, error);
            }
        }
        self.step()?;
        self.begin_anew();
        Ok(usize::try_from(access + error).unwrap_or(usize::MAX))
    }

    fn begin_anew(&mut self) {
        self.batch.clear();
        self.written = 0;
        self.since = 0;
        self.noted = false;
        self.intended = false;
    }

    /// Tells in the error log what the rings had no room for; returns whether there is something
    /// to write now.
    fn tell_dropped(&mut self) -> bool {
        let mut any = false;
        for slot in self.log.segment().slots() {
            for stream in self.streams.iter().copied() {
                let (ring, total) = (slot.ring(stream as usize), dropped(&slot, stream));
                let lines = ring.untold(total);
                if lines == 0 {
                    continue;
                }
                let log = match stream {
                    Stream::Access => "access log",
                    Stream::Error => "error log",
                };
                let process = format!("pid {}", slot.pid());
                // What finds no room itself is told later.
                if self.log.event_if_room(&Event::LinesDropped { lines, log, process }) {
                    ring.tell(total);
                    any = true;
                }
            }
        }
        if any {
            self.told_at = clock::mono();
        }
        any
    }

    /// Tells once that nothing can be written, and once that it can again.
    fn judge(&mut self, done: &io::Result<usize>, now: Mono) {
        let log = self.name();
        match (done, self.trouble) {
            (Ok(_), None) => {}
            (Ok(_), Some(trouble)) => {
                self.trouble = None;
                if trouble.told {
                    let lines = self.dropped().saturating_sub(trouble.dropped);
                    let after = Time(now.since(trouble.since));
                    self.log.event(&Event::LogResumed { log, after, lines });
                }
            }
            (Err(_), None) => {
                let dropped = self.dropped();
                self.trouble = Some(Trouble { since: now, told: false, dropped });
            }
            (Err(error), Some(trouble)) => {
                if !trouble.told && now.since(trouble.since) > STALL {
                    self.trouble = Some(Trouble { told: true, ..trouble });
                    let reason = match error.kind() {
                        io::ErrorKind::TimedOut => "nobody reads it".to_owned(),
                        _ => error.to_string(),
                    };
                    self.log.event(&Event::LogStalled { log, reason });
                }
            }
        }
    }

    /// Lines that the rings of this outlet's logs had no room for, ever.
    fn dropped(&self) -> u64 {
        let streams = self.streams.iter().copied();
        let of = |stream| self.log.segment().slots().map(move |slot| dropped(&slot, stream));
        streams.flat_map(of).fold(0, u64::wrapping_add)
    }

    /// Between two steps a process may die; in tests it does.
    #[inline]
    fn step(&self) -> io::Result<()> {
        #[cfg(test)]
        if let Some(steps) = &self.dies_at {
            let left = steps.get().checked_sub(1);
            steps.set(left.ok_or_else(|| io::Error::other(tests::DEATH))?);
        }
        Ok(())
    }
}

/// Lines of a log that found no room, ever: workers count those of requests with the requests.
fn dropped(slot: &Slot<'_>, stream: Stream) -> u64 {
    let refused = slot.ring(stream as usize).dropped();
    match stream {
        Stream::Access => refused.wrapping_add(slot.counter(names::ACCESS_DROPPED)),
        Stream::Error => refused,
    }
}

fn take(segment: &Segment, end: &batch::End) {
    if let Some(slot) = segment.slot(end.slot) {
        slot.ring(end.stream as usize).take(end.position);
    }
}

/// Takes up what an earlier drainer noted in a journal and did not finish.
fn resume(journal: usize, outlets: &mut [Outlet], log: &Log) {
    let segment = log.segment();
    let stands = segment.header().journal(journal);
    let Some(note) = Note::read(stands) else { return stands.clear() };
    if note.is_done {
        for slot in segment.slots() {
            for stream in &note.streams {
                let ring = slot.ring(*stream as usize);
                if let Some(intent) = ring.intended() {
                    ring.take(intent);
                }
            }
        }
        note.count(segment, [note.len; 2]);
        return stands.clear();
    }
    let len = usize::try_from(note.len).unwrap_or(0);
    let Some(batch) = Batch::remake(segment, &note.streams, len) else { return stands.clear() };
    if let Some(outlet) = outlets.iter_mut().find(|outlet| outlet.streams == note.streams) {
        return outlet.take_up(batch, &note);
    }
    // Logs that went to one place now go to two, or the other way round: the batch is finished
    // where it was begun, if that can be done now, and else its lines are written again.
    if !outlets.iter_mut().any(|outlet| outlet.finish_for(&note)) {
        stands.clear();
    }
}

impl Outlet {
    /// Goes on where an earlier drainer ended.
    fn take_up(&mut self, batch: Batch, note: &Note) {
        self.batch = batch;
        self.since = usize::try_from(note.offset).unwrap_or(0).min(self.batch.text.len());
        self.written = self.since;
        self.intended = true;
        match note.mark {
            Some(mark) => {
                let rest = self.batch.text.get(self.since..).unwrap_or_default();
                if let Some(resumed) = self.place.resume(mark, rest) {
                    self.written += resumed.there;
                    // Where something else follows, what is to come is not where it was noted.
                    self.noted = resumed.is_end;
                }
            }
            // Of a line a part may be out: what follows must not be glued to it.
            None => self.batch.text.insert(0, b'\n'),
        }
    }

    /// Finishes a batch of other logs than this outlet's in the file that it was begun in, if that
    /// is this outlet's.
    fn finish_for(&mut self, note: &Note) -> bool {
        let len = usize::try_from(note.len).unwrap_or(0);
        let Some(batch) = Batch::remake(self.log.segment(), &note.streams, len) else {
            return false;
        };
        let streams = std::mem::replace(&mut self.streams, note.streams.clone());
        self.take_up(batch, note);
        let is_ours = note.mark.is_some() && self.noted;
        let is_done = is_ours && self.send(clock::mono()).is_ok() && self.complete().is_ok();
        self.streams = streams;
        self.begin_anew();
        is_done
    }
}

impl Note {
    /// Counts what is written. No counter is raised by more than there can be lines, whatever a
    /// stranger noted.
    fn count(&self, segment: &Segment, most: [u64; 2]) {
        let Some(slot) = segment.slot(self.slot) else { return };
        let cells = [names::ACCESS_WRITTEN, names::ERROR_WRITTEN];
        for ((cell, value), most) in cells.into_iter().zip(self.counts).zip(most) {
            if value.saturating_sub(slot.counter(cell)) <= most {
                slot.raise_to(cell, value);
            }
        }
    }
}
