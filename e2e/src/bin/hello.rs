//! The smallest service: one expression. Memory, cold start and cost per
//! request are measured on it.

use axum::{Router, routing::get};
use std::process::ExitCode;

fn main() -> ExitCode {
    mainstay::serve(|_worker| async { Ok(Router::new().route("/", get(|| async { "hello\n" }))) })
}
