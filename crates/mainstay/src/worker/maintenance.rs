//! Work that the application announces: watch is told, and tells nobody of what it covers.

use crate::announced::{self, Announced};
use crate::config::matchers::Matcher;
use crate::http::body::BoxError;
use std::path::Path;

/// Most characters of a name.
const LONGEST: usize = 200;
/// Most that are under way at once.
const MOST: usize = 500;

/// Announced work that is under way, and alerts that it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    name: String,
    matchers: Vec<String>,
    until: i64,
}

impl Maintenance {
    /// Work of this name, until so many seconds since the Unix epoch at the latest. It covers alerts that fit all
    /// the matchers, which are as those of `silence add`: `probe=shop`, `rule=high_*`, `pool=main`. Work that
    /// covers more is several of the same name.
    #[must_use]
    pub fn new(name: &str, matchers: &[&str], until: i64) -> Maintenance {
        let matchers = matchers.iter().map(|&it| it.to_owned()).collect();
        Maintenance { name: name.to_owned(), matchers, until }
    }
}

/// Tells watch, in place of what was said before.
pub(super) fn say(state: &Path, all: &[Maintenance]) -> Result<(), BoxError> {
    if all.len() > MOST {
        return Err(format!("no more than {MOST} can be under way at once").into());
    }
    let all = all.iter().map(announced).collect::<Result<Vec<_>, _>>()?;
    announced::write(state, &all).map_err(|error| format!("{}: {error}", state.display()).into())
}

fn announced(it: &Maintenance) -> Result<Announced, BoxError> {
    let name = it.name.chars().filter(|it| !it.is_control()).take(LONGEST).collect();
    if it.matchers.is_empty() {
        return Err(format!("maintenance {name} names no alert: rule=* is all of them").into());
    }
    let matchers = it.matchers.iter().map(|it| Matcher::parse(it)).collect::<Result<_, _>>()?;
    Ok(Announced { name, matchers, until: u64::try_from(it.until).unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::announced::Board;

    #[test]
    fn work_is_said_as_a_whole_or_not_at_all() {
        let place = tempfile::tempdir().unwrap();
        let state = place.path();
        let disk = Maintenance::new("new\ndisk", &["rule=directory_full"], 1_800_000_000);
        say(state, std::slice::from_ref(&disk)).unwrap();
        let read = |text: &str| vec![Matcher::parse(text).unwrap()];
        let until = 1_800_000_000;
        let is_there = [Announced {
            name: "newdisk".to_owned(),
            matchers: read("rule=directory_full"),
            until,
        }];
        assert_eq!(Board::default().look(state), is_there);
        for wrong in [Maintenance::new("a", &[], 1), Maintenance::new("a", &["x"], 1)] {
            assert!(say(state, &[disk.clone(), wrong]).is_err());
            assert_eq!(Board::default().look(state), is_there, "what was said before stands");
        }
        say(state, &[]).unwrap();
        assert!(Board::default().look(state).is_empty());
    }
}
