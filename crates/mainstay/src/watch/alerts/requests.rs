//! Requests as evidence: the last that failed, and those that are under way where a pool is in use. Of paths
//! nothing is told from the query on.

use super::super::rules::Moment;
use super::letter::time;
#[cfg(feature = "database")]
use crate::clock::{self, Mono};
#[cfg(feature = "database")]
use crate::status;
use mainstay_os::segment::{Failed, Segment};
use serde_json::{Value, json};
use std::time::Duration;

/// Most failed requests that are told.
const FAILED: usize = 5;
/// Most workers of a pool that are told, and most requests of each.
#[cfg(feature = "database")]
const WORKERS: usize = 3;
#[cfg(feature = "database")]
const UNDER_WAY: usize = 3;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The last requests that failed within `window` before `now`, the newest first.
pub(super) fn failed(segment: &Segment, now: Moment, window: Duration) -> Vec<Value> {
    let begin = now.saturating_sub(super::nanos(window));
    let all = segment.slots().flat_map(|slot| slot.failures().iter());
    let mut late: Vec<Failed<_>> = all.filter(|it| it.time >= begin).collect();
    late.sort_by_key(|it| std::cmp::Reverse(it.time));
    let told = late.into_iter().take(FAILED).map(|it| {
        let mut told = json!({
            "id": text(&it.id),
            "method": text(&it.method),
            "route": text(&it.route),
            "status": it.status,
            "at": time(it.time),
            "took_seconds": it.took as f64 / 1e9,
        });
        if !it.reason.is_empty() {
            told["reason"] = text(&it.reason).into();
        }
        told
    });
    told.collect()
}

/// The oldest requests that are under way in the workers that hold most connections of a pool: one of them
/// holds what others wait for.
#[cfg(feature = "database")]
pub(super) fn users(segment: &Segment, pool: &str) -> Vec<Value> {
    let mut holding = crate::db::holding(segment, pool);
    holding.sort_by_key(|(_, in_use)| std::cmp::Reverse(*in_use));
    let told = holding.into_iter().take(WORKERS).filter_map(|(index, in_use)| {
        let slot = segment.slot(index)?;
        let requests = under_way(slot, clock::mono());
        Some(json!({ "worker": slot.pid(), "in_use": in_use, "requests": requests }))
    });
    told.collect()
}

/// Without databases there is no pool.
#[cfg(not(feature = "database"))]
pub(super) fn users(_: &Segment, _: &str) -> Vec<Value> {
    Vec::new()
}

#[cfg(feature = "database")]
fn under_way(slot: mainstay_os::segment::Slot<'_>, now: Mono) -> Vec<Value> {
    let mut all = status::requests_of(slot, now);
    all.sort_by(|one, other| other.age_seconds.total_cmp(&one.age_seconds));
    let oldest = all.into_iter().take(UNDER_WAY).map(|it| {
        let path = it.path.split('?').next().unwrap_or_default();
        json!({ "id": it.id, "method": it.method, "path": path, "age_seconds": it.age_seconds })
    });
    oldest.collect()
}

/// `GET /orders 503 (id 0af1)`, of what `failed` gives.
pub(super) fn line(told: &Value) -> String {
    let of = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    let why = told["reason"].as_str().map_or(String::new(), |it| format!(" {it}"));
    format!("{} {} {}{why} (id {})", of("method"), of("route"), told["status"], of("id"))
}

/// `GET /slow for 12 s in worker 7`, of what `users` gives.
pub(super) fn lines(told: &Value) -> impl Iterator<Item = String> {
    let worker = told["worker"].clone();
    let requests = told["requests"].as_array().into_iter().flatten();
    requests.map(move |it| {
        let of = |name: &str| it[name].as_str().unwrap_or_default();
        let age = it["age_seconds"].as_f64().unwrap_or(0.0);
        format!("{} {} for {age:.1} s in worker {worker}", of("method"), of("path"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::names;
    use mainstay_os::segment::Layout;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn the_last_failures_of_all_slots_are_told_newest_first_and_old_ones_not() {
        let layout = Layout { slots: 3, ring_bytes: [64; 3], ..Layout::small(names::CELLS) };
        let segment = Segment::on_heap(layout);
        let now = 1_795_342_252 * SECOND;
        for second in 0..12 {
            let slot = segment.slot(second as usize % 2).unwrap();
            slot.failures().note(&Failed {
                time: now - second * SECOND,
                took: SECOND / 2,
                status: 500 + second as u16,
                method: b"GET",
                route: b"/orders/{id}",
                id: b"0af1",
                reason: if second == 1 { b"handler_timeout" } else { b"" },
            });
        }
        let told = failed(&segment, now, Duration::from_secs(300));
        let statuses: Vec<_> = told.iter().map(|it| it["status"].as_u64().unwrap()).collect();
        assert_eq!(statuses, [500, 501, 502, 503, 504]);
        assert_eq!(
            told[0],
            json!({
                "id": "0af1", "method": "GET", "route": "/orders/{id}", "status": 500,
                "at": "2026-11-22T10:10:52.000Z", "took_seconds": 0.5,
            })
        );
        assert_eq!(line(&told[1]), "GET /orders/{id} 501 handler_timeout (id 0af1)");
        assert_eq!(failed(&segment, now, Duration::from_secs(1)).len(), 2);
        assert!(failed(&segment, now + 600 * SECOND, Duration::from_secs(300)).is_empty());
    }

    #[test]
    fn a_worker_that_holds_connections_is_told_with_its_oldest_requests() {
        let told = json!({ "worker": 7, "in_use": 2, "requests": [
            { "id": "a", "method": "GET", "path": "/slow", "age_seconds": 12.04 },
        ] });
        assert!(lines(&told).eq(["GET /slow for 12.0 s in worker 7"]));
        assert_eq!(lines(&json!({ "worker": 7 })).count(), 0);
    }
}
