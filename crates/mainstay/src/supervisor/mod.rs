//! The supervisor: owns listeners and segment for its whole life, starts and watches the other
//! processes, and decides nothing itself: that is [`machine`]'s. One blocking loop; no runtime, no
//! HTTP, no database, no user code.

mod bans;
mod control;
mod handover;
mod listeners;
mod lost;
mod machine;
mod notify;
mod oom;
mod perform;
mod pidfile;
mod processes;
mod program;
mod queues;
mod reload;
mod reports;
mod run;
mod start;
mod upgrade;
mod watch;

pub(crate) use control::{client, refusals, socket_path};
pub(crate) use program::find as find_program;
pub(crate) use run::Supervisor;
pub(crate) use start::{Identity, inherited_config, resume, start};
pub(crate) use upgrade::probe;
