//! Labels as text, which is the same in both formats of exposition. Pure.

/// The labels of the series for what a metric has no room for.
pub(crate) const OVERFLOW: &str = "overflow=\"true\"";

/// Labels with their values.
pub(crate) fn render<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        escape(value, true, &mut text);
        text.push('"');
    }
    text
}

/// The value of the one label of a rendered text, if it has this name.
pub(crate) fn only(text: &str, name: &str) -> Option<String> {
    let value = text.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"')?;
    let mut plain = String::new();
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.push(match characters.next()? {
                'n' => '\n',
                other => other,
            }),
            // There is another label behind it.
            '"' => return None,
            other => plain.push(other),
        }
    }
    Some(plain)
}

/// Appends a text with what has a meaning escaped: backslash, line feed and, where it ends the text,
/// the quote.
pub(crate) fn escape(text: &str, quotes: bool, out: &mut String) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            other => out.push(other),
        }
    }
}

/// The labels that [`render`] wrote. What it did not write is left out.
pub(crate) fn parse(mut text: &str) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    while let Some((name, rest)) = text.split_once("=\"") {
        let (mut value, mut characters) = (String::new(), rest.char_indices());
        let end = loop {
            match characters.next() {
                None => return labels,
                Some((at, '"')) => break at + 1,
                Some((_, '\\')) => match characters.next() {
                    None => return labels,
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, other)) => value.push(other),
                },
                Some((_, other)) => value.push(other),
            }
        };
        labels.push((name.to_owned(), value));
        text = rest[end..].trim_start_matches(',');
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_and_joined() {
        assert_eq!(render([].into_iter()), "");
        for value in ["", "/srv/up loads", "a\"b\\\\n\nc\\"] {
            let text = render([("directory", value)].into_iter());
            assert_eq!(only(&text, "directory").as_deref(), Some(value));
            assert_eq!(only(&text, "other"), None);
        }
        assert_eq!(only("a=\"1\",b=\"2\"", "a"), None);
        let labels = [("a", "1"), ("b", "x\"\\\n\u{e9}")];
        let text = render(labels.into_iter());
        assert_eq!(text, "a=\"1\",b=\"x\\\"\\\\\\n\u{e9}\"");
        let read = parse(&text);
        assert!(read.iter().map(|(name, value)| (&**name, &**value)).eq(labels));
        for torn in ["", "a", "a=\"", "a=\"b", "a=\"b\\"] {
            assert_eq!(parse(torn), []);
        }
    }
}
