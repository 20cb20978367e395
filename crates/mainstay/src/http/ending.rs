//! What a request has begun and must be ended with its answer: a transaction is committed when the
//! answer is good, before the client sees a byte of it, and rolled back in every other case.

use super::body::Answer;
use super::context::current;
use super::errors::Failure;
use http::{Response, StatusCode};
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// How long an ending may take: longer than any that goes well.
const PATIENCE: Duration = Duration::from_secs(10);

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Something that is to be ended one way or the other. Dropped, it is undone.
pub(crate) trait Pending: Send {
    /// Makes it stay; why that failed is for the log.
    fn keep(self: Box<Self>) -> Work<Result<(), String>>;
    /// Undoes it.
    fn undo(self: Box<Self>) -> Work<()>;
}

/// All that one request has begun.
#[derive(Default)]
pub(crate) struct Pendings {
    used: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    closed: bool,
    /// Begun, and in somebody's hands.
    out: usize,
    given_back: Vec<Box<dyn Pending>>,
}

impl fmt::Debug for Pendings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pendings").finish_non_exhaustive()
    }
}

#[cfg_attr(not(feature = "database"), expect(dead_code, reason = "databases have transactions"))]
impl Pendings {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is begun; false when the request has its answer already.
    pub(crate) fn take_out(&self) -> bool {
        self.used.store(true, Relaxed);
        let mut state = self.state();
        state.out += usize::from(!state.closed);
        !state.closed
    }

    /// Who had it in hands is done with it. Behind the answer it is dropped, and so undone.
    pub(crate) fn give_back(&self, pending: Option<Box<dyn Pending>>) {
        let mut state = self.state();
        if !state.closed {
            state.out -= 1;
            state.given_back.extend(pending);
        }
    }

    /// Ends the time in which anything could be begun or given back, and gives what there is, with the
    /// number of what is still in somebody's hands.
    pub(crate) fn close(&self) -> (Vec<Box<dyn Pending>>, usize) {
        let mut state = self.state();
        state.closed = true;
        (std::mem::take(&mut state.given_back), state.out)
    }

    /// Nothing was ever begun; costs one load.
    pub(crate) fn is_unused(&self) -> bool {
        !self.used.load(Relaxed)
    }

    /// Ready for the next request.
    pub(crate) fn clear(&mut self) {
        if *self.used.get_mut() {
            *self = Pendings::default();
        }
    }
}

/// An answer that waits for the end of what its request has begun.
pub(crate) struct Ending<B> {
    response: Option<Response<Answer<B>>>,
    work: Work<Result<(), String>>,
}

/// The answer itself, or one that waits.
#[inline(always)]
pub(crate) fn begin<B>(
    response: Response<Answer<B>>,
) -> Result<Response<Answer<B>>, Box<Ending<B>>> {
    let pending = current::with_current(|context| {
        let pendings = &context?.pendings;
        (!pendings.is_unused()).then(|| pendings.close())
    });
    match pending {
        None => Ok(response),
        Some((pending, out)) => Err(Ending::new(response, pending, out)),
    }
}

impl<B> Ending<B> {
    #[cold]
    fn new(
        response: Response<Answer<B>>,
        pending: Vec<Box<dyn Pending>>,
        out: usize,
    ) -> Box<Ending<B>> {
        let is_good = (200..400).contains(&response.status().as_u16());
        let work = async move {
            if is_good && out == 0 {
                return keep_all(pending).await;
            }
            undo_all(pending).await;
            if is_good {
                return Err("a transaction is still in use when the answer begins".to_owned());
            }
            Ok(())
        };
        let work = async {
            let late = Err(format!("a transaction did not end within {PATIENCE:?}"));
            tokio::time::timeout(PATIENCE, work).await.unwrap_or(late)
        };
        Box::new(Ending { response: Some(response), work: Box::pin(work) })
    }

    /// Gives the answer, or another one when what it tells of did not come to be.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Response<Answer<B>>> {
        self.work.as_mut().poll(cx).map(|ended| {
            let response = self.response.take().expect("an ending is not polled after it is done");
            match ended {
                Ok(()) => response,
                Err(why) => {
                    let failure = Failure::from(Unended(why));
                    debug_assert_eq!(failure.status_code(), StatusCode::INTERNAL_SERVER_ERROR);
                    failure.into_answer::<bytes::Bytes>().map(Answer::layer)
                }
            }
        })
    }
}

async fn keep_all(pending: Vec<Box<dyn Pending>>) -> Result<(), String> {
    let mut all = pending.into_iter();
    while let Some(next) = all.next() {
        if let Err(why) = next.keep().await {
            undo_all(all.collect()).await;
            return Err(why);
        }
    }
    Ok(())
}

async fn undo_all(pending: Vec<Box<dyn Pending>>) {
    for next in pending {
        next.undo().await;
    }
}

#[derive(Debug)]
struct Unended(String);

impl fmt::Display for Unended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unended {}
