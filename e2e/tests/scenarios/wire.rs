//! A client at the level of bytes that is light enough for a million requests: blocking sockets,
//! pipelining, answers in order, and no memory per request.

use rustix::net::sockopt::set_socket_linger;
use rustix::net::{self, AddressFamily, SocketType};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Time for an answer. None is as slow; a read that ends by it is a fault of the service.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nobody took the connection.
    Refused,
    /// Closed or reset; whether a part of the answer had come.
    Cut { begun: bool },
    /// Silence for 30 s.
    Silence,
}

/// An answer's head, and where it and its body stand in [`Wire::bytes`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Nothing follows on this connection.
    pub(crate) close: bool,
    head: usize,
    end: usize,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    bytes: Vec<u8>,
    /// Where the next answer begins.
    at: usize,
    /// The peer sends no more.
    ended: Option<End>,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> Result<Wire, End> {
        Ok(Wire::over(TcpStream::connect(address).map_err(|_| End::Refused)?))
    }

    /// A connection whose other end sees it come from this address of the machine.
    pub(crate) fn connect_from(source: Ipv4Addr, address: SocketAddr) -> Result<Wire, End> {
        let connected = net::socket(AddressFamily::INET, SocketType::STREAM, None).and_then(|fd| {
            net::bind(&fd, &SocketAddr::from((source, 0)))?;
            net::connect(&fd, &address)?;
            Ok(fd)
        });
        Ok(Wire::over(connected.map_err(|_| End::Refused)?.into()))
    }

    fn over(stream: TcpStream) -> Wire {
        let options = stream.set_nodelay(true).and(stream.set_read_timeout(Some(PATIENCE)));
        options.expect("options of an open socket");
        Wire { stream, bytes: Vec::with_capacity(4_096), at: 0, ended: None }
    }

    /// Sends; a peer that is gone is found by reading.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> &mut Wire {
        self.stream.write_all(bytes).ok();
        self
    }

    /// Tells the peer that nothing more comes.
    pub(crate) fn finish(&mut self) -> &mut Wire {
        self.stream.shutdown(Shutdown::Write).ok();
        self
    }

    /// Waits so long for a byte, without taking it. Whether one came, or the end.
    pub(crate) fn listen(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).expect("an option of an open socket");
        let heard = self.stream.peek(&mut [0]).is_ok();
        self.stream.set_read_timeout(Some(PATIENCE)).expect("an option of an open socket");
        heard
    }

    /// Leaves as a client that crashes: what is unread is lost, the peer gets a reset.
    pub(crate) fn reset(self) {
        set_socket_linger(&self.stream, Some(Duration::ZERO)).ok();
    }

    /// The next final answer, in the order of the requests.
    pub(crate) fn answer(&mut self) -> Result<Answer, End> {
        loop {
            match parse(&self.bytes[self.at..], self.ended.is_some()) {
                Some((100..=199, _, _, end)) => self.at += end,
                Some((status, close, head, end)) => {
                    let answer = Answer { status, close, head: self.at, end: self.at + end };
                    assert!(head <= end, "a body begins behind its head");
                    self.at += end;
                    return Ok(answer);
                }
                None => self.fill()?,
            }
        }
    }

    /// All further answers until the peer closes.
    pub(crate) fn answers(&mut self) -> Vec<Answer> {
        std::iter::from_fn(|| self.answer().ok()).collect()
    }

    /// The port of this end, by which an access line can name the connection.
    pub(crate) fn port(&self) -> u16 {
        self.stream.local_addr().expect("an open socket has an address").port()
    }

    /// An answer as text: its head, and its body as it was sent.
    pub(crate) fn text(&self, answer: &Answer) -> String {
        String::from_utf8_lossy(&self.bytes[answer.head..answer.end]).into_owned()
    }

    /// The value of a header of an answer, by its name in lower case.
    pub(crate) fn header(&self, answer: &Answer, name: &str) -> Option<String> {
        let text = self.text(answer);
        let head = text.split("\r\n\r\n").next().unwrap_or_default();
        let mut fields = head.split("\r\n").filter_map(|line| line.split_once(": "));
        fields.find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    }

    fn fill(&mut self) -> Result<(), End> {
        if let Some(end) = self.ended {
            return Err(end);
        }
        if self.at == self.bytes.len() {
            // What was read is of no more use, unless somebody looks at the last answer.
            self.bytes.clear();
            self.at = 0;
        }
        let begun = self.at < self.bytes.len();
        let mut chunk = [0_u8; 8 * 1024];
        loop {
            self.ended = match self.stream.read(&mut chunk) {
                Ok(0) => Some(End::Cut { begun }),
                Ok(n) => {
                    self.bytes.extend_from_slice(&chunk[..n]);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => Some(End::Silence),
                Err(_) => Some(End::Cut { begun }),
            };
            return match self.ended {
                // The end may be the end of an answer without a length.
                Some(End::Cut { begun: true }) => Ok(()),
                other => Err(other.unwrap_or(End::Silence)),
            };
        }
    }
}

/// Status, whether it closes, length of the head, length of the whole; none when more must come.
fn parse(bytes: &[u8], ended: bool) -> Option<(u16, bool, usize, usize)> {
    let head = bytes.windows(4).position(|it| it == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).expect("a head of ours is text");
    assert!(text.starts_with("HTTP/1."), "no answer: {text}");
    let status = text[9..12].parse().expect("a status is a number");
    let (mut length, mut chunked, mut close) = (None, false, text.starts_with("HTTP/1.0"));
    for (name, value) in text.split("\r\n").filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.parse::<usize>().expect("a length is a number"));
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = true;
        } else if name.eq_ignore_ascii_case("connection") {
            close |= value.eq_ignore_ascii_case("close");
        }
    }
    let end = match (status, length) {
        (100..=199 | 204 | 304, _) => head,
        _ if chunked => head + chunks(&bytes[head..])?,
        (_, Some(length)) => head + length,
        (_, None) if ended => bytes.len(),
        (_, None) => return None,
    };
    (end <= bytes.len()).then_some((status, close, head, end))
}

/// Length of a chunked body without trailers.
fn chunks(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = bytes.get(at..)?.windows(2).position(|it| it == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[at..at + line]).expect("a size is text");
        let size = usize::from_str_radix(size, 16).expect("a size is hexadecimal");
        at += line + 2 + size + 2;
        if size == 0 {
            return (at <= bytes.len()).then_some(at);
        }
    }
}
