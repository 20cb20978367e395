//! The record of each request, as a layer: from here a request's page goes with it to the last byte of
//! its answer, and what it says and costs is written down. What ends here has ended for everybody.

use super::Body;
use super::body::BoxError;
use super::context::{Context, current};
use super::errors::{ErrorId, report};
use super::limit::concurrent::Held;
use super::page::{NO_ENTRY, Page};
use super::value;
use super::watched::Watched;
use crate::clock;
use crate::event::Event;
use crate::panics::{self, Panic};
use bytes::Bytes;
use http::header::{CONNECTION, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Why an answer is not the application's, for the access line; a layer puts it into the answer's
/// extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reason(pub(crate) &'static str);

/// A request that has begun. Dropping it ends the request, however it came to that.
#[derive(Debug)]
pub(crate) struct Ticket {
    conn: Arc<Watched>,
    /// There until the request has ended, or its end was left to the connection.
    page: Option<Box<Page>>,
    h1: bool,
    /// The application goes on without it, and ends itself what it has begun.
    detached: bool,
    /// What it holds of limits of requests at once.
    held: Vec<Arc<Held>>,
}

impl Ticket {
    /// Begins the record of a request.
    #[inline(always)]
    pub(crate) fn begin(request: &mut Request<Body>, conn: &Arc<Watched>) -> Ticket {
        let page = conn.recorder().begin(request, conn);
        let h1 = request.version() < Version::HTTP_2;
        Ticket { conn: Arc::clone(conn), page: Some(page), h1, detached: false, held: Vec::new() }
    }

    /// Lets the application go on without it: what it needs for that, and what it goes on to hold.
    pub(crate) fn detach(&mut self) -> (Arc<Watched>, Option<Arc<Context>>, Vec<Arc<Held>>) {
        self.detached = true;
        (Arc::clone(&self.conn), self.parts().1.clone(), self.held.clone())
    }

    /// Holds something until the request has ended.
    #[inline(always)]
    pub(crate) fn hold(&mut self, held: impl IntoIterator<Item = Arc<Held>>) {
        self.held.extend(held);
    }

    /// It is a health check.
    pub(crate) fn is_probe(&mut self) {
        if let Some(page) = &mut self.page {
            page.probe = true;
        }
    }

    /// Holds nothing any more.
    pub(crate) fn let_go(&mut self) {
        self.held.clear();
    }

    /// Whether somebody has said that it is a login.
    #[inline(always)]
    pub(crate) fn says_of_login(&self) -> bool {
        let context = self.page.as_ref().and_then(|page| page.context.as_ref());
        context.is_some_and(|context| context.login.get().is_some())
    }

    /// The beginning of the user agent, as it stands with the request in flight; empty where there was no room for that.
    #[cold]
    pub(crate) fn agent(&self) -> Vec<u8> {
        let entry = self.page.as_ref().map(|page| page.entry).filter(|entry| *entry != NO_ENTRY);
        let table = self.conn.recorder().log().slot().in_flight();
        entry.and_then(|entry| table.read(entry as usize)).map_or_else(Vec::new, |it| it.agent)
    }

    /// The connection, and the request's context.
    #[inline(always)]
    pub(crate) fn parts(&mut self) -> (&Watched, &mut Option<Arc<Context>>) {
        let page = self.page.as_mut().expect("a ticket without an answer has its page");
        (&self.conn, &mut page.context)
    }

    /// Does something that is part of the request.
    #[inline(always)]
    pub(crate) fn within<T>(&mut self, work: impl FnOnce() -> T) -> T {
        current::within(self.parts().1, work)
    }

    /// Tells of the panic in this request's answer.
    fn tell_panic(&mut self, panic: &Panic) {
        let Some(page) = &mut self.page else { return };
        page.reason = "body_panicked";
        let (method, path) = match page.context.as_deref() {
            Some(context) => (context.method.clone(), context.path.clone()),
            None => ("?".into(), "?".into()),
        };
        let log = self.conn.recorder().log();
        report::panicked(log, page.context.as_deref(), panic, Some(page.status), "");
        log.event(&Event::HandlerPanicked { method, path, panic: panic.to_string() });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(page) = self.page.take() {
            if !self.detached
                && let Some(context) = &page.context
                && !context.pendings.is_unused()
            {
                // Nobody will ever see that it went well.
                drop(context.pendings.close());
            }
            // Without an answer the client, or whoever cut the connection, went first.
            let written = page.status != 0 && page.reason != "body_failed";
            self.conn.end(page, written);
        }
    }
}

/// Writes down what is known when there is an answer, which carries the request's ticket from here on.
#[inline(always)]
pub(crate) fn answered<B>(
    mut response: Response<B>,
    mut ticket: Ticket,
) -> Response<RecordBody<B>> {
    let h1 = ticket.h1;
    if let Some(page) = &mut ticket.page {
        note_answer(&mut response, page, &ticket.conn, h1);
    }
    response.map(|body| RecordBody { body, ticket: Some(ticket), h1, handed: false })
}

/// Writes down what is known when the answer's head is there, and adds to it what every answer has.
#[inline(always)]
fn note_answer<B>(response: &mut Response<B>, page: &mut Page, conn: &Watched, h1: bool) {
    let status = response.status();
    page.status = status.as_u16();
    page.answered = Some(clock::mono().0.saturating_sub(page.started.0));
    if page.status >= 400 {
        note_failure(response, page);
    }
    let recorder = conn.recorder();
    if let Some(access) = &recorder.book().access
        && access.wants_answer()
    {
        access.answered(response.headers(), &mut page.draft);
    }
    if let Some(context) = &page.context {
        let headers = response.headers_mut();
        let field = |text: &[u8]| value::field(value::shared(|out| out.extend_from_slice(text)));
        if let Some(id) = field(context.id.as_bytes()) {
            headers.insert(REQUEST_ID, id);
        }
        if context.trace.parent.is_some()
            && let Some(trace) = field(&context.trace.traceparent())
        {
            headers.insert(TRACEPARENT, trace);
        }
    }
    if status == StatusCode::SWITCHING_PROTOCOLS {
        conn.tunnel();
        return;
    }
    let closing = conn.must_shut_down() || recorder.is_closing() || conn.is_at_its_last();
    if h1 && closing {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        page.closing = true;
    }
}

#[cold]
fn note_failure<B>(response: &mut Response<B>, page: &mut Page) {
    let extensions = response.extensions_mut();
    if let Some(Reason(reason)) = extensions.remove() {
        page.reason = reason;
    }
    if let Some(ErrorId(id)) = extensions.remove() {
        page.error_id = Some(id.into());
    }
    page.closing = response.headers().get(CONNECTION).is_some_and(|it| it == "close");
}

pin_project! {
    /// The answer's body; when the server drops it, the request has ended.
    pub(crate) struct RecordBody<B> {
        #[pin]
        body: B,
        ticket: Option<Ticket>,
        h1: bool,
        handed: bool,
    }

    impl<B> PinnedDrop for RecordBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            let Some(mut ticket) = this.ticket.take() else { return };
            if *this.h1 {
                // What the server has taken may still wait for the client to take it.
                if let Some(page) = ticket.page.take() {
                    ticket.conn.park(page);
                }
            } else if *this.handed {
                ticket.conn.frame(false);
            }
        }
    }
}

impl<B> HttpBody for RecordBody<B>
where
    B: HttpBody<Data = Bytes, Error = BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        // A body that panics ends its connection, as one that fails does; the worker lives.
        let polled = panics::caught(|| this.body.poll_frame(cx)).unwrap_or_else(|panic| {
            if let Some(ticket) = this.ticket {
                ticket.tell_panic(&panic);
            }
            Poll::Ready(Some(Err(panic.to_string().into())))
        });
        let Some(Ticket { conn, page: Some(page), .. }) = this.ticket else { return polled };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                page.body_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                if page.first_byte.is_none() && conn.recorder().book().shows_first_byte {
                    page.first_byte = Some(clock::mono().0.saturating_sub(page.started.0));
                }
            }
            Poll::Ready(Some(Err(_))) if page.reason.is_empty() => page.reason = "body_failed",
            _ => {}
        }
        // In HTTP/2 a body is polled again when the stream has room for more.
        if !*this.h1 {
            let handing = matches!(polled, Poll::Ready(Some(Ok(_))));
            if handing != *this.handed {
                conn.frame(handing);
                *this.handed = handing;
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
