//! What a rule is for: a path, of some methods or of all, as in `POST /login`.

use super::pattern::Pattern;
use super::rules::BETWEEN;
use std::fmt;

/// Longest pattern with its methods, bytes: it is a label of metrics.
const LONGEST: usize = 100;

/// Methods and the pattern of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// None for all of them.
    pub(crate) methods: Vec<Box<str>>,
    pub(crate) pattern: Pattern,
}

impl Place {
    /// Reads `[METHOD,…] PATH`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Place, String> {
        let text = text.trim();
        let (methods, path) = match text.split_once(char::is_whitespace) {
            Some((methods, path)) => (methods, path.trim_start()),
            None => ("", text),
        };
        if text.len() > LONGEST {
            return Err(format!("{text:?} is longer than {LONGEST} bytes"));
        }
        let mut named = Vec::new();
        for method in methods.split(',').filter(|it| !it.is_empty()) {
            if !method.bytes().all(|it| it.is_ascii_uppercase() || it == b'-') {
                return Err(format!("{method:?} is not a method, such as GET or POST"));
            }
            named.push(method.into());
        }
        Ok(Place { methods: named, pattern: Pattern::parse(path)? })
    }

    /// Reads places that are joined by ` & `.
    ///
    /// # Errors
    /// Which is wrong, and where.
    pub(crate) fn parse_all(text: &str) -> Result<Vec<Place>, String> {
        text.split(BETWEEN).filter(|it| !it.trim().is_empty()).map(Place::parse).collect()
    }

    /// Whether a request is one of it.
    #[inline]
    pub(crate) fn holds(&self, method: &str, path: &str) -> bool {
        // Who may GET may HEAD, and it costs the application as much.
        let is_meant = |it: &str| it == method || (method == "HEAD" && it == "GET");
        (self.methods.is_empty() || self.methods.iter().any(|it| is_meant(it)))
            && self.pattern.holds(path)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.methods.is_empty() {
            true => self.pattern.fmt(f),
            false => write!(f, "{} {}", self.methods.join(","), self.pattern),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_shown() {
        let read = Place::parse_all("POST /login & /account/* & GET,PUT /a/{id}").unwrap();
        let shown: Vec<String> = read.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["POST /login", "/account/*", "GET,PUT /a/{id}"]);
        assert!(read[0].holds("POST", "/login") && !read[0].holds("GET", "/login"));
        assert!(read[1].holds("DELETE", "/account/x") && read[2].holds("HEAD", "/a/7"));
        assert_eq!(Place::parse_all(" ").unwrap(), []);
        for wrong in ["login", "post /login", "POST", "/a & b"] {
            assert!(Place::parse_all(wrong).is_err(), "{wrong}");
        }
    }
}
