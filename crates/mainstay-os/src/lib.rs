//! The operating-system floor of mainstay, and the only home of `unsafe` in it.
//!
//! * [`segment`]: the shared memory that every process of a service maps; the one truth about
//!   workers, requests in flight, counters and log lines.
//! * [`fds`]: descriptors that survive `exec`, taken over by number and checked.
//! * [`child`]: starting a process in a role, signalling and awaiting it without pid races, and
//!   replacing the running program in place.
//! * [`signals`]: blocked signals read from a descriptor.
//! * [`alarm`]: a dead-man's switch for a process that can be blocked.
//! * [`memory`]: giving back what only the start needed.
//! * [`zone`]: the local time zone; [`clock`]: whether somebody keeps the clock in step.
//! * [`listener`]: sealing a listener, so that its queue can be emptied before it is closed.
//! * [`queue`](mod@queue): how long the queue of a listener is.
//!
//! Nothing here knows HTTP, configuration, log formats or metric names. Linux only.

pub mod segment;

#[cfg(not(loom))]
pub mod alarm;
#[cfg(not(loom))]
pub mod child;
#[cfg(not(loom))]
pub mod clock;
#[cfg(not(loom))]
pub mod fds;
#[cfg(not(loom))]
#[cfg(not(loom))]
pub mod listener;
#[cfg(not(loom))]
pub mod memory;
#[cfg(not(loom))]
pub mod queue;
#[cfg(not(loom))]
pub mod signals;
#[cfg(not(loom))]
pub mod zone;
