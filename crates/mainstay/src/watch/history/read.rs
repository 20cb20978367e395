//! What is asked of the store, and the answers.

use super::roll::{Bucket, Kind, LONGEST, Level, Row, STEP};
use super::store::{Columns, Store, row};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Most points of one answer, and the time of one page of an export, in buckets.
pub(crate) const MOST: usize = 10_000;

/// What somebody wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Which series there are.
    Series,
    /// At most so many points of a series, from and until seconds since the Unix epoch.
    Points { series: String, since: i64, until: i64, most: usize },
    /// What happened.
    Events { since: i64, until: i64 },
    /// The rows of one level of a series from then on, as they are kept, for the time of one page.
    Rows { series: String, width: i64, since: i64, csv: bool },
}

/// The text of an answer, and its type; none when there is no such series.
pub(crate) type Answer = Option<(String, &'static str)>;

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
const CSV: &str = "text/csv; charset=utf-8";

impl Store {
    /// Answers, of what there is at `now`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) async fn answer(&mut self, question: Question, now: i64) -> sqlx::Result<Answer> {
        match question {
            Question::Series => self.list().await.map(|it| Some((format!("{it}\n"), JSON))),
            Question::Points { series, since, until, most } => {
                let Some((id, kind)) = self.series.get(&series).copied() else { return Ok(None) };
                let level = self.level((id, kind), (since, until), now, most).await?;
                let points = self.buckets(id, level.width, (since, until)).await?;
                let (width, points) = thinned(points, level.width, (since, until), most);
                let points: Vec<_> = points.iter().map(|(at, it)| point(*at, it)).collect();
                let told = json!({
                    "series": series, "kind": kind.as_str(), "seconds": width, "points": points
                });
                Ok(Some((format!("{told}\n"), JSON)))
            }
            Question::Events { since, until } => {
                self.events(since, until).await.map(|it| Some((format!("{it}\n"), JSON)))
            }
            Question::Rows { series, width, since, csv } => {
                let Some((id, _)) = self.series.get(&series).copied() else { return Ok(None) };
                let until = since.saturating_add(width.saturating_mul(MOST as i64));
                let rows = self.buckets(id, width, (since, until)).await?;
                Ok(Some(written(&series, width, &rows, csv)))
            }
        }
    }

    async fn list(&mut self) -> sqlx::Result<Value> {
        let (pages, free) = self.pages().await?;
        let mut series = Vec::new();
        for (name, (id, kind)) in self.series.clone() {
            let mut levels = Vec::new();
            for level in kind.levels() {
                let ends = "SELECT min(ts), max(ts) FROM (SELECT ts FROM roll WHERE series = ?1 AND res = ?2 \
                            UNION ALL SELECT ts FROM open WHERE series = ?1 AND res = ?2)";
                let ends = sqlx::query_as::<_, (Option<i64>, Option<i64>)>(ends);
                let ends = ends.bind(id).bind(level.width).fetch_one(&mut self.connection).await?;
                if let (Some(first), Some(last)) = ends {
                    levels.push(json!({ "seconds": level.width, "first": first, "last": last }));
                }
            }
            series.push(json!({ "series": name, "kind": kind.as_str(), "levels": levels }));
        }
        let bytes = (pages - free) * super::file::PAGE as i64;
        Ok(json!({ "series": series, "bytes": bytes }))
    }

    /// Buckets of a level that overlap a time, in their order.
    pub(super) async fn buckets(
        &mut self,
        id: i64,
        width: i64,
        (since, until): (i64, i64),
    ) -> sqlx::Result<Vec<(i64, Bucket)>> {
        let found = "SELECT series, res, ts, n, bad, sum, mn, mx, shape \
                     FROM roll WHERE series = ?1 AND res = ?2 AND ts > ?3 AND ts < ?4 UNION ALL \
                     SELECT series, res, ts, n, bad, sum, mn, mx, shape \
                     FROM open WHERE series = ?1 AND res = ?2 AND ts > ?3 AND ts < ?4 ORDER BY ts LIMIT 100000";
        let found = sqlx::query_as::<_, Columns>(found).bind(id).bind(width);
        let found = found.bind(since.saturating_sub(width)).bind(until);
        let rows = found.fetch_all(&mut self.connection).await?.into_iter().map(row);
        let mut buckets: Vec<(i64, Bucket)> = Vec::new();
        for Row { at, bucket, .. } in rows {
            match buckets.last_mut().filter(|(last, _)| *last == at) {
                // A clock that was set back has opened one again that was closed.
                Some((_, known)) => known.merge(&bucket),
                None => buckets.push((at, bucket)),
            }
        }
        Ok(buckets)
    }

    /// The level to read: the finest that is meant to go back so far, does so where any does, and gives no more
    /// points than that; else the coarsest.
    async fn level(
        &mut self,
        (id, kind): (i64, Kind),
        (since, until): (i64, i64),
        now: i64,
        most: usize,
    ) -> sqlx::Result<Level> {
        let levels = kind.levels();
        let coarsest = &levels[levels.len() - 1];
        let begin = self.begin(id, coarsest).await?.unwrap_or(i64::MAX);
        for level in levels.iter().skip_while(|it| !fits(it, (since, until), now, most)) {
            // Where room was short its older half is gone.
            if self
                .begin(id, level)
                .await?
                .is_some_and(|it| it <= since.max(begin.saturating_add(coarsest.width)))
            {
                return Ok(level.to_owned());
            }
        }
        Ok(coarsest.to_owned())
    }

    /// When what there is of a level begins.
    async fn begin(&mut self, id: i64, level: &Level) -> sqlx::Result<Option<i64>> {
        let first = "SELECT min(ts) FROM (SELECT ts FROM roll WHERE series = ?1 AND res = ?2 \
                     UNION ALL SELECT ts FROM open WHERE series = ?1 AND res = ?2)";
        let first = sqlx::query_scalar(first).bind(id).bind(level.width);
        first.fetch_one(&mut self.connection).await
    }

    async fn events(&mut self, since: i64, until: i64) -> sqlx::Result<Value> {
        // The newest of them, the oldest first.
        let found = "SELECT ts, kind, what, text FROM event WHERE ts >= ? AND ts < ? ORDER BY id DESC LIMIT ?";
        let found = sqlx::query_as::<_, (i64, String, String, String)>(found);
        let found = found.bind(since).bind(until).bind(MOST as i64);
        let mut found = found.fetch_all(&mut self.connection).await?;
        found.reverse();
        let events = found.into_iter().map(
            |(at, kind, what, text)| json!({ "at": at, "kind": kind, "what": what, "text": text }),
        );
        Ok(json!({ "events": events.collect::<Vec<_>>() }))
    }
}

/// Whether a level is kept for so long, and has no more points than that.
fn fits(level: &Level, (since, until): (i64, i64), now: i64, most: usize) -> bool {
    now - since <= level.keep && (until - since) / level.width.max(1) <= most as i64
}

/// Neighbours added up, until there are few enough of them.
fn thinned(
    points: Vec<(i64, Bucket)>,
    width: i64,
    (since, until): (i64, i64),
    most: usize,
) -> (i64, Vec<(i64, Bucket)>) {
    // Times begin at multiples of the width, so the first and the last may be cut.
    let wide = (until - since).max(0) / width + 2;
    let times = if points.len() <= most { 1 } else { wide / (most.max(3) - 2) as i64 + 1 };
    if times == 1 {
        return (width, points);
    }
    let width = width * times;
    let mut found: Vec<(i64, Bucket)> = Vec::new();
    for (at, bucket) in points {
        let at = at - at.rem_euclid(width);
        match found.last_mut().filter(|(last, _)| *last == at) {
            Some((_, sum)) => sum.merge(&bucket),
            None => found.push((at, bucket)),
        }
    }
    (width, found)
}

fn point(at: i64, bucket: &Bucket) -> Value {
    let mut told = json!({ "at": at, "n": bucket.n, "bad": bucket.bad, "sum": bucket.sum });
    if bucket.n > 0 && (bucket.range.is_some() || bucket.shape.is_some()) {
        told["mean"] = json!(bucket.sum / bucket.n as f64);
    }
    if let Some((least, most)) = bucket.range {
        (told["min"], told["max"]) = (json!(least), json!(most));
    }
    let shape = bucket.shape.iter();
    for (shape, (name, part)) in shape.flat_map(|it| PERCENTILES.map(|percentile| (it, percentile)))
    {
        told[name] = json!(shape.percentile(part));
    }
    told
}

const PERCENTILES: [(&str, f64); 3] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)];

fn written(series: &str, width: i64, rows: &[(i64, Bucket)], csv: bool) -> (String, &'static str) {
    let mut text = String::new();
    for (at, bucket) in rows {
        let mut told = point(*at, bucket);
        if csv {
            let of = |name: &str| told.get(name).map_or(String::new(), Value::to_string);
            let rest = ["n", "bad", "sum", "min", "max", "p50", "p95", "p99"].map(of).join(",");
            // A String takes everything.
            writeln!(text, "{},{width},{at},{rest}", quoted(series)).ok();
        } else {
            (told["series"], told["seconds"]) = (json!(series), json!(width));
            writeln!(text, "{told}").ok();
        }
    }
    (text, if csv { CSV } else { LINES })
}

/// As RFC 4180 has it.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// From the path behind `/history`, and the query; none if it is no question.
pub(crate) fn question(path: &str, query: &str, now: i64) -> Option<Question> {
    let fields: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    let of = |name: &str| fields.iter().find(|(it, _)| it == name).map(|(_, value)| &**value);
    let time = |name, usual: i64| of(name).map_or(Some(usual), |it| it.parse::<i64>().ok());
    let since = time("since", now - 24 * 3_600)?.clamp(0, now);
    let until = time("until", now + STEP)?.clamp(since, now + STEP);
    match path {
        "" => Some(Question::Series),
        "/points" => {
            let most = of("points").map_or(Some(500), |it| it.parse().ok())?;
            let most = usize::clamp(most, 3, MOST);
            Some(Question::Points { series: of("series")?.to_owned(), since, until, most })
        }
        "/events" => Some(Question::Events { since, until }),
        "/rows" => {
            let width: i64 = of("seconds")?.parse().ok().filter(|it| (1..=LONGEST).contains(it))?;
            // All up to now, if there are not too many of them.
            let since = time("since", now - width * (MOST as i64 - 1))?;
            let csv = of("format") == Some("csv");
            Some(Question::Rows { series: of("series")?.to_owned(), width, since, csv })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3_600;

    #[test]
    fn the_finest_level_that_goes_back_so_far_and_gives_few_enough_points_is_read() {
        let now = 1_800_000_000;
        for (kind, back, most, width) in [
            (Kind::Metric, 3_600, 1_000, 10),
            (Kind::Metric, 3_600, 100, 60),
            (Kind::Metric, DAY, 2_000, 60),
            (Kind::Metric, 30 * DAY, 3_000, 900),
            (Kind::Metric, 90 * DAY, 500, 21_600),
            (Kind::Metric, 90 * DAY, 10, 21_600),
            (Kind::Probe, 90 * DAY, 3_000, 3_600),
            (Kind::Probe, 90 * DAY, 90, 86_400),
        ] {
            let levels = kind.levels();
            let finest = levels.iter().find(|it| fits(it, (now - back, now), now, most));
            let found = finest.unwrap_or(&levels[levels.len() - 1]);
            assert_eq!(found.width, width, "{back} {most}");
        }
    }

    #[test]
    fn neighbours_are_added_up_until_there_are_few_enough() {
        let mut one = Bucket::default();
        one.add_time(0.5, true);
        let points: Vec<_> = (0..100).map(|it| (1_000_000 + it * 10, one.clone())).collect();
        let (width, few) = thinned(points, 10, (1_000_000, 1_001_000), 7);
        assert!(few.len() <= 7 && width % 10 == 0, "{}", few.len());
        assert_eq!(few.iter().map(|(_, it)| it.n).sum::<u64>(), 100);
        assert!(few.iter().all(|(at, _)| at % width == 0));
    }

    #[test]
    fn a_question_that_makes_no_sense_is_none() {
        let now = 1_800_000_000;
        assert_eq!(question("", "", now), Some(Question::Series));
        assert_eq!(
            question("/points", "series=probe%3Ashop&since=5&until=9999999999&points=0", now),
            Some(Question::Points {
                series: "probe:shop".into(),
                since: 5,
                until: now + STEP,
                most: 3
            })
        );
        for (path, query) in [
            ("/points", ""),
            ("/points", "series=a&since=x"),
            ("/rows", "series=a&seconds=0"),
            ("/x", ""),
        ] {
            assert_eq!(question(path, query, now), None, "{path}?{query}");
        }
    }

    #[test]
    fn names_with_commas_stay_one_field_of_csv() {
        let mut one = Bucket::default();
        one.add(2.5, false);
        let (text, _) = written("a,\"b", 10, &[(20, one)], true);
        assert_eq!(text, "\"a,\"\"b\",10,20,1,0,2.5,2.5,2.5,,,\n");
    }
}
