//! One request and its answer, over a connection that was made for it.

use super::failure::Failure;
use crate::clock::{self, Mono};
use crate::config::Secret;
use std::io::{self, BufRead, BufReader, Read, Write};

/// Longest head of an answer, bytes.
const HEAD: u64 = 64 << 10;
/// Most of a body that is read, bytes.
pub(super) const BODY: u64 = 1 << 20;
/// Most header fields.
const FIELDS: usize = 128;
const AGENT: &str = concat!("mainstay/", env!("CARGO_PKG_VERSION"), " (probe)");

/// What was answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// There is more of the body than is read.
    pub(super) is_cut: bool,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| &**value)
    }
}

/// Asks for a path; `first` is set to when the answer begins.
///
/// # Errors
/// Why there is no whole answer, with the status if there was one.
pub(super) fn ask(
    stream: &mut (impl Read + Write),
    (host, path, headers): (&str, &str, &[(String, Secret)]),
    first: &mut Option<Mono>,
) -> Result<Answer, (Failure, Option<u16>)> {
    let mut head = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n");
    let usual = [("Host", host), ("User-Agent", AGENT), ("Accept", "*/*")];
    let said = |name: &str| headers.iter().any(|(it, _)| it.eq_ignore_ascii_case(name));
    let usual = usual.into_iter().filter(|(name, _)| !said(name));
    let headers = headers.iter().map(|(name, value)| (&**name, value.expose()));
    for (name, value) in usual.chain(headers) {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.push_str("\r\n");
    let late = |error: io::Error| (Failure::of_transfer(&error, Failure::FirstByteTimeout), None);
    stream.write_all(head.as_bytes()).and_then(|()| stream.flush()).map_err(late)?;
    let mut reader = BufReader::new(stream);
    let has_begun = !reader.fill_buf().map_err(late)?.is_empty();
    *first = has_begun.then(clock::mono);
    let mut answer = read_head(&mut reader).map_err(late)?;
    while (100..200).contains(&answer.status) {
        answer = read_head(&mut reader).map_err(late)?;
    }
    let status = answer.status;
    let late =
        |error: io::Error| (Failure::of_transfer(&error, Failure::TransferTimeout), Some(status));
    (answer.body, answer.is_cut) = read_body(&mut reader, &answer).map_err(late)?;
    Ok(answer)
}

fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

fn read_head(reader: &mut impl BufRead) -> io::Result<Answer> {
    let mut head = Vec::new();
    loop {
        let begin = head.len();
        let left = HEAD.saturating_sub(begin as u64);
        if left == 0 {
            return Err(malformed());
        }
        if reader.by_ref().take(left).read_until(b'\n', &mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if begin > 0 && matches!(&head[begin..], b"\r\n" | b"\n") {
            break;
        }
    }
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(&head) {
        Ok(httparse::Status::Complete(_)) => {}
        _ => return Err(malformed()),
    }
    let status = response.code.ok_or_else(malformed)?;
    let headers = response.headers.iter().map(|field| {
        let value = String::from_utf8_lossy(field.value).into_owned();
        (field.name.to_ascii_lowercase(), value)
    });
    Ok(Answer { status, headers: headers.collect(), ..Answer::default() })
}

/// As much of it as is read, and whether there is more: a larger one is not read to its end.
fn read_body(reader: &mut impl BufRead, answer: &Answer) -> io::Result<(Vec<u8>, bool)> {
    let mut body = Vec::new();
    if matches!(answer.status, 204 | 304) {
        return Ok((body, false));
    }
    let coding = answer.header("transfer-encoding").unwrap_or_default().to_ascii_lowercase();
    if coding.split(',').any(|it| it.trim() == "chunked") {
        let is_cut = read_chunks(reader, &mut body)?;
        return Ok((body, is_cut));
    }
    let Some(length) = answer.header("content-length") else {
        reader.take(BODY + 1).read_to_end(&mut body)?;
        let is_cut = body.len() as u64 > BODY;
        body.truncate(BODY as usize);
        return Ok((body, is_cut));
    };
    let length: u64 = length.trim().parse().map_err(|_| malformed())?;
    reader.take(length.min(BODY)).read_to_end(&mut body)?;
    if (body.len() as u64) < length.min(BODY) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((body, length > BODY))
}

/// Whether there is more than is read.
fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        let mut line = Vec::new();
        if reader.by_ref().take(256).read_until(b'\n', &mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&line);
        let size = text.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| malformed())?;
        let room = BODY - body.len() as u64;
        if size == 0 || room == 0 {
            // What follows the last one are trailers, which nobody asks for.
            return Ok(size != 0);
        }
        let before = body.len() as u64;
        reader.by_ref().take(size.min(room)).read_to_end(body)?;
        if body.len() as u64 - before < size.min(room) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if size > room {
            return Ok(true);
        }
        let mut end = [0; 2];
        reader.read_exact(&mut end)?;
        if &end != b"\r\n" {
            return Err(malformed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked goes nowhere; what is answered is there.
    struct Canned<'a>(&'a [u8]);

    impl Read for Canned<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Canned<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn answer(text: &str) -> Result<(u16, String), Failure> {
        let answer = ask(&mut Canned(text.as_bytes()), ("host", "/", &[]), &mut None);
        let answer = answer.map_err(|(failure, _)| failure)?;
        Ok((answer.status, String::from_utf8_lossy(&answer.body).into_owned()))
    }

    #[test]
    fn of_a_body_that_is_too_long_it_is_known_however_it_is_framed() {
        let most = BODY as usize;
        for (length, is_cut) in [(most - 1, false), (most, false), (most + 1, true)] {
            let body = "x".repeat(length);
            let two = (&body[..length / 2], &body[length / 2..]);
            let chunks = format!(
                "{:x}\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
                two.0.len(),
                two.0,
                two.1.len(),
                two.1
            );
            for (head, body) in [
                (format!("content-length: {length}"), &body),
                ("transfer-encoding: chunked".to_owned(), &chunks),
                ("connection: close".to_owned(), &body),
            ] {
                let text = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}");
                let mut canned = Canned(text.as_bytes());
                let answer = ask(&mut canned, ("host", "/", &[]), &mut None).unwrap();
                assert_eq!(
                    (answer.is_cut, answer.body.len()),
                    (is_cut, length.min(most)),
                    "{head}"
                );
            }
        }
    }

    #[test]
    fn bodies_are_read_however_they_are_framed() {
        let said = |status, body: &str| Ok((status, body.to_owned()));
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcdef", said(200, "abc")),
            ("HTTP/1.0 404 No\r\n\r\nall of it", said(404, "all of it")),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
                said(200, "abcde"),
            ),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 None\r\n\r\n", said(204, "")),
            ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc", Err(Failure::Closed)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabc", Err(Failure::Closed)),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n",
                Err(Failure::Malformed),
            ),
            ("HTTP/1.1 200 OK\r\ncontent-le", Err(Failure::Closed)),
            ("220 smtp.example ready\r\n\r\n", Err(Failure::Malformed)),
            ("", Err(Failure::Closed)),
        ] {
            assert_eq!(answer(text), expected, "{text}");
        }
    }

    #[test]
    fn an_endless_head_or_body_costs_a_bounded_room() {
        let head = format!("HTTP/1.1 200 OK\r\n{}", "x-y: z\r\n".repeat(20_000));
        assert_eq!(answer(&head), Err(Failure::Malformed));
        let body = "x".repeat(3 << 20);
        let chunk =
            format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n300000\r\n{body}");
        for text in [format!("HTTP/1.1 200 OK\r\n\r\n{body}"), chunk] {
            assert_eq!(answer(&text).map(|(_, body)| body.len()), Ok(1 << 20));
        }
    }
}
