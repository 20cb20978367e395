//! The requests that a dead worker left behind: each gets its access line and its count, by the
//! supervisor, from what the in-flight table says. What the worker was about to settle when it died
//! is settled first, so nothing is told twice.

use super::run::Supervisor;
use crate::clock::{self, Mono};
use crate::config::Config;
use crate::log::access::{AccessFormat, Ended, Ending, Facts, FormatError, Protocol};
use crate::log::stamps::Stamps;
use crate::log::{LINE, Log, Look, Stream};
use crate::metrics::names;
use crate::metrics::requests::Requests;
use crate::telemetry::server::Served;
use crate::telemetry::span::Span;
use crate::telemetry::{Parcel, Settings, redact};
use http::header::HeaderMap;
use mainstay_os::segment::{Failed, InFlight, Record, Settlement, Slot};

/// The status in the line of a request whose worker is gone: its client got none.
const LOST: u16 = 502;

/// How the supervisor writes access lines and counts requests.
#[derive(Debug)]
pub(crate) struct LostLines {
    access: Option<AccessFormat>,
    stamps: Stamps,
    requests: Requests,
    /// What is recorded of traces; nothing where none are.
    tracing: Option<Settings>,
}

impl LostLines {
    /// Lines as workers of this configuration write them.
    ///
    /// # Errors
    /// What is wrong with the format.
    pub(crate) fn new(config: &Config, look: &Look, log: &Log) -> Result<LostLines, FormatError> {
        let stamps = Stamps::new(mainstay_os::zone::offset_at);
        let requests = Requests::new(log.segment().clone(), log.slot_index(), log.teller());
        let tracing = Some(Settings::of(config)).filter(|settings| settings.traces);
        Ok(LostLines { access: look.access(config)?, stamps, requests, tracing })
    }

    /// Appends the line of a request to `out`, behind its time.
    fn write(&mut self, request: &InFlight, worker: &Lost<'_>, now: Mono, out: &mut Vec<u8>) {
        let Some(access) = &self.access else { return };
        let wall = clock::wall();
        out.extend_from_slice(&wall.to_le_bytes());
        let age = if request.partial { 0 } else { now.0.saturating_sub(request.started) };
        let headers = HeaderMap::new();
        let peer = request.peer.map(|peer| peer.ip().to_canonical().to_string());
        let peer = peer.unwrap_or_default();
        let client = request.client.map(|client| client.to_string());
        let (trace, span) = (hex(&request.trace), hex(&request.span));
        let mut draft = crate::log::access::Draft::default();
        let facts = Facts {
            method: &request.method,
            target: &request.path,
            version: if request.partial { Protocol::Unknown } else { Protocol::H11 },
            headers: &headers,
            agent: some(&request.agent),
            referrer: some(&request.referrer),
            user: some(&request.user),
            peer: &peer,
            peer_port: request.peer.map_or(0, |peer| peer.port()),
            client: client.as_deref().unwrap_or(&peer),
            scheme: "http",
            host: "",
            local: None,
            request_id: &request.id,
            trace_id: trace.as_bytes(),
            span_id: span.as_bytes(),
            number: 0,
            started_wall: request.started_wall,
        };
        access.begin(&facts, &mut draft);
        let ended = Ended {
            status: LOST,
            body_bytes: 0,
            duration: age,
            first_byte: None,
            wall,
            pid: worker.pid,
            worker: worker.slot,
            generation: worker.generation,
            reason: worker.reason,
            connection: Ending::Aborted,
            error_id: "",
            request_bytes: 0,
        };
        access.end(&draft, &ended, &mut self.stamps, out);
    }
}

/// Hands the request's span over. What it was sampled as, who called it and what
/// happened within it stood in the memory of the worker that is gone.
fn tell_span(log: &Log, settings: &Settings, request: &InFlight, now: Mono) {
    // A request that was not described, or whose head was refused, has no trace.
    if request.partial || request.trace == [0; 16] || request.span == [0; 8] {
        return;
    }
    let target = String::from_utf8_lossy(&request.path);
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let peer = request.peer;
    let served = Served {
        method: &String::from_utf8_lossy(&request.method),
        path,
        query: &redact::query(query),
        agent: &String::from_utf8_lossy(&request.agent),
        client: request.client.or_else(|| peer.map(|peer| peer.ip().to_canonical())),
        peer,
        id: &String::from_utf8_lossy(&request.id),
        reason: "worker_lost",
        ..Served::default()
    };
    let start = request.started_wall;
    let span = Span {
        trace: request.trace,
        id: request.span,
        start,
        end: start.saturating_add(now.0.saturating_sub(request.started)),
        ..Span::default()
    };
    let mut out = Vec::new();
    served.write(settings, &span, &mut out);
    let has_room = log.hand_over(Parcel::Spans, &out);
    log.slot().add(if has_room { names::SPANS } else { names::SPANS_DROPPED }, 1);
}

/// Lower-case hex; empty for zeros, which mean none.
fn hex(bytes: &[u8]) -> String {
    if bytes.iter().all(|byte| *byte == 0) {
        return String::new();
    }
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|it| char::from_digit(it.into(), 16))
        .collect()
}

/// The worker that is gone.
struct Lost<'a> {
    pid: u32,
    slot: usize,
    generation: u64,
    reason: &'a str,
}

/// A text that was kept.
fn some(text: &[u8]) -> Option<&[u8]> {
    Some(text).filter(|text| !text.is_empty())
}

impl Supervisor {
    /// Settles what the dead holder of `slot` left, and returns how many requests that were.
    pub(crate) fn settle_lost(
        &mut self,
        slot: usize,
        view: Slot<'_>,
        pid: u32,
        reason: &str,
    ) -> u64 {
        view.complete();
        let now = clock::mono();
        let own = self.log.clone();
        let lost = Lost { pid, slot, generation: view.generation(), reason };
        let (mut count, mut line) = (0, Vec::new());
        for request in view.in_flight().iter() {
            line.clear();
            self.lost_lines.write(&request, &lost, now, &mut line);
            let record = (!line.is_empty()).then_some(Record {
                ring: Stream::Access as usize,
                kind: LINE,
                bytes: &line,
                handed: names::ACCESS_LINES,
                dropped: names::ACCESS_DROPPED,
            });
            let record = record.ok_or(names::NONE);
            let age = if request.partial { 0 } else { now.0.saturating_sub(request.started) };
            // Its route stood in the memory of the worker that is gone.
            let series = self.lost_lines.requests.series(&request.method, None, LOST).duration;
            let bin = own.slot().bin_cell(series, age);
            let cells = [names::REQUESTS, names::status_cell(LOST), bin];
            own.slot().settle(&Settlement { entry: None, cells, record });
            own.slot().measures().add_to_sum(series, age);
            own.slot().add(names::LOST, 1);
            if !request.partial {
                // Its query is nobody's business.
                let path = request.path.split(|byte| *byte == b'?').next().unwrap_or_default();
                own.slot().failures().note(&Failed {
                    time: clock::wall(),
                    took: age,
                    status: LOST,
                    method: &request.method,
                    route: path,
                    id: &request.id,
                    reason: reason.as_bytes(),
                });
            }
            if let Some(settings) = &self.lost_lines.tracing {
                tell_span(&own, settings, &request, now);
            }
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::otel::Sampler;
    use crate::log::TELEMETRY;
    use crate::telemetry::tests::{attribute, spans_of};
    use mainstay_os::segment::{Layout, Segment};

    #[test]
    fn a_request_whose_worker_died_has_a_span_that_failed() {
        let layout = Layout { in_flight: 1, ring_bytes: [4_096; 3], ..Layout::small(names::CELLS) };
        let log = Log::new(Segment::on_heap(layout), 0);
        let settings = Settings {
            traces: true,
            logs: false,
            sampler: Sampler::ALL,
            keep_slow: None,
            methods: vec!["POST".into()],
        };
        let mut request = InFlight {
            started: 1_000,
            started_wall: 1_795_342_250_000_000_000,
            peer: Some(([192, 0, 2, 1], 80).into()),
            client: None,
            trace: [0xab; 16],
            span: [7; 8],
            method: b"POST".to_vec(),
            path: b"/orders?token=hunter2".to_vec(),
            id: b"one".to_vec(),
            agent: b"curl/8".to_vec(),
            referrer: Vec::new(),
            user: Vec::new(),
            partial: false,
        };
        tell_span(&log, &settings, &request, Mono(5_000));
        request.trace = [0; 16];
        tell_span(&log, &settings, &request, Mono(5_000));
        let mut buffer = Vec::new();
        let record = log.slot().ring(TELEMETRY).pop(&mut buffer).unwrap();
        assert_eq!(record.kind, Parcel::Spans as u16);
        let [span] = &spans_of(record.bytes)[..] else { panic!("one span") };
        assert_eq!((&span.trace_id[..], &span.span_id[..]), (&[0xab; 16][..], &[7; 8][..]));
        assert_eq!((span.name.as_str(), span.status.as_ref().unwrap().code), ("POST", 2));
        assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 4_000);
        let told = |key| attribute(&span.attributes, key).unwrap_or_default();
        assert_eq!(
            (told("error.type"), told("url.path")),
            ("worker_lost".into(), "/orders".into())
        );
        assert_eq!(
            (told("url.query"), told("client.address")),
            ("token=REDACTED".into(), "192.0.2.1".into())
        );
        assert_eq!(told("http.response.status_code"), "", "the client got none");
        assert!(log.slot().ring(TELEMETRY).pop(&mut buffer).is_none(), "no trace, no span");
        assert_eq!(log.slot().counter(names::SPANS), 1);
    }
}
