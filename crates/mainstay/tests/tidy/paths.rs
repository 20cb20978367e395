//! The paths that a source names, made absolute: `use` trees taken apart, `self` and `super`
//! resolved, names that a `use` brought in replaced by what they stand for.

use super::tree::File;
use std::collections::HashMap;

/// A path that a source names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Counted from 1.
    pub(crate) line: usize,
    /// Such as `crate::clock::mono` or `std::fs::read`; a glob ends with `*`.
    pub(crate) path: String,
}

impl Named {
    /// Whether the path is `other` or leads below it, or is a glob that brings it in.
    pub(crate) fn touches(&self, other: &str) -> bool {
        let glob = self.path.strip_suffix('*').is_some_and(|stem| other.starts_with(stem));
        glob || is_below(&self.path, other)
    }
}

/// Whether `path` is `parent` or leads below it.
pub(crate) fn is_below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// All paths of a source, those of its test code included.
pub(crate) fn named(file: &File) -> Vec<Named> {
    let Some(source) = &file.source else { return Vec::new() };
    let tokens = tokens(&source.code);
    let mut reader = Reader {
        tokens: &tokens,
        module: module_of(&file.path),
        names: HashMap::new(),
        found: Vec::new(),
    };
    reader.read_modules();
    reader.read_uses();
    reader.read_inline();
    reader.found
}

/// The module that a file is: `crate::worker::run` for `…/src/worker/run.rs`.
fn module_of(path: &str) -> Vec<String> {
    let inside = path.split_once("/src/").map_or("lib.rs", |(_, inside)| inside);
    let names = inside.trim_end_matches(".rs").split('/');
    let names = names.filter(|name| !matches!(*name, "lib" | "main" | "mod"));
    ["crate"].into_iter().chain(names).map(str::to_owned).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token<'a> {
    text: &'a str,
    line: usize,
}

/// Names, `::`, and all other characters one by one.
fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let is_name = |c: char| c.is_alphanumeric() || c == '_';
            let length = match first {
                _ if is_name(first) => rest.find(|c| !is_name(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                _ => first.len_utf8(),
            };
            let (text, behind) = rest.split_at(length);
            if !first.is_whitespace() {
                found.push(Token { text, line: number + 1 });
            }
            rest = behind;
        }
    }
    found
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

struct Reader<'a> {
    tokens: &'a [Token<'a>],
    module: Vec<String>,
    /// What a name of this file stands for.
    names: HashMap<String, String>,
    found: Vec<Named>,
}

impl Reader<'_> {
    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    /// Modules that the file declares are names in it.
    fn read_modules(&mut self) {
        for at in 0..self.tokens.len() {
            let name = self.text(at + 1).to_owned();
            if self.text(at) == "mod" && is_name(&name) {
                let path = format!("{}::{name}", self.module.join("::"));
                self.names.insert(name, path);
            }
        }
    }

    fn read_uses(&mut self) {
        let mut at = 0;
        while at < self.tokens.len() {
            // `use<'a>` is a bound and not an import.
            if self.text(at) == "use" && self.text(at + 1) != "<" {
                at = self.read_tree(at + 1, &mut Vec::new());
            }
            at += 1;
        }
    }

    /// Reads one tree of a `use` and returns the place behind it.
    fn read_tree(&mut self, mut at: usize, prefix: &mut Vec<String>) -> usize {
        let depth = prefix.len();
        loop {
            match self.text(at) {
                "::" => at += 1,
                "{" => {
                    at += 1;
                    while !matches!(self.text(at), "}" | "") {
                        at = self.read_tree(at, prefix);
                        at += usize::from(self.text(at) == ",");
                    }
                    at += 1;
                    break;
                }
                name if is_name(name) || name == "*" => {
                    prefix.push(name.to_owned());
                    at += 1;
                    if self.text(at) != "::" {
                        at = self.end_leaf(at, prefix);
                        break;
                    }
                }
                // Not a `use` after all.
                _ => break,
            }
        }
        prefix.truncate(depth);
        at
    }

    fn end_leaf(&mut self, mut at: usize, path: &[String]) -> usize {
        let line = self.tokens[at.saturating_sub(1)].line;
        let path = match path {
            [before @ .., last] if last == "self" && !before.is_empty() => before,
            path => path,
        };
        let absolute = self.resolve(path);
        let mut name = path.last().cloned().unwrap_or_default();
        if self.text(at) == "as" {
            name = self.text(at + 1).to_owned();
            at += 2;
        }
        self.names.insert(name, absolute.clone());
        self.found.push(Named { line, path: absolute });
        at
    }

    /// Paths in the midst of code.
    fn read_inline(&mut self) {
        let mut at = 0;
        while at < self.tokens.len() {
            if self.text(at) == "use" && self.text(at + 1) != "<" {
                while !matches!(self.text(at), ";" | "") {
                    at += 1;
                }
            }
            let follows = at > 0 && matches!(self.text(at - 1), "::" | ".");
            if !follows && is_name(self.text(at)) && self.text(at + 1) == "::" {
                let line = self.tokens[at].line;
                let mut path = vec![self.text(at).to_owned()];
                while self.text(at + 1) == "::" && is_name(self.text(at + 2)) {
                    at += 2;
                    path.push(self.text(at).to_owned());
                }
                let path = self.resolve(&path);
                self.found.push(Named { line, path });
            }
            at += 1;
        }
    }

    fn resolve(&self, path: &[String]) -> String {
        let mut module = self.module.clone();
        let mut rest = path;
        match path.first().map(String::as_str) {
            Some("crate") | None => return path.join("::"),
            Some("self") => rest = &path[1..],
            Some("super") => {
                while let [first, behind @ ..] = rest {
                    if first != "super" {
                        break;
                    }
                    module.pop();
                    rest = behind;
                }
            }
            Some(first) => {
                let known = self.names.get(first).cloned();
                module = vec![known.unwrap_or_else(|| first.to_owned())];
                rest = &path[1..];
            }
        }
        module.extend(rest.iter().cloned());
        module.join("::")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::named;

    #[test]
    fn paths_are_absolute_however_they_are_written() {
        let code = "use super::{self as above, run, wire::{Answer, *}};\nuse crate::clock::{self, Mono};\n\
                    use http::Method;\nmod child;\nuse child::Inner;\n\
                    fn f() -> impl Sized + use<'a> { clock::mono(); above::x(); super::super::http::f();\n\
                    http::get(); Vec::<u8>::new(); child::g(); }";
        let tree = Tree::of_samples(&[("crates/a/src/supervisor/control.rs", code)]);
        let paths: Vec<_> = named(&tree.files[0]).into_iter().map(|named| named.path).collect();
        let expected = [
            "crate::supervisor",
            "crate::supervisor::run",
            "crate::supervisor::wire::Answer",
            "crate::supervisor::wire::*",
            "crate::clock",
            "crate::clock::Mono",
            "http::Method",
            "crate::supervisor::control::child::Inner",
            "crate::clock::mono",
            "crate::supervisor::x",
            "crate::http::f",
            "http::get",
            "Vec",
            "crate::supervisor::control::child::g",
        ];
        assert_eq!(paths, expected);
    }
}
