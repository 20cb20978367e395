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
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Words of one entry: eleven cache lines.
pub(crate) const ENTRY_WORDS: usize = 88;

const STATE: usize = 0;
const STARTED: usize = 1;
const STARTED_WALL: usize = 2;
const PEER: usize = 3;
const CLIENT: usize = 6;
const TRACE: usize = 9;
const SPAN: usize = 11;
const LENGTHS: usize = 12;
/// The texts: first word and words of each, in the order of [`Started`].
const METHOD: Text = Text { at: 13, words: 2, index: 0 };
const PATH: Text = Text { at: 15, words: 32, index: 1 };
const ID: Text = Text { at: 47, words: 8, index: 2 };
const AGENT: Text = Text { at: 55, words: 16, index: 3 };
const REFERRER: Text = Text { at: 71, words: 12, index: 4 };
const USER: Text = Text { at: 83, words: 5, index: 5 };

/// Longest method kept, bytes.
pub const MAX_METHOD: usize = METHOD.words * 8;
/// Longest path kept, bytes; a longer one is kept up to here.
pub const MAX_PATH: usize = PATH.words * 8;

const FREE: u64 = 0;
const WRITING: u64 = 1;
const LIVE: u64 = 2;
const STATE_MASK: u64 = 3;

/// Where a text of an entry is.
#[derive(Clone, Copy)]
struct Text {
    at: usize,
    words: usize,
    /// Its ten bits of the lengths' word.
    index: usize,
}

impl Text {
    /// Stores as much as fits and returns its length in the bits that it has in the word.
    #[inline]
    fn store(self, entry: &[AtomicU64; ENTRY_WORDS], bytes: &[u8]) -> u64 {
        if bytes.is_empty() {
            return 0;
        }
        let stored = text::store(&entry[self.at..self.at + self.words], bytes);
        (stored as u64) << (self.index * 10)
    }

    fn load(self, entry: &[AtomicU64; ENTRY_WORDS], lengths: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let len = (lengths >> (self.index * 10) & 0x3ff) as usize;
        text::load(&entry[self.at..self.at + self.words], len, &mut bytes);
        bytes
    }
}

/// What is known of a request when it begins. Texts are kept as far as an entry has room for them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Started<'a> {
    /// Monotonic nanoseconds.
    pub mono: u64,
    /// Nanoseconds since the Unix epoch.
    pub wall: u64,
    /// The other end of the connection, if it has an address.
    pub peer: Option<SocketAddr>,
    /// The client's address, if it is known and not the peer's.
    pub client: Option<IpAddr>,
    /// The trace that the request belongs to; zeros for none.
    pub trace: [u8; 16],
    /// The request's own part of the trace; zeros for none.
    pub span: [u8; 8],
    /// Method as received; cut to [`MAX_METHOD`] bytes.
    pub method: &'a [u8],
    /// Path with query as received; cut to [`MAX_PATH`] bytes.
    pub path: &'a [u8],
    /// The request's id; cut to 64 bytes.
    pub id: &'a [u8],
    /// The user agent; cut to 128 bytes.
    pub agent: &'a [u8],
    /// Where the client came from; cut to 96 bytes.
    pub referrer: &'a [u8],
    /// The user of Basic credentials; cut to 40 bytes.
    pub user: &'a [u8],
}

/// One request in flight, as read. Texts may have been cut, as [`Started`] says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// Monotonic nanoseconds of its start; 0 when its process died before the facts were written.
    pub started: u64,
    /// Start in nanoseconds since the Unix epoch.
    pub started_wall: u64,
    /// The other end of the connection, if it has an address.
    pub peer: Option<SocketAddr>,
    /// The client's address, if it is known and not the peer's.
    pub client: Option<IpAddr>,
    /// The trace that the request belongs to; zeros for none.
    pub trace: [u8; 16],
    /// The request's own part of the trace; zeros for none.
    pub span: [u8; 8],
    /// Method.
    pub method: Vec<u8>,
    /// Path with query.
    pub path: Vec<u8>,
    /// The request's id.
    pub id: Vec<u8>,
    /// The user agent.
    pub agent: Vec<u8>,
    /// Where the client came from.
    pub referrer: Vec<u8>,
    /// The user of Basic credentials.
    pub user: Vec<u8>,
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
    #[inline]
    pub(crate) fn new(words: &'a [AtomicU64], high: &'a AtomicU64) -> InFlightTable<'a> {
        InFlightTable { words, high }
    }

    /// How many requests the table can describe.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.words.len() / ENTRY_WORDS
    }

    #[inline]
    fn entry(&self, index: usize) -> Option<&'a [AtomicU64; ENTRY_WORDS]> {
        self.words.as_chunks().0.get(index)
    }

    /// Publishes a request in entry `index`, which the holder of the slot keeps free for it.
    #[inline]
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
        store_ip(&entry[PEER..CLIENT], request.peer.map(|peer| peer.ip()), request.peer);
        store_ip(&entry[CLIENT..TRACE], request.client, None);
        text::store(&entry[TRACE..SPAN], &request.trace);
        text::store(&entry[SPAN..LENGTHS], &request.span);
        let lengths = METHOD.store(entry, request.method)
            | PATH.store(entry, request.path)
            | ID.store(entry, request.id)
            | AGENT.store(entry, request.agent)
            | REFERRER.store(entry, request.referrer)
            | USER.store(entry, request.user);
        entry[LENGTHS].store(lengths, Relaxed);
        entry[STATE].store(sequence | LIVE, Release);
    }

    /// Ends the request in entry `index`.
    #[inline]
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
        let request = InFlight {
            started: entry[STARTED].load(Relaxed),
            started_wall: entry[STARTED_WALL].load(Relaxed),
            peer: load_ip(&entry[PEER..CLIENT]).map(|(ip, port)| SocketAddr::new(ip, port)),
            client: load_ip(&entry[CLIENT..TRACE]).map(|(ip, _)| ip),
            trace: u128_of(&entry[TRACE..SPAN]).to_le_bytes(),
            span: entry[SPAN].load(Relaxed).to_le_bytes(),
            method: METHOD.load(entry, lengths),
            path: PATH.load(entry, lengths),
            id: ID.load(entry, lengths),
            agent: AGENT.load(entry, lengths),
            referrer: REFERRER.load(entry, lengths),
            user: USER.load(entry, lengths),
            partial: false,
        };
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
        InFlight { partial: true, ..InFlight::default() }
    }
}

/// Two words of address, and one of family and port.
#[inline]
fn store_ip(words: &[AtomicU64], ip: Option<IpAddr>, socket: Option<SocketAddr>) {
    let (family, bits) = match ip {
        None => return words[2].store(0, Relaxed),
        Some(IpAddr::V4(ip)) => (4_u64, u128::from(ip.to_bits())),
        Some(IpAddr::V6(ip)) => (6_u64, ip.to_bits()),
    };
    words[0].store(bits as u64, Relaxed);
    words[1].store((bits >> 64) as u64, Relaxed);
    let port = socket.map_or(0, |socket| socket.port());
    words[2].store(family << 16 | u64::from(port), Relaxed);
}

fn load_ip(words: &[AtomicU64]) -> Option<(IpAddr, u16)> {
    let port = words[2].load(Relaxed);
    let bits = u128_of(words);
    let ip = match port >> 16 {
        4 => IpAddr::V4(Ipv4Addr::from_bits(bits as u32)),
        6 => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        _ => return None,
    };
    Some((ip, port as u16))
}

fn u128_of(words: &[AtomicU64]) -> u128 {
    u128::from(words[0].load(Relaxed)) | u128::from(words[1].load(Relaxed)) << 64
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::segment::cases;
    use proptest::prelude::*;

    const ENTRIES: usize = 3;

    /// A table's words; the last one is where it notes how far it was used.
    fn words() -> Vec<AtomicU64> {
        (0..=ENTRIES * ENTRY_WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    fn table(words: &[AtomicU64]) -> InFlightTable<'_> {
        let (high, entries) = words.split_last().expect("there is one more");
        InFlightTable::new(entries, high)
    }

    const GET: Started<'_> = Started {
        mono: 1,
        wall: 2,
        peer: None,
        client: None,
        trace: [0; 16],
        span: [0; 8],
        method: b"GET",
        path: b"/",
        id: b"",
        agent: b"",
        referrer: b"",
        user: b"",
    };

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
                    any::<(u64, u64, [u8; 16], [u8; 8])>(),
                    (peers(), peers()),
                    prop::collection::vec(any::<u8>(), 0..40),
                    prop::collection::vec(any::<u8>(), 0..400),
                    prop::collection::vec(any::<u8>(), 0..150),
                ),
                1..8,
            ),
        ) {
            let words = words();
            let table = table(&words);
            let mut expected = [const { None }; ENTRIES];
            for (index, (mono, wall, trace, span), (peer, client), method, path, other) in requests {
                if expected[index].is_some() {
                    table.end(index);
                    prop_assert_eq!(table.read(index), None);
                }
                let client = client.map(|client| client.ip());
                table.begin(index, &Started {
                    mono,
                    wall,
                    peer,
                    client,
                    trace,
                    span,
                    method: &method,
                    path: &path,
                    id: &other,
                    agent: &other,
                    referrer: &other,
                    user: &other,
                });
                let cut = |text: &[u8], max: usize| text[..text.len().min(max)].to_vec();
                expected[index] = Some(InFlight {
                    started: mono,
                    started_wall: wall,
                    peer,
                    client,
                    trace,
                    span,
                    method: cut(&method, MAX_METHOD),
                    path: cut(&path, MAX_PATH),
                    id: cut(&other, 64),
                    agent: cut(&other, 128),
                    referrer: cut(&other, 96),
                    user: cut(&other, 40),
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
