//! What is counted, and where in the segment: the table of mainstay's own counters, and the metrics of
//! the application.

mod check;
mod handle;
mod label;
pub(crate) mod names;
pub(crate) mod registry;

pub use check::MetricError;
pub use handle::{Counter, Gauge, Histogram, Labelled, Measure, Merge};
