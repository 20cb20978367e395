//! What answers tell of limits: the fields of the IETF's draft, in its tenth and in older forms, and the
//! customary `X-RateLimit-*`.

use crate::limits::settings::Fields;
use crate::log::digits;
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};

const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Of draft 6.
const DRAFT_6: [HeaderName; 3] = [
    HeaderName::from_static("ratelimit-limit"),
    HeaderName::from_static("ratelimit-remaining"),
    HeaderName::from_static("ratelimit-reset"),
];
/// The customary ones, and that of the newest draft.
const BOTH: [HeaderName; 4] = [
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
    HeaderName::from_static("ratelimit"),
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

/// Most fields that an answer tells of limits in, `Retry-After` among them.
const MOST: usize = 6;

/// Writes what `fields` asks for: of all items where there is room for them, else of the `first`.
/// `reset_at` is when there is more of that one, seconds since the epoch. `policy` is what [`policy`] gives
/// for these items, where it is known.
pub(crate) fn write(
    headers: &mut HeaderMap,
    fields: Fields,
    items: &[Item<'_>],
    first: &Item<'_>,
    reset_at: u64,
    policy: Option<&HeaderValue>,
) {
    headers.reserve(MOST);
    let mut values =
        Values { text: Vec::with_capacity(64 + 48 * items.len()), ends: [0; MOST], count: 0 };
    let names: &[HeaderName] = match fields {
        Fields::Both => &BOTH,
        Fields::XRateLimit => &BOTH[..3],
        Fields::Draft10 | Fields::Draft7 => &BOTH[3..4],
        Fields::Draft6 => &DRAFT_6,
        Fields::Off => return,
    };
    let Item { amount, remaining, reset, .. } = *first;
    match fields {
        Fields::Both | Fields::XRateLimit => values.numbers([amount, remaining, reset_at]),
        Fields::Draft6 => values.numbers([amount, remaining, reset]),
        _ => {}
    }
    match fields {
        Fields::Both | Fields::Draft10 => {
            values.put(|text| list(text, items, |it| [(b";r=", it.remaining), (b";t=", it.reset)]));
        }
        Fields::Draft7 => values.put(|text| {
            let all = format!("limit={amount}, remaining={remaining}, reset={reset}");
            text.extend_from_slice(all.as_bytes());
        }),
        _ => {}
    }
    values.insert(headers, names);
    if fields != Fields::XRateLimit {
        let known = policy.cloned().or_else(|| self::policy(fields, items));
        known.map(|value| headers.insert(RATELIMIT_POLICY, value));
    }
}

/// The value of `RateLimit-Policy`, which says the same of the same limits each time.
pub(crate) fn policy(fields: Fields, items: &[Item<'_>]) -> Option<HeaderValue> {
    let mut text = Vec::with_capacity(48 * items.len());
    match fields {
        Fields::Both | Fields::Draft10 => {
            list(&mut text, items, |it| [(b";q=", it.amount), (b";w=", it.window)]);
        }
        Fields::Draft7 | Fields::Draft6 => quotas(&mut text, items),
        Fields::XRateLimit | Fields::Off => return None,
    }
    // Names of limits are made of what a field may hold.
    HeaderValue::from_maybe_shared(Bytes::from(text)).ok()
}

/// Writes what draft 10 says to whom a limit of requests at once has refused; older forms have no words for it. There may
/// be room in a moment, which is `wait` seconds.
pub(super) fn at_once(headers: &mut HeaderMap, fields: Fields, item: &Item<'_>, wait: u64) {
    if !matches!(fields, Fields::Both | Fields::Draft10) {
        return;
    }
    let (mut state, mut policy) = (Vec::new(), Vec::new());
    list(&mut state, &[*item], |_| [(b";r=", 0), (b";t=", wait)]);
    list(&mut policy, &[*item], |it| [(b";q=", it.amount)]);
    policy.extend_from_slice(b";qu=\"concurrent-requests\"");
    for (name, text) in [(&BOTH[3], state), (&RATELIMIT_POLICY, policy)] {
        if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(text)) {
            headers.insert(name.clone(), value);
        }
    }
}

/// Values of fields, written one behind the other into memory that they then share: nearly every answer has
/// them.
struct Values {
    text: Vec<u8>,
    /// Where each of them ends.
    ends: [usize; MOST],
    count: usize,
}

impl Values {
    fn put(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.text);
        self.ends[self.count] = self.text.len();
        self.count += 1;
    }

    fn numbers(&mut self, numbers: [u64; 3]) {
        for number in numbers {
            self.put(|text| digits::push(text, number));
        }
    }

    fn insert(self, headers: &mut HeaderMap, names: &[HeaderName]) {
        let shared = Bytes::from(self.text);
        let mut from = 0;
        for (name, to) in names.iter().zip(&self.ends[..self.count]) {
            // Names of limits are made of what a field may hold.
            if let Ok(value) = HeaderValue::from_maybe_shared(shared.slice(from..*to)) {
                headers.insert(name.clone(), value);
            }
            from = *to;
        }
    }
}

/// A List of Strings with parameters, by RFC 9651.
fn list<const N: usize>(
    text: &mut Vec<u8>,
    items: &[Item<'_>],
    parameters: impl Fn(&Item<'_>) -> [(&'static [u8; 3], u64); N],
) {
    for (at, item) in items.iter().enumerate() {
        text.extend_from_slice(if at == 0 { &b"\""[..] } else { b", \"" });
        let is_plain = |it: &u8| matches!(it, b' '..=b'~' if !matches!(it, b'"' | b'\\'));
        if item.name.bytes().all(|it| is_plain(&it)) {
            text.extend_from_slice(item.name.as_bytes());
        } else {
            push_escaped(text, item.name);
        }
        text.push(b'"');
        for (name, value) in parameters(item) {
            text.extend_from_slice(name);
            digits::push(text, value);
        }
    }
}

fn push_escaped(text: &mut Vec<u8>, name: &str) {
    for character in name.chars() {
        match character {
            '"' | '\\' => text.extend([b'\\', character as u8]),
            ' '..='~' => text.push(character as u8),
            _ => text.push(b'?'),
        }
    }
}

/// `100;w=60`, as drafts before the eighth have it.
fn quotas(text: &mut Vec<u8>, items: &[Item<'_>]) {
    for item in items {
        text.extend_from_slice(if text.is_empty() { &b""[..] } else { b", " });
        digits::push(text, item.amount);
        text.extend_from_slice(b";w=");
        digits::push(text, item.window);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sfv::{BareItem, ListEntry, Parser};

    fn written(fields: Fields, items: &[Item<'_>]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        write(&mut headers, fields, items, &items[0], 1_700_000_030, None);
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

    #[test]
    fn who_has_too_many_requests_under_way_is_told_so_in_the_newest_form() {
        let written = |fields| {
            let mut headers = HeaderMap::new();
            at_once(&mut headers, fields, &Item { name: "concurrency", ..DAY }, 1);
            let lines =
                headers.iter().map(|(name, it)| format!("{name}: {}", it.to_str().unwrap()));
            lines.collect::<Vec<_>>()
        };
        let lines = [
            "ratelimit: \"concurrency\";r=0;t=1",
            "ratelimit-policy: \"concurrency\";q=100;qu=\"concurrent-requests\"",
        ];
        assert_eq!(written(Fields::Draft10), lines);
        assert_eq!(written(Fields::Both), lines);
        assert!(written(Fields::Draft6).is_empty() && written(Fields::Off).is_empty());
        let (_, policy) = lines[1].split_once(": ").unwrap();
        assert_eq!(Parser::new(policy).parse::<sfv::List>().expect("a List by RFC 9651").len(), 1);
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
