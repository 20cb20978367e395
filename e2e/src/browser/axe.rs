//! Accessibility, as axe-core judges it.
//!
//! Its script is no part of this repository. It is the file that `AXE_CORE` names, or
//! `peers/axe.min.js` in the target directory, where `.ci/axe` puts it.

use super::{Browser, DESCRIBE, string};
use crate::peers::missing;
use std::fmt;
use std::path::{Path, PathBuf};
use std::{env, fs};

const FETCHED: &str = "peers/axe.min.js";

/// A rule that the page breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule's name, such as `color-contrast`.
    pub id: String,
    /// `minor`, `moderate`, `serious` or `critical`.
    pub impact: String,
    /// The rule as a sentence.
    pub help: String,
    /// Each element that breaks it: a selector, and what would mend it.
    pub nodes: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}\n  {}", self.id, self.impact, self.help, self.nodes.join("\n  "))
    }
}

impl Browser {
    /// The rules that the page breaks, as it looks now; `None` where axe-core is not there.
    ///
    /// # Panics
    /// When its script does not run.
    #[must_use]
    pub fn axe(&self) -> Option<Vec<Violation>> {
        let Some(path) = script() else {
            missing("axe-core (.ci/axe fetches it)");
            return None;
        };
        let script = fs::read_to_string(path).expect("the script of axe-core is text");
        let script = format!("{script}\n{DESCRIBE}\n{}", include_str!("axe.js"));
        // axe-core needs timers, which stop with the scripts of a page. Those of a page that was loaded without
        // do not begin by this.
        let is_without = self.is_without_script.get();
        self.set_no_script(false);
        let found = self.run(&script, &[]);
        self.set_no_script(is_without);
        let found = found.as_array().expect("a list of violations");
        let violation = |it: &serde_json::Value| Violation {
            id: string(&it["id"]),
            impact: string(&it["impact"]),
            help: string(&it["help"]),
            nodes: it["nodes"].as_array().into_iter().flatten().map(string).collect(),
        };
        Some(found.iter().map(violation).collect())
    }
}

/// Where axe-core is.
fn script() -> Option<PathBuf> {
    if let Some(named) = env::var_os("AXE_CORE") {
        return Some(named.into());
    }
    // A test runs from the target directory, wherever that is.
    let program = env::current_exe().unwrap_or_default();
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let places = program.ancestors().skip(1).chain([usual.as_path()]);
    places.map(|place| place.join(FETCHED)).find(|it| it.is_file())
}
