//! History: what was, for longer than watch lives. One file, written by one thread of watch; what is handed to it and
//! finds no room is counted, and nobody waits.

#[cfg(feature = "sqlite")]
mod age;
#[cfg(feature = "sqlite")]
mod command;
#[cfg(feature = "sqlite")]
mod file;
mod intake;
#[cfg(feature = "sqlite")]
mod keeper;
#[cfg(feature = "sqlite")]
mod look;
#[cfg(feature = "sqlite")]
mod openmetrics;
#[cfg(feature = "sqlite")]
mod read;
#[cfg(feature = "sqlite")]
mod recorder;
mod roll;
mod shape;
#[cfg(feature = "sqlite")]
mod store;
#[cfg(feature = "sqlite")]
#[cfg(test)]
mod tests;
#[cfg(feature = "sqlite")]
mod totals;

#[cfg(feature = "sqlite")]
pub(crate) use command::{events, export, list, show};
pub(crate) use intake::Intake;
#[cfg(feature = "sqlite")]
pub(crate) use keeper::{Door, History};
#[cfg(feature = "sqlite")]
pub(crate) use read::{Question, question};
