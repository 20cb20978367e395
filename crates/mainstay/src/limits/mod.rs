//! Rate limits: what a limit string says, which limits a request meets, and what is told of them.
//! Counting itself is the shared table's, in the segment, or that of a store for several hosts.

/// The guide's examples are compiled.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../../../../docs/rate-limits.md")]
struct Guide;

/// So are those of what is seen.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../../../../docs/security-events.md")]
struct SecurityGuide;

pub(crate) mod address;
pub(crate) mod banned;
pub(crate) mod exchange;
pub(crate) mod flood;
pub(crate) mod jails;
pub(crate) mod lint;
pub(crate) mod parse;
mod pattern;
pub(crate) mod place;
pub(crate) mod plan;
#[cfg(feature = "redis")]
pub(crate) mod question;
pub(crate) mod refusals;
pub(crate) mod rules;
pub(crate) mod settings;
pub(crate) mod signs;
pub(crate) mod table;
pub(crate) mod who;
