//! `limits watch`: what the service says of refusals, and the command that asks it again and again.

use super::client::{Line, NOBODY};
use super::{Command, socket_path};
use crate::config::Config;
use crate::limits::refusals::{OUTCOMES, Watch, clients, text};
use crate::metrics::{families, label};
use mainstay_os::segment::{Kind, Segment};
use serde_json::{Value, json};
use std::time::Duration;

/// What is refused at this moment: by whom first, then how much, so that nobody is named who is not in the totals.
pub(super) fn said(segment: &Segment, now_ns: u64) -> Value {
    let mut said = clients(&segment.limits(), now_ns);
    said["totals"] = totals(segment).into();
    said
}

/// The counters of all limits that have refused, or can.
fn totals(segment: &Segment) -> Vec<Value> {
    let register = segment.register();
    let name = families::LIMIT_DECISIONS.name.as_bytes();
    let Some((metric, _)) = register.metrics().find(|(_, it)| it.name() == name) else {
        return Vec::new();
    };
    let series = register.series(Kind::Counter).filter(|it| it.metric == metric);
    let total = |index: usize| {
        // A slot that nobody ever held has counted nothing.
        let held = segment.slots().filter(|slot| slot.epoch() != 0);
        held.map(|slot| slot.measures().counted(index)).fold(0, u64::wrapping_add)
    };
    let row = |index: usize, labels: &[u8]| {
        let labels = label::parse(&String::from_utf8_lossy(labels));
        let of = |name: &str| labels.iter().find(|(it, _)| it == name).map(|(_, value)| value);
        let outcome = of("outcome").filter(|it| OUTCOMES.iter().any(|(known, _)| known == it))?;
        Some(json!({ "policy": of("policy")?, "outcome": outcome, "count": total(index) }))
    };
    series.filter_map(|it| row(it.index, &it.labels)).collect()
}

/// How often to look, and how long between.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looks {
    pub(crate) count: Option<u64>,
    pub(crate) each: Duration,
    pub(crate) json: bool,
}

/// Prints look after look until there are enough, nobody takes what is printed, or the service has ended.
///
/// # Errors
/// Text for standard error and the exit code, as of [`run`](super::client::run).
pub(crate) fn watch(
    config: &Config,
    name: &str,
    looks: Looks,
    print: &mut dyn FnMut(&str) -> std::io::Result<()>,
) -> Result<(), (u8, String)> {
    let path = socket_path(config, name);
    let (mut line, mut watch) = (Line::connect(&path)?, Watch::default());
    let mut done = 0;
    loop {
        let look = watch.look(&line.ask(&Command::Refusals)?);
        let told = if looks.json { format!("{look}\n") } else { format!("{}\n", text(&look)) };
        done += 1;
        if print(&told).is_err() || looks.count.is_some_and(|count| done >= count) {
            return Ok(());
        }
        if !line.is_quiet_for(looks.each) {
            // Its place was needed, or another program has taken over the service.
            line = Line::connect(&path)?;
            if !line.is_quiet_for(looks.each) {
                return Err((NOBODY, "error: the service has ended\n".to_owned()));
            }
        }
    }
}
