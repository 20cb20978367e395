//! The service-wide words: who runs, since when, in which state. The supervisor alone writes them,
//! but for the journals, which are the drainers', and the run of bad answers, which is everybody's.

use super::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use super::journal::{self, Journal};
use super::note::{self, Note};

/// Words before the first slot: the layout's stamp, the fields below, the notes, then the journals.
pub(crate) const WORDS: usize = 160;

/// How many notes there are. They are told apart by their index; what they mean is their users'
/// affair.
pub const NOTES: usize = 2;

/// The first word of the first note.
const FIRST_NOTE: usize = 64;
const _: () = assert!(FIRST_NOTE + NOTES * note::WORDS <= FIRST_JOURNAL, "notes have their room");

/// How many journals there are: as many as can drain at a time.
pub const JOURNALS: usize = 2;

/// The first word of the first journal.
const FIRST_JOURNAL: usize = 104;
const _: () = assert!(FIRST_JOURNAL + JOURNALS * journal::WORDS <= WORDS, "journals have theirs");

/// Words taken by the layout's stamp, with room to grow.
const FIRST_FIELD: usize = 16;
/// Answers in a row that said that the service is not ready.
/// Between two fields.
const BAD_RUN: usize = FIRST_FIELD + 14;

/// View of the header.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    words: &'a [AtomicU64],
}

macro_rules! fields {
    ($($(#[$doc:meta])* $offset:literal $get:ident $set:ident;)*) => {
        impl Header<'_> {
            $(
                $(#[$doc])*
                #[inline]
                #[must_use]
                pub fn $get(&self) -> u64 {
                    self.words[FIRST_FIELD + $offset].load(Acquire)
                }
                /// Sets the field of the same name; for the supervisor alone.
                pub fn $set(&self, value: u64) {
                    self.words[FIRST_FIELD + $offset].store(value, Release);
                }
            )*
        }
    };
}

fields! {
    /// When the service started, monotonic nanoseconds.
    0 started_mono set_started_mono;
    /// When the service started, nanoseconds since the Unix epoch.
    1 started_wall set_started_wall;
    /// The generation that serves, counted from 1 by reloads.
    2 generation set_generation;
    /// The service's health state, as `mainstay` numbers them.
    3 state set_state;
    /// Pid of the supervisor.
    4 supervisor_pid set_supervisor_pid;
    /// When the supervisor's loop last went round, monotonic nanoseconds.
    5 supervisor_beat set_supervisor_beat;
    /// Workers that should be ready.
    6 target set_target;
    /// The level of the log, as `mainstay` numbers them.
    7 log_level set_log_level;
    /// When a temporary level ends, monotonic nanoseconds; 0 while the level is the configured one.
    8 log_level_until set_log_level_until;
    /// The configured level, to which a temporary one reverts.
    9 log_level_base set_log_level_base;
    /// When the service began to drain, monotonic nanoseconds; 0 while it does not.
    10 draining_since set_draining_since;
    /// Heartbeats are expected at least this often, nanoseconds.
    11 heartbeat_interval set_heartbeat_interval;
    /// Which table of counters the cells mean.
    12 schema set_schema;
    /// Pid of watch, 0 while there is none.
    13 watch_pid set_watch_pid;
    /// Since when the generation serves, nanoseconds since the Unix epoch.
    15 generation_since set_generation_since;
}

impl<'a> Header<'a> {
    #[inline]
    pub(crate) fn new(words: &'a [AtomicU64]) -> Header<'a> {
        Header { words: &words[..WORDS] }
    }

    /// Somebody was answered whether the service is ready: one act, by whoever answers, so that the run
    /// is one of all answers of all processes.
    pub fn answered(&self, ready: bool) {
        if ready {
            self.words[BAD_RUN].store(0, Relaxed);
        } else {
            self.words[BAD_RUN].fetch_add(1, Relaxed);
        }
    }

    /// How many answers in a row, up to the last one, said that the service is not ready.
    #[must_use]
    pub fn bad_run(&self) -> u64 {
        self.words[BAD_RUN].load(Relaxed)
    }

    /// Note `index`, which is below [`NOTES`].
    #[inline]
    #[must_use]
    pub fn note(&self, index: usize) -> Note<'a> {
        let (notes, _) = self.words[FIRST_NOTE..].as_chunks::<{ note::WORDS }>();
        Note::new(&notes[..NOTES][index])
    }

    /// Journal `index`, which is below [`JOURNALS`].
    #[must_use]
    pub fn journal(&self, index: usize) -> Journal<'a> {
        let (journals, _) = self.words[FIRST_JOURNAL..].as_chunks::<{ journal::WORDS }>();
        Journal::new(&journals[..JOURNALS][index])
    }
}
