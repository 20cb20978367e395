//! What is counted, and where in the segment.

pub(crate) mod names;
