//! Requests that nobody sent, for the benches: what the book does with each of them, and a part of it.

use super::Recorder;
use crate::clock;
use crate::http::context::{Context, RequestId, TraceContext};
use crate::http::page::Page;
use crate::http::seen::Seen;
use crate::log::access::{Ending, Protocol};
use crate::metrics::names;
use http::Version;

/// What they ask for, and where that leads.
const TARGET: &str = "/orders/7?page=2";
const ROUTE: &str = "/orders/{id}";

impl Recorder {
    /// A page of a request that has come and was answered.
    pub(crate) fn answered(&self) -> Box<Page> {
        let mut page = self.page();
        page.started = clock::mono();
        let wall = self.wall(page.started);
        (page.protocol, page.status) = (Protocol::H11, 200);
        (page.body_bytes, page.answered) = (5_120, Some(900_000));
        let mut trace = TraceContext::begin();
        let seen = Seen::default();
        let (state, spans) =
            self.carry(self.log.tracing(), &mut trace, &seen, TARGET, Version::HTTP_11);
        page.context = Some(Context::begin(|context| {
            context.id = RequestId::new(wall);
            (context.trace, context.state, context.spans) = (trace, state, spans);
            context.host.push_str("shop.example");
            context.method.push_str("GET");
            context.path.push_str("/orders/7");
            // A new context has none.
            context.route.set(ROUTE.into()).ok();
        }));
        page
    }

    /// Counts and measures beginning and end of a request of this page, which took so many nanoseconds.
    #[inline]
    pub(crate) fn count_whole(&self, page: &Page, took: u64) {
        self.count_begin(page);
        self.count_end(&mut self.lines().requests, page, (page.status, took), Err(names::NONE));
        self.log.slot().request_ended();
    }

    /// Takes a request from its beginning to its end.
    #[inline]
    pub(crate) fn pass(&self) {
        let page = self.answered();
        self.count_begin(&page);
        self.close(page, Ending::KeepAlive);
    }
}
