//! The arguments of single commands, each with its help.

use super::{COMMANDS, HISTORY, common, described, switch};
use crate::config::{Level, units};
use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction};
use http::{HeaderName, HeaderValue};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub(super) fn pid() -> Arg {
    Arg::new("pid")
        .value_name("PID")
        .value_parser(clap::value_parser!(u32).range(1..))
        .help("Process id of the worker [default: all workers]")
}

pub(super) fn log_level() -> clap::Command {
    let only = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).requires("level").help(help)
    };
    let level = Arg::new("level")
        .value_name("LEVEL")
        .value_parser(|text: &str| text.parse::<Level>())
        .help("debug, info, warning, error or critical [default: print what is in force]");
    let duration = Arg::new("for")
        .long("for")
        .value_name("DURATION")
        .value_parser(some_time)
        .requires("level")
        .help("Go back to the present level after this time, such as 10m");
    let module =
        only("module", "MODULE", "Write more of this module and those below it: shop::orders")
            .conflicts_with("request-id");
    let request = only("request-id", "ID", "Write more of the requests with this id");
    let log_level = common(described(COMMANDS, "log-level"), false);
    log_level.arg(level).arg(duration).arg(module).arg(request)
}

fn some_time(text: &str) -> Result<Duration, &'static str> {
    match units::duration(text) {
        Ok(it) if it.is_zero() => Err("is no time at all"),
        other => other,
    }
}

pub(super) fn health() -> clap::Command {
    let within = Arg::new("within")
        .long("within")
        .value_name("DURATION")
        .value_parser(some_time)
        .help("How long the answer may take [default: 5s]");
    common(described(COMMANDS, "health"), false)
        .arg(switch("ready", "Ask whether it is ready for requests, in place of whether it lives"))
        .arg(within)
}

/// What `doctor` can look at besides.
const DOCTOR: &[(&str, &str)] = &[
    ("kubernetes", "Inspect manifests: what of them does not fit this service"),
    ("client-ip", "Show, hop by hop, who the client of a request is taken to be, and why"),
];

pub(super) fn doctor() -> clap::Command {
    let json = || switch("json", "Print JSON");
    let strict = || switch("strict", "End with 1 for what is doubtful, too");
    let file = path("One file or several, as kubectl kustomize or helm template print them; - is standard input")
        .num_args(1..);
    let container = Arg::new("container")
        .long("container")
        .value_name("NAME")
        .help("The container that runs this service [default: the first of each pod]");
    common(described(COMMANDS, "doctor"), false)
        .args([json(), strict()])
        .subcommand(common(described(DOCTOR, "kubernetes"), false).args([
            file,
            container,
            json(),
            strict(),
        ]))
        .subcommand(common(described(DOCTOR, "client-ip"), false).args([peer(), field(), live()]))
}

pub(super) fn import() -> clap::Command {
    let file = path("Gunicorn's file, such as gunicorn.conf.py; it is read and not run");
    common(described(COMMANDS, "import"), false).arg(file)
}

fn path(help: &'static str) -> Arg {
    Arg::new("file")
        .value_name("FILE")
        .required(true)
        .value_parser(clap::value_parser!(PathBuf))
        .help(help)
}

fn live() -> Arg {
    Arg::new("live")
        .long("live")
        .value_name("DURATION")
        .value_parser(some_time)
        .conflicts_with_all(["peer", "header"])
        .help("Let the running service tell the chain of each request that comes, for so long, in its error log")
}

fn peer() -> Arg {
    Arg::new("peer")
        .long("peer")
        .value_name("ADDRESS")
        .value_parser(|text: &str| match text {
            "unix" => Ok(None),
            text => text.parse::<IpAddr>().map(Some).map_err(|_| "is not an address"),
        })
        .help("Who connects to the service: an address, or unix [default: 127.0.0.1]")
}

fn field() -> Arg {
    Arg::new("header")
        .long("header")
        .short('H')
        .value_name("NAME: VALUE")
        .action(ArgAction::Append)
        .value_parser(header)
        .help("A header that it sends, such as \"X-Forwarded-For: 192.0.2.1\"; repeat for more")
}

/// `Name: value`.
fn header(text: &str) -> Result<(HeaderName, HeaderValue), &'static str> {
    let (name, value) = text.split_once(':').ok_or("has no colon")?;
    let name = name.trim().parse().map_err(|_| "has no valid name")?;
    Ok((name, value.trim().parse().map_err(|_| "has no valid value")?))
}

/// What `limits` can do.
const LIMITS: &[(&str, &str)] = &[
    ("test", "Print how a client stands with the limits that its request would meet"),
    ("watch", "Print who is refused by which limit, again and again"),
    ("clear", "Forget what a client has used of its limits"),
];

pub(super) fn limits() -> clap::Command {
    let json = || switch("json", "Print JSON");
    let key =
        || {
            Arg::new("key").long("key").value_name("KEY").required(true).help(
                "The client: an address, \"unix\", or what the header says that limits.key names",
            )
        };
    let path = |is_required| {
        let help = "The path of the request, as in /login";
        Arg::new("path").long("path").value_name("PATH").required(is_required).help(help)
    };
    let method = || {
        let help = "The method of the request [default: GET]";
        Arg::new("method").long("method").value_name("METHOD").default_value("GET").help(help)
    };
    let count = || {
        let help = "How often to look [default: until it is interrupted]";
        let count = clap::value_parser!(u64).range(1..);
        Arg::new("count").long("count").short('n').value_name("N").value_parser(count).help(help)
    };
    let each = || {
        let help = "How long between two looks";
        let each = Arg::new("each").long("each").value_name("DURATION").default_value("2s");
        each.value_parser(some_time).help(help)
    };
    common(described(COMMANDS, "limits"), false)
        .arg(json())
        .subcommand(common(described(LIMITS, "test"), false).args([
            key(),
            path(true),
            method(),
            json(),
        ]))
        .subcommand(common(described(LIMITS, "watch"), false).args([count(), each(), json()]))
        .subcommand(common(described(LIMITS, "clear"), false).args([key(), path(false), method()]))
}

/// What `bans` can do.
const BANS: &[(&str, &str)] = &[
    ("list", "Print the bans that are in force (this is what happens without a command)"),
    ("add", "Ban a client; a ban that is in force is replaced"),
    ("del", "Lift the ban of a client, or all"),
];

pub(super) fn bans() -> clap::Command {
    let json = || switch("json", "Print JSON");
    let client = || {
        let help = "The client's address; of IPv6 its whole network by limits.ipv6_prefix";
        Arg::new("client").value_name("ADDRESS").help(help)
    };
    let lasts = Arg::new("for")
        .long("for")
        .value_name("DURATION")
        .value_parser(some_time)
        .help("How long, such as 1h [default: as bans.time and bans.factor say]");
    let format = Arg::new("format")
        .long("format")
        .value_name("WORD")
        .value_parser(["file"])
        .conflicts_with("json")
        .help("Print them as bans.file of another host takes them");
    let all = switch("all", "Lift all bans").conflicts_with("client");
    common(described(COMMANDS, "bans"), false)
        .arg(json())
        .subcommand(common(described(BANS, "list"), false).arg(json()).arg(format))
        .subcommand(common(described(BANS, "add"), false).arg(client().required(true)).arg(lasts))
        .subcommand(
            common(described(BANS, "del"), false)
                .arg(client().required_unless_present("all"))
                .arg(all),
        )
}

/// What `migrate` can do.
const MIGRATE: &[(&str, &str)] = &[
    ("status", "Print how each migration stands (this is what happens without a command)"),
    ("up", "Run the migrations that are pending"),
    ("to", "Run or undo migrations until this version, 0 for none, is reached"),
];

pub(super) fn migrate() -> clap::Command {
    let dry_run = || switch("dry-run", "Print what would be run, and run nothing");
    // `version` is the switch that all commands have.
    let version = Arg::new("target")
        .value_name("VERSION")
        .required(true)
        .value_parser(clap::value_parser!(i64).range(0..))
        .help("The version to reach");
    let json = || switch("json", "Print JSON");
    common(described(COMMANDS, "migrate"), false)
        .arg(json())
        .subcommand(common(described(MIGRATE, "status"), false).arg(json()))
        .subcommand(common(described(MIGRATE, "up"), false).arg(dry_run()))
        .subcommand(common(described(MIGRATE, "to"), false).arg(version).arg(dry_run()))
}

pub(super) fn alerts() -> clap::Command {
    let explain = clap::Command::new("explain")
        .about("Print the rules as they are in force, in words, and who is told");
    let acknowledge = clap::Command::new("ack")
        .about("Say that an alert is known: it is not told again until it is over");
    let alert = Arg::new("alert")
        .value_name("ALERT")
        .required(true)
        .help("Its name, such as not_ready or 'pool_exhausted{main}', or its id");
    common(described(COMMANDS, "alerts"), false)
        .arg(switch("json", "Print JSON"))
        .subcommand(common(explain, false))
        .subcommand(common(acknowledge, false).arg(alert).arg(by()))
}

/// Who asks for it.
fn by() -> Arg {
    Arg::new("by").long("by").value_name("WHO").help("Who wants it so [default: the user's number]")
}

/// What `silence` can do.
const SILENCE: &[(&str, &str)] = &[
    ("add", "Tell nobody of the alerts that are meant, for a while"),
    ("list", "Print what is silenced (this is what happens without a command)"),
    ("del", "End a silence before its time"),
];

pub(super) fn silence() -> clap::Command {
    let matcher = Arg::new("matcher")
        .value_name("MATCHER")
        .required(true)
        .num_args(1..)
        .help("Which: rule=high_5xx, severity=warning, pool=db*; all of them are to be true");
    let time = Arg::new("for")
        .long("for")
        .value_name("DURATION")
        .required(true)
        .value_parser(|text: &str| match units::duration(text) {
            Ok(time) if time.is_zero() => Err("is no time"),
            read => read,
        })
        .help("How long");
    let comment =
        Arg::new("comment").long("comment").value_name("TEXT").help("Why, for whoever sees it");
    let id = Arg::new("id").value_name("ID").required(true).help("As `silence list` has it");
    common(described(COMMANDS, "silence"), false)
        .subcommand(common(described(SILENCE, "add"), false).args([matcher, time, by(), comment]))
        .subcommand(common(described(SILENCE, "list"), false))
        .subcommand(common(described(SILENCE, "del"), false).arg(id))
}

pub(super) fn probes() -> clap::Command {
    common(described(COMMANDS, "probes"), false).arg(switch("json", "Print JSON"))
}

pub(super) fn history() -> clap::Command {
    let json = || switch("json", "Print JSON");
    let since = || {
        Arg::new("since")
            .long("since")
            .value_name("DURATION")
            .default_value("1d")
            .value_parser(units::duration)
            .help("From so long ago until now [default: 1d]")
    };
    let series = |is_required| {
        let help = "As `history` lists it";
        Arg::new("series").value_name("SERIES").required(is_required).help(help)
    };
    let points = Arg::new("points")
        .long("points")
        .value_name("NUMBER")
        .default_value("100")
        .value_parser(clap::value_parser!(u16).range(3..=10_000))
        .help("At most so many lines [default: 100]");
    let format = Arg::new("format")
        .long("format")
        .value_name("FORMAT")
        .default_value("ndjson")
        .value_parser(["ndjson", "csv", "openmetrics"])
        .help("ndjson, csv, or openmetrics (for Prometheus) [default: ndjson]");
    let show = common(described(HISTORY, "show"), false);
    common(described(COMMANDS, "history"), false)
        .arg(json())
        .subcommand(common(described(HISTORY, "list"), false).arg(json()))
        .subcommand(show.args([series(true), since(), points, json()]))
        .subcommand(common(described(HISTORY, "events"), false).args([since(), json()]))
        .subcommand(common(described(HISTORY, "export"), false).args([series(false), format]))
}

pub(super) fn probe() -> clap::Command {
    let what = Arg::new("what")
        .value_name("URL")
        .required(true)
        .help("http://…, https://…, tcp://HOST:PORT, dns://NAME, or the name of a probe");
    common(described(COMMANDS, "probe"), false).arg(what).arg(switch("json", "Print JSON"))
}

pub(super) fn rules() -> clap::Command {
    let format = Arg::new("format")
        .long("format")
        .value_name("FORMAT")
        .required(true)
        .value_parser(["prometheus", "alertmanager", "grafana"])
        .help(
            "What takes them: prometheus, alertmanager (what explains what) or grafana (a board)",
        );
    let export = clap::Command::new("export").about("Print them to standard output");
    common(described(COMMANDS, "rules"), false)
        .subcommand_required(true)
        .subcommand(common(export, false).arg(format))
}

pub(super) fn notify() -> clap::Command {
    let receiver = Arg::new("receiver")
        .value_name("RECEIVER")
        .required(true)
        .help("Its name in alerts.receivers");
    let test =
        clap::Command::new("test").about("Send it something that says that nothing is wrong");
    common(described(COMMANDS, "notify"), false)
        .subcommand_required(true)
        .subcommand(common(test, false).arg(receiver))
}

/// Whatever follows the name of a command of the application's own.
pub(super) fn rest() -> Arg {
    Arg::new("args")
        .value_name("ARGS")
        .num_args(0..)
        .trailing_var_arg(true)
        .allow_hyphen_values(true)
        .value_parser(OsStringValueParser::new())
        .help("What the command takes; `help` may tell")
}
