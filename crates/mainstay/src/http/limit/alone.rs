//! In a program without the feature `redis` nothing counts for several hosts, and no request waits.

use super::{Asked, Decided, Entered, Limiter};
use crate::clock::Mono;
use crate::limits::plan::Plan;
use crate::limits::settings::Settings;
use crate::limits::who::Who;
use crate::log::Log;
use std::convert::Infallible;
use std::task::{Context, Poll};

/// No store.
#[derive(Debug)]
pub(super) enum Remote {}

/// No request.
#[derive(Debug)]
pub(crate) enum Waiting {}

impl Waiting {
    pub(crate) fn poll(&mut self, _: &mut Context<'_>) -> Poll<Infallible> {
        match *self {}
    }
}

impl Remote {
    /// Never one: the configuration with one was refused.
    #[expect(clippy::unnecessary_wraps, reason = "with a store there may be something wrong")]
    pub(super) fn of(_: &Settings, _: &Plan, _: &Log) -> Result<Option<Remote>, String> {
        Ok(None)
    }
}

impl Limiter {
    #[expect(clippy::unused_async, reason = "with a store there is something to wait for")]
    pub(crate) async fn meet_store(&self) {}

    #[expect(clippy::unused_self, reason = "with a store there is something to mind")]
    pub(crate) fn mind_store(&self, _: Mono) {}

    #[expect(clippy::unused_self, reason = "with a store there is something to ask")]
    pub(super) fn ask(&self, remote: &Remote, _: &Asked<'_>, _: &Who<'_>) -> Entered {
        match *remote {}
    }

    #[expect(clippy::unused_self, reason = "with a store there is something to count")]
    pub(super) fn count_refused(&self, remote: &Remote, _: &Asked<'_>, _: &Who<'_>) {
        match *remote {}
    }

    #[expect(clippy::unused_self, reason = "with a store there is something to settle")]
    pub(crate) fn settle(&self, _: &Asked<'_>, waiting: &Waiting, _: Infallible) -> Decided {
        match *waiting {}
    }
}
