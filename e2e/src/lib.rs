//! Starts real binaries under real load and counts both sides.
//!
//! [`peers`] are real databases and a real Prometheus, [`browser`] is a real browser. [`load`] is the client
//! that classifies every failure, [`visit`] one that keeps cookies and sends forms, [`harness`] starts a
//! service of its own on free ports and takes it down again, [`ledger`] is what an application counts for
//! itself. The scenarios are in `tests/`; `bench/` uses the same client.

#![forbid(unsafe_code)]

pub mod browser;
pub mod harness;
pub mod ledger;
pub mod load;
pub mod peers;
pub mod visit;
