//! Requests that go on when their client has left: what an unsafe method has begun is done to its end.

use super::body::Answer;
use super::context::RequestContext;
use super::deadline::{self, Held};
use super::ending;
use super::guard::Guarded;
use super::record::Ticket;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tower_service::Service;

/// Requests that go on by themselves in this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Detached(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    running: AtomicU64,
    empty: Notify,
}

impl Detached {
    /// Resolves when there is none.
    pub(crate) async fn wait_empty(&self) {
        loop {
            let empty = self.0.empty.notified();
            let mut empty = pin!(empty);
            // Registered before the look, so that an end between the two is not missed.
            empty.as_mut().enable();
            if self.0.running.load(Relaxed) == 0 {
                return;
            }
            empty.await;
        }
    }

    fn enter(&self) -> Running {
        self.0.running.fetch_add(1, Relaxed);
        Running(Arc::clone(&self.0))
    }
}

struct Running(Arc<Count>);

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Relaxed) == 1 {
            self.0.empty.notify_waiters();
        }
    }
}

/// Whether a request of this method changes something.
#[inline]
pub(crate) fn is_unsafe(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// Lets the application go on as a task of its own, its transaction included, for as long as `limit`
/// says; zero for no limit.
#[cold]
pub(crate) fn detach<S, B>(
    app: Guarded<S, S::Future>,
    held: Held,
    limit: Duration,
    ticket: &mut Ticket,
) -> JoinHandle<Response<Answer<B>>>
where
    S: Service<Request<super::Body>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    let (conn, context, holds) = ticket.detach();
    let running = conn.recorder().detached().enter();
    // Its deadline is its own, which the connection may not live to see.
    conn.answers();
    let work = async move {
        let (_running, _holds) = (running, holds);
        let answered = {
            let mut app = pin!(app);
            let answer = poll_fn(|cx| app.as_mut().poll(cx).map(|it| held.judge(it, &conn)));
            within(limit, answer).await
        };
        // What did not answer in time has been dropped by now, and has given back what it had.
        let response = answered.unwrap_or_else(|| deadline::refused(deadline::ANSWER_LATE));
        match ending::begin(response) {
            Ok(response) => response,
            Err(mut ending) => poll_fn(|cx| ending.poll(cx)).await,
        }
    };
    match context {
        Some(context) => tokio::spawn(RequestContext::new(context).scope(work)),
        None => tokio::spawn(work),
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    if limit.is_zero() {
        return Some(work.await);
    }
    tokio::time::timeout(limit, work).await.ok()
}

/// The answer of a task, which may have been lost.
pub(crate) fn answer<B>(
    joined: Result<Response<Answer<B>>, tokio::task::JoinError>,
) -> Response<Answer<B>> {
    joined.unwrap_or_else(|_| {
        let mut response = Response::new(Answer::layer(Bytes::new()));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}
