//! What `config` prints: the effective configuration, and the default file.

use std::fmt::Write as _;

use super::{
    Config, Effective, Sources,
    error::Origin,
    keys::{APP, Key, SECTIONS, Section, TABLES},
};

/// The section beside which the variables of OpenTelemetry are shown.
const TELEMETRY: &str = "telemetry";

/// The configuration in force as TOML, the origin of each value beside it.
pub(crate) fn effective_toml(config: &Config) -> String {
    let mut text = String::new();
    for Section { name: section, .. } in SECTIONS {
        line(&mut text, &format!("[{section}]"));
        let of_section: Vec<&Effective> =
            config.effective().iter().filter(|it| it.key.section() == *section).collect();
        let said = |it: &&Effective| format!("{} = {}", it.key.name(), it.shown());
        let width = of_section.iter().map(|it| said(it).chars().count()).max().unwrap_or(0);
        for entry in &of_section {
            line(&mut text, &format!("{:<width$}  # {}", said(entry), entry.origin));
        }
        if *section == TELEMETRY {
            for (name, value) in &config.otel.said {
                line(&mut text, &format!("# {name} = {value:?}"));
            }
        }
        line(&mut text, "");
    }
    for row in &config.rows {
        line(&mut text, &format!("[[{}]]  # {}", row.table, row.origin));
        for entry in row.values.iter().filter(|it| it.origin != Origin::Default) {
            let said = format!("{} = {}", entry.key.name(), entry.shown());
            line(&mut text, &format!("{said}  # {}", entry.origin));
        }
        line(&mut text, "");
    }
    line(&mut text, &format!("[{APP}]"));
    for (path, origin) in &config.app_origins {
        let name = path.strip_prefix("app.").unwrap_or(path);
        // The table may hold secrets, and nothing here knows which of its values are.
        line(&mut text, &format!("# {name} = …  # {origin}"));
    }
    text
}

/// The configuration in force as JSON: `{"workers.count": {"value": 2, "origin": "default"}}`.
pub(crate) fn effective_json(config: &Config) -> String {
    let mut all = serde_json::Map::new();
    for entry in config.effective() {
        let value = entry.seen().to_json();
        let origin = entry.origin.to_string();
        all.insert(
            entry.key.path.to_owned(),
            serde_json::json!({ "value": value, "origin": origin }),
        );
    }
    for table in TABLES {
        let rows = config.rows.iter().filter(|row| row.table == table.name);
        let row = |row: &super::layers::Filled| -> serde_json::Value {
            let values = row.values.iter();
            let values = values.map(|it| (it.key.name().to_owned(), it.seen().to_json()));
            serde_json::json!({ "value": serde_json::Value::Object(values.collect()), "origin": row.origin.to_string() })
        };
        all.insert(table.name.to_owned(), rows.map(row).collect());
    }
    for (name, value) in &config.otel.said {
        all.insert((*name).to_owned(), serde_json::json!({ "value": value, "origin": name }));
    }
    for (path, origin) in &config.app_origins {
        all.insert(
            path.clone(),
            serde_json::json!({ "value": "(hidden)", "origin": origin.to_string() }),
        );
    }
    let json = serde_json::to_string_pretty(&all).expect("a map with text keys is JSON");
    format!("{json}\n")
}

/// A file of all defaults, each with what it means; it changes nothing when it is used as it is.
pub(crate) fn default_toml() -> String {
    let mut text = String::new();
    for Section { name: section, about, .. } in SECTIONS {
        line(&mut text, &format!("# {about}"));
        line(&mut text, &format!("[{section}]"));
        for entry in defaults().iter().filter(|it| it.key.section() == *section) {
            let key = entry.key;
            line(&mut text, "");
            for words in wrapped(key.doc, 96) {
                line(&mut text, &format!("# {words}"));
            }
            line(&mut text, &format!("# Takes {}.", takes(key)));
            let (ways, change) = (ways(key).join(", "), key.change.as_str());
            line(
                &mut text,
                &format!("# Set by {ways}; a new value counts from the next {change} on."),
            );
            line(&mut text, &format!("{} = {}", key.name(), entry.value.to_toml()));
        }
        line(&mut text, "");
    }
    for table in TABLES {
        line(&mut text, &format!("# {}", table.about));
        line(&mut text, &format!("# [[{}]]", table.name));
        for entry in table.keys.iter().map(super::layers::built_in) {
            let (name, value) = (entry.key.name(), entry.value.to_toml());
            line(&mut text, &format!("# {name} = {value}  # {}", takes(entry.key)));
        }
        line(&mut text, "");
    }
    line(&mut text, "# The application's own settings. x_file = \"PATH\" takes x from a file.");
    line(&mut text, &format!("[{APP}]"));
    text
}

/// The defaults as JSON, in the form of [`effective_json`].
pub(crate) fn default_json() -> String {
    effective_json(&Config::resolve(&Sources::default()).expect("the defaults fit each other"))
}

/// Every key with its built-in default.
pub(super) fn defaults() -> Vec<Effective> {
    let config = Config::resolve(&Sources::default()).expect("the defaults fit each other");
    debug_assert!(
        config.effective.iter().all(|it| it.origin == Origin::Default),
        "no layer was given"
    );
    config.effective
}

/// "use 1 to 64" as it stands in a list of what keys take: "1 to 64".
pub(super) fn takes(key: &Key) -> String {
    let accepts = key.kind.accepts();
    accepts.strip_prefix("use ").unwrap_or(&accepts).to_owned()
}

/// Variables and flags that set a key, the key's own first.
pub(super) fn ways(key: &Key) -> Vec<String> {
    let mut ways = vec![key.variable()];
    ways.extend(key.aliases.iter().map(|it| it.var.to_owned()));
    ways.extend(key.flag.map(|it| format!("--{it}")));
    ways.extend(key.short.map(|it| format!("-{it}")));
    ways
}

/// Breaks a text into lines of at most `width` bytes, a longer word apart.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("begins with one line");
        if !last.is_empty() && last.len() + 1 + word.len() > width {
            lines.push(word.to_owned());
        } else {
            let gap = if last.is_empty() { "" } else { " " };
            write!(last, "{gap}{word}").expect("a String takes all");
        }
    }
    lines
}

/// Appends a line.
pub(super) fn line(text: &mut String, content: &str) {
    writeln!(text, "{content}").expect("a String takes all");
}
