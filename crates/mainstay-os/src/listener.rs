//! Sealing a listening socket: from then on nobody new connects, while those who have connected wait in
//! the queue to be accepted. Closing a listener resets its queue; sealing first and accepting until
//! the queue is empty loses nobody.

use rustix::fd::AsFd;
use std::io;
use std::os::fd::AsRawFd;

/// Classic BPF over the TCP header: a first SYN is dropped, everything else passes, so that
/// handshakes that have begun still complete.
const DROP_SYN: [libc::sock_filter; 5] = [
    op(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, 13), // flags byte
    op(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, 0x12), // SYN and ACK
    op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, 0x02), // SYN alone?
    op(libc::BPF_RET | libc::BPF_K, 0, 0, 0),                 // drop
    op(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),          // pass
];

const fn op(code: u32, jump_true: u8, jump_false: u8, k: u32) -> libc::sock_filter {
    // The opcodes are 16 bits wide by definition of the interface.
    libc::sock_filter { code: code as u16, jt: jump_true, jf: jump_false, k }
}

/// Lets no new connection into a listening TCP socket. Connections made before stay in its queue
/// and are unaffected. A client that tries meanwhile sees its SYN unanswered, and a refusal once
/// the listener is closed.
///
/// # Errors
/// What the system says, for instance where a sandbox forbids socket filters.
pub fn seal_tcp(listener: impl AsFd) -> io::Result<()> {
    let mut program = DROP_SYN;
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the descriptor is open for the call, and the kernel copies the program it points to
    // before it returns.
    let result = unsafe {
        libc::setsockopt(
            listener.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    #[test]
    #[cfg_attr(miri, ignore = "makes sockets")]
    fn a_sealed_listener_takes_nobody_new_and_loses_nobody_queued() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued: Vec<_> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
        seal_tcp(&listener).unwrap();
        let refused = TcpStream::connect_timeout(&address, Duration::from_millis(50));
        assert!(refused.is_err(), "a new connection got past the seal");
        for client in &mut queued {
            let (mut served, _) = listener.accept().unwrap();
            served.write_all(b"x").unwrap();
            client.read_exact(&mut [0]).unwrap();
            client.write_all(b"y").unwrap();
            served.read_exact(&mut [0]).unwrap();
        }
    }
}
