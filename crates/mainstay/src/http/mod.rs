//! The path of a request through the layers. Knows a `Service`, never what is behind it, and never
//! which process it runs in.

pub(crate) mod body;
#[cfg_attr(not(test), expect(dead_code, reason = "wired in by the next change"))]
pub(crate) mod context;
pub(crate) mod deadline;
#[cfg_attr(not(test), expect(dead_code, reason = "wired in by the next change"))]
pub(crate) mod errors;
pub(crate) mod guard;
pub(crate) mod probes;
pub(crate) mod record;
pub(crate) mod stack;
#[cfg_attr(not(test), expect(dead_code, unused_imports, reason = "wired in by the next change"))]
pub(crate) mod strict;
pub(crate) mod watched;

pub use body::Body;
