//! From what clap has matched to the command that was chosen.

use super::{
    BansCommand, Case, Command, HEALTH_PATIENCE, HistoryCommand, HushCommand, Inspection,
    LimitsCommand, MigrateCommand, Only, WorkersCommand,
};
use clap::ArgMatches;
use http::{HeaderName, HeaderValue};
use std::{ffi::OsString, net::Ipv4Addr};

pub(super) fn chosen(matches: &ArgMatches, own: &[(&'static str, &'static str)]) -> Command {
    let Some((name, inner)) = matches.subcommand() else { return Command::Serve };
    match name {
        "serve" => Command::Serve,
        "check" => Command::Check,
        "config" => {
            Command::Config { default: inner.get_flag("default"), json: inner.get_flag("json") }
        }
        "status" => Command::Status { json: inner.get_flag("json") },
        "workers" => Command::Workers(chosen_of_workers(inner)),
        "requests" => Command::Requests { json: inner.get_flag("json") },
        "reload" => Command::Reload { wait: inner.get_flag("wait") },
        "stop" => Command::Stop { quick: inner.get_flag("quick") },
        "health" => Command::Health {
            ready: inner.get_flag("ready"),
            within: inner.get_one("within").copied().unwrap_or(HEALTH_PATIENCE),
        },
        "doctor" => chosen_of_doctor(inner),
        "import" => {
            Command::Import { file: inner.get_one("file").cloned().expect("clap has asked for it") }
        }
        "log-level" => {
            let text = |name| inner.get_one::<String>(name).cloned();
            let only = text("module").map(Only::Module);
            Command::LogLevel {
                level: inner.get_one("level").copied(),
                duration: inner.get_one("for").copied(),
                only: only.or_else(|| text("request-id").map(Only::Request)),
            }
        }
        "limits" => Command::Limits(chosen_of_limits(inner)),
        "bans" => Command::Bans(chosen_of_bans(inner)),
        "migrate" => Command::Migrate(chosen_of_migrate(inner)),
        "alerts" => chosen_of_alerts(inner),
        "silence" => Command::Hush(chosen_of_silence(inner)),
        "probes" => Command::Probes { json: inner.get_flag("json") },
        "history" => Command::History(chosen_of_history(inner)),
        "probe" => {
            let what = inner.get_one::<String>("what").cloned().unwrap_or_default();
            Command::ProbeOnce { what, json: inner.get_flag("json") }
        }
        "rules" => {
            let (_, asked) = inner.subcommand().expect("clap has asked for it");
            let format = asked.get_one::<String>("format").cloned().unwrap_or_default();
            Command::ExportRules { format }
        }
        "notify" => {
            let (_, asked) = inner.subcommand().expect("clap has asked for it");
            let receiver = asked.get_one::<String>("receiver").cloned().unwrap_or_default();
            Command::NotifyTest { receiver }
        }
        other => match own.iter().find(|(name, _)| *name == other) {
            Some((name, _)) => {
                let args = inner.get_many::<OsString>("args");
                Command::Own { name, args: args.into_iter().flatten().cloned().collect() }
            }
            None => unreachable!("clap knows a command {other} that is not handled"),
        },
    }
}

fn chosen_of_doctor(matches: &ArgMatches) -> Command {
    let how = |it: &ArgMatches| Inspection {
        json: matches.get_flag("json") || it.get_flag("json"),
        strict: matches.get_flag("strict") || it.get_flag("strict"),
    };
    match matches.subcommand() {
        None => Command::Inspect(how(matches)),
        Some(("kubernetes", asked)) => Command::Kubernetes {
            files: asked.get_many("file").into_iter().flatten().cloned().collect(),
            container: asked.get_one("container").cloned(),
            how: how(asked),
        },
        Some((_, asked)) => {
            if let Some(time) = asked.get_one("live") {
                return Command::DoctorLive(*time);
            }
            Command::Doctor(Case {
                peer: asked.get_one("peer").copied().unwrap_or(Some(Ipv4Addr::LOCALHOST.into())),
                headers: asked
                    .get_many::<(HeaderName, HeaderValue)>("header")
                    .map_or_else(Vec::new, |all| all.cloned().collect()),
            })
        }
    }
}

fn chosen_of_alerts(matches: &ArgMatches) -> Command {
    let text = |inner: &ArgMatches, name| inner.get_one::<String>(name).cloned();
    match matches.subcommand() {
        None => Command::Alerts { json: matches.get_flag("json") },
        Some(("ack", inner)) => {
            let alert = text(inner, "alert").unwrap_or_default();
            Command::Hush(HushCommand::Acknowledge { alert, by: text(inner, "by") })
        }
        Some(_) => Command::ExplainAlerts,
    }
}

fn chosen_of_history(matches: &ArgMatches) -> HistoryCommand {
    let json = matches.get_flag("json");
    let Some((name, inner)) = matches.subcommand() else { return HistoryCommand::List { json } };
    let since = || inner.get_one("since").copied().unwrap_or_default();
    match name {
        "show" => HistoryCommand::Show {
            series: inner.get_one("series").cloned().unwrap_or_default(),
            since: since(),
            points: inner.get_one("points").map_or(0, |it: &u16| usize::from(*it)),
            json: json || inner.get_flag("json"),
        },
        "events" => HistoryCommand::Events { since: since(), json: json || inner.get_flag("json") },
        "export" => HistoryCommand::Export {
            series: inner.get_one("series").cloned(),
            format: inner.get_one("format").cloned().unwrap_or_default(),
        },
        _ => HistoryCommand::List { json: json || inner.get_flag("json") },
    }
}

fn chosen_of_silence(matches: &ArgMatches) -> HushCommand {
    let Some((name, inner)) = matches.subcommand() else { return HushCommand::List };
    let text = |name| inner.get_one::<String>(name).cloned();
    match name {
        "add" => HushCommand::Add {
            matchers: inner.get_many("matcher").map_or_else(Vec::new, |all| all.cloned().collect()),
            time: inner.get_one("for").copied().unwrap_or_default(),
            by: text("by"),
            comment: text("comment").unwrap_or_default(),
        },
        "del" => HushCommand::Del { id: text("id").unwrap_or_default() },
        _ => HushCommand::List,
    }
}

fn chosen_of_limits(matches: &ArgMatches) -> LimitsCommand {
    let json = matches.get_flag("json");
    let Some((name, inner)) = matches.subcommand() else { return LimitsCommand::List { json } };
    if name == "watch" {
        let (count, each) = (inner.get_one("count").copied(), inner.get_one("each").copied());
        let json = json || inner.get_flag("json");
        return LimitsCommand::Watch { count, each: each.unwrap_or_default(), json };
    }
    let text = |name| inner.get_one::<String>(name).cloned();
    let (key, method) = (text("key").unwrap_or_default(), text("method").unwrap_or_default());
    let path = text("path");
    match name {
        "test" => {
            let json = json || inner.get_flag("json");
            LimitsCommand::Test { key, method, path: path.unwrap_or_default(), json }
        }
        "clear" => LimitsCommand::Clear { key, place: path.map(|path| (method, path)) },
        other => unreachable!("clap knows a command {other} of limits that is not handled"),
    }
}

fn chosen_of_bans(matches: &ArgMatches) -> BansCommand {
    let json = matches.get_flag("json");
    let Some((name, inner)) = matches.subcommand() else { return BansCommand::List { json } };
    let client = || inner.get_one::<String>("client").cloned();
    match name {
        "list" if inner.contains_id("format") => BansCommand::Export,
        "list" => BansCommand::List { json: json || inner.get_flag("json") },
        "add" => {
            let client = client().expect("clap has asked for it");
            BansCommand::Add { client, lasts: inner.get_one("for").copied() }
        }
        "del" => BansCommand::Del { client: client() },
        other => unreachable!("clap knows a command {other} of bans that is not handled"),
    }
}

fn chosen_of_migrate(matches: &ArgMatches) -> MigrateCommand {
    let json = matches.get_flag("json");
    let Some((name, inner)) = matches.subcommand() else { return MigrateCommand::Status { json } };
    let dry_run = || inner.get_flag("dry-run");
    match name {
        "status" => MigrateCommand::Status { json: json || inner.get_flag("json") },
        "up" => MigrateCommand::Up { dry_run: dry_run() },
        "to" => {
            let version = inner.get_one("target").copied().expect("clap has asked for it");
            MigrateCommand::To { version, dry_run: dry_run() }
        }
        other => unreachable!("clap knows a command {other} of migrate that is not handled"),
    }
}

fn chosen_of_workers(matches: &ArgMatches) -> WorkersCommand {
    let json = matches.get_flag("json");
    let Some((name, inner)) = matches.subcommand() else { return WorkersCommand::List { json } };
    let amount = || inner.get_one("n").copied().unwrap_or(1);
    match name {
        "list" => WorkersCommand::List { json: json || inner.get_flag("json") },
        "add" => WorkersCommand::Add(amount()),
        "remove" => WorkersCommand::Remove(amount()),
        "recycle" => WorkersCommand::Recycle { pid: inner.get_one("pid").copied() },
        other => unreachable!("clap knows a command {other} of workers that is not handled"),
    }
}
