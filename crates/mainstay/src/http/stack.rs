//! THE order of layers. A request passes them from the first to the last, its answer back from the
//! last to the first.
//!
//! Each layer's `call` and `poll` are inlined by force: the layers become one function, and a
//! request's future is built where it will live. Left to itself the compiler sometimes keeps them
//! apart, and every boundary moves the whole future (measured: 45 instructions each).

use super::Body;
use super::deadline::Deadline;
use super::errors::{ErrorPages, Stage};
use super::guard::Guard;
use super::probes::{Paths, Probes};
use super::record::Record;
use super::watched::Watched;
use http::{Request, Response};
use std::convert::Infallible;
use std::sync::Arc;
use tower_service::Service;

/// The application under all layers, for one connection.
pub(crate) type Stack<S> = Record<Probes<ErrorPages<Deadline<Guard<S>>>>>;

/// Builds the stack around `app` for the connection `conn`.
pub(crate) fn stack<S, B>(
    app: S,
    conn: &Arc<Watched>,
    paths: Arc<Paths>,
    stage: Arc<Stage>,
) -> Stack<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
{
    let log = conn.recorder().log().clone();
    let app = Guard::new(app); //                   a panic is a 500, not a lost connection
    let app = Deadline::new(app, Arc::clone(conn)); // refusals, limits of bodies and of time
    let app = ErrorPages::new(app, stage); //       every error that nobody shaped gets its form
    let app = Probes::new(app, log, paths); //      answers before anything can refuse
    Record::new(app, Arc::clone(conn)) //           who, under which id, and the record: sees all; its end is the last thing to run
}
