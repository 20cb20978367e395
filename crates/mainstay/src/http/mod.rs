//! The path of a request through the layers. Knows a `Service`, never what is behind it, and never
//! which process it runs in.

pub(crate) mod body;
pub(crate) mod book;
pub(crate) mod client;
pub(crate) mod context;
pub(crate) mod deadline;
pub(crate) mod detached;
pub(crate) mod ending;
pub(crate) mod errors;
pub(crate) mod guard;
pub(crate) mod limit;
pub(crate) mod page;
pub(crate) mod probes;
pub(crate) mod record;
#[cfg(feature = "login")]
pub(crate) mod secrets;
pub(crate) mod seen;
pub(crate) mod stack;
pub(crate) mod strict;
pub(crate) mod traceparent;
mod value;
pub(crate) mod waited;
pub(crate) mod watched;

pub use body::Body;
