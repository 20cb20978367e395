//! Scrapes: the page is made by a thread of its own, in short turns ([`Pace`]), so that no request waits for it.

use super::directories::{AllSeen, Directories};
use super::metrics;
use super::pace::Pace;
use crate::log::Log;
use crate::status::Status;
use bytes::Bytes;
use http::{HeaderMap, Response};
use std::fmt;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use tokio::sync::oneshot;

/// Enough for compressing.
const STACK: usize = 1 << 20;

/// Makes a page of what the directories said for a scraper with these headers.
type Make = dyn Fn(&AllSeen, &HeaderMap, &mut Pace) -> Response<Bytes> + Send + Sync;

/// The way to the page.
pub(crate) struct Scrapes {
    make: Arc<Make>,
    directories: Arc<Directories>,
    jobs: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
}

/// A scraper that waits.
struct Job {
    seen: AllSeen,
    headers: HeaderMap,
    answer: oneshot::Sender<Response<Bytes>>,
}

impl fmt::Debug for Scrapes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrapes").field("thread", &self.thread).finish_non_exhaustive()
    }
}

impl Scrapes {
    /// Begins to make pages of what is measured.
    ///
    /// # Errors
    /// When the system has no room for a thread.
    pub(crate) fn start(
        log: &Log,
        directories: &Arc<Directories>,
        (name, version): (&str, &str),
    ) -> io::Result<Scrapes> {
        let log = log.clone();
        let (name, version) = (name.to_owned(), version.to_owned());
        Scrapes::with(directories, move |seen, headers, pace| {
            let status = Status::read(log.segment(), &name, &version);
            metrics::answer(log.segment(), &status, seen, headers, pace)
        })
    }

    fn with(
        directories: &Arc<Directories>,
        make: impl Fn(&AllSeen, &HeaderMap, &mut Pace) -> Response<Bytes> + Send + Sync + 'static,
    ) -> io::Result<Scrapes> {
        let make: Arc<Make> = Arc::new(make);
        let (jobs, come) = mpsc::channel::<Job>();
        let ours = Arc::clone(&make);
        let thread = thread::Builder::new().name("scrape".into()).stack_size(STACK);
        let thread = thread.spawn(move || {
            for job in come {
                if !job.answer.is_closed() {
                    // Who has left needs none.
                    job.answer.send(ours(&job.seen, &job.headers, &mut Pace::easy())).ok();
                }
            }
        })?;
        Ok(Scrapes { make, directories: Arc::clone(directories), jobs, thread })
    }

    /// The thread has ended by itself, which only a fault in it does.
    pub(crate) fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// The answer to a scrape.
    pub(crate) async fn answer(&self, headers: &HeaderMap) -> Response<Bytes> {
        let (answer, made) = oneshot::channel();
        // Where the thread is gone nobody answers, and the page is made here.
        let job = Job { seen: self.directories.seen(), headers: headers.clone(), answer };
        self.jobs.send(job).ok();
        match made.await {
            Ok(page) => page,
            Err(_) => (self.make)(&self.directories.seen(), headers, &mut Pace::hurried()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// What is answered: the name of the thread that made it.
    fn answered(scrapes: &Scrapes) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let page = runtime.block_on(scrapes.answer(&HeaderMap::new()));
        String::from_utf8(page.into_body().to_vec()).unwrap()
    }

    fn own_name() -> Bytes {
        thread::current().name().unwrap_or_default().to_owned().into()
    }

    #[test]
    fn a_page_is_made_by_the_thread() {
        let scrapes = Scrapes::with(&Arc::default(), |_, _, _| Response::new(own_name()));
        let scrapes = scrapes.unwrap();
        assert_eq!((answered(&scrapes).as_str(), scrapes.has_failed()), ("scrape", false));
    }

    #[test]
    fn a_thread_that_has_failed_is_told_and_the_page_is_made_all_the_same() {
        let scrapes = Scrapes::with(&Arc::default(), |_, _, _| {
            assert_ne!(thread::current().name(), Some("scrape"), "the thread fails, as told");
            Response::new(own_name())
        });
        let scrapes = scrapes.unwrap();
        assert_eq!(answered(&scrapes).as_bytes(), own_name());
        let end = crate::clock::mono() + Duration::from_secs(20);
        while !scrapes.has_failed() {
            assert!(crate::clock::mono() < end, "it has not failed");
            thread::yield_now();
        }
        assert_eq!(answered(&scrapes).as_bytes(), own_name());
    }
}
