//! The entry: from the process's passport or command line to a role, and from the role to an exit
//! code. Nothing else.

use crate::ask;
use crate::cli::{self, Command};
use crate::command::{Call, Own};
use crate::config::Config;
use crate::config::load::{self, Snapshot};
#[cfg(feature = "database")]
use crate::db::Migrations;
use crate::doctor;
use crate::http::body::BoxError;
use crate::http::client::{self, Trust};
use crate::http::errors::OwnPage;
use crate::import;
use crate::limits::plan::Plan;
use crate::limits::settings::Settings;
use crate::limits::table;
use crate::log::outlet;
use crate::passport::{Passport, Role};
#[cfg(feature = "redis")]
use crate::store;
use crate::supervisor::refusals::{self, Looks};
use crate::supervisor::{self, Identity};
use crate::worker::{App, Outcome, Worker};
use crate::{voice, watch, worker};
use http::HeaderMap;
use mainstay_os::fds;
use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

/// Could not start, or was refused.
const FAILED: u8 = 1;
/// A worker failed to boot.
const BOOT_FAILED: u8 = 3;
/// The application failed to load.
const APP_FAILED: u8 = 4;
/// Mistake in the configuration.
const BAD_CONFIG: u8 = 78;

/// Runs an application as a service: supervised workers, health endpoints, reload without a lost
/// request. The same as `mainstay::builder().serve(factory)`.
///
/// The program becomes the supervisor, and starts itself again as workers; `factory` runs once in
/// each of them. What stands before this call in `main` therefore runs in every process, so keep it
/// empty. The command line is mainstay's: `serve` (the default), `check`, `status`, `reload` and so
/// on; `--help` tells all.
///
/// # Exit codes
/// 0 after a stop; 1 when the service cannot start; 3 when no worker boots; 4 when the factory
/// returns an error; 64 for a mistake on the command line; 78 for one in the configuration.
pub fn serve<F, Fut, A>(factory: F) -> ExitCode
where
    F: FnOnce(Worker) -> Fut,
    Fut: Future<Output = Result<A, BoxError>>,
    A: App,
{
    builder().serve(factory)
}

/// Further wishes, before [`Builder::serve`].
#[must_use]
pub fn builder() -> Builder {
    Builder {
        name: None,
        version: None,
        defaults: None,
        commands: Vec::new(),
        pages: Vec::new(),
        #[cfg(feature = "database")]
        migrations: None,
    }
}

/// What an application says of itself; made by [`builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    name: Option<String>,
    version: Option<String>,
    defaults: Option<String>,
    commands: Vec<Own>,
    pages: Vec<OwnPage>,
    #[cfg(feature = "database")]
    migrations: Option<Migrations>,
}

impl Builder {
    /// The service's name, unless the configuration names it. Default: the program's file name.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// The application's version, as status and `--version` show it. Usually
    /// `env!("CARGO_PKG_VERSION")`. Default: none.
    pub fn version(mut self, version: impl Into<String>) -> Builder {
        self.version = Some(version.into());
        self
    }

    /// The application's own defaults, as the text of a `mainstay.toml`. File, environment and
    /// flags go before them.
    pub fn defaults(mut self, toml: impl Into<String>) -> Builder {
        self.defaults = Some(toml.into());
        self
    }

    /// Adds a command of the application's own, such as `user add alice`. It runs once, in a process of
    /// its own beside the service, with the same configuration. What it gives is printed; an error ends
    /// the program with 1.
    pub fn command<F, Fut>(mut self, name: &'static str, about: &'static str, run: F) -> Builder
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, BoxError>> + 'static,
    {
        self.commands.push(Own::new(name, about, run));
        self
    }

    /// An error page of the application's own: the template `404.html`, `500.html` and so on for one
    /// status, `error.html` for every other, or whatever those use, such as `base.html`. The files of
    /// `http.error_pages` go before them. docs/error-pages.md tells what a template is given.
    ///
    /// A template that is not valid fails the start, or the reload.
    pub fn error_page(mut self, name: impl Into<String>, template: impl Into<String>) -> Builder {
        self.pages.push((name.into(), template.into()));
        self
    }

    /// The steps of the schema of the database that the configuration names: run by the command
    /// `migrate`, or before a worker is ready with `database.migrate = "on-start"`.
    #[cfg(feature = "database")]
    pub fn migrations(mut self, migrations: impl Into<Migrations>) -> Builder {
        self.migrations = Some(migrations.into());
        self
    }

    /// Runs the service; see [`serve`].
    pub fn serve<F, Fut, A>(self, factory: F) -> ExitCode
    where
        F: FnOnce(Worker) -> Fut,
        Fut: Future<Output = Result<A, BoxError>>,
        A: App,
    {
        if tokio::runtime::Handle::try_current().is_ok() {
            return fail(FAILED, &"error: main must be a plain `fn main`, without #[tokio::main]");
        }
        let passport = match Passport::find() {
            Ok(passport) => passport,
            Err(error) => return fail(BAD_CONFIG, &error),
        };
        match self.play(passport, factory) {
            Ok(code) => ExitCode::from(code),
            Err((code, text)) => fail(code, &text),
        }
    }

    /// Every role of the program.
    fn play<F, Fut, A>(self, passport: Option<Passport>, factory: F) -> Result<u8, (u8, String)>
    where
        F: FnOnce(Worker) -> Fut,
        Fut: Future<Output = Result<A, BoxError>>,
        A: App,
    {
        let (mut identity, command) = self.identify()?;
        let Some(passport) = passport else { return self.command_line(identity, &command) };
        match passport.role {
            Role::Supervisor => supervisor::resume(identity, &passport)
                .map(supervisor::Supervisor::run)
                .map_err(|error| (FAILED, error.to_string())),
            Role::Probe => {
                supervisor::probe(&identity, &passport);
                Ok(0)
            }
            Role::Worker => {
                let config = inherit(&mut identity, &passport)?;
                let Identity { name, version, .. } = identity;
                let plan = self.plan();
                Ok(match worker::run(&passport, config, name, version, plan, factory) {
                    Outcome::Done => 0,
                    Outcome::BootFailed => BOOT_FAILED,
                    Outcome::AppFailed => APP_FAILED,
                })
            }
            Role::Watch => {
                let config = inherit(&mut identity, &passport)?;
                let Identity { name, version, .. } = identity;
                watch::run(&passport, &config, name, version)
                    .map(|()| 0)
                    .map_err(|error| (FAILED, format!("error: watch: {error}")))
            }
            Role::Notice => {
                let config = inherit(&mut identity, &passport)?;
                let Some(matter) = &passport.matter else { return Ok(0) };
                let whose = (&*identity.name, &*identity.version);
                let (told, written) = watch::notice(&config, whose, matter);
                if let (Err(error), Ok(voice)) = (written, voice::Voice::take(passport.voice)) {
                    voice.say(&voice::Word::Failed { code: FAILED, reason: error.to_string() });
                }
                Ok(told as u8)
            }
        }
    }

    /// Runs a sub-command.
    fn command_line(&self, mut identity: Identity, command: &Command) -> Result<u8, (u8, String)> {
        let bad = |error: &dyn fmt::Display| (BAD_CONFIG, error.to_string());
        if let Command::Config { default: true, json } = command {
            let config = Snapshot::default().resolve(identity.app_defaults.as_deref(), &[]);
            let config = config.map_err(|error| bad(&error))?;
            print(&cli::render_effective(&config, true, *json));
            return Ok(0);
        }
        if let Command::Import { file } = command {
            print(&import::run(file).map_err(|error| (FAILED, error))?);
            return Ok(0);
        }
        let snapshot =
            Snapshot::read(identity.config_file.as_deref()).map_err(|error| bad(&error))?;
        if let Command::Kubernetes { files, container, how } = command {
            let asked = (&*identity.name, identity.app_defaults.as_deref(), &*identity.flags);
            let (code, text) =
                doctor::kubernetes(files, container.as_deref(), &snapshot, asked, *how)
                    .map_err(|error| (FAILED, error))?;
            print(&text);
            return Ok(code);
        }
        // A running service must be reachable with a file that is broken by now.
        let readable = if command.is_for_the_running() { snapshot.way_to_service() } else { None };
        let resolve = |it: &Snapshot| it.resolve(identity.app_defaults.as_deref(), &identity.flags);
        // Who asks about limits may have to ask the store that a whole file names.
        let whole = matches!(command, Command::Limits(_)).then(|| resolve(&snapshot).ok());
        let read = || resolve(readable.as_ref().unwrap_or(&snapshot));
        let config = match (whole.flatten().map_or_else(read, Ok), command) {
            // Whoever breaks the file has not made the service ill.
            (Err(error), Command::Health { .. }) => match snapshot.way_to_service() {
                Some(way) => resolve(&way),
                None => Err(error),
            },
            (resolved, _) => resolved,
        };
        let config = config.map_err(|error| bad(&error))?;
        identity.take_name(&config);
        if matches!(command, Command::Serve | Command::Check) {
            load::zones(&config).map_err(|error| bad(&error))?;
            outlet::probe(&config)
                .map_err(|(key, error)| (BAD_CONFIG, config.complaint(key, &error.to_string())))?;
        }
        if matches!(command, Command::Serve) {
            return supervisor::start(identity, &snapshot, config)
                .map(supervisor::Supervisor::run)
                .map_err(|error| (FAILED, error.to_string()));
        }
        if let Command::Inspect(how) = command {
            let (code, text) = doctor::inspect(&config, &identity.name, *how);
            print(&text);
            return Ok(code);
        }
        print(&self.answer(identity, command, config)?);
        Ok(0)
    }

    /// What a command prints that does not serve.
    fn answer(
        &self,
        identity: Identity,
        command: &Command,
        config: Config,
    ) -> Result<String, (u8, String)> {
        match command {
            Command::Check => {
                #[cfg(feature = "redis")]
                if let Err(reason) = Settings::of(&config.limits).and_then(|it| store::reach(&it)) {
                    complain(&format!("warning: limits.storage: store-unreachable: {reason}\n"));
                }
                for warning in &config.warnings {
                    complain(&format!("warning: {warning}\n"));
                }
                Ok("The configuration is good.\n".to_owned())
            }
            Command::Config { json, .. } => Ok(cli::render_effective(&config, false, *json)),
            Command::Health { ready, within } => ask::health(&config, *ready, *within),
            Command::Doctor(case) => {
                let trust = Trust::of(&config.proxy).map_err(|error| (BAD_CONFIG, error))?;
                let peer = case.peer.map(|ip| SocketAddr::new(ip, 0));
                let headers: HeaderMap = case.headers.iter().cloned().collect();
                let hops = client::explain::explain(&trust, peer, &headers);
                Ok(format!("{}\n", hops.join("\n")))
            }
            Command::Limits(cli::LimitsCommand::List { json }) => {
                let bad = |reason: String| (BAD_CONFIG, reason);
                let settings = Settings::of(&config.limits).map_err(bad)?;
                let plan = Plan::of(&settings).map_err(|(key, it)| bad(format!("{key}: {it}")))?;
                let data = table::effective(&settings, &plan);
                Ok(if *json { format!("{data:#}\n") } else { table::effective_text(&data) })
            }
            Command::Limits(cli::LimitsCommand::Watch { count, each, json }) => {
                let looks = Looks { count: *count, each: *each, json: *json };
                refusals::watch(&config, &identity.name, looks, &mut try_print)?;
                Ok(String::new())
            }
            #[cfg(feature = "redis")]
            Command::Limits(asked) => {
                let bad = |reason: String| (BAD_CONFIG, reason);
                let settings = Settings::of(&config.limits).map_err(bad)?;
                let plan = Plan::of(&settings).map_err(|(key, it)| bad(format!("{key}: {it}")))?;
                let here = || supervisor::client::run(command, &config, &identity.name);
                store::told(asked, &settings, &plan, here, complain)
            }
            Command::ExplainAlerts => Ok(watch::explain(&config)),
            Command::Hush(command) => watch::ask(&config, &wish(command)),
            Command::ExportRules { format } => Ok(watch::export(&config, format)),
            Command::Alerts { json } => watch::list(&config, *json),
            Command::Probes { json } => watch::list_probes(&config, *json),
            #[cfg(feature = "sqlite")]
            Command::History(asked) => match asked {
                cli::HistoryCommand::List { json } => watch::list_history(&config, *json),
                cli::HistoryCommand::Show { series, since, points, json } => {
                    watch::show_history(&config, (series, *since), *points, *json)
                }
                cli::HistoryCommand::Events { since, json } => {
                    watch::list_events(&config, *since, *json)
                }
                cli::HistoryCommand::Export { series, format } => {
                    watch::export_history(&config, series.as_deref(), format)
                }
            },
            #[cfg(not(feature = "sqlite"))]
            Command::History(_) => {
                let told =
                    "error: history needs the feature sqlite, which this program was built without";
                Err((FAILED, format!("{told}\n")))
            }
            Command::ProbeOnce { what, json } => watch::probe_once(&config, what, *json),
            Command::NotifyTest { receiver } => {
                watch::test(&config, (&identity.name, &identity.version), receiver)
            }
            Command::Migrate(command) => self.migrate(*command, &config, &identity.name),
            Command::Own { name, args } => {
                let own = self.commands.iter().find(|it| it.name == *name);
                let own = own.expect("the command line knows those that were registered");
                let call = Call { args: args.clone(), config, name: identity.name };
                own.run(call).map_err(|error| (FAILED, format!("error: {error}")))
            }
            command => supervisor::client::run(command, &config, &identity.name),
        }
    }

    #[cfg(feature = "database")]
    fn migrate(
        &self,
        command: cli::MigrateCommand,
        config: &Config,
        name: &str,
    ) -> Result<String, (u8, String)> {
        let printed = crate::db::migrate_command(command, self.migrations.as_ref(), config, name);
        printed.map_err(|error| (FAILED, format!("error: {error}")))
    }

    #[cfg(not(feature = "database"))]
    #[expect(clippy::unused_self, reason = "with databases it has migrations")]
    fn migrate(&self, _: cli::MigrateCommand, _: &Config, _: &str) -> Result<String, (u8, String)> {
        Err((FAILED, "error: this program was built without databases".to_owned()))
    }

    /// What a worker does before the application.
    fn plan(&self) -> worker::Plan {
        worker::Plan {
            pages: self.pages.clone(),
            #[cfg(feature = "database")]
            migrations: self.migrations.clone(),
        }
    }

    /// Who this program is, and what it is asked to do.
    fn identify(&self) -> Result<(Identity, Command), (u8, String)> {
        let mut args = std::env::args_os();
        let called = args.next().unwrap_or_default();
        let args: Vec<_> = args.collect();
        let program = supervisor::find_program(&called)
            .map_err(|error| (FAILED, format!("error: cannot find this program: {error}")))?;
        let file = Path::new(&called).file_name().unwrap_or(program.as_os_str());
        let name = self.name.clone().unwrap_or_else(|| file.to_string_lossy().into_owned());
        let version = self.version.clone().unwrap_or_default();
        let own: Vec<_> = self.commands.iter().map(|it| (it.name, it.about)).collect();
        let invocation =
            cli::parse(&name, &version, &own, args.clone()).map_err(|exit| match exit {
                exit @ (cli::Exit::Help(_) | cli::Exit::Usage(_)) => {
                    (exit.code(), exit.into_text())
                }
            })?;
        let identity = Identity {
            name,
            version,
            program,
            called,
            args,
            app_defaults: self.defaults.clone(),
            config_file: invocation.config_file,
            flags: invocation.flags,
        };
        Ok((identity, invocation.command))
    }
}

fn inherit(
    identity: &mut Identity,
    passport: &Passport,
) -> Result<crate::config::Config, (u8, String)> {
    let inherited = fds::take(passport.config)
        .map_err(|error| error.to_string())
        .and_then(|fd| supervisor::inherited_config(identity, fd).map_err(|e| e.to_string()));
    match inherited {
        Ok(config) => {
            identity.take_name(&config);
            Ok(config)
        }
        Err(reason) => {
            if let Ok(voice) = voice::Voice::take(passport.voice) {
                voice.say(&voice::Word::Failed { code: BOOT_FAILED, reason: reason.clone() });
            }
            Err((BAD_CONFIG, reason))
        }
    }
}

/// What a command asks of watch.
fn wish(command: &cli::HushCommand) -> watch::Wish {
    use cli::HushCommand as Hush;
    let who = |by: &Option<String>| {
        by.clone().unwrap_or_else(|| format!("user {}", rustix::process::getuid().as_raw()))
    };
    match command {
        Hush::Acknowledge { alert, by } => {
            watch::Wish::Acknowledge { alert: alert.clone(), by: who(by) }
        }
        Hush::Add { matchers, time, by, comment } => {
            let (matchers, comment) = (matchers.clone(), comment.clone());
            watch::Wish::Silence { matchers, time: *time, by: who(by), comment }
        }
        Hush::Del { id } => watch::Wish::End { id: id.clone() },
        Hush::List => watch::Wish::List,
    }
}

fn fail(code: u8, text: &dyn fmt::Display) -> ExitCode {
    let text = text.to_string();
    let text = text.trim_end();
    if code == 0 {
        print(&format!("{text}\n"));
    } else {
        complain(&format!("{text}\n"));
    }
    ExitCode::from(code)
}

/// Writes to standard output; a reader that has gone is no failure of ours.
fn print(text: &str) {
    try_print(text).ok();
}

/// Prints while somebody takes it.
fn try_print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

fn complain(text: &str) {
    std::io::stderr().lock().write_all(text.as_bytes()).ok();
}
