//! A door into the library for the benches, scenarios and fuzz targets of its own repository.
//!
//! **No public interface**: hidden from the documentation, and changed or removed in any release.
//! Whatever a service needs stands in the root of the crate.

mod drill;
pub mod fuzz;
mod heads;
mod lines;
mod passes;

pub use drill::{Drill, drill};
pub use heads::Heads;
pub use lines::{AccessLines, Sample};
pub use passes::{Passes, Traces};

/// The format of access lines that a service has if it names none.
pub const DEFAULT_FORMAT: &str = crate::log::access::DEFAULT;
