//! The answer's side of HTTP/1.1, parsed by hand and incrementally.
//!
//! A library would hide the difference between "no byte came", "some bytes
//! came" and "nonsense came", and this difference is what the load client is for.

use super::failure::Failure;

/// Longest accepted head. A longer one is counted as malformed, so that a
/// server that never ends its head cannot fill our memory.
const MAX_HEAD: usize = 64 * 1024;

/// What the client must know of an answer's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// The server will close after this answer (said so, or HTTP/1.0).
    pub(crate) close: bool,
    /// Value of `x-worker-pid`, which the fixture sets.
    pub(crate) worker: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// Body of known length, ending at this offset of the buffer.
    Sized(usize),
    /// The next chunk's size line begins at this offset.
    Chunk(usize),
    /// Inside the trailers, which begin at this offset.
    Trailers(usize),
    UntilEof,
    /// The whole answer ends at this offset.
    Done(usize),
}

/// Collects the bytes of one answer and knows when it is whole.
#[derive(Debug)]
pub(crate) struct Decoder {
    buffer: Vec<u8>,
    state: State,
    head: Option<Head>,
    body_start: usize,
    /// The request was HEAD: no body follows, whatever the head announces.
    bodiless: bool,
    /// Decoded body of a chunked answer.
    chunks: Vec<u8>,
    chunked: bool,
}

impl Decoder {
    pub(crate) fn new(bodiless: bool) -> Self {
        Self {
            buffer: Vec::with_capacity(1024),
            state: State::Head,
            head: None,
            body_start: 0,
            bodiless,
            chunks: Vec::new(),
            chunked: false,
        }
    }

    /// Makes the decoder ready for the next answer and keeps its memory.
    pub(crate) fn reset(&mut self) {
        self.buffer.clear();
        self.chunks.clear();
        self.state = State::Head;
        self.head = None;
        self.body_start = 0;
        self.chunked = false;
    }

    /// No byte of an answer has come yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    pub(crate) fn head(&self) -> Option<Head> {
        self.head
    }

    /// Takes bytes; `true` when the answer is whole.
    ///
    /// # Errors
    /// `Malformed` when the bytes are no HTTP/1.1 answer, or when bytes follow
    /// the answer although no further request was sent.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        self.buffer.extend_from_slice(bytes);
        while self.step()? {}
        match self.state {
            State::Done(end) if end < self.buffer.len() => Err(Failure::Malformed),
            State::Done(_) => Ok(true),
            _ => Ok(false),
        }
    }

    /// The peer closed; `true` if this ends the answer properly.
    pub(crate) fn eof(&mut self) -> bool {
        if self.state == State::UntilEof {
            self.state = State::Done(self.buffer.len());
        }
        matches!(self.state, State::Done(_))
    }

    /// Header lines as (lower-case name, value) and the decoded body.
    pub(crate) fn into_parts(self) -> (Vec<(String, String)>, Vec<u8>) {
        let head = String::from_utf8_lossy(&self.buffer[..self.body_start]);
        let headers = head
            .split("\r\n")
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let body = if self.chunked { self.chunks } else { self.buffer[self.body_start..].to_vec() };
        (headers, body)
    }

    /// One step of the state machine; `false` when more bytes are needed.
    fn step(&mut self) -> Result<bool, Failure> {
        match self.state {
            State::Head => self.step_head(),
            State::Sized(end) => {
                let whole = self.buffer.len() >= end;
                if whole {
                    self.state = State::Done(end);
                }
                Ok(whole)
            }
            State::Chunk(at) => self.step_chunk(at),
            State::Trailers(at) => {
                let Some(line) = find_crlf(&self.buffer, at) else { return Ok(false) };
                let next = line + 2;
                self.state = if line == at { State::Done(next) } else { State::Trailers(next) };
                Ok(true)
            }
            State::UntilEof | State::Done(_) => Ok(false),
        }
    }

    fn step_head(&mut self) -> Result<bool, Failure> {
        let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") else {
            let starts_right = b"HTTP/1.".iter().zip(&self.buffer).all(|(a, b)| a == b);
            let sane = starts_right && self.buffer.len() <= MAX_HEAD;
            return if sane { Ok(false) } else { Err(Failure::Malformed) };
        };
        let body_start = end + 4;
        let text = std::str::from_utf8(&self.buffer[..end + 2]).map_err(|_| Failure::Malformed)?;
        let (head, framing) = parse_head(text)?;
        if (100..200).contains(&head.status) && head.status != 101 {
            // An interim answer: the real one follows.
            self.buffer.drain(..body_start);
            return Ok(true);
        }
        let no_body = self.bodiless || matches!(head.status, 101 | 204 | 304);
        self.state = match framing {
            _ if no_body => State::Done(body_start),
            Framing::Chunked => State::Chunk(body_start),
            Framing::Length(length) => {
                State::Sized(body_start.checked_add(length).ok_or(Failure::Malformed)?)
            }
            Framing::UntilEof => State::UntilEof,
        };
        self.chunked = framing == Framing::Chunked;
        self.head = Some(head);
        self.body_start = body_start;
        Ok(true)
    }

    fn step_chunk(&mut self, at: usize) -> Result<bool, Failure> {
        let Some(line) = find_crlf(&self.buffer, at) else { return Ok(false) };
        let text = std::str::from_utf8(&self.buffer[at..line]).map_err(|_| Failure::Malformed)?;
        let digits = text.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(digits, 16).map_err(|_| Failure::Malformed)?;
        let data = line + 2;
        if size == 0 {
            self.state = State::Trailers(data);
            return Ok(true);
        }
        let end = data.checked_add(size).ok_or(Failure::Malformed)?;
        if self.buffer.len() < end.saturating_add(2) {
            return Ok(false);
        }
        if &self.buffer[end..end + 2] != b"\r\n" {
            return Err(Failure::Malformed);
        }
        self.chunks.extend_from_slice(&self.buffer[data..end]);
        self.state = State::Chunk(end + 2);
        Ok(true)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilEof,
}

fn find_crlf(buffer: &[u8], from: usize) -> Option<usize> {
    buffer[from..].windows(2).position(|w| w == b"\r\n").map(|at| from + at)
}

fn parse_head(text: &str) -> Result<(Head, Framing), Failure> {
    let mut lines = text.split("\r\n");
    let mut first = lines.next().unwrap_or_default().splitn(3, ' ');
    let version = first.next().unwrap_or_default();
    let code = first.next().unwrap_or_default();
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") || code.len() != 3 {
        return Err(Failure::Malformed);
    }
    let status = code.parse().map_err(|_| Failure::Malformed)?;
    let mut head = Head { status, close: version == "HTTP/1.0", worker: None };
    let mut framing = Framing::UntilEof;
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or(Failure::Malformed)?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            if framing != Framing::Chunked {
                framing = Framing::Length(value.parse().map_err(|_| Failure::Malformed)?);
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case("connection") {
            head.close |= value.split(',').any(|token| token.trim().eq_ignore_ascii_case("close"));
        } else if name.eq_ignore_ascii_case("x-worker-pid") {
            head.worker = value.parse().ok();
        }
    }
    head.close |= framing == Framing::UntilEof;
    Ok((head, framing))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> Result<(Head, String), Failure> {
        let mut decoder = Decoder::new(false);
        // Byte by byte, so that every state is left and entered again.
        for (at, byte) in bytes.iter().enumerate() {
            let done = decoder.feed(&[*byte])?;
            assert_eq!(done, at + 1 == bytes.len(), "at byte {at}");
        }
        let head = decoder.head().unwrap();
        Ok((head, String::from_utf8(decoder.into_parts().1).unwrap()))
    }

    #[test]
    fn a_body_of_known_length_ends_where_it_said() {
        let (head, body) =
            whole(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Worker-Pid: 42\r\n\r\nhello")
                .unwrap();
        assert_eq!(head, Head { status: 200, close: false, worker: Some(42) });
        assert_eq!(body, "hello");
    }

    #[test]
    fn chunks_and_trailers_are_put_together() {
        let (head, body) = whole(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: Close\r\n\r\n\
              3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nSum: 1\r\n\r\n",
        )
        .unwrap();
        assert!(head.close);
        assert_eq!(body, "abcde");
    }

    #[test]
    fn an_interim_answer_is_skipped() {
        let (head, body) = whole(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx",
        )
        .unwrap();
        assert_eq!((head.status, body.as_str()), (201, "x"));
    }

    #[test]
    fn an_answer_without_length_ends_with_the_connection() {
        let mut decoder = Decoder::new(false);
        assert_eq!(decoder.feed(b"HTTP/1.1 200 OK\r\n\r\nabc"), Ok(false));
        assert!(decoder.head().unwrap().close);
        assert!(decoder.eof());
        assert_eq!(decoder.into_parts().1, b"abc");
    }

    #[test]
    fn an_answer_to_head_has_no_body() {
        let mut decoder = Decoder::new(true);
        assert_eq!(decoder.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), Ok(true));
    }

    #[test]
    fn nonsense_is_malformed_and_not_partial() {
        for bad in [
            b"SSH-2.0-x\r\n".as_slice(),
            b"HTTP/1.1 abc\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxy",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ] {
            assert_eq!(Decoder::new(false).feed(bad), Err(Failure::Malformed));
        }
    }
}
