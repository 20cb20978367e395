//! Starts real binaries under real load and counts both sides.
//!
//! [`peers`] are real databases. [`load`] is the client that classifies every failure, [`harness`] starts a
//! service of its own on free ports and takes it down again. The scenarios
//! are in `tests/`; `bench/` uses the same client.

#![forbid(unsafe_code)]

pub mod harness;
pub mod load;
pub mod peers;
