//! Databases: pools whose waits, holders and statements are known, so that a service can tell a
//! database that is gone from a pool that is empty, and a slow statement from a long wait.
//!
//! [`Pool`] stands before a pool of sqlx and is used like one. [`sqlx`] is given along, so
//! that an application needs no dependency of its own.

/// The guide's examples are compiled.
#[cfg(all(doctest, feature = "axum", feature = "sqlite"))]
#[doc = include_str!("../../../../docs/databases.md")]
struct Guide;

mod book;
mod command;
pub(crate) mod driver;
mod executor;
mod fingerprint;
mod foreign;
mod meter;
pub(crate) mod migrate;
mod open;
mod pool;
pub(crate) mod probe;
pub(crate) mod reason;
pub(crate) mod running;
mod script;
mod span;
mod statement;
mod status;
mod summary;
mod transaction;
mod tx;

pub use driver::Driver;
pub use migrate::{Migration, Migrations};
pub use open::Open;
pub use pool::{Connection, Pool, PoolConnection};
pub use status::PoolStatus;
pub use transaction::Transaction;
pub use tx::Tx;

pub(crate) use book::{Book, Verdict};
pub(crate) use command::{alone, limit, migrate as migrate_command};
pub(crate) use foreign::Foreign;
pub(crate) use open::Settings;
pub(crate) use reason::{Class, class_of, told_of as told};
pub(crate) use status::holding;
