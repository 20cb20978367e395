//! The DSN: one text that says where a project takes its events, and with which key.

use std::fmt;

/// `https://KEY@HOST[:PORT][/PATH]/PROJECT`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Dsn {
    scheme: &'static str,
    key: String,
    /// Old projects have one.
    secret: Option<String>,
    /// Host and port.
    authority: String,
    /// Empty, or with a slash before it and none behind it.
    path: String,
    project: String,
}

impl fmt::Debug for Dsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Dsn { scheme, authority, path, project, .. } = self;
        write!(f, "{scheme}://(hidden)@{authority}{path}/{project}")
    }
}

impl Dsn {
    /// Reads it.
    ///
    /// # Errors
    /// The predicate of a sentence, without anything of the text.
    pub(crate) fn parse(text: &str) -> Result<Dsn, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("is not a URL")?;
        let scheme = match scheme {
            "http" => "http",
            "https" => "https",
            _ => return Err("begins with neither http:// nor https://"),
        };
        let (keys, rest) = rest.split_once('@').ok_or("holds no key")?;
        let (key, secret) = match keys.split_once(':') {
            Some((key, secret)) => (key, Some(secret).filter(|it| !it.is_empty())),
            None => (keys, None),
        };
        // They stand in a header between commas.
        let is_key = |it: &str| {
            !it.is_empty() && it.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        if !is_key(key) || !secret.is_none_or(is_key) {
            return Err("holds no valid key");
        }
        let (authority, path) = rest.split_once('/').ok_or("names no project")?;
        let is_of_host = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        if authority.is_empty() || authority.starts_with(':') || !authority.bytes().all(is_of_host)
        {
            return Err("names no host");
        }
        let (path, project) = match path.trim_end_matches('/').rsplit_once('/') {
            Some((path, project)) => (format!("/{path}"), project),
            None => (String::new(), path.trim_end_matches('/')),
        };
        if project.is_empty() || !project.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err("names no project");
        }
        if !path.bytes().all(|b| b.is_ascii_graphic() && !b"?#".contains(&b)) {
            return Err("has a path that is none");
        }
        let [key, authority, project] = [key, authority, project].map(str::to_owned);
        Ok(Dsn { scheme, key, secret: secret.map(str::to_owned), authority, path, project })
    }

    /// Where envelopes are posted.
    pub(crate) fn url(&self) -> String {
        let Dsn { scheme, authority, path, project, .. } = self;
        format!("{scheme}://{authority}{path}/api/{project}/envelope/")
    }

    /// The value of `X-Sentry-Auth` of a client of this name.
    pub(crate) fn auth(&self, client: &str) -> String {
        let mut value =
            format!("Sentry sentry_version=7, sentry_client={client}, sentry_key={}", self.key);
        if let Some(secret) = &self.secret {
            value.push_str(", sentry_secret=");
            value.push_str(secret);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dsn_says_where_to_post_and_with_which_key() {
        for (text, url, secret) in [
            ("https://abc@o1.ingest.example/42", "https://o1.ingest.example/api/42/envelope/", ""),
            ("http://abc@[::1]:9000/1/", "http://[::1]:9000/api/1/envelope/", ""),
            ("https://abc:s@e.example/a/b/7", "https://e.example/a/b/api/7/envelope/", "s"),
        ] {
            let dsn = Dsn::parse(text).unwrap();
            assert_eq!(dsn.url(), url);
            let auth = dsn.auth("mainstay/1");
            assert!(
                auth.starts_with(
                    "Sentry sentry_version=7, sentry_client=mainstay/1, sentry_key=abc"
                )
            );
            assert_eq!(auth.contains("sentry_secret=s"), !secret.is_empty());
        }
    }

    #[test]
    fn what_is_none_is_refused_in_words_that_hold_nothing_of_it() {
        for (text, why) in [
            ("hunter2", "is not a URL"),
            ("ftp://hunter2@e/1", "begins with neither http:// nor https://"),
            ("https://e.example/1", "holds no key"),
            ("https://hun ter2@e.example/1", "holds no valid key"),
            ("https://hunter2:a,b@e.example/1", "holds no valid key"),
            ("https://hunter2@e.example", "names no project"),
            ("https://hunter2@e.example/", "names no project"),
            ("https://hunter2@:80/1", "names no host"),
            ("https://hunter2@e\r\n.example/1", "names no host"),
            ("https://hunter2@e.example/a?b/1", "has a path that is none"),
        ] {
            assert_eq!(Dsn::parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn its_keys_are_not_shown() {
        let dsn = Dsn::parse("https://hunter2:hunter3@e.example/1").unwrap();
        assert_eq!(format!("{dsn:?}"), "https://(hidden)@e.example/1");
    }
}
