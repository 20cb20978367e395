//! Who is refused by which limit, look by look. The counters of metrics are exact, the segment names clients as far
//! as it has places: what it does not name is "others", so that rows add up to what was refused. Pure.

use super::table::columns;
use mainstay_os::segment::{Limits, REFUSED_NAME};
use serde_json::{Value, json};
use std::collections::HashMap;

/// What counters call refusals, and what they are called here.
pub(crate) const OUTCOMES: [(&str, &str); 2] = [("denied", "refused"), ("would_deny", "told of")];
/// Clients that text has rows for; JSON has all.
const ROWS: usize = 20;

/// A limit and an outcome.
type Place = (String, String);

/// The clients that have a place in the segment, at this moment.
pub(crate) fn clients(limits: &Limits<'_>, now_ns: u64) -> Value {
    let now = now_ns / 1_000_000;
    let seconds = |from: u64| now.saturating_sub(from) as f64 / 1_000.0;
    let refused = limits.who_is_refused();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let named = refused.each().map(|it| {
        json!({
            "policy": text(&it.whom.policy),
            "outcome": OUTCOMES[usize::from(it.whom.tried)].0,
            "limit": text(&it.whom.limit),
            "client": text(&it.whom.key),
            "count": it.count,
            "before_at_most": it.before,
            "since_seconds": seconds(it.since),
            "last_seconds": seconds(it.last),
            "term": it.term,
        })
    });
    let named: Vec<_> = named.collect();
    json!({ "now": now_ns, "clients": named, "others_at_most": refused.at_most() })
}

/// Someone who looks again and again.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// When it looked last, by the host's clock.
    looked: Option<u64>,
    /// The counts of clients then, by their terms.
    counts: HashMap<u64, u64>,
    /// What has been told of a limit so far, of which at first nothing is news.
    told: HashMap<Place, u64>,
}

impl Watch {
    /// What is to be shown of what the service said just now: [`clients`], and `totals` that were read after them.
    ///
    /// What was refused between both readings is in the totals only, and so among the others; that it is named the
    /// next time is made up for then.
    pub(crate) fn look(&mut self, said: &Value) -> Value {
        let now = said["now"].as_u64().unwrap_or(0);
        let is_first = self.looked.is_none();
        let (mut all, mut last) = (HashMap::<Place, u64>::new(), HashMap::<Place, u64>::new());
        let (mut rows, mut counts) = (Vec::new(), HashMap::new());
        for client in said["clients"].as_array().into_iter().flatten() {
            let count = client["count"].as_u64().unwrap_or(0);
            let term = client["term"].as_u64().unwrap_or(0);
            let more = count.saturating_sub(self.counts.get(&term).copied().unwrap_or(0));
            counts.insert(term, count);
            *all.entry(place(client)).or_default() += count;
            *last.entry(place(client)).or_default() += more;
            rows.push(row(client, &client["client"], [count, more], is_first));
        }
        rows.sort_by_key(|row| {
            let [last, all] = ["last", "all"].map(|it| row[it].as_u64().unwrap_or(0));
            (std::cmp::Reverse((last, all)), row["client"].to_string())
        });
        let (mut limits, mut others) = (Vec::new(), Vec::new());
        let mut totals: Vec<(Place, u64, &Value)> = Vec::new();
        for total in said["totals"].as_array().into_iter().flatten() {
            let (place, count) = (place(total), total["count"].as_u64().unwrap_or(0));
            match totals.iter_mut().find(|it| it.0 == place) {
                Some(known) => known.1 += count,
                None => totals.push((place, count, total)),
            }
        }
        for (place, count, total) in totals {
            let of = |by: &HashMap<Place, u64>| by.get(&place).copied().unwrap_or(0);
            let (all, last) = (of(&all), of(&last));
            let before = self.told.get(&place).copied();
            let told = before.unwrap_or(if is_first { count } else { 0 });
            let more = if is_first { 0 } else { count.saturating_sub(told).max(last) };
            self.told.insert(place, told + more);
            limits.push(row(total, &Value::Null, [count, more], is_first));
            let rest = [count.saturating_sub(all), more.saturating_sub(last)];
            others.push(row(total, &json!("others"), rest, is_first));
        }
        let seconds = self.looked.map(|it| now.saturating_sub(it) as f64 / 1e9);
        (self.looked, self.counts) = (Some(now), counts);
        json!({
            "seconds": seconds,
            "limits": limits,
            "clients": rows,
            "others": others,
            "others_at_most": said["others_at_most"],
        })
    }
}

/// Of a long name as much as the segment has. Limits that are alike that far are one here.
fn place(it: &Value) -> Place {
    let of = |name: &str| it[name].as_str().unwrap_or_default();
    let name = of("policy").as_bytes();
    let name = String::from_utf8_lossy(&name[..name.len().min(REFUSED_NAME)]).into_owned();
    (name, of("outcome").to_owned())
}

fn row(of: &Value, client: &Value, [all, last]: [u64; 2], is_first: bool) -> Value {
    let last = if is_first { Value::Null } else { json!(last) };
    let mut row =
        json!({ "policy": of["policy"], "outcome": of["outcome"], "last": last, "all": all });
    if !client.is_null() {
        row["client"] = client.clone();
    }
    for more in ["limit", "since_seconds", "last_seconds", "before_at_most"] {
        if !of[more].is_null() {
            row[more] = of[more].clone();
        }
    }
    row
}

/// One look as text.
pub(crate) fn text(look: &Value) -> String {
    let all = |name: &'static str| look[name].as_array().into_iter().flatten();
    let sum = |column: &str, outcome: &str| {
        let of = all("limits").filter(|it| it["outcome"] == outcome);
        of.filter_map(|it| it[column].as_u64()).sum::<u64>()
    };
    let within = look["seconds"].as_f64();
    let parts = OUTCOMES.map(|(outcome, name)| {
        let last = within.map_or_else(String::new, |seconds| {
            format!("{} in {seconds:.1} s, ", sum("last", outcome))
        });
        format!("{name}: {last}{} in all", sum("all", outcome))
    });
    let mut rows =
        vec![["CLIENT", "POLICY", "LIMIT", "WAS", "LAST", "ALL", "IN"].map(str::to_owned)];
    rows.extend(all("clients").take(ROWS).map(cells));
    for other in all("others") {
        let unshown = || all("clients").skip(ROWS).filter(|it| place(it) == place(other));
        let mut other = other.clone();
        for column in ["last", "all"] {
            let more: u64 = unshown().filter_map(|it| it[column].as_u64()).sum();
            if let Some(count) = other[column].as_u64() {
                other[column] = json!(count + more);
            }
        }
        if other["all"] != 0 {
            rows.push(cells(&other));
        }
    }
    let rows = if rows.len() > 1 { columns(&rows) } else { String::new() };
    format!("{}\n{rows}", parts.join("; "))
}

fn cells(row: &Value) -> [String; 7] {
    let outcome = OUTCOMES.iter().find(|(it, _)| row["outcome"] == *it);
    let number = |name: &str| row[name].as_u64().map_or("-".to_owned(), |it| it.to_string());
    let since = row["since_seconds"].as_f64();
    [
        shown(&row["client"]),
        shown(&row["policy"]),
        shown(&row["limit"]),
        outcome.map_or("-", |(_, name)| name).to_owned(),
        number("last"),
        number("all"),
        since.map_or("-".to_owned(), |it| format!("{it:.0}s")),
    ]
}

/// A key that the application has chosen may hold what terminals obey.
fn shown(value: &Value) -> String {
    let text = value.as_str().unwrap_or("-");
    let escape = |it: char| match it.is_control() {
        true => it.escape_default().to_string(),
        false => it.to_string(),
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_os::segment::{Layout, Segment, Whom};

    const SECOND: u64 = 1_000_000_000;

    /// A service that refuses.
    struct Refusing {
        segment: Segment,
        totals: [u64; 2],
    }

    impl Refusing {
        fn new() -> Refusing {
            let segment = Segment::on_heap(Layout { limits: 1 << 16, ..Layout::small(0) });
            Refusing { segment, totals: [0; 2] }
        }

        fn named(&self, client: &str, tried: bool, times: u64, now: u64) {
            let whom =
                Whom { policy: &b"/a"[..], limit: b"1 per 1 day", key: client.as_bytes(), tried };
            assert!(
                (0..times).all(|_| self
                    .segment
                    .limits()
                    .who_is_refused()
                    .note(&whom, now * SECOND))
            );
        }

        fn refuse(&mut self, client: &str, times: u64, now: u64) {
            self.totals[0] += times;
            self.named(client, false, times, now);
        }

        fn say(&self, now: u64) -> Value {
            let mut said = clients(&self.segment.limits(), now * SECOND);
            let totals = OUTCOMES.iter().zip(self.totals).map(
                |((outcome, _), count)| json!({ "policy": "/a", "outcome": outcome, "count": count }),
            );
            said["totals"] = totals.collect();
            said
        }
    }

    /// Of a column: of the limit, and of its rows together.
    fn sums(look: &Value, column: &str) -> (u64, u64) {
        let sum = |name: &str| {
            let rows = look[name].as_array().unwrap().iter().filter(|it| it["outcome"] == "denied");
            rows.map(|it| it[column].as_u64().unwrap()).sum::<u64>()
        };
        (sum("limits"), sum("clients") + sum("others"))
    }

    #[test]
    fn a_name_of_which_the_segment_has_the_begin_is_the_same_limit() {
        let long = format!("POST /{}", "a".repeat(REFUSED_NAME));
        let client =
            json!({ "policy": long[..REFUSED_NAME], "outcome": "denied", "count": 3, "term": 1 });
        let total =
            |name: &str, count| json!({ "policy": name, "outcome": "denied", "count": count });
        let said = json!({
            "now": SECOND,
            "clients": [client],
            "totals": [total(&long, 5), total(&format!("{long}b"), 2), total("/a", 1)],
        });
        let look = Watch::default().look(&said);
        let all = |of: &str| -> Vec<u64> {
            let rows = look[of].as_array().unwrap().iter();
            rows.map(|row| row["all"].as_u64().unwrap()).collect()
        };
        assert_eq!(
            (all("limits"), all("clients"), all("others")),
            (vec![7, 1], vec![3], vec![4, 1])
        );
    }

    #[test]
    fn each_look_tells_who_was_refused_since_the_last_and_in_all() {
        let (mut service, mut watch) = (Refusing::new(), Watch::default());
        service.refuse("192.0.2.7", 3, 100);
        service.totals[0] += 5;
        assert_eq!(
            text(&watch.look(&service.say(102))),
            "\
refused: 8 in all; told of: 0 in all
CLIENT     POLICY  LIMIT        WAS      LAST  ALL  IN
192.0.2.7  /a      1 per 1 day  refused  -     3    2s
others     /a      -            refused  -     5    -
"
        );
        service.refuse("192.0.2.7", 1, 103);
        service.refuse("192.0.2.8", 20, 103);
        service.totals[1] += 2;
        service.named("192.0.2.9\u{1b}[2J", true, 2, 103);
        assert_eq!(
            text(&watch.look(&service.say(104))),
            "\
refused: 21 in 2.0 s, 29 in all; told of: 2 in 2.0 s, 2 in all
CLIENT              POLICY  LIMIT        WAS      LAST  ALL  IN
192.0.2.8           /a      1 per 1 day  refused  20    20   1s
192.0.2.9\\u{1b}[2J  /a      1 per 1 day  told of  2     2    1s
192.0.2.7           /a      1 per 1 day  refused  1     4    4s
others              /a      -            refused  0     5    -
"
        );
    }

    #[test]
    fn the_rows_of_a_limit_add_up_however_many_there_are() {
        let (mut service, mut watch) = (Refusing::new(), Watch::default());
        watch.look(&service.say(99));
        for round in 0..6 {
            for client in 0..90 {
                service.refuse(&format!("{round}-{client}"), client % 7 + 1, 100 + round);
            }
            let look = watch.look(&service.say(100 + round));
            assert_eq!(sums(&look, "all"), (service.totals[0], service.totals[0]));
            let (last, rows) = sums(&look, "last");
            assert_eq!((last, rows), (service.totals[0] / (round + 1), last), "{round}");
            let shown = text(&look);
            let column = |at: usize| {
                let lines = shown.lines().skip(2);
                let cells = lines.map(|line| line.split("  ").filter(|it| !it.is_empty()).nth(at));
                cells.map(|it| it.unwrap().trim().parse::<u64>().unwrap()).sum::<u64>()
            };
            assert_eq!((column(4), column(5)), (last, service.totals[0]), "{shown}");
        }
    }

    #[test]
    fn what_was_refused_between_both_readings_is_told_once() {
        let (mut service, mut watch) = (Refusing::new(), Watch::default());
        service.totals[0] = 4;
        watch.look(&service.say(100));
        // It was counted and not yet named.
        service.named("192.0.2.7", false, 4, 101);
        let look = watch.look(&service.say(102));
        assert_eq!((sums(&look, "last"), sums(&look, "all")), ((4, 4), (4, 4)));
        service.refuse("192.0.2.7", 6, 103);
        let look = watch.look(&service.say(104));
        assert_eq!((sums(&look, "last"), sums(&look, "all")), ((6, 6), (10, 10)));
        service.totals[0] += 3;
        service.named("192.0.2.7", false, 5, 105);
        assert_eq!(sums(&watch.look(&service.say(106)), "last"), (5, 5));
        service.totals[0] += 2;
        assert_eq!(sums(&watch.look(&service.say(108)), "last"), (0, 0), "they were told already");
    }
}
