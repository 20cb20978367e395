//! ntfy: a message to a topic. Whoever knows the topic reads along.

use super::super::super::export::receiver::Post;
use super::super::super::rules::rule::Severity;
use super::super::letter::{Letter, Sender, Status, clipped};
use super::{bearer, json};
use crate::config::receivers::{Receiver, topic};
use serde_json::json;

/// Most characters of a message; 4,096 bytes make an attachment of it.
const MESSAGE: usize = 1_000;

pub(super) fn post(letter: &Letter, to: &Receiver, sender: &Sender) -> Post {
    let (server, topic) = topic(to.url.expose()).unwrap_or((to.url.expose(), ""));
    let (priority, tag) = match (letter.status(), letter.severity()) {
        (Status::Resolved, _) => (2, "white_check_mark"),
        (Status::Firing, Severity::Warning) => (3, "warning"),
        (Status::Firing, Severity::Critical) => (5, "rotating_light"),
    };
    let mut body = json!({
        "topic": topic,
        "title": letter.title(sender),
        "message": clipped(&letter.paragraphs(sender).join("\n"), MESSAGE),
        "priority": priority,
        "tags": [tag],
    });
    if !sender.link.is_empty() {
        body["click"] = sender.link.as_str().into();
    }
    json(server, bearer(to), &body)
}

#[cfg(test)]
mod tests {
    use super::super::super::super::rules::engine::Kind;
    use super::super::super::letter::tests::letter;
    use super::super::tests::{header, posted};
    use super::*;

    #[test]
    fn a_message_goes_to_the_server_with_its_topic_and_an_end_is_less_urgent() {
        let (post, body) =
            posted("ntfy+https://ntfy.example/shop tk_0123456789abcdef", &letter(Kind::Firing));
        assert_eq!(post.url, "https://ntfy.example");
        assert_eq!(header(&post, "authorization"), Some("Bearer tk_0123456789abcdef"));
        assert_eq!(
            body,
            json!({
                "topic": "shop",
                "title": "[critical] shop: FIRING pool_exhausted{main} on host-1",
                "message": "7 wait, since 2026-11-22T10:10:52.125Z",
                "priority": 5,
                "tags": ["rotating_light"],
            })
        );
        let (_, over) = posted("ntfy+https://ntfy.example/shop", &letter(Kind::Resolved));
        assert_eq!((&over["priority"], &over["tags"][0]), (&json!(2), &json!("white_check_mark")));
    }
}
