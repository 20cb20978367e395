//! What processes do to each other, proved with real ones: memory shared with writers that are
//! killed, descriptors that cross `exec`, ends, orphans and replaced programs.

#![cfg(not(loom))]

mod child;
mod fds;
mod kill;
mod limits;
mod parts;
mod replace;
mod segment;
mod signals;
mod strangers;
mod support;
