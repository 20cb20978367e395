//! Every way in which a request can fail, as the client saw it.

use std::fmt;
use std::io;

/// Why a request has no whole, good answer. The classes are disjoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// Nobody listens (or the unix socket's file is gone).
    Refused,
    /// Fresh connection: reset before a byte of the answer.
    ResetBeforeByte,
    /// Fresh connection: closed in good order before a byte of the answer.
    EofBeforeByte,
    /// Kept-alive connection: closed or reset before a byte of the answer.
    /// The client does not try again, so this is a lost request.
    EofOnReused,
    /// The connection ended inside the answer.
    Partial,
    /// No whole answer within the deadline.
    Timeout,
    /// A whole answer, but not 2xx.
    BadStatus(u16),
    /// Bytes that are no HTTP/1.1 answer.
    Malformed,
    /// The client's own trouble (no ports or descriptors left): says nothing
    /// about the server, and makes the whole run worthless.
    Client,
}

impl Failure {
    /// Class of an error while connecting.
    pub(crate) fn of_connect(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Self::Refused,
            io::ErrorKind::ConnectionReset => Self::ResetBeforeByte,
            io::ErrorKind::TimedOut => Self::Timeout,
            _ => Self::Client,
        }
    }

    /// The connection ended before a byte of the answer, or inside of it.
    pub(crate) fn of_end(reset: bool, reused: bool, answer_begun: bool) -> Self {
        match (answer_begun, reused, reset) {
            (true, _, _) => Self::Partial,
            (false, true, _) => Self::EofOnReused,
            (false, false, true) => Self::ResetBeforeByte,
            (false, false, false) => Self::EofBeforeByte,
        }
    }

    /// The connection ended before a byte of the answer: what the death of
    /// the process behind it looks like.
    #[must_use]
    pub fn is_cut_off(self) -> bool {
        matches!(self, Self::ResetBeforeByte | Self::EofBeforeByte | Self::EofOnReused)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::ResetBeforeByte => "reset",
            Self::EofBeforeByte => "eof",
            Self::EofOnReused => "eof-on-reused",
            Self::Partial => "partial",
            Self::Timeout => "timeout",
            Self::BadStatus(status) => return write!(f, "status-{status}"),
            Self::Malformed => "malformed",
            Self::Client => "client-error",
        })
    }
}
