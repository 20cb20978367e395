//! Which paths a rule is for: `/login`, `/orders/{id}`, `/static/*`.

use std::fmt;

/// A pattern of paths. It is compared with the path as it was sent, as routers do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: Box<str>,
    /// `None` for one segment of any content.
    segments: Vec<Option<Box<str>>>,
    /// Everything below belongs to it.
    is_open: bool,
}

impl Pattern {
    /// Reads a pattern; `{name}` is one segment, `*` or `{*name}` at the end whatever follows.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Pattern, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!("the path {text:?} does not begin with \"/\""));
        };
        let is_odd = |it: u8| !it.is_ascii_graphic() || matches!(it, b'?' | b'#' | b'"' | b'&');
        if text.bytes().any(is_odd) {
            return Err(format!("{text:?} is not the path of a URL"));
        }
        let mut pattern = Pattern { text: text.into(), segments: Vec::new(), is_open: false };
        for segment in rest.split('/') {
            if pattern.is_open {
                return Err(format!("in {text:?} something stands behind what takes everything"));
            }
            let name = segment.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
            match name {
                _ if segment == "*" => pattern.is_open = true,
                Some(name) if name.starts_with('*') => pattern.is_open = true,
                Some(_) => pattern.segments.push(None),
                None if segment.contains(['{', '}', '*']) => {
                    return Err(format!("in {text:?} a {{name}} or * is only a part of a segment"));
                }
                None => pattern.segments.push(Some(segment.into())),
            }
        }
        Ok(pattern)
    }

    /// Whether the path is one of it.
    #[inline]
    pub(crate) fn holds(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix('/') else { return false };
        let mut found = rest.split('/');
        for wanted in &self.segments {
            let is_met = match (wanted, found.next()) {
                (_, None) => false,
                (None, Some(segment)) => !segment.is_empty(),
                (Some(wanted), Some(segment)) => **wanted == *segment,
            };
            if !is_met {
                return false;
            }
        }
        // What is open takes at least the segment behind the slash, which may be empty.
        found.next().is_some() == self.is_open
    }

    /// Whether all paths of `other` are paths of this one too.
    pub(crate) fn covers(&self, other: &Pattern) -> bool {
        let is_longer = other.segments.len() < self.segments.len();
        if is_longer
            || (!self.is_open && (other.is_open || other.segments.len() > self.segments.len()))
            || (self.is_open && !other.is_open && other.segments.len() == self.segments.len())
        {
            return false;
        }
        self.segments.iter().zip(&other.segments).all(|(ours, its)| match (ours, its) {
            (None, None) => true,
            (None, Some(segment)) => !segment.is_empty(),
            (Some(ours), Some(its)) => ours == its,
            (Some(_), None) => false,
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(pattern: &str, path: &str) -> bool {
        Pattern::parse(pattern).unwrap_or_else(|error| panic!("{error}")).holds(path)
    }

    #[test]
    fn a_pattern_holds_the_paths_that_a_router_would_give_it() {
        for (pattern, path) in [
            ("/", "/"),
            ("/login", "/login"),
            ("/orders/{id}", "/orders/7"),
            ("/orders/{id}/items", "/orders/7/items"),
            ("/static/*", "/static/a/b.css"),
            ("/static/{*rest}", "/static/a"),
            ("/static/*", "/static/"),
            ("/*", "/"),
            ("/*", "/anything/at/all"),
        ] {
            assert!(holds(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("/", "/a"),
            ("/login", "/login/"),
            ("/login", "/Login"),
            ("/login", "/loginx"),
            ("/orders/{id}", "/orders/"),
            ("/orders/{id}", "/orders"),
            ("/orders/{id}", "/orders/7/items"),
            ("/static/*", "/static"),
            ("/static/*", "/staticx/a"),
            ("/*", "*"),
        ] {
            assert!(!holds(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_that_could_never_be_met_is_refused() {
        for text in ["", "login", "/a b", "/a?b", "/a#b", "/*/a", "/{*x}/a", "/a{id}", "/a*", "/é"]
        {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn one_pattern_covers_another_if_it_holds_all_its_paths() {
        let covers = |one: &str, other: &str| {
            Pattern::parse(one).unwrap().covers(&Pattern::parse(other).unwrap())
        };
        for (one, other) in
            [("/*", "/a/b"), ("/*", "/a/*"), ("/{x}", "/a"), ("/a", "/a"), ("/a/*", "/a/{x}")]
        {
            assert!(covers(one, other), "{one} {other}");
        }
        for (one, other) in
            [("/a", "/*"), ("/a", "/{x}"), ("/a/*", "/a"), ("/{x}", "/a/b"), ("/{x}", "/")]
        {
            assert!(!covers(one, other), "{one} {other}");
        }
    }
}
