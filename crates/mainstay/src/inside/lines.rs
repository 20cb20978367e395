//! Access lines as a worker makes them, from the facts of a request to the ring of its slot.

use crate::http::seen::Seen;
use crate::log::access::{AccessFormat, Draft, Ended, Ending, Facts, Protocol};
use crate::log::stamps::Stamps;
use crate::log::{LINE, Service, Stream};
use crate::metrics::names;
use http::{HeaderMap, HeaderName, HeaderValue};
use mainstay_os::segment::{Layout, Record, Segment, Settlement};
use std::fmt;

/// Bytes of the ring.
const RING: usize = 1 << 20;
/// A time from which the lines count on, nanoseconds since the Unix epoch.
const BEGIN: u64 = 1_795_342_250_888_551_000;

/// A request of which lines are made, again and again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample<'a> {
    /// Such as `/orders?page=2`.
    pub target: &'a str,
    /// Names, in lower case, and values.
    pub headers: &'a [(&'static str, &'a str)],
    /// Address of client and peer.
    pub peer: &'a str,
    /// Host that was asked for.
    pub host: &'a str,
    /// 32 and 16 hex digits; empty for no trace.
    pub trace: (&'a str, &'a str),
    /// Id of the request; empty for none.
    pub id: &'a str,
    /// Name, version, environment, node and host of the service; what is empty is left out.
    pub service: [&'a str; 5],
}

/// Makes lines and hands them over.
pub struct AccessLines {
    format: AccessFormat,
    draft: Draft,
    stamps: Stamps,
    line: Vec<u8>,
    segment: Segment,
    sample: Sample<'static>,
    headers: HeaderMap,
    answer: HeaderMap,
    wall: u64,
    /// Where the ring's next record begins, in words.
    head: u64,
}

impl fmt::Debug for AccessLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLines").field("sample", &self.sample).finish_non_exhaustive()
    }
}

impl AccessLines {
    /// Lines of `sample` in `format`, through a segment of their own.
    ///
    /// # Errors
    /// What is wrong with the format or with a header.
    pub fn new(format: &str, sample: Sample<'static>) -> Result<AccessLines, String> {
        let [name, version, environment, node, host] = sample.service.map(str::to_owned);
        let service = Service { name, version, environment, node, host };
        let format =
            AccessFormat::compile(format, &service, 8_000).map_err(|error| error.to_string())?;
        let mut headers = HeaderMap::new();
        for (name, value) in sample.headers {
            let value = HeaderValue::from_str(value).map_err(|error| error.to_string())?;
            headers.append(HeaderName::from_static(name), value);
        }
        let ring_bytes = [RING, 4_096, 64];
        let layout = Layout { in_flight: 4, ring_bytes, ..Layout::small(names::CELLS) };
        Ok(AccessLines {
            format,
            draft: Draft::default(),
            stamps: Stamps::new(|_| 0),
            line: Vec::new(),
            segment: Segment::on_heap(layout),
            sample,
            headers,
            answer: HeaderMap::new(),
            wall: BEGIN,
            head: 0,
        })
    }

    /// Makes one line and hands it over. Returns whether the ring had room.
    #[inline]
    pub fn make(&mut self) -> bool {
        self.format();
        self.hand_over()
    }

    #[inline]
    fn format(&mut self) {
        // A thousand lines share a second, which is a moderate load.
        self.wall = self.wall.wrapping_add(1_000_123);
        let Sample { target, peer, host, trace, id, .. } = self.sample;
        let seen = Seen::of(&self.headers);
        let facts = Facts {
            agent: seen.agent_bytes(),
            referrer: seen.referrer_bytes(),
            user: None,
            method: b"GET",
            target: target.as_bytes(),
            version: Protocol::H11,
            headers: &self.headers,
            peer,
            peer_port: 40_001,
            client: peer,
            scheme: "http",
            host,
            local: None,
            request_id: id.as_bytes(),
            trace_id: trace.0.as_bytes(),
            span_id: trace.1.as_bytes(),
            number: 5,
            started_wall: self.wall,
        };
        self.format.begin(&facts, &mut self.draft);
        if self.format.wants_answer() {
            self.format.answered(&self.answer, &mut self.draft);
        }
        let ended = Ended {
            status: 200,
            body_bytes: 5_120,
            duration: 1_234_905,
            first_byte: Some(900_000),
            wall: self.wall,
            pid: 16_968,
            worker: 3,
            generation: 2,
            reason: "",
            connection: Ending::KeepAlive,
            error_id: "",
            request_bytes: 0,
        };
        self.line.clear();
        self.line.extend_from_slice(&self.wall.to_le_bytes());
        self.format.end(&self.draft, &ended, &mut self.stamps, &mut self.line);
    }

    #[inline]
    fn hand_over(&mut self) -> bool {
        let record = Record {
            ring: Stream::Access as usize,
            kind: LINE,
            bytes: &self.line,
            handed: names::ACCESS_LINES,
            dropped: names::ACCESS_DROPPED,
        };
        // A record is a word of its own and its bytes in whole words.
        self.head += 1 + self.line.len().div_ceil(8) as u64;
        let cells = [names::REQUESTS, names::status_cell(200), names::NONE];
        let slot = self.segment.slot(0).expect("the segment has one slot");
        slot.settle(&Settlement { entry: Some(0), cells, record: Ok(record) })
    }

    /// Empties the ring, as the writer does at once for many lines, without looking at them.
    pub fn skip(&self) {
        let slot = self.segment.slot(0).expect("the segment has one slot");
        slot.ring(Stream::Access as usize).take(self.head);
    }

    /// The line that was made last, with its newline.
    #[must_use]
    pub fn line(&self) -> &[u8] {
        self.line.get(8..).unwrap_or_default()
    }
}
