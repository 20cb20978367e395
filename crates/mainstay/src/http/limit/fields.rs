//! What answers tell of limits: the fields of the IETF's draft, in its tenth and in older forms, and the
//! customary `X-RateLimit-*`.

use crate::http::value;
use crate::limits::settings::Fields;
use crate::log::{digits, escape};
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};

// Each is put into the map as it stands here: to clone a name costs as much as to write it.
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Of draft 6.
const RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RATELIMIT_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
/// The customary ones.
const X_RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RATELIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// A limit that an answer tells of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

/// Values that are the same for every answer, as far as they were made before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known<'a> {
    /// What [`policy`] gives for all items.
    pub(super) policy: Option<&'a HeaderValue>,
    /// The amount of the first one.
    pub(super) amount: Option<&'a HeaderValue>,
}

/// Most fields that an answer tells of limits in, `Retry-After` among them.
const MOST: usize = 6;

/// Writes what `fields` asks for: of all items where there is room for them, else of the `first`.
/// `reset_at` is when there is more of that one, seconds since the epoch. `known` is what was made before.
pub(super) fn write(
    headers: &mut HeaderMap,
    fields: Fields,
    items: &[Item<'_>],
    first: &Item<'_>,
    reset_at: u64,
    known: Known<'_>,
) {
    if fields == Fields::Off {
        return;
    }
    headers.reserve(MOST);
    let Item { amount, remaining, reset, .. } = *first;
    let mut ends = [0; 3];
    let text = value::shared(|text| {
        let reset_at = if fields == Fields::Draft6 { reset } else { reset_at };
        if matches!(fields, Fields::Both | Fields::XRateLimit | Fields::Draft6) {
            if known.amount.is_none() {
                digits::push(text, amount);
            }
            ends[0] = text.len();
            digits::push(text, remaining);
            ends[1] = text.len();
            digits::push(text, reset_at);
            ends[2] = text.len();
        }
        match fields {
            Fields::Both | Fields::Draft10 => {
                list(text, items, |it| [(b";r=", it.remaining), (b";t=", it.reset)]);
            }
            Fields::Draft7 => {
                let all = format!("limit={amount}, remaining={remaining}, reset={reset}");
                text.extend_from_slice(all.as_bytes());
            }
            Fields::XRateLimit | Fields::Draft6 | Fields::Off => {}
        }
    });
    let mut values = Values { text, from: 0 };
    if let Fields::Both | Fields::XRateLimit = fields {
        let [limit, remaining, reset] = ends;
        match known.amount {
            Some(amount) => _ = headers.insert(X_RATELIMIT_LIMIT, amount.clone()),
            None => values.insert(headers, X_RATELIMIT_LIMIT, limit),
        }
        values.insert(headers, X_RATELIMIT_REMAINING, remaining);
        values.insert(headers, X_RATELIMIT_RESET, reset);
    }
    match fields {
        Fields::Both | Fields::Draft10 | Fields::Draft7 => values.insert_rest(headers, RATELIMIT),
        Fields::Draft6 => {
            let [limit, remaining, _] = ends;
            match known.amount {
                Some(amount) => _ = headers.insert(RATELIMIT_LIMIT, amount.clone()),
                None => values.insert(headers, RATELIMIT_LIMIT, limit),
            }
            values.insert(headers, RATELIMIT_REMAINING, remaining);
            values.insert_rest(headers, RATELIMIT_RESET);
        }
        Fields::XRateLimit | Fields::Off => return,
    }
    let policy = known.policy.cloned().or_else(|| self::policy(fields, items));
    policy.map(|value| headers.insert(RATELIMIT_POLICY, value));
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
    for (name, text) in [(RATELIMIT, state), (RATELIMIT_POLICY, policy)] {
        if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(text)) {
            headers.insert(name, value);
        }
    }
}

/// Values of fields, written one behind the other into memory that they share: nearly every answer has
/// them.
struct Values {
    /// What is not yet taken.
    text: Bytes,
    /// How much was.
    from: usize,
}

impl Values {
    /// Puts what was written up to `end` into a field.
    #[inline]
    fn insert(&mut self, headers: &mut HeaderMap, name: HeaderName, end: usize) {
        let value = self.text.split_to(end - self.from);
        self.from = end;
        put(headers, name, value);
    }

    /// Puts all that is left into a field.
    #[inline]
    fn insert_rest(self, headers: &mut HeaderMap, name: HeaderName) {
        put(headers, name, self.text);
    }
}

#[inline]
fn put(headers: &mut HeaderMap, name: HeaderName, value: Bytes) {
    // Names of limits are made of what a field may hold.
    if let Some(value) = value::field(value) {
        headers.insert(name, value);
    }
}

/// A List of Strings with parameters, by RFC 9651.
fn list<const N: usize>(
    text: &mut Vec<u8>,
    items: &[Item<'_>],
    parameters: impl Fn(&Item<'_>) -> [(&'static [u8; 3], u64); N],
) {
    for (at, item) in items.iter().enumerate() {
        // Of known length, so that the copy is a store.
        match at {
            0 => text.push(b'"'),
            _ => text.extend_from_slice(b", \""),
        }
        // What JSON would not change is what such a String may hold as it is.
        if escape::is_clean(item.name.as_bytes()) {
            escape::copy(text, item.name.as_bytes());
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
        write(&mut headers, fields, items, &items[0], 1_700_000_030, Known::default());
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    const DAY: Item<'_> =
        Item { name: "default", amount: 100, window: 60, remaining: 50, reset: 30 };

    #[test]
    fn what_was_made_before_changes_no_field() {
        let other = Item { name: "/a", amount: 5, window: 1, remaining: 0, reset: 1 };
        for fields in [Fields::Both, Fields::Draft10, Fields::XRateLimit, Fields::Draft6] {
            let items = [DAY, other];
            let (policy, amount) = (policy(fields, &items), HeaderValue::from(DAY.amount));
            let known = Known { policy: policy.as_ref(), amount: Some(&amount) };
            let mut headers = HeaderMap::new();
            write(&mut headers, fields, &items, &DAY, 1_700_000_030, known);
            let with: Vec<_> = headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            assert_eq!(with, written(fields, &items));
        }
    }

    #[test]
    fn a_connection_of_http_2_keeps_only_what_it_shall_say_again() {
        for fields in [Fields::Both, Fields::Draft10, Fields::Draft7, Fields::Draft6] {
            let amount = HeaderValue::from(DAY.amount);
            let known = Known { policy: None, amount: Some(&amount) };
            let mut headers = HeaderMap::new();
            write(&mut headers, fields, &[DAY], &DAY, 1_700_000_030, known);
            for (name, value) in &headers {
                let is_same = name.as_str().ends_with("-limit") || name == RATELIMIT_POLICY;
                assert_eq!(value.is_sensitive(), !is_same, "{name}");
            }
        }
    }

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
