//! An application's error with two messages: what the client is told, and what the log is told.

use crate::http::body::BoxError;
use crate::telemetry::sentry::Fault;
use http::header::{HeaderValue, RETRY_AFTER};
use http::{Extensions, Response, StatusCode};
use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Write};
use std::panic::Location;
use std::sync::Arc;

/// Why a request failed: a status and words for the client, a cause and a place for the log.
///
/// Any error becomes one by `?`: status 500 (503 for a pool of connections that is exhausted, 409 for
/// a row that is there already), nothing of the error for the client, and its whole
/// chain of causes with the place of the `?` for the log, in one line at ERROR that carries the
/// error id of the page.
///
/// ```
/// use http::StatusCode;
/// use mainstay::Failure;
///
/// fn amount(text: &str) -> Result<u32, Failure> {
///     let stored = std::fs::read_to_string("/nonexistent/limit")?; //          a 500
///     let amount = text.parse().map_err(|error| {
///         let outside = "The amount has to be a whole number.";
///         Failure::new(StatusCode::BAD_REQUEST, outside).because(error)
///     })?;
///     Ok(u32::min(amount, stored.len() as u32))
/// }
/// assert_eq!(amount("7").unwrap_err().status_code(), StatusCode::INTERNAL_SERVER_ERROR);
/// ```
///
/// With the feature `axum` (on by default) it can be returned from handlers; a service without axum
/// answers with [`Failure::into_answer`]. The answer is bare: status and no body. The error pages
/// give it its form, HTML or problem+json, as the client accepts.
///
/// It is not itself a `std::error::Error`; otherwise `?` could not make it from all of them. A boxed
/// error goes through [`Failure::because`].
pub struct Failure {
    // Boxed, so that a `Result` of a handler stays small.
    inside: Box<Inside>,
}

struct Inside {
    status: StatusCode,
    outside: Option<Cow<'static, str>>,
    cause: Option<BoxError>,
    place: &'static Location<'static>,
}

/// Marks an answer that the error pages leave as it is: put it into the answer's extensions.
///
/// Without it an answer of 400 or more that has no content type, or `text/plain`, gets a page or a
/// problem in place of its body; any other content type is left alone anyhow. With the feature
/// `axum` it may stand in the tuple of an answer: `(StatusCode::CONFLICT, AsIs, "taken\n")`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsIs;

/// A chain of causes ends here: an error may be its own source.
const CHAIN: usize = 16;
/// Bytes of a chain that are told.
const CHAIN_BYTES: usize = 4_096;

impl Failure {
    /// A failure with words for the client, which should say what may be done about it.
    ///
    /// `status` is from 400 to 599; any other is no failure and is taken as 500. The words are shown
    /// as they are, on 5xx too: they must never come from an error's own text.
    #[track_caller]
    pub fn new(status: StatusCode, outside: impl Into<Cow<'static, str>>) -> Failure {
        Failure::made(status, Some(outside.into()), None)
    }

    /// With the cause for the log. The client is told nothing of it.
    #[must_use]
    pub fn because(mut self, cause: impl Into<BoxError>) -> Failure {
        self.inside.cause = Some(cause.into());
        self
    }

    /// With another status, from 400 to 599; any other is taken as 500.
    ///
    /// ```
    /// # use http::StatusCode;
    /// # use mainstay::Failure;
    /// # fn upstream() -> Result<(), std::io::Error> { Err(std::io::ErrorKind::TimedOut.into()) }
    /// let failure = upstream().map_err(|error| Failure::from(error).status(StatusCode::BAD_GATEWAY));
    /// assert_eq!(failure.unwrap_err().status_code(), 502);
    /// ```
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Failure {
        self.inside.status = failing(status);
        self
    }

    /// The status that the client is given.
    pub fn status_code(&self) -> StatusCode {
        self.inside.status
    }

    /// The words for the client; `None` when the sentence of the status stands for them.
    pub fn outside(&self) -> Option<&str> {
        self.inside.outside.as_deref()
    }

    /// The cause, for the log alone.
    pub fn cause(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.inside.cause.as_deref()
    }

    /// Where it was made: the place of the `?`, or of [`Failure::new`].
    pub fn place(&self) -> &'static Location<'static> {
        self.inside.place
    }

    /// The bare answer of this failure: its status, an empty body, and the failure itself in the
    /// extensions, where the error pages and [`Failure::of`] find it.
    pub fn into_answer<B: Default>(self) -> Response<B> {
        let mut answer = Response::new(B::default());
        *answer.status_mut() = self.inside.status;
        if self.inside.status == StatusCode::SERVICE_UNAVAILABLE {
            // Whatever it is that is short, it is worth another try.
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        answer.extensions_mut().insert(Arc::new(self));
        answer
    }

    /// The failure that an answer with these extensions was made of.
    pub fn of(extensions: &Extensions) -> Option<&Failure> {
        extensions.get::<Arc<Failure>>().map(Arc::as_ref)
    }

    #[track_caller]
    fn made(
        status: StatusCode,
        outside: Option<Cow<'static, str>>,
        cause: Option<BoxError>,
    ) -> Failure {
        let (status, place) = (failing(status), Location::caller());
        Failure { inside: Box::new(Inside { status, outside, cause, place }) }
    }

    /// As reports tell it: outermost first, each error by the name of its type. Where it was made is where
    /// to look.
    pub(crate) fn faults(&self) -> Vec<Fault<'static>> {
        let mut faults = Vec::new();
        for cause in self.cause().into_iter().flat_map(|cause| causes(cause)) {
            if let Some(value) = of_database(cause) {
                faults.push(Fault { kind: "database".to_owned(), value, ..Fault::default() });
                break;
            }
            let mut value = String::new();
            if write!(value, "{cause}").is_err() {
                value.push_str("(unreadable)");
            }
            faults.push(Fault { kind: type_of(cause), value, ..Fault::default() });
        }
        if faults.is_empty() {
            let value = self.outside().unwrap_or_default().to_owned();
            faults.push(Fault { kind: "Failure".to_owned(), value, ..Fault::default() });
        }
        let place = self.place();
        if let Some(outermost) = faults.first_mut() {
            outermost.place = Some((place.file(), place.line(), place.column()));
        }
        faults
    }

    /// The inside message: `words: error: cause: cause (at file:line)`.
    pub(crate) fn told_inside(&self) -> String {
        let mut text = String::new();
        if let Some(outside) = self.outside() {
            text.push_str(outside);
        }
        if let Some(cause) = self.cause() {
            if !text.is_empty() {
                text.push_str(": ");
            }
            append_chain(&mut text, cause);
        }
        let place = self.place();
        let written = write!(text, " (at {}:{})", place.file(), place.line());
        debug_assert!(written.is_ok(), "writing to memory does not fail");
        text
    }
}

fn failing(status: StatusCode) -> StatusCode {
    let is_failure = status.is_client_error() || status.is_server_error();
    if is_failure { status } else { StatusCode::INTERNAL_SERVER_ERROR }
}

/// The status of an error that came by `?`. A class of errors that is not the service's own fault
/// (a pool that is exhausted, a row that exists already) gets its status here, and nowhere else.
fn status_of(error: &(dyn Error + 'static)) -> StatusCode {
    #[cfg(feature = "database")]
    for cause in causes(error) {
        match crate::db::class_of(cause) {
            Some(crate::db::Class::Exhausted) => return StatusCode::SERVICE_UNAVAILABLE,
            Some(crate::db::Class::Exists) => return StatusCode::CONFLICT,
            None => {}
        }
    }
    let _ = error;
    StatusCode::INTERNAL_SERVER_ERROR
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source()).take(CHAIN)
}

/// The name of an error's type, as the beginning of its `Debug` has it; `Error` for one that begins
/// otherwise, such as a mere text.
fn type_of(error: &(dyn Error + 'static)) -> String {
    /// Takes a name and no more: what follows are values.
    struct Name(String);

    impl Write for Name {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for character in text.chars() {
                if !(character.is_alphanumeric() || matches!(character, '_' | ':')) {
                    return Err(fmt::Error);
                }
                self.0.push(character);
            }
            if self.0.len() > 256 { Err(fmt::Error) } else { Ok(()) }
        }
    }

    let mut name = Name(String::new());
    // It ends with an error where the name does.
    write!(name, "{error:?}").ok();
    let Name(name) = name;
    let is_name = name.starts_with(|it: char| it.is_alphabetic());
    if is_name { name } else { "Error".to_owned() }
}

/// What a database says may repeat values: it is told in other words, and its causes are not.
fn of_database(error: &(dyn Error + 'static)) -> Option<String> {
    #[cfg(feature = "database")]
    return crate::db::told(error);
    #[cfg(not(feature = "database"))]
    None.filter(|_: &String| error.source().is_some())
}

/// Writes `error: cause: cause`. Many errors say their cause themselves; it is not said twice.
fn append_chain(text: &mut String, error: &(dyn Error + 'static)) {
    for (depth, cause) in causes(error).enumerate() {
        let begin = text.len();
        if let Some(told) = of_database(cause) {
            text.push_str(if depth > 0 { ": " } else { "" });
            return text.push_str(&told);
        }
        let written = write!(text, "{cause}");
        // An error that cannot say what it is must not keep the others from it.
        if written.is_err() {
            text.push_str("(unreadable)");
        }
        if depth > 0 && text[..begin].ends_with(&text[begin..]) {
            text.truncate(begin);
        } else if depth > 0 {
            text.insert_str(begin, ": ");
        }
        if text.len() > CHAIN_BYTES {
            text.truncate(text.floor_char_boundary(CHAIN_BYTES));
            text.push('…');
            return;
        }
    }
}

impl<E> From<E> for Failure
where
    E: Error + Send + Sync + 'static,
{
    #[track_caller]
    fn from(cause: E) -> Failure {
        Failure::made(status_of(&cause), None, Some(cause.into()))
    }
}

/// Without the cause, whose text may hold anything; [`Failure::cause`] has it.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inside { status, outside, place, .. } = &*self.inside;
        f.debug_struct("Failure")
            .field("status", &status.as_u16())
            .field("outside", outside)
            .field("place", &format_args!("{}:{}", place.file(), place.line()))
            .finish_non_exhaustive()
    }
}

/// For code that is no request's, such as the making of the application: everything that is known, the
/// cause too. It is for logs.
impl From<Failure> for BoxError {
    fn from(failure: Failure) -> BoxError {
        failure.told_inside().into()
    }
}

/// What the client is told.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.outside().unwrap_or(super::words::sentence(self.inside.status)))
    }
}

#[cfg(feature = "axum")]
impl axum_core::response::IntoResponse for Failure {
    fn into_response(self) -> axum_core::response::Response {
        self.into_answer()
    }
}

#[cfg(feature = "axum")]
impl axum_core::response::IntoResponseParts for AsIs {
    type Error = std::convert::Infallible;

    fn into_response_parts(
        self,
        mut parts: axum_core::response::ResponseParts,
    ) -> Result<axum_core::response::ResponseParts, Self::Error> {
        parts.extensions_mut().insert(self);
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Because(&'static str, Option<Box<Because>>);

    impl fmt::Display for Because {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Because {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    /// Is its own cause.
    #[derive(Debug)]
    struct Circle(std::cell::Cell<u32>);

    impl fmt::Display for Circle {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.set(self.0.get() + 1);
            write!(f, "{:0300}", self.0.get())
        }
    }

    impl Error for Circle {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(self)
        }
    }

    fn failing() -> Result<(), Failure> {
        let inner = Because("password=hunter2 refused", None);
        Err(Because("query failed", Some(Box::new(inner))))?;
        Ok(())
    }

    #[test]
    fn any_error_becomes_a_500_that_knows_its_causes_and_the_place_of_the_question_mark() {
        let failure = failing().unwrap_err();
        assert_eq!(failure.status_code(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(failure.outside(), None);
        assert!(failure.place().file().ends_with("failure.rs"));
        let text = failure.told_inside();
        assert!(text.starts_with("query failed: password=hunter2 refused (at "), "{text}");
        assert!(text.ends_with(&format!("failure.rs:{})", failure.place().line())), "{text}");
    }

    #[test]
    fn neither_debug_nor_display_tells_the_cause() {
        let failure = failing().unwrap_err();
        let shown = format!("{failure:?} {failure:#?} {failure}");
        assert!(!shown.contains("hunter2") && !shown.contains("query"), "{shown}");
        assert!(shown.contains("failure.rs:"), "{shown}");
    }

    #[test]
    fn the_words_for_the_client_lead_the_line_of_the_log() {
        let failure = Failure::new(StatusCode::CONFLICT, "Taken.").because("row 7 exists");
        assert!(failure.told_inside().starts_with("Taken.: row 7 exists (at "));
        assert_eq!(failure.outside(), Some("Taken."));
        assert_eq!(failure.to_string(), "Taken.");
    }

    #[test]
    fn a_status_that_is_no_failure_is_taken_as_500() {
        for status in [StatusCode::OK, StatusCode::FOUND, StatusCode::from_u16(777).unwrap()] {
            assert_eq!(Failure::new(status, "").status_code(), 500);
            assert_eq!(Failure::new(StatusCode::GONE, "").status(status).status_code(), 500);
        }
    }

    #[test]
    fn a_cause_that_its_error_has_said_already_is_not_said_twice() {
        let inner = Because("no route", None);
        let error = Because("cannot connect: no route", Some(Box::new(inner)));
        assert!(Failure::from(error).told_inside().starts_with("cannot connect: no route (at "));
    }

    #[test]
    fn a_chain_without_end_ends() {
        let circle = Circle(std::cell::Cell::new(0));
        let mut text = String::new();
        append_chain(&mut text, &circle);
        assert!(text.len() < CHAIN_BYTES + 8, "{}", text.len());
        assert!(text.ends_with('…'));
    }

    #[test]
    fn an_answer_of_a_failure_carries_it() {
        let answer: Response<String> = Failure::new(StatusCode::GONE, "Gone.").into_answer();
        assert_eq!((answer.status(), answer.body().as_str()), (StatusCode::GONE, ""));
        let found = Failure::of(answer.extensions()).unwrap();
        assert_eq!(found.outside(), Some("Gone."));
        assert!(Failure::of(&Extensions::new()).is_none());
    }
}
