//! Microsoft Teams, by a workflow that posts the adaptive card that it is sent.

use super::super::super::export::receiver::Post;
use super::super::super::rules::rule::Severity;
use super::super::letter::{Letter, Sender, Status, clipped};
use super::{fields, json};
use crate::config::receivers::Receiver;
use serde_json::{Value, json};

/// Most characters of a paragraph, and most paragraphs: 28 kB in all are taken.
const PARAGRAPH: usize = 1_000;
const PARAGRAPHS: usize = 20;

pub(super) fn post(letter: &Letter, to: &Receiver, sender: &Sender) -> Post {
    let colour = match (letter.status(), letter.severity()) {
        (Status::Resolved, _) => "Good",
        (Status::Firing, Severity::Warning) => "Warning",
        (Status::Firing, Severity::Critical) => "Attention",
    };
    let mut card = vec![json!({
        "type": "TextBlock", "text": letter.title(sender), "weight": "Bolder", "size": "Medium",
        "wrap": true, "style": "heading", "color": colour,
    })];
    let paragraphs = letter.paragraphs(sender);
    card.extend(paragraphs.iter().take(PARAGRAPHS).map(
        |text| json!({ "type": "TextBlock", "text": clipped(text, PARAGRAPH), "wrap": true }),
    ));
    if let [one] = letter.items.as_slice() {
        let facts = fields(one, sender).into_iter();
        let facts = facts.map(|(name, value)| json!({ "title": name, "value": value }));
        card.push(json!({ "type": "FactSet", "facts": facts.collect::<Vec<Value>>() }));
    }
    let body = json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.2",
                "body": card,
                "msteams": { "width": "Full" },
            },
        }],
    });
    json(to.url.expose(), Vec::new(), &body)
}

#[cfg(test)]
mod tests {
    use super::super::super::super::rules::engine::Kind;
    use super::super::super::letter::tests::{letter, pair};
    use super::super::tests::posted;
    use super::*;

    #[test]
    fn a_card_has_a_heading_in_a_colour_a_text_and_facts() {
        let (_, body) = posted("teams+http://h/workflows/x", &letter(Kind::Firing));
        let fact = |title: &str, value: &str| json!({ "title": title, "value": value });
        let content = &body["attachments"][0]["content"];
        assert_eq!(body["type"], "message");
        assert_eq!(
            body["attachments"][0]["contentType"],
            "application/vnd.microsoft.card.adaptive"
        );
        assert_eq!(
            (&content["type"], &content["version"]),
            (&json!("AdaptiveCard"), &json!("1.2"))
        );
        assert_eq!(
            content["body"],
            json!([
                {
                    "type": "TextBlock", "text": "[critical] shop: FIRING pool_exhausted{main} on host-1",
                    "weight": "Bolder", "size": "Medium", "wrap": true, "style": "heading",
                    "color": "Attention",
                },
                { "type": "TextBlock", "text": "7 wait, since 2026-11-22T10:10:52.125Z", "wrap": true },
                { "type": "FactSet", "facts": [
                    fact("Service", "shop"), fact("Host", "host-1"), fact("Severity", "critical"),
                    fact("Of", "main"),
                ] },
            ])
        );
        let mut many = pair();
        let one = many.items[0].clone();
        many.items = vec![one; 400];
        many.items.iter_mut().for_each(|it| it.text = "x".repeat(5_000));
        assert!(posted("teams+http://h/x", &many).0.body.len() < 28_000);
    }
}
