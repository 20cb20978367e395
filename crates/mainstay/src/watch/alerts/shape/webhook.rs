//! A webhook: the body that Alertmanager sends (version 4), signed as Standard Webhooks has it. Programs get the
//! same body.

use super::super::super::export::receiver::Post;
use super::super::letter::{Letter, Sender, Status, key, time};
use crate::config::receivers::Receiver;
use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;

/// What stands for an end that is not known.
const NEVER: &str = "0001-01-01T00:00:00Z";
/// What a key begins with that is written in base64.
const ENCODED: &str = "whsec_";

pub(super) fn post(letter: &Letter, to: &Receiver, sender: &Sender, seconds: u64) -> Post {
    let body = body(letter, to, sender).to_string();
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        ("webhook-id", letter.id.clone()),
        ("webhook-timestamp", seconds.to_string()),
    ];
    if let Some(key) = &to.key {
        headers.push(("webhook-signature", sign(key.expose(), &letter.id, seconds, &body)));
    }
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Post { url: to.url.expose().to_owned(), headers, body: body.into_bytes() }
}

/// What it says.
pub(super) fn body(letter: &Letter, to: &Receiver, sender: &Sender) -> Value {
    let alerts: Vec<_> = letter
        .items
        .iter()
        .map(|item| {
            let ended =
                if item.status == Status::Resolved { time(item.ended) } else { NEVER.to_owned() };
            json!({
                "status": item.status.as_str(),
                "labels": item.labels(sender),
                "annotations": item.annotations(),
                "startsAt": time(item.fired),
                "endsAt": ended,
                "generatorURL": sender.link,
                "fingerprint": item.fingerprint(),
            })
        })
        .collect();
    let (group, labels) = match letter.items.as_slice() {
        [one] => (one.key.clone(), json!({ "alertname": one.rule })),
        _ => (key(sender, "", &to.name), json!({ "service": sender.service })),
    };
    let mut own = json!({ "event_id": letter.id, "version": sender.version });
    // The evidence of a moment is the same for all that it is about.
    let evidence = letter.items.iter().map(|it| &it.evidence).find(|it| !it.is_null());
    own["evidence"] = evidence.cloned().unwrap_or_default();
    if let Some(note) = &letter.note {
        own["note"] = note.as_str().into();
    }
    let common = |of: &dyn Fn(usize) -> Map<String, Value>| {
        let mut common = of(0);
        for index in 1..letter.items.len() {
            let other = of(index);
            common.retain(|name, value| other.get(name) == Some(value));
        }
        common
    };
    json!({
        "version": "4",
        "groupKey": group,
        "truncatedAlerts": 0,
        "status": letter.status().as_str(),
        "receiver": to.name,
        "groupLabels": labels,
        "commonLabels": common(&|it| letter.items[it].labels(sender)),
        "commonAnnotations": common(&|it| letter.items[it].annotations()),
        "externalURL": sender.link,
        "alerts": alerts,
        "mainstay": own,
    })
}

fn sign(key: &str, id: &str, seconds: u64, body: &str) -> String {
    let encoded = key.strip_prefix(ENCODED).and_then(|it| Base64::decode_vec(it).ok());
    let bytes = encoded.unwrap_or_else(|| key.as_bytes().to_vec());
    let mut mac = Hmac::<Sha256>::new_from_slice(&bytes).expect("HMAC takes keys of every length");
    for part in [id, ".", &seconds.to_string(), ".", body] {
        mac.update(part.as_bytes());
    }
    format!("v1,{}", Base64::encode_string(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::super::super::super::rules::engine::Kind;
    use super::super::super::letter::tests::{letter, pair};
    use super::super::tests::{header, posted};
    use super::*;

    #[test]
    fn a_body_is_the_one_that_alertmanager_sends() {
        let firing = letter(Kind::Firing);
        let (post, body) = posted("http://h/x", &firing);
        assert_eq!((&body["version"], &body["status"]), (&json!("4"), &json!("firing")));
        let alert = &body["alerts"][0];
        assert_eq!(alert["startsAt"], "2026-11-22T10:10:52.125Z");
        assert_eq!(alert["endsAt"], NEVER);
        let labels = json!({
            "alertname": "pool_exhausted", "instance": "host-1", "pool": "main",
            "service": "shop", "severity": "critical",
        });
        assert_eq!((&alert["labels"], &body["commonLabels"]), (&labels, &labels));
        assert_eq!(alert["annotations"]["summary"], "7 wait");
        assert_eq!(body["groupKey"].as_str().unwrap().len(), 64);
        assert_eq!(body["mainstay"]["event_id"], firing.id);
        assert_eq!(body["mainstay"]["evidence"]["generation"], 3);
        assert_eq!(header(&post, "webhook-id"), Some(&*firing.id));
        assert_eq!(header(&post, "webhook-signature"), None);
        let (_, over) = posted("http://h/x", &letter(Kind::Resolved));
        assert_eq!(over["groupKey"], body["groupKey"]);
        assert_eq!(over["alerts"][0]["endsAt"], "2026-11-22T10:11:52.125Z");
    }

    #[test]
    fn a_group_fires_while_one_of_it_does_and_has_in_common_what_all_have() {
        let (_, body) = posted("http://h/x", &pair());
        assert_eq!(
            (&body["status"], body["alerts"].as_array().unwrap().len()),
            (&json!("firing"), 2)
        );
        let common = json!({ "instance": "host-1", "service": "shop", "severity": "critical" });
        assert_eq!(
            (&body["commonLabels"], &body["groupLabels"]),
            (&common, &json!({ "service": "shop" }))
        );
        assert_eq!(body["mainstay"]["note"], "so it is");
    }

    #[test]
    fn a_signature_is_that_of_standard_webhooks() {
        // The example of its specification.
        let signature = sign(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            "{\"test\": 2432232314}",
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let (post, _) = posted("http://h/x not-base64-but-long-enough", &letter(Kind::Firing));
        assert!(header(&post, "webhook-signature").unwrap().starts_with("v1,"));
    }
}
