//! Why an attempt failed: words for people and for programs.

use rustix::io::Errno;
use std::io;

/// A row for each.
macro_rules! failures {
    ($($(#[doc = $doc:literal])+ $name:ident $word:literal;)*) => {
        /// What went wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "of TLS"))]
        pub(crate) enum Failure {
            $($(#[doc = $doc])+ $name),*
        }

        impl Failure {
            /// Stable, for programs.
            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Failure::$name => $word),* }
            }

            /// For people.
            pub(crate) fn about(self) -> &'static str {
                match self { $(Failure::$name => concat!($($doc),+).trim_ascii()),* }
            }
        }
    };
}

failures! {
    /// its name is not known
    UnknownName "dns_nxdomain";
    /// the resolver did not answer in time
    DnsTimeout "dns_timeout";
    /// the name server refuses to answer
    DnsRefused "dns_refused";
    /// nobody listens there
    Refused "refused";
    /// no way leads there from this host
    NoWay "no_route";
    /// it cannot be reached
    Unreachable "unreachable";
    /// no connection was made in time
    ConnectTimeout "timeout_connect";
    /// its certificate has expired or is not yet valid
    TlsExpired "tls_expired";
    /// its certificate is for another name
    TlsName "tls_name";
    /// its certificate is of nobody who is trusted
    TlsUntrusted "tls_untrusted";
    /// it does not speak TLS as it should
    TlsFailed "tls_failed";
    /// TLS was not agreed upon in time
    TlsTimeout "timeout_tls";
    /// it did not begin to answer in time
    FirstByteTimeout "timeout_first_byte";
    /// it did not end its answer in time
    TransferTimeout "timeout_transfer";
    /// the connection was closed before the answer was whole
    Closed "closed";
    /// what it answers is no HTTP
    Malformed "malformed";
    /// its status is not one that is good
    Status "status";
    /// its body does not contain what it should
    Body "body";
    /// its body is not the JSON that it should be
    Json "json";
    /// what it should be may stand behind the first MiB of its body, and no more is read
    TooLong "body_too_long";
    /// a header is not as it should be
    Header "header";
    /// it redirects too often, or to nowhere
    Redirects "redirects";
    /// it took longer than it may
    Slow "slow";
    /// the certificates to be trusted cannot be read
    Authorities "ca";
    /// its name has no address of a family that it should have
    NoAddress "no_address";
}

impl Failure {
    /// Whether it may be this host's own fault, as the way to the world may be cut.
    pub(crate) fn may_be_ours(self) -> bool {
        matches!(
            self,
            Failure::UnknownName
                | Failure::DnsTimeout
                | Failure::DnsRefused
                | Failure::NoWay
                | Failure::Unreachable
                | Failure::ConnectTimeout
                | Failure::TlsTimeout
                | Failure::FirstByteTimeout
                | Failure::TransferTimeout
                | Failure::NoAddress
        )
    }

    /// Why there is no connection.
    pub(super) fn of_connect(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Failure::Refused,
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Failure::ConnectTimeout,
            // Whoever has not this family at all has no address to come from, or no such sockets.
            io::ErrorKind::AddrNotAvailable => Failure::NoWay,
            _ if error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error()) => Failure::NoWay,
            // A route that leads nowhere is EINVAL for a blackhole, and EACCES for a prohibition.
            io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::InvalidInput => Failure::NoWay,
            _ => Failure::Unreachable,
        }
    }

    /// Why a connection that was there is of no use; `late` is what it means that time is up.
    pub(super) fn of_transfer(error: &io::Error, late: Failure) -> Failure {
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => late,
            io::ErrorKind::InvalidData => Failure::Malformed,
            _ => Failure::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_have_their_words() {
        let of = |raw| Failure::of_connect(&io::Error::from_raw_os_error(raw)).as_str();
        for (raw, word) in [
            (rustix::io::Errno::CONNREFUSED, "refused"),
            (rustix::io::Errno::NETUNREACH, "no_route"),
            (rustix::io::Errno::ADDRNOTAVAIL, "no_route"),
            (rustix::io::Errno::AFNOSUPPORT, "no_route"),
            (rustix::io::Errno::HOSTUNREACH, "unreachable"),
            (rustix::io::Errno::TIMEDOUT, "timeout_connect"),
        ] {
            assert_eq!(of(raw.raw_os_error()), word);
        }
        assert_eq!(Failure::Body.about(), "its body does not contain what it should");
    }
}
