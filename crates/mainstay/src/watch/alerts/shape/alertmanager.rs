//! Alertmanager itself, version 2 of its API. It forgets what is not said again in time.

use super::super::super::export::receiver::Post;
use super::super::letter::{Letter, Sender, Status, time};
use super::{bearer, json};
use crate::config::receivers::Receiver;
use serde_json::{Value, json};

/// How long what fires is believed without a further word, seconds.
const BELIEVED: u64 = 240;
/// The same of what nobody says again.
const SAID_ONCE: u64 = 24 * 3_600;

pub(super) fn post(letter: &Letter, to: &Receiver, sender: &Sender, seconds: u64) -> Post {
    // A time that lies ahead, since the clock was put back, would be refused.
    let now = seconds.saturating_mul(1_000_000_000);
    let believed = if letter.is_said_once { SAID_ONCE } else { BELIEVED };
    let alerts = letter.items.iter().map(|item| {
        let ended = match item.status {
            Status::Resolved => item.ended.min(now),
            Status::Firing => (seconds + believed) * 1_000_000_000,
        };
        let mut alert = json!({
            "labels": item.labels(sender),
            "annotations": item.annotations(),
            "startsAt": time(item.fired.min(now)),
            "endsAt": time(ended),
        });
        if !sender.link.is_empty() {
            alert["generatorURL"] = sender.link.as_str().into();
        }
        alert
    });
    let url = format!("{}/api/v2/alerts", to.url.expose().trim_end_matches('/'));
    json(&url, bearer(to), &alerts.collect::<Value>())
}

#[cfg(test)]
mod tests {
    use super::super::super::super::rules::engine::Kind;
    use super::super::super::letter::tests::{letter, pair};
    use super::super::tests::{header, posted};
    use super::*;

    #[test]
    fn what_fires_is_to_be_believed_for_four_minutes_and_what_is_over_has_its_end() {
        let (post, body) =
            posted("alertmanager+http://h:9093/am/ 0123456789abcdef", &letter(Kind::Firing));
        assert_eq!(post.url, "http://h:9093/am/api/v2/alerts");
        assert_eq!(header(&post, "authorization"), Some("Bearer 0123456789abcdef"));
        assert_eq!(
            body,
            json!([{
                "labels": {
                    "alertname": "pool_exhausted", "instance": "host-1", "pool": "main",
                    "service": "shop", "severity": "critical",
                },
                "annotations": { "summary": "7 wait" },
                "startsAt": "2026-11-22T10:10:52.125Z",
                "endsAt": "2026-11-22T10:15:40.000Z",
            }])
        );
        let once = Letter { is_said_once: true, ..letter(Kind::Firing) };
        let (_, once) = posted("alertmanager+http://h:9093", &once);
        assert_eq!(once[0]["endsAt"], "2026-11-23T10:11:40.000Z", "nobody will say it again");
        let (_, over) = posted("alertmanager+http://h:9093", &letter(Kind::Resolved));
        // It says 10:11:52, which lies ahead of the clock.
        assert_eq!(over[0]["endsAt"], "2026-11-22T10:11:40.000Z");
        assert_eq!(over[0]["labels"], body[0]["labels"]);
        assert_eq!(posted("alertmanager+http://h", &pair()).1.as_array().unwrap().len(), 2);
    }
}
