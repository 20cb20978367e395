//! The smallest service, without the drivers of databases: what it takes of memory is mainstay's.

use axum::{Router, routing::get};
use std::process::ExitCode;

fn main() -> ExitCode {
    mainstay::serve(|_worker| async { Ok(Router::new().route("/", get(|| async { "hello\n" }))) })
}
