//! One slot: who holds it, how it is doing, what it has counted.

use super::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use super::places::Places;
use super::settle::{self, Settlement};
use super::{Failures, InFlightTable, Measures, Meter, Ring};

/// Assignment, progress and settlement lines, a cache line pair each so that their writers do not
/// disturb each other.
pub(crate) const FIXED_WORDS: usize = 48;

/// What the holder of a slot is doing. Written by the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u64)]
pub enum Phase {
    /// Nobody holds the slot.
    Free = 0,
    /// Started, not yet READY.
    Booting = 1,
    /// Serving.
    Ready = 2,
    /// Told to finish what it has and leave.
    Draining = 3,
    /// Told to abort, or killed; not yet reaped.
    Dying = 4,
}

impl Phase {
    fn from_word(word: u64) -> Phase {
        // A word that this program does not know is nobody's slot.
        [Phase::Free, Phase::Booting, Phase::Ready, Phase::Draining, Phase::Dying]
            .into_iter()
            .find(|phase| *phase as u64 == word)
            .unwrap_or(Phase::Free)
    }

    /// The word that status output uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Free => "free",
            Phase::Booting => "booting",
            Phase::Ready => "ready",
            Phase::Draining => "draining",
            Phase::Dying => "dying",
        }
    }
}

// Assignment line: written by the supervisor alone.
const PHASE: usize = 0;
const PID: usize = 1;
const GENERATION: usize = 2;
const SPAWNED: usize = 3;
const EPOCH: usize = 4;
const SERVED_BEFORE: usize = 5;
const CPU: usize = 6;
// Progress line: written by the holder, cleared by the supervisor between holders.
const HEARTBEAT: usize = 16;
const RSS: usize = 17;
const GAUGE_IN_FLIGHT: usize = 18;
const GAUGE_CONNECTIONS: usize = 19;
const READY_AT: usize = 20;
const IN_FLIGHT_HIGH: usize = 21;
const LIVE: std::ops::Range<usize> = 16..32;
// Settlement line: written by the holder, settled by the supervisor when the holder is dead.
const SETTLEMENT: usize = 32;

/// Processor time that the dead holders of a slot have used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burnt {
    /// Microseconds.
    pub micros: u64,
    /// The last holder is among them: what the system says of its pid is not to be added.
    pub with_last: bool,
}

/// View of one slot.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a> {
    words: &'a [AtomicU64],
    places: &'a Places,
}

impl<'a> Slot<'a> {
    #[inline]
    pub(crate) fn new(words: &'a [AtomicU64], places: &'a Places) -> Slot<'a> {
        Slot { words, places }
    }

    /// Hands the slot to a new holder: live gauges and in-flight entries of the last one are
    /// cleared, counters and ring go on. `served` is the value of the counter from which the new
    /// holder's own requests count. For the supervisor alone, and only while nobody holds the slot.
    pub fn hand_out(&self, generation: u64, spawned: u64, served: u64) {
        self.clear_live();
        self.words[PID].store(0, Relaxed);
        // From now on the holder that comes is not among those that have been.
        self.words[CPU].fetch_and(!1, Release);
        self.words[GENERATION].store(generation, Relaxed);
        self.words[SPAWNED].store(spawned, Relaxed);
        self.words[SERVED_BEFORE].store(served, Relaxed);
        self.words[EPOCH].fetch_add(1, Relaxed);
        self.words[PHASE].store(Phase::Booting as u64, Release);
    }

    /// Takes the slot back from a holder that was reaped. For the supervisor alone.
    pub fn take_back(&self) {
        self.words[PHASE].store(Phase::Free as u64, Release);
        self.words[PID].store(0, Release);
        self.clear_live();
    }

    fn clear_live(&self) {
        self.in_flight().clear();
        self.words[LIVE].iter().for_each(|word| word.store(0, Relaxed));
        self.meters().for_each(|meter| meter.clear());
        self.measures().clear_live();
    }

    /// Adds what a holder has used of the processor. Called when it has ended and before it is reaped:
    /// until then the system knows it, from then on the slot. For the supervisor alone.
    pub fn add_burnt(&self, micros: u64) {
        let before = self.burnt().micros;
        self.words[CPU].store(before.wrapping_add(micros) << 1 | 1, Release);
    }

    /// What dead holders have used of the processor.
    #[must_use]
    pub fn burnt(&self) -> Burnt {
        let word = self.words[CPU].load(Acquire);
        Burnt { micros: word >> 1, with_last: word & 1 == 1 }
    }

    /// Names the process that was started for the slot. For the supervisor alone.
    pub fn set_pid(&self, pid: u32) {
        self.words[PID].store(u64::from(pid), Release);
    }

    /// Moves the slot on. For the supervisor alone.
    pub fn set_phase(&self, phase: Phase) {
        self.words[PHASE].store(phase as u64, Release);
    }

    /// What the holder is doing.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Phase::from_word(self.words[PHASE].load(Acquire))
    }

    /// The holder's pid, or 0.
    #[must_use]
    pub fn pid(&self) -> u32 {
        u32::try_from(self.words[PID].load(Acquire)).unwrap_or(0)
    }

    /// The generation the holder runs.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.words[GENERATION].load(Relaxed)
    }

    /// When the holder was started, monotonic nanoseconds.
    #[must_use]
    pub fn spawned(&self) -> u64 {
        self.words[SPAWNED].load(Relaxed)
    }

    /// How often the slot has been handed out: tells two holders apart.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.words[EPOCH].load(Relaxed)
    }

    /// What earlier holders of the slot had counted when this one got it.
    #[must_use]
    pub fn served_before(&self) -> u64 {
        self.words[SERVED_BEFORE].load(Relaxed)
    }

    /// The holder's sign of life at `now` (monotonic nanoseconds), with its resident memory.
    pub fn beat(&self, now: u64, rss_bytes: u64) {
        self.words[RSS].store(rss_bytes, Relaxed);
        self.words[HEARTBEAT].store(now, Release);
    }

    /// The holder says when it became ready, monotonic nanoseconds.
    pub fn set_ready_at(&self, now: u64) {
        self.words[READY_AT].store(now, Release);
    }

    /// When the holder became ready, or 0.
    #[must_use]
    pub fn ready_at(&self) -> u64 {
        self.words[READY_AT].load(Acquire)
    }

    /// The last sign of life, monotonic nanoseconds; 0 before the first.
    #[must_use]
    pub fn heartbeat(&self) -> u64 {
        self.words[HEARTBEAT].load(Acquire)
    }

    /// Resident memory at the last sign of life, bytes.
    #[must_use]
    pub fn rss_bytes(&self) -> u64 {
        self.words[RSS].load(Relaxed)
    }

    /// Requests being served.
    #[must_use]
    pub fn gauge_in_flight(&self) -> u64 {
        self.words[GAUGE_IN_FLIGHT].load(Relaxed)
    }

    /// Connections open.
    #[must_use]
    pub fn gauge_connections(&self) -> u64 {
        self.words[GAUGE_CONNECTIONS].load(Relaxed)
    }

    /// A request began.
    #[inline]
    pub fn request_began(&self) {
        self.words[GAUGE_IN_FLIGHT].fetch_add(1, Relaxed);
    }

    /// A request ended.
    #[inline]
    pub fn request_ended(&self) {
        self.words[GAUGE_IN_FLIGHT].fetch_sub(1, Relaxed);
    }

    /// A connection was accepted.
    pub fn connection_opened(&self) {
        self.words[GAUGE_CONNECTIONS].fetch_add(1, Relaxed);
    }

    /// A connection was closed.
    pub fn connection_closed(&self) {
        self.words[GAUGE_CONNECTIONS].fetch_sub(1, Relaxed);
    }

    /// Adds to counter `index` and returns its new value; an index beyond the block is ignored.
    #[inline]
    pub fn add(&self, index: usize, by: u64) -> u64 {
        self.counters().get(index).map_or(0, |cell| cell.fetch_add(by, Relaxed).wrapping_add(by))
    }

    /// Reads counter `index`; 0 beyond the block.
    #[must_use]
    pub fn counter(&self, index: usize) -> u64 {
        self.counters().get(index).map_or(0, |cell| cell.load(Relaxed))
    }

    /// Raises counter `index` to `value`, if it is below: for a sum that was noted before it was
    /// counted, and may have been counted since. Returns what it was before; an index beyond the block is
    /// ignored, as if it had been that value.
    pub fn raise_to(&self, index: usize, value: u64) -> u64 {
        self.counters().get(index).map_or(value, |cell| cell.fetch_max(value, Relaxed))
    }

    #[inline]
    fn counters(&self) -> &'a [AtomicU64] {
        &self.words[self.places.counters.clone()]
    }

    /// What the holder measures of each series of the register.
    #[inline]
    #[must_use]
    pub fn measures(&self) -> Measures<'a> {
        Measures::new(&self.words[self.places.measures.clone()], self.places.metrics)
    }

    /// The cell of the bin that a value, billionths of a unit, belongs into: for settlements. Where
    /// there is no such histogram, it is a cell that the slot has not.
    #[inline]
    #[must_use]
    pub fn bin_cell(&self, histogram: usize, value: u64) -> usize {
        let place = self.measures().place(histogram, value);
        place.map_or(usize::MAX, |place| self.places.measures.start - FIXED_WORDS + place)
    }

    fn meters(&self) -> impl Iterator<Item = Meter<'a>> + use<'a> {
        let (meters, _) = self.words[self.places.meters.clone()].as_chunks();
        meters.iter().map(Meter::new)
    }

    /// The meter that belongs to entry `index` of the board; `None` beyond it.
    #[must_use]
    pub fn meter(&self, index: usize) -> Option<Meter<'a>> {
        self.meters().nth(index)
    }

    /// The last requests that failed, those of earlier holders too.
    #[must_use]
    pub fn failures(&self) -> Failures<'a> {
        let words = self.words[self.places.failures.clone()].try_into();
        Failures::new(words.expect("a slot has room for its failures"))
    }

    /// The requests that the holder has in flight.
    #[inline]
    #[must_use]
    pub fn in_flight(&self) -> InFlightTable<'a> {
        let words = &self.words[self.places.in_flight.clone()];
        InFlightTable::new(words, &self.words[IN_FLIGHT_HIGH])
    }

    /// The slot's ring of this index: records on their way to the drainer.
    ///
    /// # Panics
    /// When `index` is not below [`super::RINGS`].
    #[inline]
    #[must_use]
    pub fn ring(&self, index: usize) -> Ring<'a> {
        Ring::new(&self.words[self.places.rings[index].clone()])
    }

    /// Ends a request: frees its entry, hands its record over and counts it, **all or nothing**,
    /// even for a process that is killed in the middle. Returns whether the record had room. A
    /// process with several threads takes turns, and counts these cells by nothing else.
    #[inline]
    pub fn settle(&self, settlement: &Settlement<'_>) -> bool {
        settle::settle(self, &self.words[SETTLEMENT..FIXED_WORDS], settlement)
    }

    /// Completes what a dead holder was about to do when it died, so that what is still in the
    /// in-flight table afterwards is what nobody has counted. For the supervisor alone.
    pub fn complete(&self) {
        settle::complete(self, &self.words[SETTLEMENT..FIXED_WORDS]);
    }

    /// Counter `index`, or behind the counters a bin of a histogram; for settlements.
    #[inline]
    pub(crate) fn cell(&self, index: usize) -> Option<&'a AtomicU64> {
        self.words[FIXED_WORDS..self.places.meters.start].get(index)
    }
}
