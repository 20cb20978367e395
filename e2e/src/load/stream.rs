//! One connection to the service, over TCP or a unix socket, and one exchange on it.

use super::failure::Failure;
use super::wire::{Decoder, Head};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};

/// Where the service listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection that remembers whether it has carried an answer before.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Socket,
    reused: bool,
    decoder: Decoder,
}

impl Connection {
    pub(crate) async fn open(target: &Target, bodiless: bool) -> Result<Self, Failure> {
        let socket = match target {
            Target::Tcp(address) => TcpStream::connect(address).await.map(|tcp| {
                // Best effort: without it the figures are only slower.
                tcp.set_nodelay(true).ok();
                Socket::Tcp(tcp)
            }),
            Target::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
        }
        .map_err(|error| Failure::of_connect(&error))?;
        Ok(Self { socket, reused: false, decoder: Decoder::new(bodiless) })
    }

    /// Sends `request` and reads the whole answer. After an error, or an
    /// answer that says close, the connection must be dropped.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Head, Failure> {
        self.decoder.reset();
        // A failed write is not yet a failed request: the server may have
        // answered before it closed. The read below tells.
        let written = self.write_all(request).await;
        let mut chunk = [0_u8; 16 * 1024];
        loop {
            let reset = match self.read(&mut chunk).await {
                Ok(0) if self.decoder.eof() => break,
                Ok(0) => written.is_err(),
                Ok(n) if self.decoder.feed(&chunk[..n])? => break,
                Ok(_) => continue,
                Err(_) => true,
            };
            return Err(Failure::of_end(reset, self.reused, !self.decoder.is_empty()));
        }
        self.reused = true;
        self.decoder.head().ok_or(Failure::Malformed)
    }

    /// Waits, for at most `limit`, until the peer closes. The side that closes
    /// first keeps the port in TIME_WAIT, and the client has the fewer ports.
    pub(crate) async fn wait_closed(mut self, limit: Duration) {
        let mut byte = [0_u8; 1];
        tokio::time::timeout(limit, self.read(&mut byte)).await.ok();
    }

    /// The last answer's headers and body.
    pub(crate) fn into_parts(self) -> (Vec<(String, String)>, Vec<u8>) {
        self.decoder.into_parts()
    }

    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let result = match &self.socket {
                Socket::Tcp(tcp) => {
                    tcp.readable().await?;
                    tcp.try_read(buffer)
                }
                Socket::Unix(unix) => {
                    unix.readable().await?;
                    unix.try_read(buffer)
                }
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }

    async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let result = match &self.socket {
                Socket::Tcp(tcp) => {
                    tcp.writable().await?;
                    tcp.try_write(bytes)
                }
                Socket::Unix(unix) => {
                    unix.writable().await?;
                    unix.try_write(bytes)
                }
            };
            match result {
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
