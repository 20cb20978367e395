//! The sending of what leaves the host: from the rings to a spool, from there to receivers.

pub(crate) mod receiver;
pub(crate) mod sentry;
