//! systemd's notify protocol: READY when the first worker is ready, RELOADING with its stamp,
//! STOPPING, MAINPID, and a watchdog that is fed by workers' progress only.

use crate::clock::Mono;
use crate::config::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The way to the service manager, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
    fed: Mono,
}

impl Notifier {
    /// Finds the service manager in the environment.
    ///
    /// # Errors
    /// When it names a socket that cannot be used.
    pub(crate) fn find() -> io::Result<Notifier> {
        let Some(name) = env::notify_socket() else { return Ok(Notifier::default()) };
        let socket = UnixDatagram::unbound()?;
        // A service manager that does not read must not stop the service.
        socket.set_nonblocking(true)?;
        Ok(Notifier {
            socket: Some((socket, address(&name)?)),
            watchdog: env::watchdog(),
            fed: Mono(0),
        })
    }

    /// Tells `state`, one assignment a line.
    ///
    /// # Errors
    /// When the datagram was not taken.
    pub(crate) fn tell(&self, state: &str) -> io::Result<()> {
        let Some((socket, address)) = &self.socket else { return Ok(()) };
        socket.send_to_addr(state.as_bytes(), address).map(|_| ())
    }

    /// Feeds the watchdog at half its time, but only when there is progress to show.
    ///
    /// # Errors
    /// When the datagram was not taken.
    pub(crate) fn feed(&mut self, now: Mono, progress: bool) -> io::Result<()> {
        match self.watchdog {
            Some(limit) if progress && now.since(self.fed) >= limit / 2 => {
                self.fed = now;
                self.tell("WATCHDOG=1")
            }
            _ => Ok(()),
        }
    }

    /// How often [`Notifier::feed`] wants to be called.
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 4)
    }
}

/// A path, or an abstract name that begins with `@`.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
        _ => SocketAddr::from_pathname(name),
    }
}
