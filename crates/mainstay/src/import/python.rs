//! As much of Python as settings are written in: assignments of literals, and names of functions.

/// A value that stands in the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Value>),
    /// `multiprocessing.cpu_count() * 2 + 1` and its like: as many as there are cores, in some way.
    Cores,
}

/// Something at the left margin that has a name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Statement {
    pub(crate) line: usize,
    pub(crate) name: String,
    /// As it is told.
    pub(crate) source: String,
    /// None for a function, and for what only running it would tell.
    pub(crate) value: Option<Value>,
}

/// Longest part of a line that is told.
const SHOWN: usize = 80;

/// All assignments and functions at the left margin.
pub(crate) fn statements(text: &str) -> Vec<Statement> {
    let mut found = Vec::new();
    let mut lines = text.lines().zip(1..);
    while let Some((first, line)) = lines.next() {
        if first.starts_with([' ', '\t', '#']) || first.trim().is_empty() {
            continue;
        }
        // A text by itself, such as what a file says of itself first.
        if let Some(quotes) = ["\"\"\"", "'''"].into_iter().find(|it| first.starts_with(*it)) {
            let mut rest = &first[3..];
            while !rest.contains(quotes) {
                let Some((next, _)) = lines.next() else { break };
                rest = next;
            }
            continue;
        }
        let mut source = without_comment(first).to_owned();
        // What is open goes on in the next line.
        while is_open(&source) {
            let Some((next, _)) = lines.next() else { break };
            source.push('\n');
            source.push_str(without_comment(next));
        }
        if let Some(found_one) = statement(&source, line) {
            found.push(found_one);
        }
    }
    found
}

fn statement(source: &str, line: usize) -> Option<Statement> {
    let is_name =
        |it: &str| !it.is_empty() && it.chars().all(|it| it.is_ascii_alphanumeric() || it == '_');
    let function = source.strip_prefix("def ").or_else(|| source.strip_prefix("async def "));
    if let Some(rest) = function {
        let name = rest.split('(').next().unwrap_or_default().trim();
        return is_name(name).then(|| Statement {
            line,
            name: name.to_owned(),
            source: format!("def {name}"),
            value: None,
        });
    }
    let (name, value) = source.split_once('=')?;
    // `workers: int = 2` has a type.
    let name = name.split(':').next().unwrap_or_default().trim();
    if !is_name(name) || value.starts_with('=') {
        return None;
    }
    let told: String = source.split_whitespace().collect::<Vec<_>>().join(" ");
    let source = match told.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &told[..end]),
        None => told,
    };
    let mut reader = Reader { rest: value.trim() };
    let value = reader.value().filter(|_| reader.rest.trim().is_empty());
    let value = value.or_else(|| is_cores(value_text(&source)).then_some(Value::Cores));
    Some(Statement { line, name: name.to_owned(), source, value })
}

fn value_text(source: &str) -> &str {
    source.split_once('=').map_or("", |(_, value)| value)
}

/// Whether an expression is made of the number of cores and of numbers alone.
fn is_cores(text: &str) -> bool {
    let calls = ["multiprocessing.cpu_count()", "os.cpu_count()", "cpu_count()"];
    let Some(call) = calls.iter().find(|it| text.contains(**it)) else { return false };
    let rest = text.replacen(call, "", 1);
    rest.chars().all(|it| it.is_ascii_digit() || " ()*+/-".contains(it))
}

/// The quotes that are open at the end, and how many brackets.
fn scan(text: &str, mut each: impl FnMut(usize, char) -> bool) -> (Option<char>, i32) {
    let (mut quote, mut depth) = (None, 0);
    let mut escaped = false;
    for (at, it) in text.char_indices() {
        match quote {
            _ if escaped => escaped = false,
            Some(_) if it == '\\' => escaped = true,
            Some(open) if open == it => quote = None,
            Some(_) => {}
            None => match it {
                '"' | '\'' => quote = Some(it),
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                _ if !each(at, it) => break,
                _ => {}
            },
        }
    }
    (quote, depth)
}

fn without_comment(line: &str) -> &str {
    let mut end = line.len();
    scan(line, |at, it| {
        if it == '#' {
            end = at;
        }
        it != '#'
    });
    line[..end].trim_end()
}

fn is_open(source: &str) -> bool {
    scan(source, |_, _| true).1 > 0 || source.ends_with('\\')
}

/// Reads literals from the front of a text.
struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn value(&mut self) -> Option<Value> {
        self.blanks();
        for (word, value) in
            [("None", Value::None), ("True", Value::Bool(true)), ("False", Value::Bool(false))]
        {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                return Some(value);
            }
        }
        match self.rest.chars().next()? {
            '"' | '\'' => self.texts(),
            '[' => self.list(']'),
            '(' => self.list(')'),
            it if it.is_ascii_digit() || it == '-' || it == '.' => self.number(),
            _ => None,
        }
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\\']);
    }

    /// One text, or several side by side, which are one.
    fn texts(&mut self) -> Option<Value> {
        let mut text = String::new();
        loop {
            self.blanks();
            let Some(quote) = self.rest.chars().next().filter(|it| matches!(it, '"' | '\'')) else {
                return Some(Value::Text(text));
            };
            let mut chars = self.rest[1..].char_indices();
            let end = loop {
                match chars.next()? {
                    (at, it) if it == quote => break at + 2,
                    (_, '\\') => text.push(match chars.next()?.1 {
                        'n' => '\n',
                        't' => '\t',
                        it @ ('\\' | '"' | '\'') => it,
                        _ => return None,
                    }),
                    (_, it) => text.push(it),
                }
            };
            self.rest = &self.rest[end..];
        }
    }

    /// A list or a tuple; what is in brackets without a comma is itself.
    fn list(&mut self, close: char) -> Option<Value> {
        self.rest = &self.rest[1..];
        let (mut items, mut commas) = (Vec::new(), 0);
        loop {
            self.blanks();
            if let Some(rest) = self.rest.strip_prefix(close) {
                self.rest = rest;
                let alone = close == ')' && commas == 0 && items.len() == 1;
                return if alone { items.pop() } else { Some(Value::List(items)) };
            }
            items.push(self.value()?);
            self.blanks();
            if let Some(rest) = self.rest.strip_prefix(',') {
                self.rest = rest;
                commas += 1;
            }
        }
    }

    fn number(&mut self) -> Option<Value> {
        let fits = |it: char| it.is_ascii_digit() || "-._".contains(it);
        let end = self.rest.find(|it| !fits(it)).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        let digits = digits.replace('_', "");
        match digits.parse() {
            Ok(number) => Some(Value::Int(number)),
            Err(_) => digits.parse().ok().map(Value::Float),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<Value> {
        let all = statements(&format!("x = {text}\n"));
        assert_eq!(all.len(), 1, "{text}");
        all[0].value.clone()
    }

    #[test]
    fn what_a_file_says_of_itself_is_no_setting() {
        let text = "\"\"\"\nSettings (don't edit\nworkers = 4 # for example\n\"\"\"\n'''One line.'''\nbind = 'a'\n";
        let all = statements(text);
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!((&*all[0].name, all[0].line), ("bind", 6));
    }

    #[test]
    fn literals_are_read_and_nothing_else_is_guessed() {
        let text = |it: &str| Some(Value::Text(it.to_owned()));
        for (source, expected) in [
            ("\"a\" # said", text("a")),
            ("'a#b'", text("a#b")),
            ("'a' \"b\"", text("ab")),
            ("(\n  'a'\n  'b')", text("ab")),
            ("1_000", Some(Value::Int(1000))),
            ("0.5", Some(Value::Float(0.5))),
            ("None", Some(Value::None)),
            ("True", Some(Value::Bool(true))),
            (
                "['a',\n 'b',]",
                Some(Value::List(vec![Value::Text("a".into()), Value::Text("b".into())])),
            ),
            ("multiprocessing.cpu_count() * 2 + 1", Some(Value::Cores)),
            ("int(os.environ['X'])", None),
            ("cpu_count() if big else 2", None),
            ("f'{a}'", None),
            ("2 * 8", None),
            ("'\\x41'", None),
        ] {
            assert_eq!(value(source), expected, "{source}");
        }
    }

    #[test]
    fn only_what_stands_at_the_margin_has_a_name() {
        let text = "import os\nif x:\n    workers = 3\ntimeout: int = 5\ndef on_exit(server):\n    a = 1\nb == 2\n";
        let all = statements(text);
        let names: Vec<_> = all.iter().map(|it| (it.line, it.name.as_str())).collect();
        assert_eq!(names, [(4, "timeout"), (5, "on_exit")]);
    }
}
