//! A TOML text taken apart: what it says about which key on which line, the `[app]` table, and
//! what is wrong with its form. Values are not judged here.

use serde::Deserialize as _;
use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue, ValueDeserializer},
};

use super::{
    error::{Origin, Problem},
    keys::{self, APP, Key, SECTIONS, Section, TABLES},
    kind::Raw,
};

/// One `key = value` of a text.
#[derive(Debug)]
pub(crate) struct Entry {
    pub key: &'static Key,
    pub raw: Raw,
    /// The value as written.
    pub shown: String,
    pub origin: Origin,
}

/// One of several tables of the same name.
#[derive(Debug)]
pub(crate) struct Row {
    pub table: &'static Section,
    pub origin: Origin,
    pub entries: Vec<Entry>,
}

/// All that a text says.
#[derive(Debug, Default)]
pub(crate) struct Document {
    /// In no order that means anything: the parser's tables are sorted by name.
    pub entries: Vec<Entry>,
    /// In their order.
    pub rows: Vec<Row>,
    pub app: toml::Table,
    /// The origin of each value of `app`, by its path ("app.mail.from").
    pub app_origins: Vec<(String, Origin)>,
    pub problems: Vec<Problem>,
}

/// Takes a text apart; `place` makes the origin of a line (from 1).
pub(crate) fn read(text: &str, place: &dyn Fn(usize) -> Origin) -> Document {
    let mut reader = Reader { text, place, document: Document::default() };
    match DeTable::parse(text) {
        Ok(root) => reader.sections(root.into_inner()),
        Err(error) => reader.syntax(&error),
    }
    reader.document
}

struct Reader<'a> {
    text: &'a str,
    place: &'a dyn Fn(usize) -> Origin,
    document: Document,
}

impl<'a> Reader<'a> {
    fn syntax(&mut self, error: &toml::de::Error) {
        let at = error.span().map_or(0, |span| span.start).min(self.text.len());
        let before = &self.text.as_bytes()[..at];
        let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |it| it + 1);
        let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
        let message = format!("is not TOML at column {column}: {}", error.message());
        self.document.problems.push(Problem::place(Some(self.at(at)), message, None));
    }

    fn sections(&mut self, root: DeTable<'a>) {
        for (name, value) in root {
            let at = name.span().start;
            let name = name.into_inner();
            let known = name == APP || SECTIONS.iter().any(|section| section.name == name);
            let shown = self.shown(&value);
            if let Some(table) = TABLES.iter().find(|table| table.name == name) {
                self.rows(table, value.into_inner(), at);
                continue;
            }
            match value.into_inner() {
                DeValue::Table(table) if name == APP => self.app(table),
                DeValue::Table(table) if known => self.keys(&name, table),
                DeValue::Table(_) => self.unknown_section(&name, at),
                _ if known => {
                    let hint = format!("write [{name}], and its keys on the lines below");
                    self.problem(at, &name, Some(shown), "is not a table", Some(hint));
                }
                value => self.unknown_key(&name, &value, shown, at),
            }
        }
    }

    fn keys(&mut self, section: &str, table: DeTable<'a>) {
        let entries = self.entries(section, table, keys::find);
        self.document.entries.extend(entries);
    }

    /// Tables of which there may be several.
    fn rows(&mut self, table: &'static Section, value: DeValue<'a>, at: usize) {
        let DeValue::Array(items) = value else {
            let hint = format!("write [[{}]], and its keys on the lines below", table.name);
            return self.problem(at, table.name, None, "is not a list of tables", Some(hint));
        };
        for item in items {
            let at = item.span().start;
            let DeValue::Table(inner) = item.into_inner() else {
                self.problem(at, table.name, None, "holds what is not a table", None);
                continue;
            };
            let find = |path: &str| table.keys.iter().find(|key| key.path == path);
            let entries = self.entries(table.name, inner, find);
            let origin = self.at(at);
            self.document.rows.push(Row { table, origin, entries });
        }
    }

    fn entries(
        &mut self,
        section: &str,
        table: DeTable<'a>,
        find: impl Fn(&str) -> Option<&'static Key>,
    ) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (name, value) in table {
            let at = name.span().start;
            let path = format!("{section}.{}", name.get_ref());
            let shown = self.shown(&value);
            match find(&path) {
                Some(key) => {
                    let shown = if key.secret { "(hidden)".to_owned() } else { shown };
                    let entry =
                        Entry { key, raw: raw(value.get_ref()), shown, origin: self.at(at) };
                    entries.push(entry);
                }
                None => self.unknown_key(&path, value.get_ref(), shown, at),
            }
        }
        entries
    }

    fn app(&mut self, table: DeTable<'a>) {
        for (name, value) in table {
            let at = name.span().start;
            let name = name.into_inner().into_owned();
            self.trace_app(&format!("{APP}.{name}"), at, value.get_ref());
            match toml::Value::deserialize(ValueDeserializer::from(value)) {
                Ok(value) => drop(self.document.app.insert(name, value)),
                Err(error) => {
                    // A number beyond 64 bits; its value is the application's, so it is not shown.
                    let message = format!("cannot be read: {}", error.message());
                    self.problem(at, &format!("{APP}.{name}"), None, &message, None);
                }
            }
        }
    }

    fn trace_app(&mut self, path: &str, at: usize, value: &DeValue<'_>) {
        if let DeValue::Table(table) = value {
            for (name, value) in table {
                let path = format!("{path}.{}", name.get_ref());
                self.trace_app(&path, name.span().start, value.get_ref());
            }
        } else {
            let origin = self.at(at);
            self.document.app_origins.push((path.to_owned(), origin));
        }
    }

    fn unknown_section(&mut self, name: &str, at: usize) {
        let sections = SECTIONS.iter().map(|section| section.name).chain([APP]);
        let hint = match keys::nearest(name, sections) {
            Some(right) => format!("did you mean [{right}]?"),
            None => "what belongs to the application stands below [app]".to_owned(),
        };
        self.problem(at, name, None, "unknown section", Some(hint));
    }

    fn unknown_key(&mut self, path: &str, value: &DeValue<'_>, shown: String, at: usize) {
        // A text may be a secret in the wrong place; numbers and booleans are not.
        let harmless =
            matches!(value, DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_));
        let hint = match keys::nearest_key(path) {
            Some(right) => format!("did you mean \"{right}\"?"),
            None => "`config --default` prints every key".to_owned(),
        };
        self.problem(at, path, harmless.then_some(shown), "unknown key", Some(hint));
    }

    fn problem(
        &mut self,
        at: usize,
        key: &str,
        value: Option<String>,
        message: &str,
        hint: Option<String>,
    ) {
        let (origin, key, message) = (Some(self.at(at)), key.to_owned(), message.to_owned());
        self.document.problems.push(Problem { origin, key, value, message, hint });
    }

    /// The value as written, on one line and not for ever.
    fn shown(&self, value: &Spanned<DeValue<'_>>) -> String {
        let written = self.text.get(value.span()).unwrap_or_default();
        let line = written.split_whitespace().collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(80) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line,
        }
    }

    fn at(&self, offset: usize) -> Origin {
        let before = &self.text.as_bytes()[..offset];
        (self.place)(before.iter().filter(|b| **b == b'\n').count() + 1)
    }
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Str(text.to_string()),
        DeValue::Integer(number) => {
            let nearest = if number.as_str().starts_with('-') { i128::MIN } else { i128::MAX };
            Raw::Int(i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(nearest))
        }
        DeValue::Boolean(yes) => Raw::Bool(*yes),
        DeValue::Float(number) => Raw::Real(number.as_str().to_owned()),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Table(table) => numbers(table).map_or(Raw::Other("a table"), Raw::Table),
        DeValue::Array(items) => {
            let text = |item: &Spanned<DeValue<'_>>| item.get_ref().as_str().map(str::to_owned);
            items
                .iter()
                .map(text)
                .collect::<Option<_>>()
                .map_or(Raw::Other("a list of other things"), Raw::List)
        }
    }
}

/// A table that holds whole numbers alone.
fn numbers(table: &DeTable<'_>) -> Option<Vec<(String, i128)>> {
    let number =
        |(name, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| match raw(value.get_ref())
        {
            Raw::Int(number) => Some((name.get_ref().to_string(), number)),
            _ => None,
        };
    table.iter().map(number).collect()
}
