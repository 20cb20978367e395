//! Programs of Python's packages, each in an environment of its own in the target directory, made once.

use super::{find, missing};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

/// The directory with the programs of a package in this version; none when it cannot be had, which is a
/// skip that is printed, and a failure where `CI` is set.
#[must_use]
pub fn python(package: &str, version: &str) -> Option<PathBuf> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = format!("{package}=={version}");
    let Some(python) = find("python3") else {
        missing("python3");
        return None;
    };
    let home = target().join("peers").join(format!("python-{package}-{version}"));
    // Its scripts hold its path, so it is made where it stays; a half-made one has no mark.
    let (programs, mark) = (home.join("bin"), home.join("whole"));
    if mark.exists() {
        return Some(programs);
    }
    if home.exists() {
        std::fs::remove_dir_all(&home).expect("what was begun can be removed");
    }
    let made = run(Command::new(&python).args(["-m", "venv"]).arg(&home)).and_then(|()| {
        let pip = programs.join("pip");
        run(Command::new(&pip).args(["install", "--quiet", "--disable-pip-version-check", &wanted]))
    });
    if let Err(why) = made {
        missing(&format!("Python's {wanted} ({why})"));
        return None;
    }
    std::fs::write(&mark, "").expect("a new directory is writable");
    Some(programs)
}

fn run(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(Output { status, .. }) if status.success() => Ok(()),
        Ok(Output { stderr, .. }) => {
            let said = String::from_utf8_lossy(&stderr);
            Err(said.trim().lines().last().unwrap_or("without a word").to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// The target directory: a test's own program stands in `PROFILE/deps` there, any other in `PROFILE`.
pub(super) fn target() -> PathBuf {
    let program = std::env::current_exe().expect("this program has a path");
    let mut above = program.ancestors().skip(1).filter(|it| !it.ends_with("deps"));
    above.nth(1).expect("cargo's programs stand deep enough").to_owned()
}
