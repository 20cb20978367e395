//! What answers tell of limits: the fields of the IETF's draft, in its tenth and in older forms, and the
//! customary `X-RateLimit-*`.

use crate::limits::settings::Fields;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::fmt::Write as _;

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Of draft 6.
const DRAFT_6: [HeaderName; 3] = [
    HeaderName::from_static("ratelimit-limit"),
    HeaderName::from_static("ratelimit-remaining"),
    HeaderName::from_static("ratelimit-reset"),
];
const X_RATELIMIT: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];

/// A limit that an answer tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    pub(crate) name: &'a str,
    pub(crate) amount: u64,
    /// Seconds.
    pub(crate) window: u64,
    pub(crate) remaining: u64,
    /// Seconds until there is more.
    pub(crate) reset: u64,
}

impl Item<'_> {
    /// Which part of it is left.
    pub(crate) fn part(&self) -> f64 {
        self.remaining as f64 / self.amount.max(1) as f64
    }
}

/// Writes what `fields` asks for: of all items where there is room for them, else of the `first`.
/// `reset_at` is when there is more of that one, seconds since the epoch.
pub(crate) fn write(
    headers: &mut HeaderMap,
    fields: Fields,
    items: &[Item<'_>],
    first: &Item<'_>,
    reset_at: u64,
) {
    if matches!(fields, Fields::Both | Fields::XRateLimit) {
        put(headers, &X_RATELIMIT, [first.amount, first.remaining, reset_at]);
    }
    match fields {
        Fields::Both | Fields::Draft10 => {
            put_text(
                headers,
                RATELIMIT,
                &listed(items, |text, it| write!(text, ";r={};t={}", it.remaining, it.reset)),
            );
            put_text(
                headers,
                RATELIMIT_POLICY,
                &listed(items, |text, it| write!(text, ";q={};w={}", it.amount, it.window)),
            );
        }
        Fields::Draft7 => {
            let Item { amount, remaining, reset, .. } = first;
            let text = format!("limit={amount}, remaining={remaining}, reset={reset}");
            put_text(headers, RATELIMIT, &text);
            put_text(headers, RATELIMIT_POLICY, &quotas(items));
        }
        Fields::Draft6 => {
            put(headers, &DRAFT_6, [first.amount, first.remaining, first.reset]);
            put_text(headers, RATELIMIT_POLICY, &quotas(items));
        }
        Fields::XRateLimit | Fields::Off => {}
    }
}

fn put(headers: &mut HeaderMap, names: &[HeaderName; 3], values: [u64; 3]) {
    for (name, value) in names.iter().zip(values) {
        headers.insert(name.clone(), HeaderValue::from(value));
    }
}

fn put_text(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    // Names of limits are made of what a field may hold.
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

/// A List of Strings with parameters, by RFC 9651.
fn listed(
    items: &[Item<'_>],
    parameters: impl Fn(&mut String, &Item<'_>) -> std::fmt::Result,
) -> String {
    let mut text = String::with_capacity(48 * items.len());
    for item in items {
        text.push_str(if text.is_empty() { "\"" } else { ", \"" });
        for character in item.name.chars() {
            match character {
                '"' | '\\' => text.extend(['\\', character]),
                ' '..='~' => text.push(character),
                _ => text.push('?'),
            }
        }
        text.push('"');
        parameters(&mut text, item).expect("writing to memory does not fail");
    }
    text
}

/// `100;w=60`, as drafts before the eighth have it.
fn quotas(items: &[Item<'_>]) -> String {
    let quotas: Vec<_> = items.iter().map(|it| format!("{};w={}", it.amount, it.window)).collect();
    quotas.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sfv::{BareItem, ListEntry, Parser};

    fn written(fields: Fields, items: &[Item<'_>]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        write(&mut headers, fields, items, &items[0], 1_700_000_030);
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    const DAY: Item<'_> =
        Item { name: "default", amount: 100, window: 60, remaining: 50, reset: 30 };

    #[test]
    fn each_form_has_its_fields() {
        let other = Item { name: "/a", amount: 5, window: 1, remaining: 0, reset: 1 };
        assert_eq!(written(Fields::Off, &[DAY]), [""; 0]);
        assert_eq!(
            written(Fields::XRateLimit, &[DAY, other]),
            [
                "x-ratelimit-limit: 100",
                "x-ratelimit-remaining: 50",
                "x-ratelimit-reset: 1700000030"
            ]
        );
        assert_eq!(
            written(Fields::Draft10, &[DAY, other]),
            [
                "ratelimit: \"default\";r=50;t=30, \"/a\";r=0;t=1",
                "ratelimit-policy: \"default\";q=100;w=60, \"/a\";q=5;w=1",
            ]
        );
        assert_eq!(
            written(Fields::Draft7, &[DAY, other]),
            ["ratelimit: limit=100, remaining=50, reset=30", "ratelimit-policy: 100;w=60, 5;w=1"]
        );
        assert_eq!(
            written(Fields::Draft6, &[DAY]),
            [
                "ratelimit-limit: 100",
                "ratelimit-remaining: 50",
                "ratelimit-reset: 30",
                "ratelimit-policy: 100;w=60",
            ]
        );
        assert_eq!(written(Fields::Both, &[DAY]).len(), 5);
    }

    /// The names and the integers of a field's parameters, by a parser of others.
    fn read(value: &str) -> Vec<(String, Vec<(String, i64)>)> {
        let list = Parser::new(value).parse::<sfv::List>().expect("a List by RFC 9651");
        let entries = list.into_iter().map(|entry| {
            let ListEntry::Item(item) = entry else { panic!("an inner list") };
            let BareItem::String(name) = item.bare_item else { panic!("no String") };
            let parameters = item.params.into_iter().map(|(key, value)| {
                let BareItem::Integer(value) = value else { panic!("no Integer") };
                (key.as_str().to_owned(), i64::from(value))
            });
            (name.as_str().to_owned(), parameters.collect())
        });
        entries.collect()
    }

    proptest! {
        #[test]
        fn what_draft_10_writes_is_read_by_a_parser_of_structured_fields(
            names in proptest::collection::vec("[ -~]{1,24}", 1..5),
            numbers in any::<[u32; 4]>(),
        ) {
            let [amount, window, remaining, reset] = numbers.map(u64::from);
            let items: Vec<_> = names
                .iter()
                .map(|name| Item { name, amount, window, remaining, reset })
                .collect();
            let lines = written(Fields::Draft10, &items);
            let [state, policy] = [0, 1].map(|at: usize| read(lines[at].split_once(": ").unwrap().1));
            for (index, name) in names.iter().enumerate() {
                let [r, t, q, w] = [remaining, reset, amount, window].map(|it| it as i64);
                prop_assert_eq!(&state[index], &(name.clone(), vec![("r".into(), r), ("t".into(), t)]));
                prop_assert_eq!(&policy[index], &(name.clone(), vec![("q".into(), q), ("w".into(), w)]));
            }
        }
    }
}
