//! Slack's incoming webhooks, and whoever speaks as they do (Mattermost, Rocket.Chat).

use super::super::super::export::receiver::Post;
use super::super::letter::{Letter, Sender, clipped};
use super::{colour, fields, json};
use crate::config::receivers::Receiver;
use serde_json::{Value, json};

/// Most characters of a block.
const BLOCK: usize = 3_000;
/// Most blocks of a message, the first one included.
const BLOCKS: usize = 50;

pub(super) fn post(letter: &Letter, to: &Receiver, sender: &Sender) -> Post {
    let title = plain(&letter.title(sender));
    let paragraphs = letter.paragraphs(sender);
    let text = |text: &str| json!({ "type": "mrkdwn", "text": clipped(text, BLOCK) });
    let mut blocks = vec![json!({ "type": "section", "text": text(&format!("*{title}*")) })];
    let section = |it: &String| json!({ "type": "section", "text": text(&plain(it)) });
    blocks.extend(paragraphs.iter().map(section).take(BLOCKS - 2));
    if let [one] = letter.items.as_slice() {
        let each = fields(one, sender).into_iter();
        let each = each.map(|(name, value)| text(&format!("*{name}:* {}", plain(&value))));
        blocks.push(json!({ "type": "context", "elements": each.collect::<Vec<Value>>() }));
    }
    let body = json!({
        "text": title,
        "attachments": [{ "color": format!("#{:06x}", colour(letter)), "blocks": blocks }],
    });
    json(to.url.expose(), Vec::new(), &body)
}

/// A text that means nothing but itself.
fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::super::super::rules::engine::Kind;
    use super::super::super::letter::tests::{letter, pair};
    use super::super::tests::posted;
    use super::*;

    #[test]
    fn a_message_has_a_text_for_notifications_and_blocks_in_a_colour() {
        let (post, body) = posted("slack+http://h/services/x", &letter(Kind::Firing));
        assert_eq!(post.url, "http://h/services/x");
        let title = "[critical] shop: FIRING pool_exhausted{main} on host-1";
        let mrkdwn = |text: &str| json!({ "type": "mrkdwn", "text": text });
        assert_eq!(
            body,
            json!({
                "text": title,
                "attachments": [{
                    "color": "#d73a49",
                    "blocks": [
                        { "type": "section", "text": mrkdwn(&format!("*{title}*")) },
                        { "type": "section", "text": mrkdwn("7 wait, since 2026-11-22T10:10:52.125Z") },
                        { "type": "context", "elements": [
                            mrkdwn("*Service:* shop"), mrkdwn("*Host:* host-1"),
                            mrkdwn("*Severity:* critical"), mrkdwn("*Of:* main"),
                        ] },
                    ],
                }],
            })
        );
        assert_eq!(
            posted("slack+http://h/x", &letter(Kind::Resolved)).1["attachments"][0]["color"],
            "#2ea043"
        );
    }

    #[test]
    fn what_an_application_has_named_addresses_nobody() {
        let mut many = pair();
        many.items[0].text = "<!channel> & <http://h|x>".to_owned();
        let (_, body) = posted("slack+http://h/x", &many);
        let text = body["attachments"][0]["blocks"][1]["text"]["text"].as_str().unwrap();
        assert!(text.contains("&lt;!channel&gt; &amp; &lt;http://h|x&gt;"), "{text}");
        many.items[0].text = "<".repeat(9_000);
        let (_, body) = posted("slack+http://h/x", &many);
        let text = body["attachments"][0]["blocks"][1]["text"]["text"].as_str().unwrap();
        assert!(text.chars().count() <= BLOCK);
    }
}
