//! The command line: sub-commands, and the flags of the key table.
//!
//! Parsing is pure. Values of flags are not judged here but with the other layers, so that a bad
//! worker count is told in the same words wherever it stands.

mod args;
mod chosen;

use std::{ffi::OsString, fmt::Write as _, net::IpAddr, path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue};

use clap::{Arg, ArgAction, ArgMatches, builder::OsStringValueParser, error::ErrorKind};

use chosen::chosen;

use args::{
    alerts, bans, doctor, health, history, import, limits, log_level, migrate, notify, pid, probe,
    probes, rest, rules, silence,
};

use crate::config::{
    Config, Level,
    keys::{self, FILE_VARIABLE, Key},
    render,
};

/// What the program is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Run the service.
    Serve,
    /// Judge the configuration and end.
    Check,
    /// Print the configuration and end.
    Config { default: bool, json: bool },
    /// Print the state of the running service.
    Status { json: bool },
    /// Look at its workers, or change their number.
    Workers(WorkersCommand),
    /// Print the requests in flight.
    Requests { json: bool },
    /// Load configuration and program anew.
    Reload { wait: bool },
    /// End the service.
    Stop { quick: bool },
    /// Ask the running service whether it lives, or is ready.
    Health { ready: bool, within: Duration },
    /// Inspect the configuration, this host and the running service.
    Inspect(Inspection),
    /// Inspect manifests of Kubernetes.
    Kubernetes { files: Vec<PathBuf>, container: Option<String>, how: Inspection },
    /// Make a configuration of another server's.
    Import { file: PathBuf },
    /// Explain who the client of a request is taken to be.
    Doctor(Case),
    /// Let the running service explain it for each request that comes, for a while.
    DoctorLive(Duration),
    /// Change the log level, for a while or for good, for everybody or for one; or print what is in
    /// force.
    LogLevel { level: Option<Level>, duration: Option<Duration>, only: Option<Only> },
    /// Print the rate limits, how a client stands with them, or forget what it has used.
    Limits(LimitsCommand),
    /// Print who is banned, ban somebody, or lift bans.
    Bans(BansCommand),
    /// Look at the schema of the database, or change it.
    Migrate(MigrateCommand),
    /// Print the alerts of the running service.
    Alerts { json: bool },
    /// Print what the running service's probes have found.
    Probes { json: bool },
    /// Print what was.
    History(HistoryCommand),
    /// Ask once, as a probe does: an address, or the name of a probe.
    ProbeOnce { what: String, json: bool },
    /// Print the alert rules that are in force, in words.
    ExplainAlerts,
    /// Silence alerts, or acknowledge one.
    Hush(HushCommand),
    /// Print them as `prometheus`, `alertmanager` or `grafana` takes them.
    ExportRules { format: String },
    /// Send a receiver of notifications something that says that nothing is wrong.
    NotifyTest { receiver: String },
    /// A command of the application's own, with what followed its name.
    Own { name: &'static str, args: Vec<OsString> },
}

/// How an inspection is told, and what counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inspection {
    pub json: bool,
    /// Whether what is doubtful ends it with 1, too.
    pub strict: bool,
}

/// What is asked of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HistoryCommand {
    /// Which series there are.
    List { json: bool },
    /// One of them, from so long ago.
    Show { series: String, since: Duration, points: usize, json: bool },
    /// What happened, from so long ago.
    Events { since: Duration, json: bool },
    /// All of it, or of one series.
    Export { series: Option<String>, format: String },
}

/// What is to be quiet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HushCommand {
    /// An alert is known to somebody.
    Acknowledge { alert: String, by: Option<String> },
    /// These are told to nobody for so long.
    Add { matchers: Vec<String>, time: Duration, by: Option<String>, comment: String },
    /// They are told again.
    Del { id: String },
    /// Print them.
    List,
}

/// What `migrate` is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MigrateCommand {
    /// Tell how each migration stands.
    Status { json: bool },
    /// Run what is pending, or only say what that would be.
    Up { dry_run: bool },
    /// Go up or down to a version, or only say how.
    To { version: i64, dry_run: bool },
}

impl Command {
    /// Whether it asks a service that runs already.
    pub(crate) fn is_for_the_running(&self) -> bool {
        !matches!(
            self,
            Self::Serve
                | Self::Check
                | Self::Config { .. }
                | Self::Health { .. }
                | Self::Inspect(_)
                | Self::Kubernetes { .. }
                | Self::Import { .. }
                | Self::Doctor(_)
                | Self::Limits(LimitsCommand::List { .. })
                | Self::Migrate(_)
                | Self::ProbeOnce { .. }
                | Self::ExplainAlerts
                | Self::Hush(_)
                | Self::ExportRules { .. }
                | Self::NotifyTest { .. }
                | Self::Own { .. }
        )
    }
}

/// What `workers` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WorkersCommand {
    /// Print them.
    List { json: bool },
    /// So many more, 1 to 512.
    Add(u32),
    /// So many fewer, 1 to 512.
    Remove(u32),
    /// Replace this one, or all of them one by one.
    Recycle { pid: Option<u32> },
}

/// What `limits` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LimitsCommand {
    /// Print those of the configuration.
    List { json: bool },
    /// Tell how a client stands with those of a path.
    Test { key: String, method: String, path: String, json: bool },
    /// Print who is refused, again and again: so often, or until it is ended.
    Watch { count: Option<u64>, each: Duration, json: bool },
    /// Forget what a client has used, of those of a path or of all.
    Clear { key: String, place: Option<(String, String)> },
}

/// What `bans` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BansCommand {
    /// Print those that are in force.
    List { json: bool },
    /// Print them for another host.
    Export,
    /// Ban this client, for so long or for as long as the configuration says.
    Add { client: String, lasts: Option<Duration> },
    /// Lift the ban of this client, or all.
    Del { client: Option<String> },
}

/// A case for `doctor client-ip`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    /// Who connects; none for a unix socket.
    pub peer: Option<IpAddr>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// What alone has another log level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Only {
    /// A module and those below it.
    Module(String),
    /// A request, by its id.
    Request(String),
}

/// A command line taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invocation {
    pub command: Command,
    /// The file of `-c`.
    pub config_file: Option<PathBuf>,
    /// Settings by the path of their key.
    pub flags: Vec<(&'static str, String)>,
}

/// A command line that ends the program at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Help or version: for stdout, exit code 0.
    Help(String),
    /// A mistake: for stderr, exit code 64.
    Usage(String),
}

/// Every sub-command with its description, in the order of `--help`.
const COMMANDS: &[(&str, &str)] = &[
    ("serve", "Run the service (this is what happens without a command)"),
    ("check", "Judge the configuration and end: 0 when it is good, 78 when not"),
    ("config", "Print every setting with its value and its origin"),
    ("status", "Print the state of the running service"),
    ("health", "Ask the running service whether it lives: 0 when it does, 1 when not"),
    ("workers", "List the workers, add, remove or replace some"),
    ("requests", "Print the requests that are in flight"),
    ("reload", "Load configuration and program anew, without losing a request"),
    ("stop", "End the service once its requests are answered"),
    ("limits", "Print the rate limits, and how a client stands with them"),
    ("bans", "Print who is banned, ban somebody, or lift bans"),
    ("migrate", "Print how the database's migrations stand, run or undo them"),
    ("doctor", "Say what is unsafe: of configuration, host and service, or of manifests"),
    ("import", "Make a configuration of Gunicorn's"),
    ("alerts", "Print the alerts of the running service, or explain the rules"),
    ("silence", "Keep alerts quiet for a while, list what is quiet, or end that"),
    ("probes", "Print what the running service's probes have found"),
    ("history", "Print what was: requests, times, memory, probes, events, for 400 days"),
    ("probe", "Ask once, as a probe does, and print how long each phase took"),
    ("rules", "Print the alert rules as another program takes them"),
    ("notify", "Show that whoever is told of alerts can be reached"),
    ("log-level", "Print the log level, or change it for a while or until the next reload"),
];

/// What `history` can do.
const HISTORY: &[(&str, &str)] = &[
    ("list", "Print which series there are (this is what happens without a command)"),
    ("show", "Print what one of them was"),
    ("events", "Print what happened: alerts, probes, starts, reloads, ends of workers"),
    ("export", "Print all of it, or one series, as it is kept"),
];

/// What `workers` can do.
const WORKERS: &[(&str, &str)] = &[
    ("list", "Print the workers (this is what happens without a command)"),
    ("add", "Start more workers"),
    ("remove", "Drain and end some workers"),
    ("recycle", "Replace a worker, or all of them one by one"),
];

/// How long `health` waits for an answer.
const HEALTH_PATIENCE: Duration = Duration::from_secs(5);

/// Every exit code with its meaning.
pub(crate) const EXIT_CODES: &[(u8, &str)] = &[
    (0, "success"),
    (1, "the service could not start, the command was refused, or health or doctor found it ill"),
    (2, "no running service answered on the control socket"),
    (3, "a worker failed to boot"),
    (4, "the application failed to load"),
    (64, "mistake on the command line"),
    (78, "mistake in the configuration"),
];

impl Exit {
    /// The text to print.
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Help(text) | Self::Usage(text) => text,
        }
    }

    /// The exit code that belongs to it.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Help(_) => 0,
            Self::Usage(_) => 64,
        }
    }
}

/// Takes a command line apart. `args` begins behind the program's name.
///
/// # Errors
/// A text to print instead, and thereby the exit code.
pub(crate) fn parse(
    program: &str,
    version: &str,
    own: &[(&'static str, &'static str)],
    args: impl IntoIterator<Item = OsString>,
) -> Result<Invocation, Exit> {
    let args = args.into_iter();
    let matches = match command(program, own).try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            return Err(Exit::Help(error.to_string()));
        }
        Err(error) => return Err(Exit::Usage(error.to_string())),
    };
    // clap takes a version that lives as long as the program; ours is the application's.
    let scopes = scopes(&matches);
    if scopes.iter().any(|it| it.get_flag("version")) {
        return Err(Exit::Help(format!("{program} {version}\n")));
    }
    let config_file = scopes.iter().find_map(|it| it.get_one::<OsString>("config"));
    Ok(Invocation {
        command: chosen(&matches, own),
        config_file: config_file.map(PathBuf::from),
        flags: settings(&scopes),
    })
}

fn command(program: &str, own: &[(&'static str, &'static str)]) -> clap::Command {
    let json = || switch("json", "Print JSON");
    let n = |what| {
        Arg::new("n")
            .value_name("N")
            .value_parser(clap::value_parser!(u32).range(1..=512))
            .help(format!("How many to {what}, 1 to 512 [default: 1]"))
    };
    let workers = common(described(COMMANDS, "workers"), false)
        .arg(json())
        .subcommand(common(described(WORKERS, "list"), false).arg(json()))
        .subcommand(common(described(WORKERS, "add"), false).arg(n("add")))
        .subcommand(common(described(WORKERS, "remove"), false).arg(n("remove")))
        .subcommand(common(described(WORKERS, "recycle"), false).arg(pid()));
    let default = switch("default", "Print the built-in defaults with what each setting means");
    let wait = switch("wait", "Wait for the outcome; on failure print the reason and end with 1");
    let quick = switch("quick", "Do not wait for the requests in flight");
    common(clap::Command::new("mainstay"), true)
        .bin_name(program)
        .no_binary_name(true)
        .args_override_self(true)
        .after_help(exit_codes())
        .subcommand(common(described(COMMANDS, "serve"), true))
        .subcommand(common(described(COMMANDS, "check"), true))
        .subcommand(common(described(COMMANDS, "config"), true).arg(default).arg(json()))
        .subcommand(common(described(COMMANDS, "status"), false).arg(json()))
        .subcommand(workers)
        .subcommand(common(described(COMMANDS, "requests"), false).arg(json()))
        .subcommand(common(described(COMMANDS, "reload"), false).arg(wait))
        .subcommand(common(described(COMMANDS, "stop"), false).arg(quick))
        .subcommands([health(), doctor(), import()])
        .subcommand(log_level())
        .subcommand(limits())
        .subcommand(bans())
        .subcommand(migrate())
        .subcommands([alerts(), silence(), probes(), history(), probe(), rules(), notify()])
        .subcommands(own.iter().map(|(name, about)| {
            common(clap::Command::new(*name).about(*about), false).arg(rest())
        }))
}

fn described(table: &'static [(&str, &str)], name: &'static str) -> clap::Command {
    let row = table.iter().find(|(it, _)| *it == name);
    clap::Command::new(name).about(row.expect("every command has its row").1)
}

/// What every command takes. All settings are taken everywhere, so that a command reaches the
/// service under the same flags that started it; their help is shown where they matter.
fn common(command: clap::Command, shown: bool) -> clap::Command {
    let settings = keys::all()
        .filter_map(|key| setting(key).map(|arg| arg.hide(!shown && key.path != "server.control")));
    command
        .disable_help_subcommand(true)
        .arg(config_flag())
        .args(settings)
        .arg(switch("version", "Print the version").short('V'))
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn config_flag() -> Arg {
    Arg::new("config")
        .long("config")
        .short('c')
        .value_name("FILE")
        .value_parser(OsStringValueParser::new())
        .help(format!(
            "Configuration file\n[default: mainstay.toml, if it exists] [env: {FILE_VARIABLE}]"
        ))
}

/// The flag of a key, if it has one.
fn setting(key: &Key) -> Option<Arg> {
    let flag = key.flag?;
    let variables: Vec<String> = [key.variable()]
        .into_iter()
        .chain(key.aliases.iter().map(|it| it.var.to_owned()))
        .collect();
    let default = match key.default {
        "" => String::new(),
        default => format!("[default: {default}] "),
    };
    // clap without its terminal feature does not break lines.
    let doc = render::wrapped(key.doc, 68).join("\n");
    let help = format!("{doc}\n{default}[env: {}]", variables.join(", "));
    let mut arg = Arg::new(key.path)
        .long(flag)
        .value_name(key.kind.placeholder())
        // Repeating a flag adds an address where a key takes several, and else the last one wins.
        .action(ArgAction::Append)
        .allow_hyphen_values(true)
        .help_heading("Settings")
        .help(help);
    if let Some(short) = key.short {
        arg = arg.short(short);
    }
    Some(arg)
}

/// The matches of the command and of those it stands below, the innermost first.
fn scopes(matches: &ArgMatches) -> Vec<&ArgMatches> {
    let mut found = matches.subcommand().map_or_else(Vec::new, |(_, inner)| scopes(inner));
    found.push(matches);
    found
}

/// What the flags say. What stands behind a command replaces what stands before it.
fn settings(scopes: &[&ArgMatches]) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for key in keys::all().filter(|key| key.flag.is_some()) {
        let said = scopes.iter().find_map(|scope| scope.get_many::<String>(key.path));
        let Some(said) = said else { continue };
        let said: Vec<&str> = said.map(String::as_str).collect();
        let value = match said.as_slice() {
            all if key.kind.takes_several() => all.join(","),
            [.., last] => (*last).to_owned(),
            [] => continue,
        };
        found.push((key.path, value));
    }
    found
}

fn exit_codes() -> String {
    let mut text = String::from("Exit codes:\n");
    for (code, meaning) in EXIT_CODES {
        writeln!(text, "  {code:>2}  {meaning}").expect("a String takes all");
    }
    text
}

/// What `config` prints: the configuration in force, or the defaults with their meaning; as TOML,
/// or as JSON.
pub(crate) fn render_effective(config: &Config, default: bool, json: bool) -> String {
    match (default, json) {
        (false, false) => render::effective_toml(config),
        (false, true) => render::effective_json(config),
        (true, false) => render::default_toml(),
        (true, true) => render::default_json(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn parsed(line: &str) -> Result<Invocation, Exit> {
        parse(
            "shop",
            "1.2.3",
            &[("user", "Change users")],
            line.split_whitespace().map(OsString::from),
        )
    }

    fn command_of(line: &str) -> Command {
        match parsed(line) {
            Ok(found) => found.command,
            Err(exit) => panic!("`{line}` ends with {exit:?}"),
        }
    }

    #[test]
    fn every_command_is_understood() {
        use WorkersCommand as W;
        let minutes = |n: u64| Some(Duration::from_secs(60 * n));
        let cases = [
            ("", Command::Serve),
            ("serve", Command::Serve),
            ("check", Command::Check),
            ("config", Command::Config { default: false, json: false }),
            ("config --default --json", Command::Config { default: true, json: true }),
            ("status --json", Command::Status { json: true }),
            ("workers", Command::Workers(W::List { json: false })),
            ("workers --json", Command::Workers(W::List { json: true })),
            ("workers list --json", Command::Workers(W::List { json: true })),
            ("workers add", Command::Workers(W::Add(1))),
            ("workers remove 2", Command::Workers(W::Remove(2))),
            ("workers recycle", Command::Workers(W::Recycle { pid: None })),
            ("workers recycle 77", Command::Workers(W::Recycle { pid: Some(77) })),
            ("requests", Command::Requests { json: false }),
            (
                "doctor client-ip --peer 10.0.0.1",
                Command::Doctor(Case { peer: Some([10, 0, 0, 1].into()), headers: Vec::new() }),
            ),
            ("reload --wait", Command::Reload { wait: true }),
            ("stop --quick", Command::Stop { quick: true }),
            ("migrate", Command::Migrate(MigrateCommand::Status { json: false })),
            ("migrate up --dry-run", Command::Migrate(MigrateCommand::Up { dry_run: true })),
            ("migrate to 3", Command::Migrate(MigrateCommand::To { version: 3, dry_run: false })),
            (
                "user add alice --admin",
                Command::Own {
                    name: "user",
                    args: ["add", "alice", "--admin"].map(Into::into).into(),
                },
            ),
            ("bans list --format file", Command::Bans(BansCommand::Export)),
            ("bans --json", Command::Bans(BansCommand::List { json: true })),
            (
                "bans add 192.0.2.7 --for 10m",
                Command::Bans(BansCommand::Add { client: "192.0.2.7".into(), lasts: minutes(10) }),
            ),
            ("bans del --all", Command::Bans(BansCommand::Del { client: None })),
            ("probes --json", Command::Probes { json: true }),
            ("probe tcp://a:1", Command::ProbeOnce { what: "tcp://a:1".into(), json: false }),
            (
                "rules export --format grafana",
                Command::ExportRules { format: "grafana".to_owned() },
            ),
            ("notify test ops", Command::NotifyTest { receiver: "ops".into() }),
            ("log-level", Command::LogLevel { level: None, duration: None, only: None }),
            (
                "log-level warn",
                Command::LogLevel { level: Some(Level::Warning), duration: None, only: None },
            ),
            (
                "log-level debug --for 10m",
                Command::LogLevel { level: Some(Level::Debug), duration: minutes(10), only: None },
            ),
            (
                "log-level --for 10m debug --module shop::orders",
                Command::LogLevel {
                    level: Some(Level::Debug),
                    duration: minutes(10),
                    only: Some(Only::Module("shop::orders".into())),
                },
            ),
            (
                "log-level debug --request-id abc",
                Command::LogLevel {
                    level: Some(Level::Debug),
                    duration: None,
                    only: Some(Only::Request("abc".into())),
                },
            ),
        ];
        for (line, command) in cases {
            assert_eq!(command_of(line), command, "{line}");
        }
    }

    #[test]
    fn commands_of_history_are_understood() {
        let cases = [
            ("history", Command::History(HistoryCommand::List { json: false })),
            (
                "history show requests --since 30d --points 60",
                Command::History(HistoryCommand::Show {
                    series: "requests".into(),
                    since: Duration::from_secs(30 * 86_400),
                    points: 60,
                    json: false,
                }),
            ),
            (
                "history events --json",
                Command::History(HistoryCommand::Events {
                    since: Duration::from_secs(86_400),
                    json: true,
                }),
            ),
            (
                "history export --format csv",
                Command::History(HistoryCommand::Export { series: None, format: "csv".into() }),
            ),
            (
                "history export requests --format openmetrics",
                Command::History(HistoryCommand::Export {
                    series: Some("requests".into()),
                    format: "openmetrics".into(),
                }),
            ),
        ];
        for (line, command) in cases {
            assert_eq!(command_of(line), command, "{line}");
        }
    }

    #[test]
    fn commands_that_inspect_are_understood() {
        let cases = [
            ("health", Command::Health { ready: false, within: HEALTH_PATIENCE }),
            (
                "health --ready --within 800ms",
                Command::Health { ready: true, within: Duration::from_millis(800) },
            ),
            ("doctor", Command::Inspect(Inspection { json: false, strict: false })),
            ("doctor --strict", Command::Inspect(Inspection { json: false, strict: true })),
            (
                "doctor kubernetes a.yaml - --json --container web",
                Command::Kubernetes {
                    files: vec!["a.yaml".into(), "-".into()],
                    container: Some("web".into()),
                    how: Inspection { json: true, strict: false },
                },
            ),
            ("import gunicorn.conf.py", Command::Import { file: "gunicorn.conf.py".into() }),
        ];
        for (line, command) in cases {
            assert_eq!(command_of(line), command, "{line}");
        }
    }

    #[test]
    fn every_command_about_alerts_is_understood() {
        let cases = [
            ("alerts --json", Command::Alerts { json: true }),
            ("alerts", Command::Alerts { json: false }),
            ("alerts explain", Command::ExplainAlerts),
            (
                "alerts ack not_ready --by anna",
                Command::Hush(HushCommand::Acknowledge {
                    alert: "not_ready".into(),
                    by: Some("anna".into()),
                }),
            ),
            ("silence", Command::Hush(HushCommand::List)),
            ("silence del ab12", Command::Hush(HushCommand::Del { id: "ab12".into() })),
            (
                "silence add rule=high_* severity=critical --for 2h --comment why",
                Command::Hush(HushCommand::Add {
                    matchers: vec!["rule=high_*".into(), "severity=critical".into()],
                    time: Duration::from_secs(7_200),
                    by: None,
                    comment: "why".into(),
                }),
            ),
        ];
        for (line, command) in cases {
            assert_eq!(command_of(line), command, "{line}");
        }
    }

    #[test]
    fn commands_of_limits_are_understood() {
        let cases = [
            ("limits", Command::Limits(LimitsCommand::List { json: false })),
            (
                "limits test --key 192.0.2.7 --path /a --json",
                Command::Limits(LimitsCommand::Test {
                    key: "192.0.2.7".into(),
                    method: "GET".into(),
                    path: "/a".into(),
                    json: true,
                }),
            ),
            (
                "limits watch",
                Command::Limits(LimitsCommand::Watch {
                    count: None,
                    each: Duration::from_secs(2),
                    json: false,
                }),
            ),
            (
                "limits watch --count 3 --each 500ms --json",
                Command::Limits(LimitsCommand::Watch {
                    count: Some(3),
                    each: Duration::from_millis(500),
                    json: true,
                }),
            ),
            (
                "limits clear --key unix --path /a --method POST",
                Command::Limits(LimitsCommand::Clear {
                    key: "unix".into(),
                    place: Some(("POST".into(), "/a".into())),
                }),
            ),
            (
                "limits clear --key unix",
                Command::Limits(LimitsCommand::Clear { key: "unix".into(), place: None }),
            ),
        ];
        for (line, command) in cases {
            assert_eq!(command_of(line), command, "{line}");
        }
    }

    #[test]
    fn settings_are_taken_before_and_behind_the_command() {
        for line in ["-w 2 -c a.toml serve", "serve -w 2 -c a.toml", "-w2 --config=a.toml"] {
            let found = parsed(line).expect(line);
            assert_eq!(found.flags, [("workers.count", "2".to_owned())], "{line}");
            assert_eq!(found.config_file, Some(PathBuf::from("a.toml")), "{line}");
        }
        let found = parsed("-w 1 workers -w 2 add 3 -w 3 --control /run/c")
            .expect("every command takes them");
        let expected = [("server.control", "/run/c".to_owned()), ("workers.count", "3".to_owned())];
        assert_eq!(found.flags, expected);
    }

    #[test]
    fn an_address_repeated_is_added_and_anything_else_is_replaced() {
        let found =
            parsed("-b :80 -b unix:/x --bind :81 -w 2 -w 4").expect("flags may be repeated");
        let expected =
            [("server.bind", ":80,unix:/x,:81".to_owned()), ("workers.count", "4".to_owned())];
        assert_eq!(found.flags, expected);
    }

    #[test]
    fn values_are_judged_with_the_other_layers() {
        let flags = parsed("--workers many --timeout -1").expect("any text is a value").flags;
        let error = Config::resolve(&Sources { flags, ..Sources::default() }).unwrap_err();
        let lines = error.to_string();
        assert!(
            lines.contains("error: --workers: workers.count = \"many\" is not a number"),
            "{lines}"
        );
        assert!(
            lines.contains("error: --timeout: workers.timeout = \"-1\" is not a duration"),
            "{lines}"
        );
    }

    #[test]
    fn mistakes_are_usage_and_name_the_nearest() {
        let cases = [
            ("--workerz 2", "--workers"),
            ("relod", "reload"),
            ("log-level loud", "not a log level"),
            ("log-level --for 10m", "LEVEL"),
            ("log-level --module a", "LEVEL"),
            ("log-level debug --module a --request-id b", "cannot be used with"),
            ("log-level debug --for soon", "is not a duration"),
            ("workers add 0", "1..=512"),
            ("rules export", "--format"),
            ("notify test", "RECEIVER"),
            ("doctor kubernetes", "FILE"),
            ("import", "FILE"),
            ("--workers", "value is required"),
            ("serve now", "now"),
        ];
        for (line, part) in cases {
            match parsed(line) {
                Err(Exit::Usage(text)) => assert!(text.contains(part), "{line}: {text}"),
                other => panic!("`{line}` is {other:?}"),
            }
        }
    }

    #[test]
    fn help_holds_every_command_flag_variable_and_exit_code() {
        let Err(Exit::Help(text)) = parsed("--help") else { panic!("--help prints help") };
        for (name, _) in COMMANDS {
            assert!(text.contains(&format!("\n  {name}")), "{name} is missing in\n{text}");
        }
        for key in keys::all().filter(|key| key.flag.is_some()) {
            assert!(text.contains(&format!("--{}", key.flag.unwrap_or_default())), "{}", key.path);
            assert!(text.contains(&key.variable()), "{}", key.path);
        }
        for (code, meaning) in EXIT_CODES {
            assert!(text.contains(&format!("{code:>2}  {meaning}")), "{code}");
        }
    }

    #[test]
    fn the_version_is_the_application_s() {
        for line in ["--version", "-V", "serve --version"] {
            assert_eq!(parsed(line), Err(Exit::Help("shop 1.2.3\n".to_owned())), "{line}");
        }
    }
}
