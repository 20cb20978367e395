//! The layers, one over the other: built-in defaults < the application's defaults < the file <
//! the environment < flags. Each value keeps where it came from.

use super::{
    Effective, Filling, Sources,
    document::{self, Document, Row},
    error::{Origin, Problem, Wrong},
    keys::{self, APP, Alias, AliasMap, Key, NOT_KEYS, PREFIX},
    kind::{Kind, Raw},
    value::{Value, digits},
};

/// What the layers make together.
#[derive(Debug)]
pub(crate) struct Layers {
    /// One for each key, in the order of the table. A key with a problem holds its last good
    /// value.
    pub effective: Vec<Effective>,
    /// The tables of which there may be several, in their order.
    pub rows: Vec<Filled>,
    pub app: toml::Table,
    pub app_origins: Vec<(String, Origin)>,
    pub problems: Vec<Problem>,
    pub warnings: Vec<String>,
}

/// One of several tables of the same name, with all its keys.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Filled {
    pub table: &'static str,
    pub origin: Origin,
    pub values: Vec<Effective>,
}

/// Lays all layers of `sources` over each other.
pub(crate) fn merge(sources: &Sources) -> Layers {
    let mut layers = Layers::defaults();
    if let Some(text) = &sources.app_defaults {
        layers.text(document::read(text, &|line| Origin::Application { line }));
    }
    if let Some((path, text)) = &sources.file {
        let place = |line| Origin::File { path: path.clone(), line };
        layers.text(document::read(text, &place));
    }
    layers.environment(&sources.env);
    for (path, value) in &sources.flags {
        layers.flag(path, value);
    }
    for filling in &sources.secrets {
        layers.secret(filling);
    }
    layers
}

impl Layers {
    fn defaults() -> Self {
        Self {
            effective: keys::all().map(built_in).collect(),
            rows: Vec::new(),
            app: toml::Table::new(),
            app_origins: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn text(&mut self, document: Document) {
        let before = self.problems.len();
        self.problems.extend(document.problems);
        for entry in document.entries {
            match entry.key.kind.parse(&entry.raw) {
                Ok(value) => self.set(entry.key, value, entry.origin),
                Err(wrong) => self.refuse(entry.key, entry.shown, entry.origin, wrong),
            }
        }
        // Lists are replaced, never joined.
        self.rows.retain(|old| document.rows.iter().all(|new| new.table.name != old.table));
        for row in document.rows {
            self.row(row);
        }
        // Whoever corrects a file goes through it from top to bottom.
        self.problems[before..].sort_by_key(|it| it.origin.as_ref().map_or(0, Origin::line));
        for (path, origin) in document.app_origins {
            self.app_origins.retain(|(known, _)| !replaces(&path, known));
            self.app_origins.push((path, origin));
        }
        overlay(&mut self.app, document.app);
    }

    fn row(&mut self, row: Row) {
        let mut values: Vec<Effective> = row.table.keys.iter().map(built_in).collect();
        for entry in row.entries {
            match entry.key.kind.parse(&entry.raw) {
                Ok(value) => {
                    let slot = values.iter_mut().find(|it| it.key.path == entry.key.path);
                    let filled = Effective { key: entry.key, value, origin: entry.origin };
                    *slot.expect("a key of the table has its default") = filled;
                }
                Err(wrong) => self.refuse(entry.key, entry.shown, entry.origin, wrong),
            }
        }
        self.rows.push(Filled { table: row.table.name, origin: row.origin, values });
    }

    fn environment(&mut self, env: &[(String, String)]) {
        for key in keys::all() {
            self.variables_of(key, env);
        }
        let own: Vec<String> = keys::all().map(Key::variable).collect();
        for (name, _) in env.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
            if own.contains(name) || NOT_KEYS.contains(&name.as_str()) {
                continue;
            }
            // The value is not shown: a misspelt variable may well hold a secret.
            let names = own.iter().map(String::as_str).chain(NOT_KEYS.iter().copied());
            let hint = match keys::nearest(name, names) {
                _ if name.starts_with("MAINSTAY_APP_") => Some(
                    "[app] is read from the file alone; x_file = \"…\" takes x from a file"
                        .to_owned(),
                ),
                Some(right) => Some(format!("did you mean {right}?")),
                None => Some("`config --default` prints every key with its variable".to_owned()),
            };
            let origin = Some(Origin::Variable(name.clone()));
            self.problems.push(Problem::place(
                origin,
                "unknown variable".to_owned(),
                hint.as_deref(),
            ));
        }
    }

    /// The variables that set one key: the strongest counts, the others are compared with it.
    fn variables_of(&mut self, key: &'static Key, env: &[(String, String)]) {
        let look = |name: &str| env.iter().rev().find(|(it, _)| it == name).map(|(_, value)| value);
        let own = key.variable();
        let mut found = Vec::new();
        if let Some(value) = look(&own) {
            found.push((own.as_str(), value, parse(key, value)));
        }
        for alias in key.aliases {
            // An alias that is empty was most likely emptied in order to unset it.
            if let Some(value) = look(alias.var).filter(|value| !value.trim().is_empty()) {
                found.push((alias.var, value, parse_alias(key, alias, value)));
            }
        }
        let mut found = found.into_iter();
        let Some((winner, said, parsed)) = found.next() else { return };
        for (other, value, _) in found.filter(|(_, _, others)| *others != parsed) {
            let (value, said) = (quoted(key, value), quoted(key, said));
            self.warnings.push(format!(
                "{other} = {value} is ignored, because {winner} = {said} stands above it"
            ));
        }
        let origin = Origin::Variable(winner.to_owned());
        match parsed {
            Ok(value) => self.set(key, value, origin),
            Err(wrong) => self.refuse(key, quoted(key, said), origin, wrong),
        }
    }

    fn flag(&mut self, path: &str, said: &str) {
        let key = keys::find(path).expect("the command line is made from the table");
        let origin = Origin::Flag(format!("--{}", key.flag.unwrap_or(key.path)));
        match parse(key, said) {
            Ok(value) => self.set(key, value, origin),
            Err(wrong) => self.refuse(key, quoted(key, said), origin, wrong),
        }
    }

    /// What stands in the file that a key with `_file` at its end names.
    fn secret(&mut self, Filling { row, path, text }: &Filling) {
        let values = match row {
            None => &mut self.effective,
            Some(row) => &mut self.rows[*row].values,
        };
        let named = values.iter().find(|it| it.key.path.strip_suffix("_file") == Some(*path));
        let origin = named.expect("the key that names the file").origin.clone();
        let slot = values.iter_mut().find(|it| it.key.path == *path);
        let slot = slot.expect("only keys have files");
        let key = slot.key;
        match parse(key, text.expose()) {
            Ok(value) => *slot = Effective { key, value, origin },
            Err(wrong) => self.refuse(key, "(hidden)".to_owned(), origin, wrong),
        }
    }

    fn set(&mut self, key: &'static Key, value: Value, origin: Origin) {
        let slot = self.effective.iter_mut().find(|it| it.key.path == key.path);
        *slot.expect("every key has its default") = Effective { key, value, origin };
    }

    fn refuse(&mut self, key: &'static Key, shown: String, origin: Origin, wrong: Wrong) {
        let shown = if may_hold_password(key, &shown) { "(hidden)".to_owned() } else { shown };
        self.problems.push(Problem::value(origin, key.path, shown, wrong));
    }
}

/// A key with its default.
pub(super) fn built_in(key: &'static Key) -> Effective {
    let value = key.kind.parse(&Raw::Untyped(key.default.to_owned()));
    let value = value.expect("the table's defaults fit their kinds");
    Effective { key, value, origin: Origin::Default }
}

fn parse(key: &Key, said: &str) -> Result<Value, Wrong> {
    key.kind.parse(&Raw::Untyped(said.to_owned()))
}

fn parse_alias(key: &Key, alias: &Alias, said: &str) -> Result<Value, Wrong> {
    match alias.map {
        AliasMap::Same => parse(key, said),
        AliasMap::PortToBind => match digits(said.trim()) {
            Some(port) => parse(key, &format!("0.0.0.0:{port}")),
            None => Err(Wrong {
                message: "is not a port".to_owned(),
                hint: Some("use a number of 0 to 65535".to_owned()),
            }),
        },
        AliasMap::StdoutOrFile => match Kind::Bool.parse(&Raw::Untyped(said.to_owned()))? {
            Value::Bool(true) => parse(key, "stdout"),
            _ => parse(key, "app.log"),
        },
        AliasMap::XRateLimit => match Kind::Bool.parse(&Raw::Untyped(said.to_owned()))? {
            Value::Bool(true) => parse(key, "x-ratelimit"),
            _ => parse(key, "off"),
        },
    }
}

fn quoted(key: &Key, said: &str) -> String {
    let hides = key.secret || may_hold_password(key, said);
    if hides { "(hidden)".to_owned() } else { format!("{said:?}") }
}

/// An address with a user in it is refused, for the password that may stand there.
fn may_hold_password(key: &Key, said: &str) -> bool {
    key.kind == Kind::HttpUrl && said.contains('@')
}

/// Lays one `[app]` table over another. Tables are joined, everything else is replaced; `x` and
/// `x_file` are two ways to say the same, so that the upper one removes the lower one's other.
fn overlay(base: &mut toml::Table, upper: toml::Table) {
    let names: Vec<String> = upper.keys().cloned().collect();
    for name in names {
        let twin = twin(&name);
        if !upper.contains_key(&twin) {
            base.remove(&twin);
        }
    }
    for (name, value) in upper {
        match (base.get_mut(&name), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(value)) => overlay(below, value),
            (_, value) => drop(base.insert(name, value)),
        }
    }
}

/// `x_file` for `x`, and the other way round.
fn twin(name: &str) -> String {
    name.strip_suffix("_file").map_or_else(|| format!("{name}_file"), str::to_owned)
}

/// Whether a value at `path` takes the place of the one known at `known`.
fn replaces(path: &str, known: &str) -> bool {
    debug_assert!(path.starts_with(APP), "only paths of the application are compared");
    path == known
        || twin(path) == *known
        || known.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))
        || path.strip_prefix(known).is_some_and(|rest| rest.starts_with('.'))
}
