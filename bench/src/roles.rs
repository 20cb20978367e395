//! What the program is when the benchmark has started it again: one of the servers, or the load.
//!
//! The role travels by environment variable, as mainstay's own roles do: the arguments belong to
//! mainstay's command line.

use std::{convert::Infallible, net::SocketAddr, os::fd::AsFd, process::ExitCode};

use axum::{Router, routing::get};
use bytes::Bytes;
use e2e::load::Load;
use http_body_util::Full;
use hyper::{Response, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::{Fallible, measure, scrape};

/// The variable that names the role.
pub(crate) const ROLE: &str = "BENCH_ROLE";

/// What every server answers to `GET /`.
const ANSWER: &str = "hello\n";

/// The program's part in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Hyper,
    Axum,
    Mainstay,
    /// The same with many series.
    Measured,
    /// A fixed number of requests, as the command whose length `perf stat` measures.
    Load,
}

impl Role {
    const ALL: [Role; 5] = [Role::Hyper, Role::Axum, Role::Mainstay, Role::Measured, Role::Load];

    /// The role named by the environment; none in the process that a person has started.
    pub(crate) fn from_environment() -> Option<Role> {
        let name = std::env::var(ROLE).ok()?;
        Role::ALL.into_iter().find(|role| role.name() == name)
    }

    /// The value of [`ROLE`].
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Hyper => "hyper",
            Role::Axum => "axum",
            Role::Mainstay => "mainstay",
            Role::Measured => "measured",
            Role::Load => "load",
        }
    }
}

/// Bare hyper on the inherited listener, one thread, until it is killed.
pub(crate) fn hyper() -> Fallible<ExitCode> {
    runtime()?.block_on(async {
        let listener = inherited_listener()?;
        loop {
            let (stream, _) = listener.accept().await?;
            let answer = service_fn(|_| async {
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes()))))
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    })
}

/// Bare axum on the inherited listener, one thread, until it is killed.
pub(crate) fn axum() -> Fallible<ExitCode> {
    runtime()?.block_on(async {
        axum::serve(inherited_listener()?, app()).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// axum under mainstay: the program of e2e's `hello`, word for word.
pub(crate) fn mainstay() -> ExitCode {
    mainstay::serve(|_| async { Ok(app()) })
}

/// The same, with many series.
pub(crate) fn measured() -> ExitCode {
    mainstay::serve(|worker| async move {
        scrape::declare(&worker)?;
        Ok(app())
    })
}

/// Sends as many requests as the second argument says to the address in the first.
pub(crate) fn load() -> Fallible<ExitCode> {
    let mut args = std::env::args().skip(1);
    let address: SocketAddr = args.next().ok_or("no address")?.parse()?;
    let requests: u64 = args.next().ok_or("no number of requests")?.parse()?;
    measure::exactly(address, requests)?;
    Ok(ExitCode::SUCCESS)
}

/// The load of every measurement: kept-alive connections, a closed loop on each.
pub(crate) fn clients(address: SocketAddr) -> Load {
    Load { new_connections: 0, kept_alive: measure::CONNECTIONS, ..Load::new(address) }
}

fn app() -> Router {
    Router::new().route("/", get(|| async { ANSWER }))
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// The listener that the benchmark has passed as standard input: every process of a server accepts
/// from the same queue, as mainstay's workers do.
fn inherited_listener() -> std::io::Result<TcpListener> {
    let listener = std::net::TcpListener::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}
