//! Discord's webhooks.

use super::super::super::export::receiver::Post;
use super::super::letter::{Letter, Sender, clipped};
use super::{colour, fields, json};
use crate::config::receivers::Receiver;
use serde_json::{Value, json};
use std::time::Duration;

/// Most characters of each part.
const TITLE: usize = 256;
const DESCRIPTION: usize = 4_096;
const FIELD: usize = 1_024;

pub(super) fn post(letter: &Letter, to: &Receiver, sender: &Sender) -> Post {
    let mut embed = json!({
        "title": clipped(&letter.title(sender), TITLE),
        "description": clipped(&letter.paragraphs(sender).join("\n"), DESCRIPTION),
        "color": colour(letter),
    });
    if !sender.link.is_empty() {
        embed["url"] = sender.link.as_str().into();
    }
    if let [one] = letter.items.as_slice() {
        let each = fields(one, sender).into_iter();
        let each = each.map(|(name, value)| {
            json!({ "name": name, "value": clipped(&value, FIELD), "inline": true })
        });
        embed["fields"] = each.collect::<Vec<Value>>().into();
    }
    // Whatever the texts hold, nobody is called.
    let body = json!({ "embeds": [embed], "allowed_mentions": { "parse": [] } });
    json(to.url.expose(), Vec::new(), &body)
}

/// The wait that an answer asks for, in parts of a second.
pub(super) fn wanted(body: &[u8]) -> Option<Duration> {
    let body: Value = serde_json::from_slice(body).ok()?;
    Duration::try_from_secs_f64(body["retry_after"].as_f64()?).ok()
}

#[cfg(test)]
mod tests {
    use super::super::super::super::rules::engine::Kind;
    use super::super::super::letter::tests::{letter, pair};
    use super::super::tests::posted;
    use super::*;

    #[test]
    fn an_embed_has_title_text_colour_and_fields_and_calls_nobody() {
        let (_, body) = posted("discord+http://h/api/webhooks/1/x", &letter(Kind::Firing));
        let field =
            |name: &str, value: &str| json!({ "name": name, "value": value, "inline": true });
        assert_eq!(
            body,
            json!({
                "embeds": [{
                    "title": "[critical] shop: FIRING pool_exhausted{main} on host-1",
                    "description": "7 wait, since 2026-11-22T10:10:52.125Z",
                    "color": 0x00d7_3a49,
                    "fields": [
                        field("Service", "shop"), field("Host", "host-1"),
                        field("Severity", "critical"), field("Of", "main"),
                    ],
                }],
                "allowed_mentions": { "parse": [] },
            })
        );
        let mut many = pair();
        many.items[0].text = "x".repeat(9_000);
        let (_, body) = posted("discord+http://h/x", &many);
        let text = body["embeds"][0]["description"].as_str().unwrap();
        assert_eq!((text.chars().count(), body["embeds"][0].get("fields")), (DESCRIPTION, None));
    }
}
