//! Binding, once: a listener made here is open for the supervisor's whole life, over reloads and
//! upgrades, and its queue belongs to no worker.

use crate::config::{Bind, env};
use crate::passport::Passed;
use mainstay_os::{fds, listener};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// The file of a UNIX socket that this service made, recognised again by device and inode: a newer
/// service may have put its own in the same place.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    /// The file that was just bound at `path`.
    pub(crate) fn new(path: &Path) -> SocketFile {
        SocketFile { path: path.to_owned(), identity: identity(path) }
    }

    /// Removes it, if it is still there and still this one.
    ///
    /// # Errors
    /// What the system says, but not that it is gone already.
    pub(crate) fn remove(&self) -> io::Result<()> {
        if self.identity.is_none() || identity(&self.path) != self.identity {
            return Ok(());
        }
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) fd: OwnedFd,
    /// As logged: `http://127.0.0.1:8000` or `unix:/run/app.sock`.
    pub(crate) shown: String,
    /// The socket's file, if it is ours to remove.
    pub(crate) path: Option<SocketFile>,
    /// It was open before this service and stays open after it: its queue waits for the next one,
    /// so it is never sealed.
    pub(crate) inherited: bool,
}

/// Why a listener could not be had.
#[derive(Debug)]
pub(crate) struct BindError {
    bind: String,
    reason: String,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BindError { bind, reason } = self;
        write!(f, "\"{bind}\": {reason}")
    }
}

/// Binds all of `binds`; with socket activation, takes what the service manager passes instead.
///
/// # Errors
/// The first address that cannot be had; those before it are closed again.
pub(crate) fn bind_all(binds: &[Bind], backlog: u32) -> Result<Vec<Listener>, BindError> {
    if let Some(count) = env::listen_fds() {
        return (3..3 + count).map(|number| inherit(&format!("fd://{number}"), number)).collect();
    }
    let mut all = Vec::new();
    for bind in binds {
        all.extend(bind_one(bind, backlog, has_v4_twin(bind, binds))?);
    }
    Ok(all)
}

/// Binds one address; a name that means several is bound at each of them.
///
/// # Errors
/// When it cannot be resolved, is in use, or is not ours to use.
pub(crate) fn bind_one(
    bind: &Bind,
    backlog: u32,
    v6_only: bool,
) -> Result<Vec<Listener>, BindError> {
    let shown = bind.to_string();
    let failed = |reason: String| BindError { bind: shown.clone(), reason };
    match bind {
        Bind::Fd(number) => inherit(&shown, *number).map(|listener| vec![listener]),
        Bind::Unix(path) => {
            let fd = unix(path, backlog).map_err(failed)?;
            Ok(vec![Listener {
                fd,
                shown: format!("unix:{}", path.display()),
                path: Some(SocketFile::new(path)),
                inherited: false,
            }])
        }
        Bind::Tcp { host, port } => {
            let host = if host.is_empty() { "0.0.0.0" } else { host };
            let addresses = (host, *port).to_socket_addrs();
            let addresses: Vec<_> =
                addresses.map_err(|error| failed(format!("cannot resolve: {error}")))?.collect();
            addresses
                .into_iter()
                .map(|address| {
                    let fd =
                        tcp(address, backlog, v6_only).map_err(|error| failed(explain(&error)))?;
                    Ok(Listener { shown: name(&fd), fd, path: None, inherited: false })
                })
                .collect()
        }
    }
}

/// Whether the same port is bound for IPv4 as well: then `[::]` must leave that to it, while alone it
/// serves both.
fn has_v4_twin(bind: &Bind, binds: &[Bind]) -> bool {
    let Bind::Tcp { host, port } = bind else { return false };
    host.contains(':')
        && binds.iter().any(|other| {
            matches!(other, Bind::Tcp { host, port: same } if same == port && !host.contains(':'))
        })
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "connection in use: another process listens there; stop it or choose another address"
                .into()
        }
        io::ErrorKind::PermissionDenied => {
            format!("{error}; ports below 1024 need a privilege")
        }
        _ => error.to_string(),
    }
}

fn tcp(address: SocketAddr, backlog: u32, v6_only: bool) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    // A restart must not wait for connections of the last life; it does not share the port.
    sockopt::set_socket_reuseaddr(&fd, true)?;
    if address.is_ipv6() && v6_only {
        sockopt::set_ipv6_v6only(&fd, true)?;
    }
    rustix::net::bind(&fd, &address)?;
    rustix::net::listen(&fd, i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(fd)
}

fn unix(path: &Path, backlog: u32) -> Result<OwnedFd, String> {
    clear_stale_socket(path)?;
    let make = || -> io::Result<OwnedFd> {
        let address = rustix::net::SocketAddrUnix::new(path)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::bind(&fd, &address)?;
        rustix::net::listen(&fd, i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(fd)
    };
    make().map_err(|error| explain(&error))
}

/// Removes a socket file that nobody listens on any more. Anything else at `path` stays.
///
/// # Errors
/// When somebody listens, or what is there is not a socket.
pub(crate) fn clear_stale_socket(path: &Path) -> Result<(), String> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err("a file that is not a socket is in the way".into());
    }
    match UnixStream::connect(path) {
        Ok(_) => Err("connection in use: another process listens there".into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn inherit(shown: &str, number: i32) -> Result<Listener, BindError> {
    let failed = |reason: String| BindError { bind: shown.to_owned(), reason };
    let fd = fds::take(number).map_err(|error| failed(error.to_string()))?;
    match sockopt::socket_acceptconn(&fd) {
        Ok(true) => Ok(Listener { shown: name(&fd), fd, path: None, inherited: true }),
        Ok(false) | Err(_) => Err(failed("is not a listening socket".into())),
    }
}

/// What a socket listens on, as an operator would type it.
fn name(fd: &OwnedFd) -> String {
    let Ok(address) = rustix::net::getsockname(fd) else { return "unknown".into() };
    if let Ok(address) = SocketAddr::try_from(address.clone()) {
        return format!("http://{address}");
    }
    let unix = rustix::net::SocketAddrUnix::try_from(address).ok();
    let path = unix.and_then(|unix| unix.path().map(|path| path.to_string_lossy().into_owned()));
    format!("unix:{}", path.unwrap_or_default())
}

impl Listener {
    /// How a process that is started is told of it.
    pub(crate) fn passed(&self) -> Passed {
        Passed { fd: self.fd.as_raw_fd(), ends: !self.inherited }
    }

    /// Lets nobody new connect: by a filter on TCP, by removing the file of a UNIX socket.
    ///
    /// # Errors
    /// When neither is possible; connections of the last instant may then be reset.
    pub(crate) fn seal(&self) -> io::Result<()> {
        if self.shown.starts_with("unix:") {
            return self.unlink();
        }
        listener::seal_tcp(self.fd.as_fd())
    }

    /// Removes the socket's file, if it is ours.
    ///
    /// # Errors
    /// What the system says, but not that it is gone already.
    pub(crate) fn unlink(&self) -> io::Result<()> {
        self.path.as_ref().map_or(Ok(()), SocketFile::remove)
    }
}
