//! Accepting from the inherited listeners.
//!
//! All workers share each listener, so its queue belongs to none of them: a worker that leaves for
//! a successor just stops accepting. At the end of the service nobody comes after, and the
//! supervisor has sealed the listener; then the queue is emptied first. A listener that outlives the
//! service, such as systemd's, keeps its queue for the next one.

use super::Shared;
use super::conn::{self, App};
use super::io::registered;
use crate::event::Event;
use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto::Builder;
use rustix::net::SocketAddrAny;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A queue that gives nobody for this long, twice, is empty: handshakes that had begun when the
/// listener was sealed have arrived.
const QUIET: Duration = Duration::from_millis(5);
/// The wait after an error that will not pass at once, such as no descriptors left.
const BREATH: Duration = Duration::from_millis(100);

/// One inherited listener.
pub(crate) struct Listener {
    socket: Socket,
    /// It ends with the service, so its queue is ours to empty.
    ends: bool,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

enum Stream {
    Tcp(TcpStream, SocketAddr, Option<SocketAddr>),
    Unix(UnixStream),
}

impl Listener {
    /// Takes the descriptor for what its address says it is.
    ///
    /// # Errors
    /// When it is not a listening stream socket.
    pub(crate) fn from_fd(fd: OwnedFd, ends: bool) -> io::Result<Listener> {
        let address = rustix::net::getsockname(&fd)?;
        rustix::io::ioctl_fionbio(&fd, true)?;
        if matches!(address.address_family(), rustix::net::AddressFamily::UNIX) {
            let socket = Socket::Unix(UnixListener::from_std(fd.into())?);
            return Ok(Listener { socket, ends });
        }
        SocketAddr::try_from(address as SocketAddrAny)
            .map_err(|_| io::Error::other("a listener must be a TCP or UNIX socket"))?;
        Ok(Listener { socket: Socket::Tcp(TcpListener::from_std(fd.into())?), ends })
    }

    /// Resolves when somebody is in the queue; who cannot see it says so at once.
    pub(super) async fn somebody_waits(&self) {
        let fd = match &self.socket {
            Socket::Tcp(listener) => listener.as_fd(),
            Socket::Unix(listener) => listener.as_fd(),
        };
        // The runtime tells only those who accept. A descriptor of its own is told what there is
        // already when it begins to listen.
        let own = fd.try_clone_to_owned();
        if let Ok(watched) = own.and_then(registered) {
            watched.readable().await.map(|mut ready| ready.retain_ready()).ok();
        }
    }

    async fn accept(&self) -> io::Result<Stream> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Answers are written whole; waiting for more to send with them only delays.
                stream.set_nodelay(true).ok();
                let local = stream.local_addr().ok();
                Ok(Stream::Tcp(stream, peer, local))
            }
            Socket::Unix(listener) => {
                listener.accept().await.map(|(stream, _)| Stream::Unix(stream))
            }
        }
    }
}

/// Accepts and serves until the worker drains.
pub(crate) async fn accept<A: App>(listener: Listener, shared: Arc<Shared>, app: A) {
    let server = Arc::new(conn::server(&shared));
    let drained = shared.drain.wait();
    tokio::pin!(drained);
    loop {
        let stream = {
            // What a full worker does not take, another does, or the queue keeps.
            let accepted = async {
                let most = shared.config.http.max_connections;
                shared.connections.wait_for_room(most, &listener).await;
                listener.accept().await
            };
            tokio::pin!(accepted);
            std::future::poll_fn(|cx| {
                if drained.as_mut().poll(cx).is_ready() {
                    return std::task::Poll::Ready(None);
                }
                accepted.as_mut().poll(cx).map(Some)
            })
            .await
        };
        match stream {
            None => break,
            Some(stream) => {
                if !take(stream, &shared, &server, &app) {
                    breathe().await;
                }
                // Those who are here have their turn, and what came on them is seen, before the next is
                // taken: in a rush those in the queue wait longer, who wait anyway.
                tokio::task::yield_now().await;
            }
        }
    }
    if listener.ends && shared.log.segment().header().draining_since() != 0 {
        empty(&listener, &shared, &server, app).await;
    }
}

/// Takes everybody who waits in a queue that nobody joins any more.
async fn empty<A: App>(
    listener: &Listener,
    shared: &Arc<Shared>,
    server: &Arc<Builder<TokioExecutor>>,
    app: A,
) {
    let mut quiet = 0;
    while quiet < 2 {
        match tokio::time::timeout(QUIET, listener.accept()).await {
            Ok(stream) => {
                quiet = 0;
                if !take(stream, shared, server, &app) {
                    breathe().await;
                }
            }
            Err(_elapsed) => quiet += 1,
        }
    }
}

/// Lets connections that end give their descriptors back.
async fn breathe() {
    tokio::time::timeout(BREATH, std::future::pending::<()>()).await.ok();
}

/// Serves an accepted connection in a task of its own; false for an error that will not pass at
/// once.
fn take<A: App>(
    stream: io::Result<Stream>,
    shared: &Arc<Shared>,
    server: &Arc<Builder<TokioExecutor>>,
    app: &A,
) -> bool {
    let (shared_, server, app) = (Arc::clone(shared), Arc::clone(server), app.clone());
    match stream {
        Ok(Stream::Tcp(stream, peer, local)) => {
            tokio::spawn(conn::serve(shared_, server, app, stream, Some(peer), local));
        }
        Ok(Stream::Unix(stream)) => {
            tokio::spawn(conn::serve(shared_, server, app, stream, None, None));
        }
        Err(error) if is_the_clients(&error) => {}
        Err(error) => {
            shared.log.event(&Event::AcceptFailed { reason: error.to_string() });
            return false;
        }
    }
    true
}

/// Errors that only say that a client was gone before it was taken.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
