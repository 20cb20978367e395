//! Giving an answer of 400 or more its form, and telling the log why it is one.

use super::failure::{AsIs, Failure};
use super::negotiate::{Form, form};
use super::page::{POLICY, PageFailure};
use super::words::{Told, sentence, title};
use super::{Asked, ErrorId, Stage, problem, report};
use crate::event::Event;
use crate::http::body::{Answer, BoxError};
use crate::http::context::RequestContext;
use crate::http::guard::Panicked;
use crate::http::limit::Quota;
use crate::log::current_level;
use crate::panics::{self, Panic};
use bytes::Bytes;
use http::Response;
use http::header::{
    self, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap,
    HeaderName, HeaderValue, VARY,
};
use http::response::Parts;
use http_body::Body as HttpBody;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Headers that speak of the body that goes. Everything else stays: `Allow`, `Retry-After`,
/// `WWW-Authenticate`, `Location`, `Set-Cookie`, `Content-Range` of a 416.
static OF_THE_BODY: [HeaderName; 14] = [
    CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::CONTENT_DISPOSITION,
    header::ETAG,
    header::EXPIRES,
    header::LAST_MODIFIED,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
];

/// Bytes of a plain text that are told.
const TEXT: usize = 1_024;
/// Of an answer without a text.
const SILENT: &str = "the application said no more";

/// Why an answer is an error: the first of these that there is.
struct Why<B> {
    panic: Option<Panic>,
    failure: Option<Arc<Failure>>,
    /// The body that goes, whose text may say it.
    body: Option<Answer<B>>,
}

impl Stage {
    /// The answer that leaves in the place of this one, whose status is 400 or more.
    #[cold]
    #[inline(never)]
    pub(super) fn shape<B>(&self, asked: &Asked, answer: Response<Answer<B>>) -> Response<Answer<B>>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>>,
    {
        let (mut parts, body) = answer.into_parts();
        let panic = parts.extensions.remove().map(|Panicked(panic)| panic);
        let failure = parts.extensions.get::<Arc<Failure>>().cloned();
        let is_kept = parts.extensions.get::<AsIs>().is_some() || is_shaped(&parts.headers);
        if is_kept && panic.is_none() && failure.is_none() {
            return Response::from_parts(parts, body);
        }
        let (kept, body) = if is_kept { (Some(body), None) } else { (None, Some(body)) };
        let why = Why { panic, failure: failure.clone(), body };
        let error_id = self.tell(asked, &parts, why);
        if let Some(id) = &error_id {
            parts.extensions.insert(ErrorId(id.clone()));
        }
        let body = match kept {
            Some(body) => body,
            None => {
                let outside = failure.as_ref().and_then(|failure| failure.outside());
                let quota = parts.extensions.remove::<Quota>();
                let outside = outside.or(quota.as_ref().map(|quota| &*quota.message));
                let violated = quota.as_ref().map_or(&[][..], |quota| &quota.violated);
                let message = outside.unwrap_or(sentence(parts.status));
                self.rewrite(asked, &mut parts, message, violated, error_id.as_deref())
            }
        };
        Response::from_parts(parts, body)
    }

    /// One line at ERROR for a 5xx, and its error id; one at DEBUG for a 4xx that says why.
    fn tell<B>(&self, asked: &Asked, parts: &Parts, why: Why<B>) -> Option<String>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>>,
    {
        let status = parts.status.as_u16();
        let (method, path) = (asked.method(), asked.path());
        if status >= 500 {
            let (method, path, error_id) = (method.to_owned(), path.to_owned(), (self.error_id)());
            let context = asked.context.as_ref().map(RequestContext::context);
            let event = match &why.panic {
                Some(panic) => {
                    report::panicked(&self.log, context, panic, Some(status), &error_id);
                    let panic = format!("{panic} (status {status}, error id {error_id})");
                    Event::HandlerPanicked { method, path, panic }
                }
                None => {
                    let failure = why.failure.clone();
                    let text = why.text();
                    let failed =
                        report::Failed { status, error_id: &error_id, text: text.as_deref() };
                    report::failed(&self.log, context, failure.as_deref(), &failed);
                    let error = text.unwrap_or_else(|| SILENT.to_owned());
                    let error_id = error_id.clone();
                    Event::RequestFailed { error_id, method, path, status, error }
                }
            };
            self.log.event(&event);
            return Some(error_id);
        }
        if why.failure.is_some() || parts.headers.contains_key(CONTENT_TYPE) {
            let [method_told, path_told, reason] = [const { String::new() }; 3];
            let mut event =
                Event::RequestRefused { method: method_told, path: path_told, status, reason };
            // Counted always; put into words only where somebody reads it.
            if event.row().level >= current_level(self.log.segment()) {
                let (method, path, reason) = (method.to_owned(), path.to_owned(), why.text());
                let reason = reason.unwrap_or_else(|| SILENT.to_owned());
                event = Event::RequestRefused { method, path, status, reason };
            }
            self.log.event(&event);
        }
        None
    }

    /// Puts an error's page or problem, and the headers that go with it, into an answer.
    fn rewrite<B>(
        &self,
        asked: &Asked,
        parts: &mut Parts,
        message: &str,
        violated: &[Box<str>],
        error_id: Option<&str>,
    ) -> Answer<B> {
        let context = asked.context.as_ref();
        let trace = context.map(|context| context.trace().trace_hex());
        let trace = trace.as_ref().and_then(|digits| str::from_utf8(digits).ok());
        let told = Told {
            status: parts.status.as_u16(),
            title: title(parts.status),
            message,
            request_id: context.map(|context| context.id().as_str()),
            error_id,
            trace_id: trace,
            service: &self.service,
        };
        let headers = &mut parts.headers;
        OF_THE_BODY.iter().for_each(|name| drop(headers.remove(name)));
        let (media, bytes) = match form(asked.accept()) {
            Form::Problem => (problem::MEDIA_TYPE, problem::problem(&told, violated)),
            Form::Html => {
                let page = self.pages.render(&told);
                if let Some(PageFailure { page, reason }) = page.failure {
                    self.log.event(&Event::ErrorPageFailed { page, reason });
                }
                if page.is_ours {
                    let policy = HeaderValue::from_static(POLICY);
                    headers.insert(CONTENT_SECURITY_POLICY, policy);
                }
                ("text/html; charset=utf-8", page.html.into_bytes())
            }
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        vary_by_accept(headers);
        if asked.method() == "HEAD" {
            // The headers of what a GET would get, and nothing of it.
            headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
            return Answer::layer(Bytes::new());
        }
        Answer::layer(Bytes::from(bytes))
    }
}

impl<B> Why<B>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>>,
{
    /// In words, if the application has any. An application's error or body that panics meanwhile is no second failure.
    fn text(self) -> Option<String> {
        let told = panics::caught(|| match (&self.failure, self.body) {
            (Some(failure), _) => failure.told_inside(),
            (None, Some(body)) => text_of(body),
            (None, None) => String::new(),
        });
        match told {
            Ok(text) => Some(text).filter(|text| !text.is_empty()),
            Err(panic) => Some(format!("what went wrong could not be said: {panic}")),
        }
    }
}

/// What is there of a short text right now. A body that has to be waited for is none.
fn text_of<B>(body: Answer<B>) -> String
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>>,
{
    const FRAMES: usize = 8;
    let (mut body, mut bytes) = (Box::pin(body), Vec::new());
    for _ in 0..FRAMES {
        let frame = body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Some(Ok(frame))) = frame else { break };
        let room = TEXT - bytes.len();
        bytes.extend(frame.data_ref().into_iter().flatten().take(room));
    }
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

fn is_shaped(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return false };
    let media = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    !media.trim_ascii().eq_ignore_ascii_case(b"text/plain")
}

pub(super) fn vary_by_accept(headers: &mut HeaderMap) {
    let is_said = headers.get_all(VARY).iter().any(|value| {
        let mut names = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        names.any(|name| name == b"*" || name.eq_ignore_ascii_case(b"accept"))
    });
    if !is_said {
        headers.append(VARY, HeaderValue::from_static("Accept"));
    }
}
