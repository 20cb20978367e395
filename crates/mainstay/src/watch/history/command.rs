//! The commands about history: which series there are, what one was, what happened, and all of it for other programs.

use super::super::ask::{Asked, ask, ask_text};
use super::openmetrics::{Exposition, read};
use super::read::MOST;
use crate::clock::{self, Civil};
use crate::config::Config;
use serde_json::Value;
use std::fmt::Write as _;
use std::time::Duration;

/// It is not there.
const FAILED: u8 = 1;
const WHAT: &str = "history";
const FIELDS: [&str; 8] = ["n", "bad", "mean", "min", "max", "p50", "p95", "p99"];

/// `history`: the series that there are.
///
/// # Errors
/// Text for standard error and the exit code: 2 when no service answers.
pub(crate) fn list(config: &Config, json: bool) -> Asked {
    let told = ask(config, "/history", WHAT)?;
    if json {
        return Ok(format!("{told:#}\n"));
    }
    let mut rows = vec![["SERIES", "SINCE", "LEVELS"].map(str::to_owned).to_vec()];
    for series in each(&told["series"]) {
        let levels = each(&series["levels"]);
        let first = beginning(levels);
        let words: Vec<_> = levels.iter().map(|it| width(&it["seconds"])).collect();
        rows.push(vec![
            text(&series["series"]),
            first.map_or(String::new(), time),
            words.join(" "),
        ]);
    }
    let mib = told["bytes"].as_f64().unwrap_or_default() / f64::from(1 << 20);
    Ok(format!("{}{mib:.1} MiB\n", table(&rows)))
}

/// `history show`: one of them, from so long ago until now.
///
/// # Errors
/// Text for standard error and the exit code: 1 when there is no such series, 2 when no service answers.
pub(crate) fn show(
    config: &Config,
    (series, since): (&str, Duration),
    points: usize,
    json: bool,
) -> Asked {
    let known = ask(config, "/history", WHAT)?;
    if !each(&known["series"]).iter().any(|it| it["series"] == series) {
        return Err((
            FAILED,
            format!("error: there is no series {series}: `history` lists them\n"),
        ));
    }
    let since = ago(since);
    let path = format!("/history/points?series={}&since={since}&points={points}", escaped(series));
    let told = ask(config, &path, WHAT)?;
    if json {
        return Ok(format!("{told:#}\n"));
    }
    let points = each(&told["points"]);
    // What none of them has need not be a column.
    let fields: Vec<_> = FIELDS
        .into_iter()
        .filter(|it| points.iter().any(|point| point.get(it).is_some()))
        .collect();
    let mut rows = vec![vec!["TIME".to_owned()]];
    rows[0].extend(fields.iter().map(|it| it.to_uppercase()));
    for point in points {
        let mut row = vec![point["at"].as_i64().map_or(String::new(), time)];
        row.extend(fields.iter().map(|it| number(&point[*it])));
        rows.push(row);
    }
    Ok(format!("{}Each line is {}.\n", table(&rows), width(&told["seconds"])))
}

/// `history events`: what happened from so long ago until now.
///
/// # Errors
/// Text for standard error and the exit code: 2 when no service answers.
pub(crate) fn events(config: &Config, since: Duration, json: bool) -> Asked {
    let told = ask(config, &format!("/history/events?since={}", ago(since)), WHAT)?;
    if json {
        return Ok(format!("{told:#}\n"));
    }
    let mut rows = Vec::new();
    for event in each(&told["events"]) {
        let at = event["at"].as_i64().map_or(String::new(), time);
        rows.push(vec![at, text(&event["kind"]), text(&event["what"]), text(&event["text"])]);
    }
    Ok(if rows.is_empty() { "Nothing happened.\n".to_owned() } else { table(&rows) })
}

/// `history export`: all rows of all series, or of one, as they are kept.
///
/// # Errors
/// Text for standard error and the exit code: 1 when there is no such series, 2 when no service answers.
pub(crate) fn export(config: &Config, only: Option<&str>, format: &str) -> Asked {
    let known = ask(config, "/history", WHAT)?;
    let known =
        each(&known["series"]).iter().filter(|it| only.is_none_or(|only| it["series"] == only));
    let known: Vec<_> = known.collect();
    if let (Some(only), true) = (only, known.is_empty()) {
        return Err((FAILED, format!("error: there is no series {only}: `history` lists them\n")));
    }
    if format == "openmetrics" {
        let mut page = Exposition::new(ago(Duration::ZERO));
        for series in known {
            let mut levels = Vec::new();
            for level in each(&series["levels"]) {
                levels.push(read(&rows(config, (series, level), "ndjson")?));
            }
            page.add(&text(&series["series"]), &levels);
        }
        return Ok(page.finish());
    }
    let mut exported = String::new();
    if format == "csv" {
        exported += "series,seconds,at,n,bad,sum,min,max,p50,p95,p99\n";
    }
    for series in known {
        for level in each(&series["levels"]) {
            exported += &rows(config, (series, level), format)?;
        }
    }
    Ok(exported)
}

/// All rows of a level of a series.
fn rows(config: &Config, (series, level): (&Value, &Value), format: &str) -> Asked {
    let name = escaped(&text(&series["series"]));
    let (Some(seconds), Some(last)) = (level["seconds"].as_i64(), level["last"].as_i64()) else {
        return Ok(String::new());
    };
    let (mut since, mut rows) = (level["first"].as_i64().unwrap_or_default(), String::new());
    while since <= last {
        let path =
            format!("/history/rows?series={name}&seconds={seconds}&since={since}&format={format}");
        rows += &ask_text(config, &path, WHAT)?;
        since += seconds * MOST as i64;
    }
    Ok(rows)
}

/// When a series began, as exactly as its levels say: a finer one does where it goes back as far as a coarser one.
fn beginning(levels: &[Value]) -> Option<i64> {
    let of = |level: &Value| Some((level["first"].as_i64()?, level["seconds"].as_i64()?));
    let levels = levels.iter().rev().filter_map(of);
    let closer = |(first, width): (i64, i64), (finer, narrow): (i64, i64)| {
        if finer < first + width { (finer, narrow) } else { (first, width) }
    };
    levels.reduce(closer).map(|(first, _)| first)
}

fn each(value: &Value) -> &[Value] {
    value.as_array().map_or(&[][..], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn ago(since: Duration) -> i64 {
    (clock::wall() / 1_000_000_000) as i64 - since.as_secs() as i64
}

fn time(seconds: i64) -> String {
    let Civil { year, month, day, hour, minute, second } =
        Civil::from_unix(u64::try_from(seconds).unwrap_or_default());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// A width in words.
fn width(seconds: &Value) -> String {
    let seconds = seconds.as_i64().unwrap_or_default();
    match seconds {
        it if it >= 86_400 && it % 86_400 == 0 => format!("{} d", it / 86_400),
        it if it >= 3_600 && it % 3_600 == 0 => format!("{} h", it / 3_600),
        it if it >= 60 && it % 60 == 0 => format!("{} min", it / 60),
        it => format!("{it} s"),
    }
}

/// A number with as many digits as say something.
fn number(value: &Value) -> String {
    match (value.as_u64(), value.as_f64()) {
        (Some(whole), _) => whole.to_string(),
        (_, Some(real)) if real.fract() == 0.0 => format!("{real:.0}"),
        (_, Some(real)) if real.abs() >= 100.0 => format!("{real:.1}"),
        (_, Some(real)) if real.abs() >= 0.01 => format!("{real:.3}"),
        (_, Some(real)) => format!("{real:.6}"),
        _ => String::new(),
    }
}

fn escaped(name: &str) -> String {
    form_urlencoded::byte_serialize(name.as_bytes()).collect()
}

fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let of =
        |it: usize| rows.iter().filter_map(move |row| row.get(it)).map(|it| it.chars().count());
    let widths: Vec<_> = (0..columns).map(|it| of(it).max().unwrap_or_default()).collect();
    let mut lines = String::new();
    for row in rows {
        let cells: Vec<_> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        // A String takes everything.
        writeln!(lines, "{}", cells.join("  ").trim_end()).ok();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_and_widths_are_short() {
        let told =
            [json!(7), json!(7.0), json!(1234.56), json!(0.25), json!(0.000_061), json!(null)];
        assert_eq!(told.each_ref().map(number), ["7", "7", "1234.6", "0.250", "0.000061", ""]);
        let widths = [10, 60, 900, 3_600, 21_600, 86_400].map(|it| width(&json!(it)));
        assert_eq!(widths, ["10 s", "1 min", "15 min", "1 h", "6 h", "1 d"]);
    }

    #[test]
    fn a_series_begins_when_the_finest_level_says_that_still_goes_back_so_far() {
        let level = |first: i64, seconds: i64| json!({ "first": first, "seconds": seconds });
        let young = [level(1_000_050, 10), level(1_000_020, 60), level(993_600, 21_600)];
        assert_eq!(beginning(&young), Some(1_000_050));
        let old = [level(9_000_000, 10), level(1_000_020, 60), level(993_600, 21_600)];
        assert_eq!((beginning(&old), beginning(&[])), (Some(1_000_020), None));
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [vec!["a".to_owned(), "b".to_owned()], vec!["long".to_owned(), String::new()]];
        assert_eq!(table(&rows), "a     b\nlong\n");
    }
}
