//! The command `user`: users as whoever has the machine sees and changes them.

use super::{Link, Login, Password, Refusal, Settings, schema};
use crate::clock::Civil;
use crate::command::Call;
use crate::db::migrate::bring_up;
use crate::db::{Pool, Settings as PoolSettings};
use crate::http::body::BoxError;
use crate::log::Log;
use crate::metrics::names;
use mainstay_os::segment::{Layout, Segment};
use rustix::termios::{LocalModes, OptionalActions, isatty, tcgetattr, tcsetattr};
use sqlx::Any;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

/// Who does it, for the log.
const CONSOLE: &str = "console";
/// The role of a user of whom nothing else is said.
const ROLE: &str = "user";
/// How long the database may be waited for.
const PATIENCE: Duration = Duration::from_secs(30);

const USAGE: &str = "usage: user list
       user add NAME [--role ROLE] [--stdin]
       user password NAME [--stdin]
       user role NAME ROLE
       user disable NAME
       user enable NAME";

/// The command `user`, for [`Builder::command`](crate::Builder::command): adds, lists, disables and
/// enables users, and gives those who forgot their password a link for another.
///
/// ```no_run
/// # mod axum { pub use ::axum::*; }
/// # use axum::Router;
/// mainstay::builder()
///     .command("user", "Add, list, disable and enable users", mainstay::security::command)
///     .serve(|_worker| async { Ok(Router::new()) });
/// ```
///
/// # Errors
/// What was refused, or that the arguments are not understood.
pub async fn command(call: Call) -> Result<String, BoxError> {
    let asked = Asked::of(&call.args())?;
    let pool = call.database().await?;
    let login = alone(&call, pool).await?;
    let said = |refusal: Refusal| -> BoxError { tell_cause(&refusal).into() };
    match asked {
        Asked::List => list(&login).await.map_err(said),
        Asked::Add { name, role, stdin } => {
            let password = if stdin { Some(read_password()?) } else { None };
            let (user, link) = login.add_user(CONSOLE, &name, &role).await.map_err(said)?;
            let head = format!("user {} of role {} is there\n", user.name, user.role);
            match password {
                Some(password) => {
                    login.set_password(CONSOLE, &user.name, &password).await.map_err(said)?;
                    Ok(head)
                }
                None => Ok(head + &shown(&link)),
            }
        }
        Asked::Password { name, stdin: true } => {
            let password = read_password()?;
            login.set_password(CONSOLE, &name, &password).await.map_err(said)?;
            Ok("the password is set\n".to_owned())
        }
        Asked::Password { name, stdin: false } => {
            Ok(shown(&login.renew_link(CONSOLE, &name).await.map_err(said)?))
        }
        Asked::Role { name, role } => {
            login.set_role(CONSOLE, &name, &role).await.map_err(said)?;
            Ok(format!("{name} is {role}\n"))
        }
        Asked::Disable { name } => {
            login.disable_user(CONSOLE, &name).await.map_err(said)?;
            Ok(format!("{name} cannot sign in any more\n"))
        }
        Asked::Enable { name } => {
            login.enable_user(CONSOLE, &name).await.map_err(said)?;
            Ok(format!("{name} can sign in again\n"))
        }
    }
}

/// The words of a refusal, and its cause, which whoever has the machine may know.
fn tell_cause(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Failed(failure) => failure.told_inside(),
        other => other.text().to_owned(),
    }
}

/// A kit of a process that is alone, whose log nobody reads.
async fn alone(call: &Call, pool: Pool<Any>) -> Result<Login, BoxError> {
    let database = PoolSettings::of(&call.config.database, 1, &call.name, PATIENCE);
    let migrated = bring_up(&pool, &schema::migrations(), &database).await;
    migrated.map_err(|failed| failed.to_string())?;
    let layout = Layout { ring_bytes: [64; 3], ..Layout::small(names::CELLS) };
    let log = Log::new(Segment::on_heap(layout), 0);
    let settings = Settings { patience: PATIENCE, ..Settings::default() };
    Login::over(log, pool, settings, 1).await
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    List,
    Add { name: String, role: String, stdin: bool },
    Password { name: String, stdin: bool },
    Role { name: String, role: String },
    Disable { name: String },
    Enable { name: String },
}

impl Asked {
    fn of(args: &[String]) -> Result<Asked, BoxError> {
        let (mut words, mut role, mut stdin) = (Vec::new(), None, false);
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--stdin" => stdin = true,
                "--role" => role = Some(args.next().ok_or(USAGE)?.clone()),
                other if other.starts_with("--role=") => {
                    role = other.strip_prefix("--role=").map(str::to_owned);
                }
                other if other.starts_with('-') => return Err(USAGE.into()),
                other => words.push(other),
            }
        }
        let has_flags = role.is_some() || stdin;
        match words[..] {
            ["list"] | [] if !has_flags => Ok(Asked::List),
            ["add", name] => {
                let role = role.unwrap_or_else(|| ROLE.to_owned());
                Ok(Asked::Add { name: name.to_owned(), role, stdin })
            }
            ["password", name] if role.is_none() => {
                Ok(Asked::Password { name: name.to_owned(), stdin })
            }
            ["role", name, role] if !has_flags => {
                Ok(Asked::Role { name: name.to_owned(), role: role.to_owned() })
            }
            ["disable", name] if !has_flags => Ok(Asked::Disable { name: name.to_owned() }),
            ["enable", name] if !has_flags => Ok(Asked::Enable { name: name.to_owned() }),
            _ => Err(USAGE.into()),
        }
    }
}

async fn list(login: &Login) -> Result<String, Refusal> {
    let mut out = String::new();
    for user in login.users().await? {
        let state = if user.disabled { "disabled" } else { "enabled" };
        // Writing to a string does not fail.
        writeln!(out, "{:<24} {:<12} {state}", user.name, user.role).ok();
    }
    Ok(if out.is_empty() { "there are no users\n".to_owned() } else { out })
}

fn shown(link: &Link) -> String {
    let at = Civil::from_unix(link.expires_unix_ms().unsigned_abs() / 1_000);
    let Civil { year, month, day, hour, minute, .. } = at;
    format!(
        "/setup/{}\nopens once, until {year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC\n",
        link.token()
    )
}

/// A line of standard input; a terminal does not show it.
fn read_password() -> io::Result<Password> {
    let stdin = io::stdin();
    let shown = match isatty(&stdin) {
        true => Some(tcgetattr(&stdin)?),
        false => None,
    };
    if let Some(shown) = &shown {
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &hidden)?;
    }
    let mut line = zeroize::Zeroizing::new(String::with_capacity(1_100));
    let read = stdin.read_line(&mut line);
    if let Some(shown) = &shown {
        tcsetattr(&stdin, OptionalActions::Flush, shown)?;
    }
    read?;
    Ok(Password::from(line.trim_end_matches(['\r', '\n'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_understood_and_mistakes_are_told() {
        let asked = |line: &str| {
            let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            Asked::of(&args)
        };
        let name = || "alice".to_owned();
        let add = |role: &str, stdin| Asked::Add { name: name(), role: role.to_owned(), stdin };
        for (line, expected) in [
            ("", Asked::List),
            ("list", Asked::List),
            ("add alice", add("user", false)),
            ("add --role admin alice --stdin", add("admin", true)),
            ("add alice --role=admin", add("admin", false)),
            ("password alice", Asked::Password { name: name(), stdin: false }),
            ("role alice admin", Asked::Role { name: name(), role: "admin".to_owned() }),
            ("disable alice", Asked::Disable { name: name() }),
            ("enable alice", Asked::Enable { name: name() }),
        ] {
            assert_eq!(asked(line).unwrap(), expected, "{line}");
        }
        for line in ["add", "add a b", "list a", "remove a", "add a --role", "enable a --stdin"] {
            assert!(asked(line).unwrap_err().to_string().starts_with("usage"), "{line}");
        }
    }
}
