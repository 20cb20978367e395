//! What a form says. Fields may come several times; what is too long or missing is told to whoever filled
//! it in, beside what they wrote.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use mainstay::Failure;
use serde::Serialize;

/// The fields of a form.
#[derive(Clone, Debug, Default)]
pub(crate) struct Form(Vec<(String, String)>);

/// What is wrong with a form: field and sentence.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Wrong(Vec<(&'static str, String)>);

impl Wrong {
    pub(crate) fn add(&mut self, field: &'static str, sentence: impl Into<String>) {
        self.0.push((field, sentence.into()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// By field, for templates.
    pub(crate) fn by_field(&self) -> serde_json::Map<String, serde_json::Value> {
        self.0.iter().map(|(field, text)| ((*field).to_owned(), text.clone().into())).collect()
    }
}

impl Form {
    #[cfg(test)]
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Form {
        Form(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    /// A field as it was sent; empty when it was not. Line ends are those of UNIX.
    pub(crate) fn get(&self, name: &str) -> String {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map_or_else(String::new, |(_, value)| value.replace("\r\n", "\n"))
    }

    /// Whether a field was sent at all, as checkboxes and buttons are.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// All values of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    /// A text on one line, with 1 to `most` characters.
    pub(crate) fn line(&self, name: &'static str, most: usize, wrong: &mut Wrong) -> String {
        let value = self.optional_line(name, most, wrong);
        if value.is_empty() {
            wrong.add(name, "This is needed.");
        }
        value
    }

    /// A text on one line, with at most `most` characters.
    pub(crate) fn optional_line(
        &self,
        name: &'static str,
        most: usize,
        wrong: &mut Wrong,
    ) -> String {
        let value: String =
            self.get(name).chars().filter(|it| !it.is_control()).collect::<String>().trim().into();
        let count = value.chars().count();
        if count > most {
            wrong.add(name, format!("This has {count} characters; at most {most} fit."));
        }
        value
    }

    /// A longer text, with 1 to `most` bytes.
    pub(crate) fn text(&self, name: &'static str, most: usize, wrong: &mut Wrong) -> String {
        let value = self.get(name).trim().replace('\0', "");
        if value.is_empty() {
            wrong.add(name, "This is needed.");
        } else if value.len() > most {
            wrong.add(name, format!("This has {} bytes; at most {most} fit.", value.len()));
        }
        value
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Form, Failure> {
        const TYPE: &str = "application/x-www-form-urlencoded";
        let kind = request.headers().get("content-type").and_then(|it| it.to_str().ok());
        if !kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with(TYPE)) {
            let text = "This address takes forms.";
            return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        }
        let body = Bytes::from_request(request, state).await.map_err(|error| {
            Failure::new(error.status(), "The form is too large, or did not arrive.").because(error)
        })?;
        let pairs = form_urlencoded::parse(&body);
        Ok(Form(pairs.map(|(key, value)| (key.into_owned(), value.into_owned())).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_judged_and_kept_as_written() {
        let form = Form::of(&[
            ("title", " a\u{7}b "),
            ("body", "x\r\ny"),
            ("c", "1"),
            ("c", "2"),
            ("e", ""),
        ]);
        let mut wrong = Wrong::default();
        assert_eq!(form.line("title", 2, &mut wrong), "ab");
        assert_eq!((form.get("body").as_str(), form.all("c").len()), ("x\ny", 2));
        assert!(wrong.is_empty() && form.has("e") && !form.has("f"));
        assert_eq!(form.line("e", 9, &mut wrong), "");
        assert_eq!(form.line("title", 1, &mut wrong), "ab");
        let told = wrong.by_field();
        assert_eq!(told["e"], "This is needed.");
        assert_eq!(told["title"], "This has 2 characters; at most 1 fit.");
    }
}
