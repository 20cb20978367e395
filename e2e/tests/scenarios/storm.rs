//! The clients of the scenario in which workers are killed: requests of all kinds, each with an id
//! of its own in its target, and what became of each as its client saw it.

use crate::wire::{End, Wire};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Clients at a time. Some of them wait for slow answers at any moment.
pub(crate) const CLIENTS: u64 = 16;
/// Most requests that one client has on their way.
pub(crate) const PIPELINED: u64 = 5;

/// What a client knows of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A whole answer with this status.
    Answered(u16),
    /// The connection ended before the answer had.
    Failed(End),
    /// The client went away on purpose.
    Left,
}

/// A request as its client saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) id: u64,
    /// The first id of those that were sent together.
    pub(crate) together: u64,
    pub(crate) outcome: Outcome,
}

/// Numbers that look like chance and are the same in each run.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `sides`.
    pub(crate) fn throw(&mut self, sides: u64) -> u64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

/// Asks until all ids below `total` are used.
pub(crate) fn client(address: SocketAddr, next: &AtomicU64, total: u64, seed: u64) -> Vec<Seen> {
    let mut client = Client { address, dice: Dice::new(seed), wire: None, seen: Vec::new() };
    let mut bytes = Vec::with_capacity(4_096);
    loop {
        let count = match client.dice.throw(10) {
            0 => 2 + client.dice.throw(PIPELINED - 1),
            _ => 1,
        };
        let first = next.fetch_add(count, Relaxed);
        if first >= total {
            return client.seen;
        }
        match client.dice.throw(100) {
            0 => client.leave(first, count),
            _ => client.ask(first, count, &mut bytes),
        }
    }
}

struct Client {
    address: SocketAddr,
    dice: Dice,
    wire: Option<Wire>,
    seen: Vec<Seen>,
}

impl Client {
    fn ask(&mut self, first: u64, count: u64, bytes: &mut Vec<u8>) {
        bytes.clear();
        for id in first..first + count {
            // Nothing behind a bad head is ever read, so it comes last.
            push(bytes, id, &mut self.dice, id + 1 == first + count);
        }
        // One in eight goes over a new connection.
        if self.dice.throw(8) == 0 {
            self.wire = None;
        }
        let wire = match self.wire.take() {
            Some(wire) => Ok(wire),
            None => Wire::connect(self.address),
        };
        let mut wire = match wire {
            Ok(wire) => wire,
            Err(end) => return self.note(first, first..first + count, Outcome::Failed(end)),
        };
        wire.send(bytes);
        for id in first..first + count {
            match wire.answer() {
                Ok(answer) => {
                    self.note(first, id..id + 1, Outcome::Answered(answer.status));
                    if answer.close {
                        let cut = Outcome::Failed(End::Cut { begun: false });
                        return self.note(first, id + 1..first + count, cut);
                    }
                }
                Err(end) => {
                    return self.note(first, id..first + count, Outcome::Failed(end));
                }
            }
        }
        self.wire = Some(wire);
    }

    /// Goes away in the middle of a request: of its head, or while it is answered.
    fn leave(&mut self, first: u64, count: u64) {
        for id in first..first + count {
            self.note(id, id..id + 1, Outcome::Left);
            let Ok(mut wire) = Wire::connect(self.address) else { continue };
            let text = match self.dice.throw(2) {
                0 => format!("GET /slow?ms=1500&id={id} HTTP/1.1\r\nHost: e2e\r\n\r\n"),
                _ => format!("GET /?id={id} HTTP/1.1\r\nHo"),
            };
            wire.send(text.as_bytes());
            // What is reset at once is never read.
            wire.listen(Duration::from_millis(5));
            wire.reset();
        }
    }

    fn note(&mut self, together: u64, ids: std::ops::Range<u64>, outcome: Outcome) {
        self.seen.extend(ids.map(|id| Seen { id, together, outcome }));
    }
}

/// Appends a request.
fn push(bytes: &mut Vec<u8>, id: u64, dice: &mut Dice, last: bool) {
    let host = "HTTP/1.1\r\nHost: e2e\r\n";
    let written = match dice.throw(100) {
        0..40 => write!(bytes, "GET /?id={id} {host}\r\n"),
        40..55 => write!(bytes, "GET /none?id={id} {host}Accept: application/json\r\n\r\n"),
        55..70 => write!(bytes, "POST /echo?id={id} {host}Content-Length: 5\r\n\r\nabcde"),
        70..80 => write!(
            bytes,
            "POST /echo?id={id} {host}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        ),
        80..83 => {
            let ms = 5 + dice.throw(80);
            write!(bytes, "GET /slow?ms={ms}&id={id} {host}\r\n")
        }
        83..86 => write!(bytes, "GET /big?bytes=100000&id={id} {host}\r\n"),
        86..88 if last => write!(bytes, "GET /?id={id} {host}Host: twice\r\n\r\n"),
        88..90 if last => write!(bytes, "GET /?id={id} {host}Bad Field: 1\r\n\r\n"),
        90 if last => write!(bytes, "GET /?id={id}&{} {host}\r\n", "x".repeat(4_200)),
        _ => write!(bytes, "GET /?id={id}&more {host}User-Agent: storm\r\n\r\n"),
    };
    written.expect("memory takes everything");
}
