//! Answers `/healthz` and `/readyz` from the segment, before anything that may refuse a request.

use super::stack::Layers;
use crate::clock;
use crate::health::answer::Probe;
use crate::health::{self, checks};
use crate::log::Log;
use crate::metrics::{names, readiness};
use bytes::Bytes;
use http::{Request, Response};

/// Where the probes are.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub(crate) live: String,
    pub(crate) ready: String,
}

impl Paths {
    /// Which probe is at `path`.
    pub(crate) fn probe(&self, path: &str) -> Option<Probe> {
        if path == self.live {
            Some(Probe::Live)
        } else if path == self.ready {
            Some(Probe::Ready)
        } else {
            None
        }
    }
}

/// The answer to a request that is a probe.
#[inline(always)]
pub(crate) fn answer<B>(
    log: &Log,
    layers: &Layers,
    request: &Request<B>,
) -> Option<Response<Bytes>> {
    let probe = layers.paths.probe(request.uri().path())?;
    if probe == Probe::Ready {
        (layers.asked)();
    }
    let state = checks::state(log.segment(), clock::mono());
    // A worker that answers makes progress.
    let answer = health::answer::answer(probe, request.method(), state, true);
    // Alert rules judge what the application answers.
    log.slot().add(names::PROBES, 1);
    if answer.status().is_server_error() {
        log.slot().add(names::PROBE_FAILURES, 1);
    }
    if probe == Probe::Ready {
        readiness::answered(log.segment().header(), log.slot(), answer.status().as_u16());
    }
    Some(answer)
}
