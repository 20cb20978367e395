//! The shapes that notifications take: what each kind of receiver is sent for a letter. A file for each, all of
//! the same form; pure, but for the two that are no requests, programs and mail.

mod alertmanager;
mod discord;
mod exec;
#[cfg(feature = "mail")]
mod mail;
mod ntfy;
mod pagerduty;
mod slack;
mod teams;
mod webhook;

use super::super::export::client::Client;
use super::super::export::receiver::{Answer, Post};
use super::letter::{Item, Letter, Sender, Status};
use super::pace::{self, Verdict};
use crate::clock;
use crate::config::receivers::{Receiver, Shape};
use serde_json::Value;
use std::time::Duration;

/// For an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What became of an attempt, and how that was told: `status 200`.
pub(super) type Outcome = (Verdict, String);

/// Sends a letter once. Without an answer there is the reason, which shows nothing of the address.
///
/// # Errors
/// The same.
pub(super) fn send(
    client: &Client,
    to: &Receiver,
    letter: &Letter,
    sender: &Sender,
) -> Result<Outcome, String> {
    match to.shape {
        Shape::Exec => exec::run(letter, to, sender),
        Shape::Mail => post_mail(letter, to, sender),
        _ => request(client, to, letter, sender),
    }
}

#[cfg(feature = "mail")]
fn post_mail(letter: &Letter, to: &Receiver, sender: &Sender) -> Result<Outcome, String> {
    mail::send(letter, to, sender)
}

/// The configuration has refused it.
#[cfg(not(feature = "mail"))]
fn post_mail(_: &Letter, _: &Receiver, _: &Sender) -> Result<Outcome, String> {
    Err("the program was built without the feature mail".to_owned())
}

fn request(
    client: &Client,
    to: &Receiver,
    letter: &Letter,
    sender: &Sender,
) -> Result<Outcome, String> {
    let seconds = clock::wall() / 1_000_000_000;
    let mut last = (Verdict::Taken, String::new());
    for post in posts(letter, to, sender, seconds) {
        let judged = |answer: &Answer<'_>| (judge(to.shape, answer, seconds), answer.status);
        let (verdict, status) = client.send(&post, judged).map_err(|reason| hidden(reason, to))?;
        last = (verdict, format!("status {status}"));
        // What was taken of it is known there by its key, and may come again.
        if last.0 != Verdict::Taken {
            break;
        }
    }
    Ok(last)
}

/// The requests for a letter at `seconds` since the Unix epoch.
fn posts(letter: &Letter, to: &Receiver, sender: &Sender, seconds: u64) -> Vec<Post> {
    match to.shape {
        Shape::Webhook | Shape::Exec | Shape::Mail => {
            vec![webhook::post(letter, to, sender, seconds)]
        }
        Shape::Alertmanager => vec![alertmanager::post(letter, to, sender, seconds)],
        Shape::PagerDuty => pagerduty::posts(letter, to, sender),
        Shape::Slack => vec![slack::post(letter, to, sender)],
        Shape::Discord => vec![discord::post(letter, to, sender)],
        Shape::Teams => vec![teams::post(letter, to, sender)],
        Shape::Ntfy => vec![ntfy::post(letter, to, sender)],
    }
}

/// What an answer means.
fn judge(shape: Shape, answer: &Answer<'_>, seconds: u64) -> Verdict {
    match (pace::judge(answer, seconds), shape) {
        (Verdict::Again(None), Shape::Discord) => Verdict::Again(discord::wanted(answer.body)),
        (Verdict::Again(None), Shape::PagerDuty) if answer.status == 429 => {
            Verdict::Again(Some(pagerduty::BUSY))
        }
        (verdict, _) => verdict,
    }
}

/// A request with a body of JSON.
fn json(url: &str, more: Vec<(&str, String)>, body: &Value) -> Post {
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    headers.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Post { url: url.to_owned(), headers, body: body.to_string().into_bytes() }
}

/// What lets in whoever has a key.
fn bearer(to: &Receiver) -> Vec<(&'static str, String)> {
    let key = to.key.iter();
    key.map(|key| ("authorization", format!("Bearer {}", key.expose()))).collect()
}

/// A colour for what it is about, as a number.
fn colour(letter: &Letter) -> u32 {
    use super::super::rules::rule::Severity;
    match (letter.status(), letter.severity()) {
        (Status::Resolved, _) => 0x2e_a0_43,
        (Status::Firing, Severity::Warning) => 0xd2_99_22,
        (Status::Firing, Severity::Critical) => 0xd7_3a_49,
    }
}

/// What is told of single alerts in fields.
fn fields(item: &Item, sender: &Sender) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("Service", sender.service.clone()),
        ("Host", sender.host.clone()),
        ("Severity", item.severity.as_str().to_owned()),
    ];
    if !item.subject.is_empty() {
        fields.push(("Of", item.subject.clone()));
    }
    fields
}

/// The reason, unless it shows what may be a secret: a path, a query or a key.
fn hidden(reason: String, to: &Receiver) -> String {
    let url = to.url.expose();
    let rest = url.split_once("//").map_or(url, |(_, rest)| rest);
    let path = rest.find(['/', '?']).map_or("", |at| &rest[at..]);
    let shows = |part: &str| part.len() > 1 && reason.contains(part);
    let key = to.key.as_ref().map_or("", |key| key.expose());
    if shows(url) || shows(path) || shows(key) { "it cannot be reached".to_owned() } else { reason }
}

#[cfg(test)]
mod tests {
    use super::super::super::rules::engine::Kind;
    use super::super::letter::tests::{letter, pair, sender};
    use super::*;
    use crate::config::receivers::parse;

    /// The receiver of this address.
    pub(super) fn parse_one(address: &str) -> Receiver {
        parse(&format!("ops={address}")).unwrap().remove(0)
    }

    /// The only request for a letter to this address, with its body read.
    pub(super) fn posted(address: &str, letter: &Letter) -> (Post, Value) {
        let to = parse_one(address);
        let mut all = posts(letter, &to, &sender(), 1_795_342_300);
        assert_eq!(all.len(), 1);
        let post = all.remove(0);
        let body = serde_json::from_slice(&post.body).unwrap();
        (post, body)
    }

    /// A header of a request.
    pub(super) fn header<'a>(post: &'a Post, name: &str) -> Option<&'a str> {
        post.headers.iter().find(|(it, _)| it == name).map(|(_, value)| &**value)
    }

    #[test]
    fn a_reason_never_shows_where_it_was_sent_to() {
        let text = "ops=http://hooks.example/services/T0/hunter2?x=1 0123456789abcdef";
        let to = parse(text).unwrap().remove(0);
        let hides = |reason: &str| hidden(reason.to_owned(), &to);
        let url = to.url.expose();
        for reason in ["bad uri: /services/T0/hunter2?x=1", url, "Bearer 0123456789abcdef"] {
            assert_eq!(hides(reason), "it cannot be reached");
        }
        assert_eq!(hides("Connection refused"), "Connection refused");
        let plain = parse("ops=http://host/").unwrap().remove(0);
        assert_eq!(hidden("a/b".to_owned(), &plain), "a/b");
    }

    #[test]
    fn each_service_says_in_its_own_way_when_it_wants_to_be_asked_again() {
        let headers = [("retry-after".to_owned(), "3".to_owned())];
        let after = |millis| Verdict::Again(Some(Duration::from_millis(millis)));
        let of = |shape, status, body: &str, headers: &[(String, String)]| {
            judge(shape, &Answer { status, headers, body: body.as_bytes() }, 0)
        };
        let body =
            r#"{"message":"You are being rate limited.","retry_after":0.376,"global":false}"#;
        assert_eq!(of(Shape::Discord, 429, body, &[]), after(376));
        assert_eq!(of(Shape::Discord, 429, "<html>", &[]), Verdict::Again(None));
        assert_eq!(of(Shape::Discord, 429, body, &headers), after(3_000));
        assert_eq!(of(Shape::PagerDuty, 429, "", &[]), after(60_000));
        assert_eq!(of(Shape::PagerDuty, 202, "", &[]), Verdict::Taken);
        assert_eq!(of(Shape::Slack, 404, "no_service", &headers), Verdict::Refused);
        assert_eq!(of(Shape::Teams, 429, "", &headers), after(3_000));
    }

    #[test]
    fn everybody_is_told_where_to_look_further() {
        let link = "https://ops.example/shop";
        let sender = Sender { link: link.to_owned(), ..sender() };
        for (address, place) in [
            ("http://h/x", "/externalURL"),
            ("http://h/x", "/alerts/0/generatorURL"),
            ("alertmanager+http://h", "/0/generatorURL"),
            ("pagerduty+http://h/v2/enqueue 0123456789abcdef0123456789abcdef", "/client_url"),
            ("slack+http://h/x", "/attachments/0/blocks/2/text/text"),
            ("discord+http://h/x", "/embeds/0/url"),
            ("teams+http://h/x", "/attachments/0/content/body/2/text"),
            ("ntfy+http://h/topic", "/click"),
        ] {
            let to = parse_one(address);
            let posts = posts(&letter(Kind::Firing), &to, &sender, 1_795_342_300);
            let body: Value = serde_json::from_slice(&posts[0].body).unwrap();
            assert_eq!(
                body.pointer(place).and_then(Value::as_str),
                Some(link),
                "{address}: {body}"
            );
        }
    }

    #[test]
    fn no_body_shows_a_key_or_an_address() {
        for address in [
            "http://h/hunter2/x hunter2hunter2hunter2",
            "alertmanager+http://h/hunter2 hunter2hunter2hunter2",
            "slack+http://h/hunter2",
            "discord+http://h/hunter2",
            "teams+http://h/hunter2",
            "ntfy+http://h/topic hunter2hunter2hunter2",
        ] {
            for letter in [letter(Kind::Firing), letter(Kind::Resolved), pair()] {
                let (post, body) = posted(address, &letter);
                assert!(!body.to_string().contains("hunter2"), "{address}: {body}");
                assert!(!format!("{post:?}").contains("hunter2"), "{address}");
            }
        }
    }
}
