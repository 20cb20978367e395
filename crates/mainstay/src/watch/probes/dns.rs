//! Names: by the system's resolver, which may take longer than it is given; and by one server, asked directly.

use super::failure::Failure;
use crate::clock::{self, Mono};
use crate::config::probes::{Family, Ip};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;

/// The port of name servers.
const PORT: u16 = 53;
/// Resolvers that are waited for at a time, those that nobody waits for any more included.
const MOST: usize = 32;
const STACK: usize = 128 * 1024;
/// Types of records.
const A: u16 = 1;
const AAAA: u16 = 28;
/// A response code: there is no such name.
const NO_SUCH_NAME: u8 = 3;

static WAITED_FOR: AtomicUsize = AtomicUsize::new(0);

/// The addresses of a host.
///
/// # Errors
/// Why there are none.
pub(super) fn resolve(host: &str, port: u16, deadline: Mono) -> Result<Vec<SocketAddr>, Failure> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    // The resolver has times of its own, and no way to be told of others.
    if WAITED_FOR.fetch_add(1, SeqCst) >= MOST {
        WAITED_FOR.fetch_sub(1, SeqCst);
        return Err(Failure::DnsTimeout);
    }
    let (tell, told) = mpsc::channel();
    let host = host.to_owned();
    let thread = thread::Builder::new().name("resolve".into()).stack_size(STACK);
    let thread = thread.spawn(move || {
        let found = (&*host, port).to_socket_addrs().map(|found| found.collect::<Vec<_>>());
        WAITED_FOR.fetch_sub(1, SeqCst);
        tell.send(found).ok();
    });
    if thread.is_err() {
        WAITED_FOR.fetch_sub(1, SeqCst);
        return Err(Failure::DnsTimeout);
    }
    match told.recv_timeout(deadline.since(clock::mono())) {
        Ok(Ok(found)) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Failure::UnknownName),
        Err(_) => Err(Failure::DnsTimeout),
    }
}

/// Whether there are addresses of the families that there have to be.
///
/// # Errors
/// There are not.
pub(super) fn has_wanted(found: &[SocketAddr], family: Family) -> Result<(), Failure> {
    let has = |ip| found.iter().any(|it| Ip::of(it.ip()) == ip);
    let is_good = match family {
        Family::Any => true,
        Family::Both => has(Ip::V4) && has(Ip::V6),
        Family::Only(ip) => has(ip),
    };
    if is_good { Ok(()) } else { Err(Failure::NoAddress) }
}

/// Asks one server for the addresses of a name.
///
/// # Errors
/// Why there are none.
pub(super) fn ask(
    name: &str,
    server: IpAddr,
    family: Family,
    deadline: Mono,
) -> Result<(), Failure> {
    ask_at(name, SocketAddr::new(server, PORT), family, deadline)
}

fn ask_at(name: &str, server: SocketAddr, family: Family, deadline: Mono) -> Result<(), Failure> {
    let kinds: &[u16] = match family {
        Family::Any | Family::Both => &[A, AAAA],
        Family::Only(Ip::V4) => &[A],
        Family::Only(Ip::V6) => &[AAAA],
    };
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).map_err(|_| Failure::NoWay)?;
    socket.connect(server).map_err(|error| Failure::of_connect(&error))?;
    for &kind in kinds {
        // Guessing it is no use to anybody: nothing is done with the answer.
        let id = (clock::mono().0 >> 10) as u16;
        socket.send(&question(name, kind, id)).map_err(|error| Failure::of_connect(&error))?;
        match (answer(&socket, (id, kind), deadline)?, family) {
            (true, Family::Both) | (false, Family::Any) => {}
            (true, _) => return Ok(()),
            (false, _) => return Err(Failure::NoAddress),
        }
    }
    if family == Family::Both { Ok(()) } else { Err(Failure::UnknownName) }
}

fn question(name: &str, kind: u16, id: u16) -> Vec<u8> {
    let mut packet = id.to_be_bytes().to_vec();
    // Please ask others; one question.
    packet.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        packet.push(label.len() as u8);
        packet.extend(label.as_bytes());
    }
    packet.push(0);
    packet.extend(kind.to_be_bytes());
    packet.extend([0, 1]);
    packet
}

/// Whether there are records of this kind.
fn answer(socket: &UdpSocket, (id, kind): (u16, u16), deadline: Mono) -> Result<bool, Failure> {
    let mut packet = [0; 1_500];
    loop {
        let left = deadline.since(clock::mono());
        if left.is_zero() {
            return Err(Failure::DnsTimeout);
        }
        let received = socket.set_read_timeout(Some(left)).and_then(|()| socket.recv(&mut packet));
        let count = received.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Failure::DnsTimeout,
            _ => Failure::of_connect(&error),
        })?;
        let is_ours = count >= 12 && packet[..2] == id.to_be_bytes() && packet[2] & 0x80 != 0;
        if !is_ours {
            // A late answer to an earlier question.
            continue;
        }
        return match packet[3] & 0x0f {
            0 => Ok(has_record(&packet[..count], kind).unwrap_or(false)),
            NO_SUCH_NAME => Err(Failure::UnknownName),
            _ => Err(Failure::DnsRefused),
        };
    }
}

/// Whether one of the answers is of this kind; an alias is a record too, and behind it there may be none. RFC 1035,
/// section 4.1; `None` where the packet ends early.
fn has_record(packet: &[u8], kind: u16) -> Option<bool> {
    let word = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
    let behind_name = |mut at: usize| loop {
        match *packet.get(at)? {
            0 => return Some(at + 1),
            // It goes on elsewhere.
            0xc0.. => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    };
    let mut at = 12;
    for _ in 0..word(4)? {
        at = behind_name(at)? + 4;
    }
    for _ in 0..word(6)? {
        at = behind_name(at)?;
        if word(at)? == kind {
            return Some(true);
        }
        at += 10 + usize::from(word(at + 8)?);
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A name server that knows `known.example`, and has something to say about others.
    fn serve(socket: &UdpSocket) {
        let mut packet = [0; 512];
        while let Ok((count, from)) = socket.recv_from(&mut packet) {
            let text = String::from_utf8_lossy(&packet[..count]).into_owned();
            let kind = packet[count - 3];
            let is_a = kind == 1;
            let (code, answers) = match () {
                () if text.contains("silent") => continue,
                () if text.contains("refused") => (5, 0),
                () if text.contains("known") || text.contains("alias") => (0, 1),
                () if text.contains("modern") => (0, u8::from(!is_a)),
                () if text.contains("empty") => (0, 0),
                () => (3, 0),
            };
            (packet[2], packet[3], packet[7]) = (0x81, 0x80 | code, answers);
            // The name above, this kind or an alias, the internet, its time, and nothing in it.
            let kind = if text.contains("alias") { 5 } else { kind };
            packet[count..count + 12].copy_from_slice(&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 9, 0, 0]);
            let count = count + 12 * usize::from(answers);
            // Somebody else's comes first.
            let mut other = packet;
            other[0] ^= 1;
            socket.send_to(&other[..count], from).unwrap();
            socket.send_to(&packet[..count], from).unwrap();
        }
    }

    #[test]
    fn a_name_server_is_asked_for_both_kinds_of_addresses() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = socket.local_addr().unwrap();
        thread::spawn(move || serve(&socket));
        let late = || clock::mono() + Duration::from_secs(20);
        let ask = |name| ask_at(name, server, Family::Any, late());
        assert_eq!(ask("known.example"), Ok(()));
        assert_eq!(ask("modern.example"), Ok(()));
        assert_eq!(ask("empty.example"), Err(Failure::UnknownName));
        assert_eq!(ask("other.example"), Err(Failure::UnknownName));
        assert_eq!(ask("refused.example"), Err(Failure::DnsRefused));
        let (both, four, six) = (Family::Both, Family::Only(Ip::V4), Family::Only(Ip::V6));
        for (name, family, outcome) in [
            ("known.example", both, Ok(())),
            ("modern.example", both, Err(Failure::NoAddress)),
            ("modern.example", four, Err(Failure::NoAddress)),
            ("modern.example", six, Ok(())),
            ("other.example", both, Err(Failure::UnknownName)),
            ("alias.example", both, Err(Failure::NoAddress)),
            ("alias.example", six, Err(Failure::NoAddress)),
        ] {
            assert_eq!(ask_at(name, server, family, late()), outcome, "{name} {family:?}");
        }
        let soon = clock::mono() + Duration::from_millis(30);
        assert_eq!(ask_at("silent.example", server, Family::Any, soon), Err(Failure::DnsTimeout));
    }

    #[test]
    fn addresses_need_no_resolver_and_names_are_given_their_time() {
        let deadline = clock::mono() + Duration::from_secs(20);
        let found = resolve("127.0.0.1", 80, deadline).unwrap();
        assert_eq!(found, ["127.0.0.1:80".parse().unwrap()]);
        for (family, is_good) in [
            (Family::Any, true),
            (Family::Only(Ip::V4), true),
            (Family::Only(Ip::V6), false),
            (Family::Both, false),
        ] {
            assert_eq!(has_wanted(&found, family).is_ok(), is_good, "{family:?}");
        }
        assert!(resolve("localhost", 80, deadline).unwrap().iter().all(|it| it.ip().is_loopback()));
        assert_eq!(resolve("late.invalid", 80, Mono(1)), Err(Failure::DnsTimeout));
    }
}
