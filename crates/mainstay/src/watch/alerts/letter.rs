//! A notification as a receiver gets it: the body that Alertmanager sends to webhooks (version 4), and what
//! signs it, as Standard Webhooks has it. Pure.

use super::super::rules::Moment;
use super::super::rules::engine::{Kind, Notice};
use super::super::rules::rule::Severity;
use crate::clock::Civil;
use crate::config::Secret;
use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// What stands for an end that is not known.
const NEVER: &str = "0001-01-01T00:00:00Z";
/// What a key begins with that is written in base64.
const ENCODED: &str = "whsec_";
/// Digits of a fingerprint.
const SHORT: usize = 16;

/// Who speaks.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) service: String,
    pub(super) version: String,
    pub(super) host: String,
}

/// One notification on its way to one receiver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Letter {
    /// The same however often it is sent.
    pub(super) id: String,
    /// `firing` or `resolved`, and of what, for the log.
    pub(super) what: String,
    pub(super) severity: Severity,
    pub(super) made: Moment,
    pub(super) body: String,
}

/// `rule{subject}`, as logs have it.
pub(super) fn name(notice: &Notice) -> String {
    match notice.subject.as_str() {
        "" => notice.rule.clone(),
        subject => format!("{}{{{subject}}}", notice.rule),
    }
}

impl Letter {
    /// The letter about `notice` for `receiver`.
    pub(super) fn of(
        notice: &Notice,
        receiver: &str,
        sender: &Sender,
        evidence: &Value,
        now: Moment,
    ) -> Letter {
        let status = if notice.kind == Kind::Resolved { "resolved" } else { "firing" };
        let key = key(sender, &notice.rule, &notice.subject);
        let id = format!("{}-{:x}-{status}", &key[..SHORT], notice.fired);
        let mut labels = Map::new();
        for (name, value) in [
            ("alertname", &*notice.rule),
            ("instance", &sender.host),
            ("service", &sender.service),
            ("severity", notice.severity.as_str()),
            (&*notice.label, &notice.subject),
        ] {
            if !name.is_empty() {
                labels.insert(name.to_owned(), value.into());
            }
        }
        let mut annotations = json!({ "summary": notice.text });
        if let Some(reason) = &notice.reason {
            annotations["reason"] = reason.as_str().into();
        }
        let ended = if status == "resolved" { time(now) } else { NEVER.to_owned() };
        let body = json!({
            "version": "4",
            "groupKey": key,
            "truncatedAlerts": 0,
            "status": status,
            "receiver": receiver,
            "groupLabels": { "alertname": notice.rule },
            "commonLabels": labels,
            "commonAnnotations": annotations,
            "externalURL": "",
            "alerts": [{
                "status": status,
                "labels": labels,
                "annotations": annotations,
                "startsAt": time(notice.fired),
                "endsAt": ended,
                "generatorURL": "",
                "fingerprint": key[..SHORT],
            }],
            "mainstay": {
                "event_id": id,
                "version": sender.version,
                "evidence": evidence,
            },
        });
        let what = format!("{status} of {}", name(notice));
        let (severity, made) = (notice.severity, now);
        Letter { id, what, severity, made, body: body.to_string() }
    }

    /// The letter that shows that a receiver can be reached.
    pub(super) fn test(receiver: &str, sender: &Sender, now: Moment) -> Letter {
        let notice = Notice {
            rule: "test".to_owned(),
            severity: Severity::Warning,
            label: String::new(),
            subject: String::new(),
            kind: Kind::Firing,
            text: "This is a test. Nothing is wrong.".to_owned(),
            fired: now,
            reason: None,
        };
        Letter::of(&notice, receiver, sender, &Value::Null, now)
    }

    /// The headers of a request that carries it at `seconds` since the Unix epoch.
    pub(super) fn headers(&self, key: Option<&Secret>, seconds: u64) -> Vec<(String, String)> {
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("webhook-id", self.id.clone()),
            ("webhook-timestamp", seconds.to_string()),
        ];
        if let Some(key) = key {
            let signed = sign(key.expose(), &self.id, seconds, &self.body);
            headers.push(("webhook-signature", signed));
        }
        headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// What is the same for all of an alert's incidents.
fn key(sender: &Sender, rule: &str, subject: &str) -> String {
    let mut hash = Sha256::new();
    for part in [&*sender.service, &*sender.host, rule, subject] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
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

/// As RFC 3339 has it, in milliseconds.
pub(super) fn time(moment: Moment) -> String {
    let Civil { year, month, day, hour, minute, second } = Civil::from_unix(moment / 1_000_000_000);
    let millis = moment / 1_000_000 % 1_000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRED: Moment = 1_795_342_252_125_000_000;

    fn sender() -> Sender {
        let [service, version, host] = ["shop", "1.2", "host-1"].map(str::to_owned);
        Sender { service, version, host }
    }

    fn letter(kind: Kind, fired: Moment) -> (Letter, Value) {
        let notice = Notice {
            rule: "pool_exhausted".to_owned(),
            severity: Severity::Critical,
            label: "pool".to_owned(),
            subject: "main".to_owned(),
            kind,
            text: "7 wait".to_owned(),
            fired,
            reason: None,
        };
        let evidence = json!({ "generation": 3 });
        let letter = Letter::of(&notice, "ops", &sender(), &evidence, FIRED + 60_000_000_000);
        let body = serde_json::from_str(&letter.body).unwrap();
        (letter, body)
    }

    #[test]
    fn a_body_is_the_one_that_alertmanager_sends() {
        let (letter, body) = letter(Kind::Firing, FIRED);
        assert_eq!(body["version"], "4");
        assert_eq!(body["status"], "firing");
        let alert = &body["alerts"][0];
        assert_eq!(alert["startsAt"], "2026-11-22T10:10:52.125Z");
        assert_eq!(alert["endsAt"], NEVER);
        assert_eq!(
            alert["labels"],
            json!({
                "alertname": "pool_exhausted", "instance": "host-1", "pool": "main",
                "service": "shop", "severity": "critical",
            })
        );
        assert_eq!(alert["annotations"]["summary"], "7 wait");
        assert_eq!(body["groupKey"].as_str().unwrap().len(), 64);
        assert_eq!(body["mainstay"]["event_id"], letter.id);
        assert_eq!(body["mainstay"]["evidence"]["generation"], 3);
        assert_eq!(letter.what, "firing of pool_exhausted{main}");
    }

    #[test]
    fn both_ends_of_an_incident_have_one_key_and_ids_of_their_own() {
        let (firing, fired) = letter(Kind::Firing, FIRED);
        let (resolved, ended) = letter(Kind::Resolved, FIRED);
        let (next, _) = letter(Kind::Firing, FIRED + 1);
        assert_eq!(fired["groupKey"], ended["groupKey"]);
        assert_eq!(ended["alerts"][0]["endsAt"], "2026-11-22T10:11:52.125Z");
        assert!(firing.id != resolved.id && firing.id != next.id);
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
        let (letter, _) = letter(Kind::Firing, FIRED);
        let key = Secret::new("not base64, but long enough".to_owned());
        let names = |key| -> Vec<String> {
            letter.headers(key, 1).into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(None).len(), 3);
        assert_eq!(names(Some(&key))[3], "webhook-signature");
    }
}
