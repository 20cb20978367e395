//! PagerDuty, Events API v2: an event for each alert, which opens an incident or ends it.

use super::super::super::export::receiver::Post;
use super::super::letter::{Item, Letter, Sender, Status, clipped, time};
use super::json;
use crate::config::receivers::Receiver;
use serde_json::json;
use std::time::Duration;

/// Most characters of a summary.
const SUMMARY: usize = 1_024;
/// Whoever is sent away without a time is to come back in minutes.
pub(super) const BUSY: Duration = Duration::from_secs(60);

pub(super) fn posts(letter: &Letter, to: &Receiver, sender: &Sender) -> Vec<Post> {
    let is_known = letter.known_by.is_some();
    letter.items.iter().map(|item| post(item, is_known, to, sender)).collect()
}

fn post(item: &Item, is_known: bool, to: &Receiver, sender: &Sender) -> Post {
    let action = match item.status {
        Status::Firing if is_known => "acknowledge",
        Status::Firing => "trigger",
        Status::Resolved => "resolve",
    };
    let key = to.key.as_ref().map_or("", |key| key.expose());
    let summary = format!("{}: {}: {}", sender.service, item.name(), item.text);
    let mut body = json!({
        "routing_key": key,
        "event_action": action,
        "dedup_key": item.key,
        "client": "mainstay",
    });
    if action == "trigger" {
        body["payload"] = json!({
            "summary": clipped(&summary, SUMMARY),
            "source": sender.host,
            "severity": item.severity.as_str(),
            "timestamp": time(item.fired),
            "component": sender.service,
            "group": sender.service,
            "class": item.rule,
            "custom_details": {
                "text": item.text,
                "reason": item.reason,
                "of": item.subject,
                "evidence": item.evidence,
            },
        });
    }
    if !sender.link.is_empty() {
        body["client_url"] = sender.link.as_str().into();
    }
    json(to.url.expose(), Vec::new(), &body)
}

#[cfg(test)]
mod tests {
    use super::super::super::super::rules::engine::Kind;
    use super::super::super::letter::tests::{FIRED, item, letter, pair, sender};
    use super::super::posts;
    use super::super::tests::{parse_one, posted};
    use super::*;

    const ADDRESS: &str = "pagerduty+http://h/v2/enqueue 0123456789abcdef0123456789abcdef";

    #[test]
    fn an_incident_is_opened_and_ended_under_one_key() {
        let (post, body) = posted(ADDRESS, &letter(Kind::Firing));
        assert_eq!(post.url, "http://h/v2/enqueue");
        let key = body["dedup_key"].as_str().unwrap().to_owned();
        assert!(key.len() <= 255);
        assert_eq!(
            body,
            json!({
                "routing_key": "0123456789abcdef0123456789abcdef",
                "event_action": "trigger",
                "dedup_key": key,
                "client": "mainstay",
                "payload": {
                    "summary": "shop: pool_exhausted{main}: 7 wait",
                    "source": "host-1",
                    "severity": "critical",
                    "timestamp": "2026-11-22T10:10:52.125Z",
                    "component": "shop",
                    "group": "shop",
                    "class": "pool_exhausted",
                    "custom_details": {
                        "text": "7 wait", "reason": null, "of": "main", "evidence": { "generation": 3 },
                    },
                },
            })
        );
        let (_, over) = posted(ADDRESS, &letter(Kind::Resolved));
        assert_eq!(
            over,
            json!({
                "routing_key": "0123456789abcdef0123456789abcdef",
                "event_action": "resolve",
                "dedup_key": key,
                "client": "mainstay",
            })
        );
    }

    #[test]
    fn who_knows_of_an_incident_stops_its_escalation_under_the_same_key() {
        let firing = letter(Kind::Firing);
        let known = Letter::known(firing.items[0].clone(), "anna", FIRED);
        assert_eq!(known.what(), "knowledge of pool_exhausted{main}");
        assert!(known.id != firing.id);
        let (_, body) = posted(ADDRESS, &known);
        assert_eq!(
            body,
            json!({
                "routing_key": "0123456789abcdef0123456789abcdef",
                "event_action": "acknowledge",
                "dedup_key": firing.items[0].key,
                "client": "mainstay",
            })
        );
    }

    #[test]
    fn a_letter_about_two_is_two_events_and_a_long_summary_is_cut() {
        let to = parse_one(ADDRESS);
        assert_eq!(posts(&pair(), &to, &sender(), 0).len(), 2);
        let long = Item { text: "x".repeat(5_000), ..item(Kind::Firing, "a", "", FIRED) };
        let body: serde_json::Value =
            serde_json::from_slice(&post(&long, false, &to, &sender()).body).unwrap();
        assert_eq!(body["payload"]["summary"].as_str().unwrap().chars().count(), SUMMARY);
    }
}
