//! What operators ask a store: whether it is there, how a client stands, and to forget what it has used.
//! Each by a connection of its own, which may wait.

use super::client::{Client, Connection, Trouble};
use crate::cli::LimitsCommand;
use crate::limits::address::Address;
use crate::limits::plan::{Met, Plan};
use crate::limits::question::{Item, Naming, Order, Part, Question};
use crate::limits::settings::Settings;
use crate::limits::table;
use crate::limits::who::Who;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

/// How long operators wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the store of these settings can be reached, if there is one.
///
/// # Errors
/// Why not.
pub(crate) fn reach(settings: &Settings) -> Result<(), String> {
    let Some(address) = &settings.storage else { return Ok(()) };
    let pinged = wait(async { connect(address).await?.ping().await });
    pinged.map_err(|error| away(address, &error))
}

/// What a command about limits is told by the store of these settings, and by this host, which `here` asks. A store
/// that is away is complained about.
///
/// # Errors
/// When the key is none; what `here` says.
pub(crate) fn told(
    command: &LimitsCommand,
    settings: &Settings,
    plan: &Plan,
    here: impl FnOnce() -> Result<String, (u8, String)>,
    complain: impl FnOnce(&str),
) -> Result<String, (u8, String)> {
    let Some(address) = &settings.storage else { return here() };
    let said = match command {
        LimitsCommand::List { .. } | LimitsCommand::Watch { .. } => return here(),
        LimitsCommand::Test { key, method, path, json } => {
            let data = standing(settings, plan, address, (key, method, path));
            let text = |data: Value| {
                if *json { format!("{data:#}\n") } else { table::standing_text(&data) }
            };
            data.map(text)
        }
        LimitsCommand::Clear { key, place } => {
            let place = place.as_ref().map(|(method, path)| (&**method, &**path));
            let data = clear(settings, plan, address, key, place);
            data.map(|data| table::cleared_text(&data))
        }
    };
    match (said, command) {
        (Ok(text), LimitsCommand::Clear { .. }) => Ok(text + &here()?),
        (Ok(text), _) => Ok(text),
        (Err(reason), _) => {
            complain(&format!("warning: {reason}; this host alone is asked\n"));
            here()
        }
    }
}

/// How a client stands with the limits that a request would meet. Counts nothing.
///
/// # Errors
/// When the key is none, or the store is away.
fn standing(
    settings: &Settings,
    plan: &Plan,
    address: &Address,
    asked: (&str, &str, &str),
) -> Result<Value, String> {
    let (key, method, path) = asked;
    let met = plan.met(method, path).chain(&plan.meta);
    let (met, items) = items(settings, met, key)?;
    let question = Question { order: Order::Look, items };
    let reply = wait(async { connect(address).await?.decide(&question).await });
    let reply = reply.map_err(|error| away(address, &error))?;
    let rows = met.iter().zip(&reply.verdicts);
    let rows: Vec<_> = rows.map(|(met, it)| table::row(met, it.admitted, it)).collect();
    Ok(json!({ "enabled": settings.enabled, "store": address.to_string(), "limits": rows }))
}

/// Forgets what a client has used of the limits of a path, or of all; gives how many it had used any of.
///
/// # Errors
/// When the key is none, or the store is away.
fn clear(
    settings: &Settings,
    plan: &Plan,
    address: &Address,
    key: &str,
    place: Option<(&str, &str)>,
) -> Result<Value, String> {
    let met: Vec<&Met> = match place {
        Some((method, path)) => plan.met(method, path).collect(),
        None => plan.all().collect(),
    };
    let (met, items) = items(settings, met.into_iter(), key)?;
    let forget = async {
        let mut connection = connect(address).await?;
        let mut cleared = Vec::new();
        for (item, met) in items.iter().zip(&met) {
            let mut command = redis::cmd("DEL");
            command.arg(&item.keys()[..]);
            let count: i64 = connection.send(&command).await?;
            if count > 0 {
                cleared.push(&met.name);
            }
        }
        Ok(json!({ "cleared": cleared, "looked_at": met.len(), "store": address.to_string() }))
    };
    wait(forget).map_err(|error| away(address, &error))
}

/// Those of the limits that count somebody, and what is asked about them.
fn items<'a>(
    settings: &Settings,
    met: impl Iterator<Item = &'a Met>,
    key: &str,
) -> Result<(Vec<&'a Met>, Vec<Item>), String> {
    let who = Who::named(&settings.key, settings.ipv6_prefix, key)?;
    let naming = Naming::of(settings);
    let item = |met: &'a Met| {
        let who = naming.who(&who.of_limit(met.is_wide)?);
        Some((met, Item::new(Part::Enforced, met, &naming, &who)))
    };
    Ok(met.filter_map(item).unzip())
}

async fn connect(address: &Address) -> Result<Connection, Trouble> {
    Client::new(address).map_err(Trouble::None)?.connect().await
}

/// Waits for what the store says.
fn wait<T>(work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Trouble::None(error.to_string()))?;
    let said = runtime.block_on(async { timeout(PATIENCE, work).await });
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    said.unwrap_or(Err(Trouble::Late(PATIENCE)))
}

fn away(address: &Address, error: &Trouble) -> String {
    format!("the store of rate limits {address} is away: {error}")
}
