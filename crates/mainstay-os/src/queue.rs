//! The queue of a listening socket: connections that nobody has accepted yet, and how many of them there
//! may be.

use rustix::fd::AsFd;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
    sockopt,
};
use std::io;
use std::os::fd::AsRawFd;

/// Asks for a socket of a family, and the answer.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// Asks for the lengths of its queue.
const SHOW_QUEUE: u32 = 0x10;
/// Every state.
const ALL_STATES: u32 = u32::MAX;
/// Stands for a cookie that is not known.
const NO_COOKIE: u32 = u32::MAX;
/// The attribute with the lengths: those that wait, and how many may.
const QUEUE: u16 = 4;
/// Bytes of the header of a message, and of what stands before the attributes.
const HEADER: usize = 16;
const FIXED: usize = 16;

/// The queue of a listening socket, be it of TCP or UNIX.
///
/// # Errors
/// What the system says, for instance when it is no such socket, or a sandbox forbids to ask.
pub fn queue(listener: impl AsFd) -> io::Result<(u32, u32)> {
    match sockopt::socket_domain(&listener)? {
        AddressFamily::UNIX => unix(listener),
        _ => tcp(listener),
    }
}

fn tcp(listener: impl AsFd) -> io::Result<(u32, u32)> {
    let mut info = std::mem::MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open for the call; the kernel writes at most `length` bytes to where
    // there are as many.
    let result = unsafe {
        libc::getsockopt(
            listener.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeroed bytes are a valid tcp_info, and the call has filled as many as it knows.
    let info = unsafe { info.assume_init() };
    // Of a listening socket these two say its queue.
    Ok((info.tcpi_unacked, info.tcpi_sacked))
}

/// A UNIX socket does not tell by itself; the kernel does, of the socket with this inode.
fn unix(listener: impl AsFd) -> io::Result<(u32, u32)> {
    // The kernel's inodes of sockets have 32 bits.
    let inode = rustix::fs::fstat(&listener)?.st_ino as u32;
    let (kind, flags) = (SocketType::RAW, SocketFlags::CLOEXEC);
    let diag = socket_with(AddressFamily::NETLINK, kind, flags, Some(netlink::SOCK_DIAG))?;
    send(&diag, &question(inode), SendFlags::empty())?;
    // The kernel has answered before it returns from that.
    let mut answer = [0; 256];
    let (length, _) = recv(&diag, &mut answer, RecvFlags::DONTWAIT)?;
    let said = answer.get(..length).and_then(|it| read(it, inode));
    said.ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))
}

fn question(inode: u32) -> [u8; HEADER + 24] {
    let mut out = [0; HEADER + 24];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        out[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(&((HEADER + 24) as u32).to_ne_bytes());
    put(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(&(libc::NLM_F_REQUEST as u16).to_ne_bytes());
    // A number and an address, of which one question needs neither.
    put(&[0; 8]);
    put(&[libc::AF_UNIX as u8, 0, 0, 0]);
    for word in [ALL_STATES, inode, SHOW_QUEUE, NO_COOKIE, NO_COOKIE] {
        put(&word.to_ne_bytes());
    }
    out
}

/// Finds the queue in an answer about the socket with this inode.
fn read(answer: &[u8], inode: u32) -> Option<(u32, u32)> {
    let word = |at: usize| Some(u32::from_ne_bytes(*answer.get(at..)?.first_chunk()?));
    let half = |at: usize| Some(u16::from_ne_bytes(*answer.get(at..)?.first_chunk()?));
    if half(4)? != SOCK_DIAG_BY_FAMILY || word(HEADER + 4)? != inode {
        return None;
    }
    let end = (word(0)? as usize).min(answer.len());
    let mut at = HEADER + FIXED;
    while at + 4 <= end {
        let length = usize::from(half(at)?);
        if half(at + 2)? == QUEUE && length >= 12 {
            return Some((word(at + 4)?, word(at + 8)?));
        }
        at += length.max(4).next_multiple_of(4);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    #[cfg_attr(miri, ignore = "makes sockets")]
    fn a_queue_is_as_long_as_there_are_connections_that_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (empty, limit) = queue(&listener).unwrap();
        let clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
        assert_eq!((empty, queue(&listener).unwrap()), (0, (3, limit)));
        drop(listener.accept().unwrap());
        assert_eq!(queue(&listener).unwrap().0, 2);
        assert!(limit >= 3 && clients.len() == 3);
    }

    #[test]
    #[cfg_attr(miri, ignore = "makes sockets")]
    fn the_queue_of_a_unix_socket_is_told_too() {
        let path = std::env::temp_dir().join(format!("mainstay-queue-{}", std::process::id()));
        std::fs::remove_file(&path).ok();
        let listener = UnixListener::bind(&path).unwrap();
        rustix::net::listen(&listener, 7).unwrap();
        assert_eq!(queue(&listener).unwrap(), (0, 7));
        let clients: Vec<_> = (0..3).map(|_| UnixStream::connect(&path).unwrap()).collect();
        assert_eq!(queue(&listener).unwrap(), (3, 7));
        drop(listener.accept().unwrap());
        assert_eq!(queue(&listener).unwrap(), (2, 7));
        drop(clients);
        std::fs::remove_file(&path).unwrap();
        assert!(queue(std::io::pipe().unwrap().0).is_err(), "it is no socket");
    }

    #[test]
    fn an_answer_about_another_socket_or_cut_short_is_none() {
        let mut answer = vec![0; HEADER + FIXED + 12];
        answer[..4].copy_from_slice(&44_u32.to_ne_bytes());
        answer[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        answer[HEADER + 4..][..4].copy_from_slice(&9_u32.to_ne_bytes());
        answer[HEADER + FIXED..][..2].copy_from_slice(&12_u16.to_ne_bytes());
        answer[HEADER + FIXED + 2..][..2].copy_from_slice(&QUEUE.to_ne_bytes());
        answer[HEADER + FIXED + 4] = 5;
        assert_eq!(read(&answer, 9), Some((u32::from_ne_bytes([5, 0, 0, 0]), 0)));
        assert_eq!(read(&answer, 8), None);
        for length in 0..answer.len() {
            assert_eq!(read(&answer[..length], 9), None, "{length}");
        }
    }
}
