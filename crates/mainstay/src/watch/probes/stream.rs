//! A connection that is over at a time, however slowly it goes: each step waits for what is left, no longer.

use crate::clock::{self, Mono};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Either kind.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// The connection.
#[derive(Debug)]
pub(super) struct Timed {
    socket: Socket,
    deadline: Mono,
}

impl Timed {
    pub(super) fn new(socket: Socket, deadline: Mono) -> Timed {
        Timed { socket, deadline }
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.since(clock::mono());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left()?;
        match &mut self.socket {
            Socket::Tcp(socket) => socket.set_read_timeout(left).and_then(|()| socket.read(buffer)),
            Socket::Unix(socket) => {
                socket.set_read_timeout(left).and_then(|()| socket.read(buffer))
            }
        }
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left()?;
        match &mut self.socket {
            Socket::Tcp(socket) => {
                socket.set_write_timeout(left).and_then(|()| socket.write(bytes))
            }
            Socket::Unix(socket) => {
                socket.set_write_timeout(left).and_then(|()| socket.write(bytes))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
