//! A notification on its way to one receiver: what it says, whatever shape it takes. Pure.

use super::super::rules::Moment;
use super::super::rules::engine::{Kind, Notice};
use super::super::rules::rule::Severity;
use super::evidence;
use crate::clock::Civil;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Digits of a fingerprint.
const SHORT: usize = 16;

/// Who speaks.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) service: String,
    pub(super) version: String,
    pub(super) host: String,
    /// Where people look further; empty where nobody said.
    pub(super) link: String,
}

/// What an alert does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Firing,
    Resolved,
}

impl Status {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Status::Firing => "firing",
            Status::Resolved => "resolved",
        }
    }
}

/// One alert in a letter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Item {
    pub(super) status: Status,
    pub(super) rule: String,
    pub(super) severity: Severity,
    pub(super) label: String,
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) reason: Option<String>,
    /// When it fired, which tells one incident from another.
    pub(super) fired: Moment,
    /// When it was over; 0 while it fires.
    pub(super) ended: Moment,
    /// The same for all incidents of an alert.
    pub(super) key: String,
    pub(super) evidence: Value,
    /// How often it was told before that it fires.
    pub(super) round: u32,
}

/// `rule{subject}`, as logs have it.
pub(super) fn name(rule: &str, subject: &str) -> String {
    if subject.is_empty() { rule.to_owned() } else { format!("{rule}{{{subject}}}") }
}

impl Item {
    /// What `notice` says at `now`.
    pub(super) fn of(notice: &Notice, sender: &Sender, evidence: &Value, now: Moment) -> Item {
        let is_over = notice.kind == Kind::Resolved;
        Item {
            status: if is_over { Status::Resolved } else { Status::Firing },
            rule: notice.rule.clone(),
            severity: notice.severity,
            label: notice.label.clone(),
            subject: notice.subject.clone(),
            text: notice.text.clone(),
            reason: notice.reason.clone(),
            fired: notice.fired,
            ended: if is_over { now } else { 0 },
            key: key(sender, &notice.rule, &notice.subject),
            evidence: evidence.clone(),
            round: 0,
        }
    }

    /// `rule{subject}`.
    pub(super) fn name(&self) -> String {
        name(&self.rule, &self.subject)
    }

    /// A short form of the key.
    pub(super) fn fingerprint(&self) -> &str {
        &self.key[..SHORT.min(self.key.len())]
    }

    /// The same however often it is sent.
    fn id(&self) -> String {
        let id = format!("{}-{:x}-{}", self.fingerprint(), self.fired, self.status.as_str());
        if self.round == 0 { id } else { format!("{id}-{}", self.round) }
    }

    /// As Prometheus would label it.
    pub(super) fn labels(&self, sender: &Sender) -> Map<String, Value> {
        let all = [
            ("alertname", &*self.rule),
            ("instance", &sender.host),
            ("service", &sender.service),
            ("severity", self.severity.as_str()),
            (&*self.label, &self.subject),
        ];
        let named = all.into_iter().filter(|(name, _)| !name.is_empty());
        named.map(|(name, value)| (name.to_owned(), value.into())).collect()
    }

    pub(super) fn annotations(&self) -> Map<String, Value> {
        let mut all = Map::from_iter([("summary".to_owned(), self.text.as_str().into())]);
        if let Some(reason) = &self.reason {
            all.insert("reason".to_owned(), reason.as_str().into());
        }
        all
    }

    /// `FIRING not_ready`, for people.
    fn title(&self) -> String {
        format!("{} {}", self.status.as_str().to_uppercase(), self.name())
    }

    /// What there is to say of it, for people, in one paragraph.
    pub(super) fn detail(&self) -> String {
        let reason = self.reason.as_ref().map_or(String::new(), |it| format!(" ({it})"));
        let when = match self.status {
            Status::Firing => format!("since {}", time(self.fired)),
            Status::Resolved => format!("from {} to {}", time(self.fired), time(self.ended)),
        };
        format!("{}{reason}{}, {when}", self.text, evidence::words(&self.evidence))
    }
}

/// One notification on its way to one receiver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Letter {
    /// The same however often it is sent.
    pub(super) id: String,
    pub(super) made: Moment,
    /// Why it is sent in this way, where that is not plain.
    pub(super) note: Option<String>,
    /// It was handed over to another receiver, or comes from another one: no further one gets it.
    pub(super) is_handed: bool,
    /// It says that somebody knows of what fires, and who.
    #[serde(default)]
    pub(super) known_by: Option<String>,
    /// Nobody says again that it goes on: it holds until its end is told.
    #[serde(default)]
    pub(super) is_said_once: bool,
    /// Never empty.
    pub(super) items: Vec<Item>,
}

impl Letter {
    /// A letter about these, which are not empty.
    pub(super) fn of(items: Vec<Item>, note: Option<String>, now: Moment) -> Letter {
        let id = match items.as_slice() {
            [one] => one.id(),
            many => {
                let mut hash = Sha256::new();
                many.iter().for_each(|it| hash.update(it.id()));
                format!("{}-{}", &hex(&hash.finalize())[..SHORT], many.len())
            }
        };
        let (is_handed, is_said_once) = (false, false);
        Letter { id, made: now, note, is_handed, known_by: None, is_said_once, items }
    }

    /// The letter that says that somebody knows of an alert that was told.
    pub(super) fn known(item: Item, by: &str, now: Moment) -> Letter {
        let letter = Letter::of(vec![item], None, now);
        Letter { id: format!("{}-known", letter.id), known_by: Some(by.to_owned()), ..letter }
    }

    /// The letter that shows that a receiver can be reached.
    pub(super) fn test(sender: &Sender, now: Moment) -> Letter {
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
        Letter::of(vec![Item::of(&notice, sender, &Value::Null, now)], None, now)
    }

    /// That of the gravest.
    pub(super) fn severity(&self) -> Severity {
        self.items.iter().map(|it| it.severity).max().unwrap_or(Severity::Warning)
    }

    /// Whether something in it fires.
    pub(super) fn status(&self) -> Status {
        let fires = self.items.iter().any(|it| it.status == Status::Firing);
        if fires { Status::Firing } else { Status::Resolved }
    }

    /// `firing of not_ready`, for the log.
    pub(super) fn what(&self) -> String {
        let word =
            |it: &Item| if self.known_by.is_some() { "knowledge" } else { it.status.as_str() };
        let each = self.items.iter().map(|it| format!("{} of {}", word(it), it.name()));
        each.collect::<Vec<_>>().join(", ")
    }

    /// Its title, for people.
    pub(super) fn title(&self, sender: &Sender) -> String {
        let service = &sender.service;
        match self.items.as_slice() {
            [one] => format!("[{}] {service}: {} on {}", grade(one), one.title(), sender.host),
            many => {
                let fire = many.iter().filter(|it| it.status == Status::Firing).count();
                let over = many.len() - fire;
                format!("{service}: {fire} alerts fire, {over} are over, on {}", sender.host)
            }
        }
    }

    /// What it says below the title, for people: the link, so that no channel's limit cuts it off, a paragraph for
    /// each alert, and the note.
    pub(super) fn paragraphs(&self, sender: &Sender) -> Vec<String> {
        let is_one = self.items.len() == 1;
        let each = self.items.iter().map(|it| {
            if is_one {
                it.detail()
            } else {
                format!("[{}] {}: {}", grade(it), it.title(), it.detail())
            }
        });
        let note = self.note.iter().map(|it| format!("({it})"));
        let is_many = self.items.len() > 1;
        let link = || Some(sender.link.clone()).filter(|it| !it.is_empty()).into_iter();
        let (first, last) = (link().filter(|_| is_many), link().filter(|_| !is_many));
        first.chain(each).chain(note).chain(last).collect()
    }
}

fn grade(item: &Item) -> &'static str {
    match item.status {
        Status::Resolved => "over",
        Status::Firing => item.severity.as_str(),
    }
}

/// The beginning of a text, of so many characters at most.
pub(super) fn clipped(text: &str, most: usize) -> String {
    match text.char_indices().nth(most.saturating_sub(1)) {
        Some((end, last)) if end + last.len_utf8() < text.len() => format!("{}…", &text[..end]),
        _ => text.to_owned(),
    }
}

/// What is the same for all of an alert's incidents.
pub(super) fn key(sender: &Sender, rule: &str, subject: &str) -> String {
    let mut hash = Sha256::new();
    for part in [&*sender.service, &*sender.host, rule, subject] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize())
}

/// A short form of the key, for people.
pub(super) fn fingerprint(sender: &Sender, rule: &str, subject: &str) -> String {
    let mut key = key(sender, rule, subject);
    key.truncate(SHORT);
    key
}

fn hex(bytes: &[u8]) -> String {
    let digit = |it: u8| char::from(b"0123456789abcdef"[usize::from(it)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// As RFC 3339 has it, in milliseconds.
pub(super) fn time(moment: Moment) -> String {
    let Civil { year, month, day, hour, minute, second } = Civil::from_unix(moment / 1_000_000_000);
    let millis = moment / 1_000_000 % 1_000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    pub(in super::super) const FIRED: Moment = 1_795_342_252_125_000_000;

    pub(in super::super) fn sender() -> Sender {
        let [service, version, host, link] = ["shop", "1.2", "host-1", ""].map(str::to_owned);
        Sender { service, version, host, link }
    }

    pub(in super::super) fn item(kind: Kind, rule: &str, subject: &str, fired: Moment) -> Item {
        let notice = Notice {
            rule: rule.to_owned(),
            severity: Severity::Critical,
            label: if subject.is_empty() { String::new() } else { "pool".to_owned() },
            subject: subject.to_owned(),
            kind,
            text: "7 wait".to_owned(),
            fired,
            reason: None,
        };
        Item::of(&notice, &sender(), &json!({ "generation": 3 }), FIRED + 60_000_000_000)
    }

    /// One alert's, or that of two.
    pub(in super::super) fn letter(kind: Kind) -> Letter {
        let items = vec![item(kind, "pool_exhausted", "main", FIRED)];
        Letter::of(items, None, FIRED + 60_000_000_000)
    }

    pub(in super::super) fn pair() -> Letter {
        let items = vec![
            item(Kind::Firing, "pool_exhausted", "main", FIRED),
            item(Kind::Resolved, "not_ready", "", FIRED),
        ];
        Letter::of(items, Some("so it is".to_owned()), FIRED + 60_000_000_000)
    }

    #[test]
    fn both_ends_of_an_incident_have_one_key_and_ids_of_their_own() {
        let (firing, resolved) = (letter(Kind::Firing), letter(Kind::Resolved));
        let next =
            Letter::of(vec![item(Kind::Firing, "pool_exhausted", "main", FIRED + 1)], None, 0);
        let again = Item { round: 1, ..firing.items[0].clone() };
        let again = Letter::of(vec![again], None, 0);
        assert_eq!(firing.items[0].key, resolved.items[0].key);
        assert_eq!(firing.items[0].key.len(), 64);
        let ids: std::collections::HashSet<_> =
            [&firing, &resolved, &next, &again, &pair()].map(|it| it.id.clone()).into();
        assert_eq!(ids.len(), 5);
    }

    #[test]
    fn people_read_what_it_is_about_first() {
        let one = letter(Kind::Firing);
        assert_eq!(one.what(), "firing of pool_exhausted{main}");
        let title = one.title(&sender());
        assert_eq!(title, "[critical] shop: FIRING pool_exhausted{main} on host-1");
        assert_eq!(one.paragraphs(&sender()), ["7 wait, since 2026-11-22T10:10:52.125Z"]);
        let two = pair();
        assert_eq!(two.title(&sender()), "shop: 1 alerts fire, 1 are over, on host-1");
        assert_eq!(two.paragraphs(&sender()).len(), 3);
        assert!(
            two.paragraphs(&sender())[1].starts_with("[over] RESOLVED not_ready: 7 wait, from ")
        );
        assert_eq!(
            (clipped("abcd", 4), clipped("abcde", 4)),
            ("abcd".to_owned(), "abc…".to_owned())
        );
    }
}
