//! An envelope: one event, with what was lost since the last one, as the body of one request.

use super::stamp;
use serde::Deserialize;
use serde_json::json;

/// What a server takes of one event, bytes.
const LARGEST: usize = 1_000_000;

/// The name of this client, in envelopes and headers.
pub(crate) const CLIENT: &str = concat!("mainstay/", env!("CARGO_PKG_VERSION"));

/// Reports that nobody will see, each number from the beginning of the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    /// A ring had no room.
    pub(crate) dropped: u64,
    /// More of them than a process makes.
    pub(crate) suppressed: u64,
    /// Not chosen.
    pub(crate) unsampled: u64,
    /// The server wanted none.
    pub(crate) held_back: u64,
}

impl Losses {
    /// What was lost since `earlier`.
    pub(crate) fn since(self, earlier: Losses) -> Losses {
        Losses {
            dropped: self.dropped.saturating_sub(earlier.dropped),
            suppressed: self.suppressed.saturating_sub(earlier.suppressed),
            unsampled: self.unsampled.saturating_sub(earlier.unsampled),
            held_back: self.held_back.saturating_sub(earlier.held_back),
        }
    }

    /// By the words of the protocol.
    fn reasons(self) -> [(&'static str, u64); 4] {
        [
            ("queue_overflow", self.dropped),
            // There is no word for a client that limits itself; this is the one for what a filter holds.
            ("event_processor", self.suppressed),
            ("sample_rate", self.unsampled),
            ("ratelimit_backoff", self.held_back),
        ]
    }
}

#[derive(Deserialize)]
struct Identified {
    event_id: String,
}

/// The envelope of an event, made at this wall time; none of bytes that are no event, or too many.
pub(crate) fn envelope(event: &[u8], losses: Losses, wall: u64) -> Option<Vec<u8>> {
    if event.len() > LARGEST {
        return None;
    }
    let Identified { event_id } = serde_json::from_slice(event).ok()?;
    let (name, version) = CLIENT.split_once('/')?;
    let sdk = json!({ "name": name, "version": version });
    let header = json!({ "event_id": event_id, "sent_at": stamp(wall), "sdk": sdk });
    let mut body = Vec::with_capacity(event.len() + 512);
    line(&mut body, header.to_string().as_bytes());
    item(&mut body, "event", event);
    if losses != Losses::default() {
        let lost: Vec<_> = losses
            .reasons()
            .iter()
            .filter(|(_, quantity)| *quantity > 0)
            .map(|(reason, quantity)| {
                json!({ "reason": reason, "category": "error", "quantity": quantity })
            })
            .collect();
        let report = json!({ "timestamp": stamp(wall), "discarded_events": lost });
        item(&mut body, "client_report", report.to_string().as_bytes());
    }
    Some(body)
}

fn item(body: &mut Vec<u8>, kind: &str, payload: &[u8]) {
    line(body, json!({ "type": kind, "length": payload.len() }).to_string().as_bytes());
    line(body, payload);
}

fn line(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend_from_slice(bytes);
    body.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn lines(body: &[u8]) -> Vec<Value> {
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    #[test]
    fn an_envelope_holds_its_event_and_says_how_long_it_is() {
        let event = br#"{"event_id":"fc6d8c0c43fc4630ad850ee518f1b9d0","level":"error"}"#;
        let lines = lines(&envelope(event, Losses::default(), 1_500_000_000).unwrap());
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["event_id"], "fc6d8c0c43fc4630ad850ee518f1b9d0");
        assert_eq!(lines[0]["sent_at"], "1970-01-01T00:00:01.500000Z");
        assert_eq!(lines[1], json!({ "type": "event", "length": event.len() }));
        assert_eq!(lines[2]["level"], "error");
    }

    #[test]
    fn what_was_lost_is_told_beside_the_next_event() {
        let now = Losses { dropped: 1, suppressed: 20, unsampled: 7, held_back: 0 };
        let told = Losses { unsampled: 7, ..Losses::default() };
        let lines = lines(&envelope(br#"{"event_id":"a"}"#, now.since(told), 0).unwrap());
        assert_eq!(lines[3]["type"], "client_report");
        let expected = json!([
            { "reason": "queue_overflow", "category": "error", "quantity": 1 },
            { "reason": "event_processor", "category": "error", "quantity": 20 },
        ]);
        assert_eq!(lines[4]["discarded_events"], expected);
    }

    #[test]
    fn what_is_no_event_has_no_envelope() {
        assert_eq!(envelope(b"{}", Losses::default(), 0), None);
        assert_eq!(envelope(b"\xff", Losses::default(), 0), None);
        let large = format!(r#"{{"event_id":"a","x":"{}"}}"#, "x".repeat(LARGEST));
        assert_eq!(envelope(large.as_bytes(), Losses::default(), 0), None);
    }
}
