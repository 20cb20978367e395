//! What a receiver is to the sending: how parcels become a request, and what the answer means.

use crate::telemetry::Parcel;
use std::fmt;
use std::time::Duration;

/// A request that is to be sent; always a `POST`.
pub(crate) struct Post {
    pub(crate) url: String,
    /// Names and values; they may hold keys and are never shown.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// The answer to one.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: &'a [(String, String)],
    pub(crate) body: &'a [u8],
}

/// What an answer means for the parcels that were sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The receiver has them, but for so many items of them.
    Taken { rejected: u64 },
    /// They are to be sent again, after this time if the receiver named one.
    Again { after: Option<Duration> },
    /// They will never be taken; why, for the log.
    Refused(String),
}

/// A receiver of parcels of one kind.
pub(crate) trait Receiver: Send {
    /// Its name in events and labels: `traces`, `logs`, `sentry`.
    fn name(&self) -> &'static str;
    /// What it takes.
    fn takes(&self) -> Parcel;
    /// The request for these parcels, which are not empty; `None` when none is to be made now, and the
    /// parcels are lost (a receiver that said to hold back).
    fn post(&mut self, parcels: &[&[u8]]) -> Option<Post>;
    /// What its answer means. Without an answer the parcels are sent again.
    fn judge(&mut self, answer: &Answer<'_>) -> Verdict;
}
