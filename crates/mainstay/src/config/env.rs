//! The only reader of the environment for settings.
#![expect(clippy::disallowed_methods, reason = "this is the place that the ban points to")]

use std::{env, ffi::OsString, path::PathBuf, time::Duration};

use super::{
    error::{ConfigError, Origin, Problem},
    keys::{self, FILE_VARIABLE, PREFIX},
    otel,
};

/// All variables that concern the configuration: those that begin with `MAINSTAY_`, and the
/// aliases of the key table.
///
/// # Errors
/// Names the variables whose values are not UTF-8.
pub(crate) fn collect() -> Result<Vec<(String, String)>, ConfigError> {
    pick(env::vars_os())
}

/// The path in `MAINSTAY_CONFIG`, when it is set and not empty.
pub(crate) fn config_file() -> Option<OsString> {
    env::var_os(FILE_VARIABLE).filter(|it| !it.is_empty())
}

/// The passport of this process, when mainstay started it.
pub(crate) fn role() -> Option<String> {
    env::var(crate::passport::VARIABLE).ok().filter(|it| !it.is_empty())
}

/// The service manager's datagram socket, by systemd's protocol.
pub(crate) fn notify_socket() -> Option<OsString> {
    env::var_os("NOTIFY_SOCKET").filter(|it| !it.is_empty())
}

/// How often the service manager wants to hear from us at the latest, if it watches this process.
pub(crate) fn watchdog() -> Option<Duration> {
    let micros = env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    let ours = env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
    ours.then(|| Duration::from_micros(micros)).filter(|it| !it.is_zero())
}

/// How many listeners the service manager passes, from descriptor 3 on, if they are for this
/// process.
pub(crate) fn listen_fds() -> Option<i32> {
    let ours = env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
    let count = env::var("LISTEN_FDS").ok()?.parse::<i32>().ok()?;
    (ours && (1..=64).contains(&count)).then_some(count)
}

/// Where programs are looked for.
pub(crate) fn search_path() -> Option<OsString> {
    env::var_os("PATH")
}

/// Whether Kubernetes runs this process.
pub(crate) fn in_kubernetes() -> bool {
    env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

/// The directory for sockets of this user's session, if there is one.
pub(crate) fn runtime_dir() -> Option<PathBuf> {
    env::var_os("XDG_RUNTIME_DIR").filter(|it| !it.is_empty()).map(PathBuf::from)
}

/// Whether tests are to write the files that they compare.
#[cfg(test)]
pub(crate) fn blessed() -> bool {
    env::var_os("MAINSTAY_BLESS").is_some()
}

/// Whether tests run where everything that they need must be there.
#[cfg(test)]
pub(crate) fn is_ci() -> bool {
    env::var_os("CI").is_some()
}

fn pick(
    all: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>, ConfigError> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for (name, value) in all {
        let Some(name) = name.to_str().filter(|it| concerns(it)) else { continue };
        match value.into_string() {
            Ok(value) => found.push((name.to_owned(), value)),
            // A path may be any bytes, and this one is never read as text.
            Err(_) if name == FILE_VARIABLE => {}
            Err(_) => {
                let origin = Some(Origin::Variable(name.to_owned()));
                problems.push(Problem::place(origin, "is not UTF-8".to_owned(), None));
            }
        }
    }
    // The order of the environment is an accident; messages should not be.
    found.sort();
    if problems.is_empty() { Ok(found) } else { Err(ConfigError::new(problems)) }
}

/// Whether a variable may say something about the configuration.
pub(crate) fn concerns(name: &str) -> bool {
    name.starts_with(PREFIX)
        || keys::all().flat_map(|key| key.aliases).any(|it| it.var == name)
        || otel::VARIABLES.iter().any(|it| it.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt as _;

    fn pair(name: &str, value: &[u8]) -> (OsString, OsString) {
        (name.into(), OsString::from_vec(value.to_vec()))
    }

    #[test]
    fn only_what_concerns_the_service_is_taken() {
        let all = [
            pair("PATH", b"/bin"),
            pair("PORT", b"1"),
            pair("MAINSTAY_X", b"2"),
            pair("A", b"\xff"),
        ];
        let found = pick(all.into_iter()).expect("no bad value concerns us");
        assert_eq!(
            found,
            [("MAINSTAY_X".to_owned(), "2".to_owned()), ("PORT".to_owned(), "1".to_owned())]
        );
    }

    #[test]
    fn a_value_that_is_no_text_is_told() {
        let error = pick([pair("PORT", b"\xff")].into_iter()).expect_err("not UTF-8");
        assert_eq!(error.to_string(), "error: PORT: is not UTF-8");
    }
}
