//! Limits as tables for people, and as JSON for programs.

use super::plan::{Met, Plan};
use super::settings::{Settings, strategy_name};
use super::who::{NETWORK, Who};
use mainstay_os::segment::{Hit, Limits, REFUSED_NAME, Verdict};
use serde_json::{Value, json};

/// The name of the limit of requests at once.
pub(crate) const AT_ONCE: &str = "concurrency";

/// The limits of a configuration.
#[must_use]
pub(crate) fn effective(settings: &Settings, plan: &Plan) -> Value {
    let key = settings.key.to_string();
    let of = |met: &Met, counted: &str, effect: &str| {
        json!({
            "policy": met.name,
            "limit": met.rate.to_string(),
            "strategy": strategy_name(met.policy.strategy),
            "counts": counted,
            "key": if met.is_wide { format!("IPv6 /{NETWORK}") } else { key.clone() },
            "effect": if met.dry_run && effect == "refuses" { "tells" } else { effect },
        })
    };
    let mut limits = Vec::new();
    limits.extend(plan.application.iter().map(|it| of(it, "all paths", "refuses")));
    limits.extend(plan.default.iter().map(|it| of(it, "all other paths", "refuses")));
    for (rule, met) in &plan.rules {
        limits.extend(met.iter().map(|it| of(it, &rule.place(), "refuses")));
    }
    limits.extend(plan.meta.iter().map(|it| of(it, "refusals", "refuses")));
    limits.extend(plan.excess_404.iter().map(|it| of(it, "answers of 404", "tells")));
    if settings.concurrency > 0 {
        limits.push(json!({
            "policy": AT_ONCE,
            "limit": format!("{} at once", settings.concurrency),
            "strategy": "-",
            "counts": "requests under way",
            "key": key,
            "effect": if settings.dry_run { "tells" } else { "refuses" },
        }));
    }
    let store = settings.storage.as_ref().map(ToString::to_string);
    json!({ "enabled": settings.enabled, "store": store, "limits": limits })
}

/// How a client stands with the limits that a request would meet. Counts nothing.
///
/// # Errors
/// When the key is none.
pub(crate) fn standing(
    settings: &Settings,
    plan: &Plan,
    limits: &Limits<'_>,
    asked: (&str, &str, &str),
    now: u64,
) -> Result<Value, String> {
    let (key, method, path) = asked;
    let who = Who::named(&settings.key, settings.ipv6_prefix, key)?;
    let met = plan.met(method, path).chain(&plan.meta);
    let rows: Vec<_> = met
        .filter_map(|met| {
            let who = who.of_limit(met.is_wide)?;
            let key = limits.key(met.policy.id, met.scope.as_bytes(), who.bytes());
            let mut verdicts = [Verdict::default()];
            let hit = Hit { policy: met.policy, key, cost: 1 };
            let passes = limits.peek(&[hit], now, &mut verdicts);
            Some(row(met, passes, &verdicts[0]))
        })
        .collect();
    Ok(json!({ "enabled": settings.enabled, "limits": rows }))
}

/// A row of [`standing`].
pub(crate) fn row(met: &Met, passes: bool, verdict: &Verdict) -> Value {
    json!({
        "policy": met.name,
        "limit": met.rate.to_string(),
        "passes": passes,
        "dry_run": met.dry_run,
        "remaining": verdict.remaining,
        "reset_seconds": verdict.reset_after().as_secs_f64(),
    })
}

/// Forgets what a client has used of the limits of a path, or of all, and that they refused it; gives of which it had
/// used any.
///
/// # Errors
/// When the key is none.
pub(crate) fn clear(
    settings: &Settings,
    plan: &Plan,
    limits: &Limits<'_>,
    key: &str,
    place: Option<(&str, &str)>,
) -> Result<Value, String> {
    let who = Who::named(&settings.key, settings.ipv6_prefix, key)?;
    let met: Vec<&Met> = match place {
        Some((method, path)) => plan.met(method, path).collect(),
        None => plan.all().collect(),
    };
    let clear = |policy: u64, met: &Met| {
        who.of_limit(met.is_wide)
            .is_some_and(|who| limits.clear(limits.key(policy, met.scope.as_bytes(), who.bytes())))
    };
    // What a store has refused is forgotten too.
    for met in &met {
        clear(refused(met), met);
    }
    // Whom `limits watch` names is named anew when it is refused anew. Long names stand there cut.
    let network = who.of_limit(true).filter(|_| settings.ipv6_network > 0);
    let names = [Some(who), network].map(|it| it.map(|who| who.shown(limits)));
    let is_named = |key: &[u8]| names.iter().flatten().any(|name| key == name.as_bytes());
    limits.who_is_refused().forget(|whom| {
        let is_met = |met: &&Met| met.name.as_bytes().iter().take(REFUSED_NAME).eq(&whom.policy);
        let is_at_once = place.is_none() && whom.policy == AT_ONCE.as_bytes();
        is_named(&whom.key) && (is_at_once || met.iter().any(is_met))
    });
    let cleared = met.iter().filter(|met| clear(met.policy.id, met));
    let cleared: Vec<_> = cleared.map(|met| &met.name).collect();
    Ok(json!({ "cleared": cleared, "looked_at": met.len() }))
}

/// Under what it is noted that a store refuses somebody by a limit: nothing is counted there.
pub(crate) fn refused(met: &Met) -> u64 {
    !met.policy.id
}

/// [`effective`] as text.
pub(crate) fn effective_text(data: &Value) -> String {
    let columns = ["policy", "limit", "strategy", "counts", "key", "effect"];
    let head = columns.map(str::to_uppercase);
    text(data, head, |limit| columns.map(|column| shown(&limit[column])))
}

/// [`standing`] as text.
pub(crate) fn standing_text(data: &Value) -> String {
    let head = ["POLICY", "LIMIT", "A REQUEST", "LEFT", "MORE IN"].map(str::to_owned);
    text(data, head, |limit| {
        let verdict = match (limit["passes"].as_bool(), limit["dry_run"].as_bool()) {
            (Some(true), _) => "passes",
            (_, Some(true)) => "is told of",
            _ => "is refused",
        };
        let reset = limit["reset_seconds"].as_f64().unwrap_or(0.0);
        [
            shown(&limit["policy"]),
            shown(&limit["limit"]),
            verdict.to_owned(),
            shown(&limit["remaining"]),
            if reset > 0.0 { format!("{reset:.1}s") } else { "-".to_owned() },
        ]
    })
}

/// [`clear`] as text.
pub(crate) fn cleared_text(data: &Value) -> String {
    let cleared: Vec<_> = data["cleared"].as_array().into_iter().flatten().map(shown).collect();
    let by = data["store"].as_str().map_or_else(String::new, |store| format!(" by {store}"));
    match cleared.is_empty() {
        true => format!("nothing was counted{by}, of {} limits\n", data["looked_at"]),
        false => format!("cleared{by} {}\n", cleared.join(", ")),
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn text<const N: usize>(
    data: &Value,
    head: [String; N],
    row: impl Fn(&Value) -> [String; N],
) -> String {
    let mut rows = vec![head];
    rows.extend(data["limits"].as_array().into_iter().flatten().map(row));
    let note = if data["enabled"] == false { "limits.enabled is false: none counts\n" } else { "" };
    if rows.len() == 1 {
        return format!("no limits\n{note}");
    }
    let mut text = columns(&rows);
    if let Some(store) = data["store"].as_str() {
        text.push_str(&format!("counted by {store}\n"));
    }
    text + note
}

/// Columns as wide as their widest cell.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] =
        std::array::from_fn(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for row in rows {
        let cells: Vec<_> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use mainstay_os::segment::{Layout, Segment, Whom};

    fn read(change: impl FnOnce(&mut config::Limits)) -> (Settings, Plan) {
        let mut limits = config::Limits::for_tests();
        change(&mut limits);
        let settings = Settings::of(&limits).unwrap();
        let plan = Plan::of(&settings).unwrap();
        (settings, plan)
    }

    #[test]
    fn every_limit_has_a_row() {
        let (settings, plan) = read(|it| {
            it.default = "200 per day; 50/hour".into();
            it.routes = "POST /login: 5/minute & /search: dry-run 1/second".into();
            it.excess_404 = "60/minute".into();
        });
        assert_eq!(
            effective_text(&effective(&settings, &plan)),
            "\
POLICY         LIMIT            STRATEGY      COUNTS           KEY      EFFECT
default-3600   50 per 1 hour    fixed-window  all other paths  address  refuses
default-86400  200 per 1 day    fixed-window  all other paths  address  refuses
POST /login    5 per 1 minute   fixed-window  POST /login      address  refuses
/search        1 per 1 second   fixed-window  /search          address  tells
excess-404     60 per 1 minute  fixed-window  answers of 404   address  tells
"
        );
        let (settings, plan) = read(|it| {
            it.default = "50/hour".into();
            it.ipv6_network = 8;
        });
        assert_eq!(
            effective_text(&effective(&settings, &plan)),
            "\
POLICY           LIMIT           STRATEGY      COUNTS           KEY       EFFECT
default          50 per 1 hour   fixed-window  all other paths  address   refuses
default-ipv6-48  400 per 1 hour  fixed-window  all other paths  IPv6 /48  refuses
"
        );
        let segment =
            Segment::on_heap(Layout { ring_bytes: [64; 3], limits: 1 << 16, ..Layout::small(0) });
        let look = |key| {
            let limits = segment.limits();
            let standing = standing(&settings, &plan, &limits, (key, "GET", "/"), 1 << 40);
            standing_text(&standing.unwrap()).lines().count()
        };
        assert_eq!((look("2001:db8::1"), look("192.0.2.7")), (3, 2));
        let (settings, plan) = read(|it| it.enabled = false);
        let none = effective_text(&effective(&settings, &plan));
        assert_eq!(none, "no limits\nlimits.enabled is false: none counts\n");
    }

    #[test]
    fn a_client_is_looked_at_and_cleared_by_the_name_that_it_has_in_the_log() {
        let segment =
            Segment::on_heap(Layout { ring_bytes: [64; 3], limits: 1 << 16, ..Layout::small(0) });
        let (settings, plan) = read(|it| it.routes = "/login: 1/minute".into());
        let (limits, now) = (segment.limits(), 1_000_000_000_000);
        let asked = ("192.0.2.7", "GET", "/login");
        let look = || standing_text(&standing(&settings, &plan, &limits, asked, now).unwrap());
        assert!(look().ends_with("/login  1 per 1 minute  passes     1     -\n"), "{}", look());
        let who = Who::named(&settings.key, 64, asked.0).unwrap();
        let met = &plan.rules[0].1[0];
        let key = limits.key(met.policy.id, met.scope.as_bytes(), who.bytes());
        let hit = Hit { policy: met.policy, key, cost: 1 };
        assert!(limits.decide(&[hit], now, &mut [Verdict::default()]));
        assert!(
            look().ends_with("/login  1 per 1 minute  is refused  0     60.0s\n"),
            "{}",
            look()
        );
        let clear = || clear(&settings, &plan, &limits, asked.0, None).unwrap();
        assert_eq!(cleared_text(&clear()), "cleared /login\n");
        assert_eq!(cleared_text(&clear()), "nothing was counted, of 1 limits\n");
        assert!(look().contains("passes"));
        // Whom `limits watch` names, by the same limit and by others.
        let refuse = |policy: &str, key: &str| {
            let (policy, key) = (policy.as_bytes(), key.as_bytes());
            let whom = Whom { policy, limit: &b"1 per 1 minute"[..], key, tried: false };
            assert!(limits.who_is_refused().note(&whom, now));
        };
        for (policy, key) in [("/login", asked.0), ("/login", "192.0.2.8"), ("attempts", asked.0)] {
            refuse(policy, key);
        }
        clear();
        let rows = limits.who_is_refused().each().map(|it| (it.whom.policy, it.whom.key));
        let mut rows: Vec<_> = rows.collect();
        rows.sort();
        let row = |policy: &str, key: &str| (policy.as_bytes().to_vec(), key.as_bytes().to_vec());
        assert_eq!(rows, [row("/login", "192.0.2.8"), row("attempts", asked.0)]);
        assert!(standing(&settings, &plan, &limits, ("nobody", "GET", "/"), now).is_err());
    }
}
