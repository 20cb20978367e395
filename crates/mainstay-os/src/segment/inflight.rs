//! The requests in flight, as other processes may read them at any time, and as the supervisor
//! finds them when the process that served them is gone.
//!
//! An entry is published like this: state *writing* → facts → state *live* (release). A reader
//! takes a *live* state, reads the facts, and takes the state again: unchanged means that the facts
//! belong together, because each use of an entry has its own sequence number in the state. A
//! process killed between the two leaves *writing*: a request whose facts are not known.

use super::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};
use super::text;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Words of one entry: four cache lines.
pub(crate) const ENTRY_WORDS: usize = 32;
/// Longest method kept, bytes.
pub const MAX_METHOD: usize = 16;
/// Longest path kept, bytes; a longer one is kept up to here.
pub const MAX_PATH: usize = (ENTRY_WORDS - PATH) * 8;

const STATE: usize = 0;
const STARTED: usize = 1;
const STARTED_WALL: usize = 2;
const PEER: usize = 3;
const PEER_PORT: usize = 5;
const LENGTHS: usize = 6;
const METHOD: usize = 7;
const PATH: usize = 9;

const FREE: u64 = 0;
const WRITING: u64 = 1;
const LIVE: u64 = 2;
const STATE_MASK: u64 = 3;

/// What is known of a request when it begins.
#[derive(Clone, Copy, Debug)]
pub struct Started<'a> {
    /// Monotonic nanoseconds.
    pub mono: u64,
    /// Nanoseconds since the Unix epoch.
    pub wall: u64,
    /// The other end of the connection, if it has an address.
    pub peer: Option<SocketAddr>,
    /// Method as received; cut to [`MAX_METHOD`] bytes.
    pub method: &'a [u8],
    /// Path with query as received; cut to [`MAX_PATH`] bytes.
    pub path: &'a [u8],
}

/// One request in flight, as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// Monotonic nanoseconds of its start; 0 when its process died before the facts were written.
    pub started: u64,
    /// Start in nanoseconds since the Unix epoch.
    pub started_wall: u64,
    /// The other end of the connection, if it has an address.
    pub peer: Option<SocketAddr>,
    /// Method, at most [`MAX_METHOD`] bytes of it.
    pub method: Vec<u8>,
    /// Path with query, at most [`MAX_PATH`] bytes of it.
    pub path: Vec<u8>,
    /// The facts were not all written when the process died.
    pub partial: bool,
}

/// View of one slot's table.
#[derive(Clone, Copy, Debug)]
pub struct InFlightTable<'a> {
    words: &'a [AtomicU64],
    /// Entries from this one on were never used by the holder: nobody needs to touch their pages.
    high: &'a AtomicU64,
}

impl<'a> InFlightTable<'a> {
    pub(crate) fn new(words: &'a [AtomicU64], high: &'a AtomicU64) -> InFlightTable<'a> {
        InFlightTable { words, high }
    }

    /// How many requests the table can describe.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.words.len() / ENTRY_WORDS
    }

    fn entry(&self, index: usize) -> Option<&'a [AtomicU64; ENTRY_WORDS]> {
        self.words.as_chunks().0.get(index)
    }

    /// Publishes a request in entry `index`, which the holder of the slot keeps free for it.
    pub fn begin(&self, index: usize, request: &Started<'_>) {
        let Some(entry) = self.entry(index) else { return };
        if self.high.load(Relaxed) <= index as u64 {
            self.high.fetch_max(index as u64 + 1, Relaxed);
        }
        let sequence = entry[STATE].load(Relaxed) & !STATE_MASK;
        let sequence = sequence.wrapping_add(STATE_MASK + 1);
        entry[STATE].store(sequence | WRITING, Relaxed);
        // Orders the state before the facts: a reader that sees a new fact sees *writing* too.
        fence(Release);
        entry[STARTED].store(request.mono, Relaxed);
        entry[STARTED_WALL].store(request.wall, Relaxed);
        store_peer(entry, request.peer);
        let method = text::store(&entry[METHOD..PATH], request.method);
        let path = text::store(&entry[PATH..], request.path);
        entry[LENGTHS].store(method as u64 | (path as u64) << 16, Relaxed);
        entry[STATE].store(sequence | LIVE, Release);
    }

    /// Ends the request in entry `index`.
    pub fn end(&self, index: usize) {
        let Some(entry) = self.entry(index) else { return };
        let sequence = entry[STATE].load(Relaxed) & !STATE_MASK;
        entry[STATE].store(sequence | FREE, Release);
    }

    /// Frees every entry; for the supervisor between two holders.
    pub(crate) fn clear(&self) {
        (0..self.used()).for_each(|index| self.end(index));
    }

    /// Entries that the holder has used so far.
    fn used(&self) -> usize {
        usize::try_from(self.high.load(Relaxed)).unwrap_or(usize::MAX).min(self.capacity())
    }

    /// Reads entry `index`: `None` when it is free, out of range, or changes while it is read.
    /// An entry whose facts were never finished is returned as [`InFlight::partial`]; while its
    /// process lives that is a request that is just beginning.
    #[must_use]
    pub fn read(&self, index: usize) -> Option<InFlight> {
        let entry = self.entry(index)?;
        let before = entry[STATE].load(Acquire);
        match before & STATE_MASK {
            LIVE => {}
            WRITING => return Some(InFlight::unknown()),
            _ => return None,
        }
        let lengths = entry[LENGTHS].load(Relaxed);
        let mut request = InFlight {
            started: entry[STARTED].load(Relaxed),
            started_wall: entry[STARTED_WALL].load(Relaxed),
            peer: load_peer(entry),
            method: Vec::new(),
            path: Vec::new(),
            partial: false,
        };
        text::load(&entry[METHOD..PATH], (lengths & 0xffff) as usize, &mut request.method);
        text::load(&entry[PATH..], (lengths >> 16 & 0xffff) as usize, &mut request.path);
        // Orders the facts before the second look at the state.
        fence(Acquire);
        (entry[STATE].load(Relaxed) == before).then_some(request)
    }

    /// Every request that is in flight now.
    pub fn iter(&self) -> impl Iterator<Item = InFlight> {
        let table = *self;
        (0..table.used()).filter_map(move |index| table.read(index))
    }
}

impl InFlight {
    fn unknown() -> InFlight {
        InFlight {
            started: 0,
            started_wall: 0,
            peer: None,
            method: Vec::new(),
            path: Vec::new(),
            partial: true,
        }
    }
}

fn store_peer(entry: &[AtomicU64], peer: Option<SocketAddr>) {
    let Some(peer) = peer else {
        entry[PEER_PORT].store(0, Relaxed);
        return;
    };
    let (family, octets) = match peer.ip() {
        IpAddr::V4(ip) => (4_u64, ip.to_ipv6_mapped().octets()),
        IpAddr::V6(ip) => (6_u64, ip.octets()),
    };
    text::store(&entry[PEER..PEER_PORT], &octets);
    entry[PEER_PORT].store(family << 16 | u64::from(peer.port()), Relaxed);
}

fn load_peer(entry: &[AtomicU64]) -> Option<SocketAddr> {
    let port = entry[PEER_PORT].load(Relaxed);
    let half = |index: usize| entry[PEER + index].load(Relaxed).to_le_bytes();
    let mut octets = [0; 16];
    octets[..8].copy_from_slice(&half(0));
    octets[8..].copy_from_slice(&half(1));
    let ip = Ipv6Addr::from(octets);
    let ip = match port >> 16 {
        4 => IpAddr::V4(ip.to_ipv4_mapped()?),
        6 => IpAddr::V6(ip),
        _ => return None,
    };
    Some(SocketAddr::new(ip, (port & 0xffff) as u16))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::segment::cases;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    const ENTRIES: usize = 3;

    /// A table's words; the last one is where it notes how far it was used.
    fn words() -> Vec<AtomicU64> {
        (0..=ENTRIES * ENTRY_WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    fn table(words: &[AtomicU64]) -> InFlightTable<'_> {
        let (high, entries) = words.split_last().expect("there is one more");
        InFlightTable::new(entries, high)
    }

    const GET: Started<'_> = Started { mono: 1, wall: 2, peer: None, method: b"GET", path: b"/" };

    fn peers() -> impl Strategy<Value = Option<SocketAddr>> {
        let v4 = any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
        let v6 = any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)));
        let mapped =
            any::<u32>().prop_map(|bits| IpAddr::V6(Ipv4Addr::from_bits(bits).to_ipv6_mapped()));
        let ip = prop_oneof![v4, v6, mapped];
        prop::option::of((ip, any::<u16>()).prop_map(SocketAddr::from))
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn a_request_is_read_as_it_began(
            requests in prop::collection::vec(
                (
                    0..ENTRIES,
                    any::<(u64, u64)>(),
                    peers(),
                    prop::collection::vec(any::<u8>(), 0..40),
                    prop::collection::vec(any::<u8>(), 0..400),
                ),
                1..8,
            ),
        ) {
            let words = words();
            let table = table(&words);
            let mut expected = [const { None }; ENTRIES];
            for (index, (mono, wall), peer, method, path) in requests {
                if expected[index].is_some() {
                    table.end(index);
                    prop_assert_eq!(table.read(index), None);
                }
                table.begin(index, &Started { mono, wall, peer, method: &method, path: &path });
                expected[index] = Some(InFlight {
                    started: mono,
                    started_wall: wall,
                    peer,
                    method: method[..method.len().min(MAX_METHOD)].to_vec(),
                    path: path[..path.len().min(MAX_PATH)].to_vec(),
                    partial: false,
                });
            }
            for (index, expected) in expected.iter().enumerate() {
                prop_assert_eq!(&table.read(index), expected);
            }
            prop_assert!(table.iter().eq(expected.into_iter().flatten()));
            table.clear();
            prop_assert_eq!(table.iter().count(), 0);
        }
    }

    #[test]
    fn an_entry_beyond_the_table_is_nobodys() {
        let words = words();
        let table = table(&words);
        assert_eq!(table.capacity(), ENTRIES);
        table.begin(0, &GET);
        // The last two are, times the size of an entry, 0 and a number that overflows.
        for index in [ENTRIES, 1 << 32, 1 << (usize::BITS - 5), usize::MAX] {
            assert_eq!(table.read(index), None, "{index}");
            table.begin(index, &Started { mono: 9, ..GET });
            table.end(index);
        }
        assert_eq!(table.iter().map(|request| request.started).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn an_entry_whose_writer_stopped_in_the_middle_is_partial() {
        let words = words();
        let table = table(&words);
        table.begin(1, &GET);
        table.end(1);
        table.begin(1, &GET);
        let state = words[ENTRY_WORDS].load(Relaxed);
        words[ENTRY_WORDS].store(state & !STATE_MASK | WRITING, Relaxed);
        assert_eq!(table.iter().collect::<Vec<_>>(), [InFlight::unknown()]);
        table.clear();
        assert_eq!(table.iter().count(), 0);
        table.begin(1, &GET);
        assert_ne!(words[ENTRY_WORDS].load(Relaxed), state, "each use has its own number");
    }
}
