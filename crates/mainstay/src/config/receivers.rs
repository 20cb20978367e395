//! The receivers of notifications, as they are named in the configuration.

use super::value::Secret;

/// Somebody who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receiver {
    /// In logs and metrics.
    pub(crate) name: String,
    /// Whoever knows it may tell them things.
    pub(crate) url: Secret,
    /// What signs that it comes from here.
    pub(crate) key: Option<Secret>,
}

/// Reads `NAME=URL KEY, …`; a line feed separates as well as a comma. Errors show none of it but names.
///
/// # Errors
/// What is wrong, for the end of a sentence.
pub(crate) fn parse(text: &str) -> Result<Vec<Receiver>, String> {
    let mut found: Vec<Receiver> = Vec::new();
    let items = text.split([',', '\n']).map(str::trim).filter(|it| !it.is_empty());
    for (item, place) in items.zip(1..) {
        let (name, rest) = item
            .split_once('=')
            .filter(|(name, _)| is_name(name.trim()))
            .ok_or_else(|| format!("number {place} does not begin with NAME="))?;
        let name = name.trim();
        let mut words = rest.split_whitespace();
        let url = words.next().unwrap_or_default();
        judge(url).map_err(|why| format!("the address of {name} {why}"))?;
        let key = words.next().map(|key| Secret::new(key.to_owned()));
        if words.next().is_some() {
            return Err(format!("{name} has more than an address and a key"));
        }
        if key.as_ref().is_some_and(|key| key.expose().len() < 16) {
            return Err(format!("the key of {name} is shorter than 16 characters"));
        }
        if found.iter().any(|it| it.name == name) {
            return Err(format!("{name} stands there twice"));
        }
        found.push(Receiver { name: name.to_owned(), url: Secret::new(url.to_owned()), key });
    }
    Ok(found)
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(fits)
}

fn judge(url: &str) -> Result<(), &'static str> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let rest = rest.ok_or("does not begin with http:// or https://")?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    match authority {
        "" => Err("names no host"),
        _ if authority.contains('@') => Err("holds a user or a password"),
        _ if url.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'#') => Err("is no URL"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_are_read_with_and_without_a_key() {
        let text =
            "ops=https://hooks.example/x?token=a=b , two=http://127.0.0.1:9/ whsec_0123456789\n";
        let found = parse(text).unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|it| (&*it.name, it.url.expose(), it.key.as_ref().map(|key| key.expose())))
            .collect();
        assert_eq!(
            shown,
            [
                ("ops", "https://hooks.example/x?token=a=b", None),
                ("two", "http://127.0.0.1:9/", Some("whsec_0123456789")),
            ]
        );
        assert_eq!(parse(" "), Ok(Vec::new()));
        assert!(!format!("{found:?}").contains("token"));
    }

    #[test]
    fn what_is_wrong_is_told_without_what_is_secret() {
        for (text, why) in [
            ("https://hooks.example/hunter2", "number 1"),
            ("ops=https://a/, Ops=https://hunter2/", "number 2"),
            ("ops=hunter2", "of ops does not begin"),
            ("ops=https://user:hunter2@host/", "password"),
            ("ops=https://", "no host"),
            ("ops=https://host/#hunter2", "no URL"),
            ("ops=https://host/ hunter2", "shorter"),
            ("ops=https://host/ hunter2hunter2hunter2 more", "more than"),
            ("ops=https://host/,ops=https://host/", "twice"),
        ] {
            let told = parse(text).unwrap_err();
            assert!(told.contains(why) && !told.contains("hunter2"), "{text}: {told}");
        }
    }
}
