//! A connection's stream. On the way in, every byte of HTTP/1 passes the strict parser before the
//! server sees it; on both ways it is noted what moves, for the connection's deadlines.
//!
//! A head is handed on when it is whole and good. One that is neither is replaced by a head of our
//! own, for a request that [`Watched`] knows is refused: so the refusal takes its turn behind the
//! answers before it, and passes the layers, the record among them, as any request does.

use super::connections::Open;
use crate::http::client::proxy_protocol::{self, Progress};
use crate::http::page::Refusal;
use crate::http::strict::{Framing, Limits, Rejected};
use crate::http::watched::Watched;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use pin_project_lite::pin_project;
use std::cell::RefCell;
use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;

/// HTTP/2's connection preface.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Stands for a head that is refused. The version keeps the connection open until the answer says
/// otherwise.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\n\r\n";
/// Ends a chunked body as a fault: no size of a chunk, and among trailers no field, which the server
/// looks at only when the empty line behind them has come.
const BAD_CHUNK: &[u8] = b"\0\r\n\r\n";
/// Bytes that are read at a time.
const READ: usize = 16 * 1024;
/// Most bytes that a peer who was refused may still send before it is cut off.
const FAREWELL: u64 = 1 << 20;

thread_local! {
    /// What is read stands here until it is judged; nobody holds it across a wait.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

/// What the bytes that come are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// A trusted proxy says first for whom it comes.
    Proxy,
    /// Not known yet.
    Greeting,
    Http1,
    /// HTTP/2, or what an application speaks after an upgrade.
    Raw,
    /// Refused: what comes is nobody's.
    Refused,
}

pin_project! {
    /// The stream `inner` of the connection `conn`.
    pub(crate) struct WatchedIo<I> {
        #[pin]
        inner: I,
        conn: Arc<Watched>,
        input: Input,
        // Lives as long as the stream does, also in the hands of an application that upgraded it.
        open: Open,
    }

    impl<I> PinnedDrop for WatchedIo<I> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            this.conn.settle(false);
            this.input.abandon(this.conn);
        }
    }
}

/// What has come and was not handed on.
#[derive(Debug)]
struct Input {
    mode: Mode,
    h2: bool,
    proxy: proxy_protocol::Mode,
    framing: Framing,
    /// Not yet judged.
    held: Vec<u8>,
    /// Good, and not yet taken by the server.
    passed: Vec<u8>,
    /// How much of it was.
    taken: usize,
    /// What is refused is a body, not a head.
    bad_body: bool,
    /// Bytes that came after the refusal.
    ignored: u64,
}

impl<I> WatchedIo<I> {
    /// A stream whose requests are held to `limits`; cleartext HTTP/2 is spoken if `h2`. It begins
    /// with a PROXY header if `proxy` is not off.
    pub(crate) fn new(
        inner: I,
        conn: Arc<Watched>,
        open: Open,
        limits: Limits,
        h2: bool,
        proxy: proxy_protocol::Mode,
    ) -> WatchedIo<I> {
        let is_proxied = proxy != proxy_protocol::Mode::Off;
        let input = Input {
            mode: if is_proxied { Mode::Proxy } else { Mode::Greeting },
            h2,
            proxy,
            framing: Framing::new(limits),
            held: Vec::new(),
            passed: Vec::new(),
            taken: 0,
            bad_body: false,
            ignored: 0,
        };
        WatchedIo { inner, conn, input, open }
    }
}

impl Input {
    /// Gives the server what is good.
    #[inline]
    fn hand_on(&mut self, buf: &mut ReadBufCursor<'_>) {
        let rest = self.passed.get(self.taken..).unwrap_or_default();
        let part = rest.get(..buf.remaining()).unwrap_or(rest);
        buf.put_slice(part);
        self.taken += part.len();
        if self.taken == self.passed.len() {
            self.passed.clear();
            self.taken = 0;
        }
    }

    /// Judges what is new behind what is held. What is good goes into `buf` as far as it has room.
    #[inline]
    fn take_in(&mut self, new: &[u8], conn: &Watched, buf: &mut ReadBufCursor<'_>) {
        if !self.held.is_empty() {
            return self.take_in_more(new, conn, buf);
        }
        if matches!(self.mode, Mode::Proxy | Mode::Greeting) {
            return self.take_in_more(new, conn, buf);
        }
        let (good, rest) = self.judge(new, conn);
        let (now, later) = good.split_at(good.len().min(buf.remaining()));
        buf.put_slice(now);
        self.passed.extend_from_slice(later);
        self.held.extend_from_slice(rest);
        self.replace_what_is_refused();
    }

    #[cold]
    fn take_in_more(&mut self, new: &[u8], conn: &Watched, buf: &mut ReadBufCursor<'_>) {
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(new);
        let mut begin = 0;
        if self.mode == Mode::Proxy {
            match proxy_protocol::parse(self.proxy, &all) {
                Progress::Incomplete => {
                    self.held = all;
                    return;
                }
                Progress::Done { used, source } => {
                    begin = used;
                    conn.comes_for(source);
                    self.mode = Mode::Greeting;
                }
                Progress::Invalid(reason) => return self.refuse_proxy(&all, reason, conn, buf),
            }
        }
        let new = all.get(begin..).unwrap_or_default();
        if self.mode == Mode::Greeting && (new.is_empty() || !self.greet(new, conn)) {
            all.drain(..begin);
            self.held = all;
            return;
        }
        let (good, rest) = self.judge(new, conn);
        self.passed.extend_from_slice(good);
        self.held.extend_from_slice(rest);
        self.replace_what_is_refused();
        self.hand_on(buf);
    }

    #[cold]
    fn refuse_proxy(
        &mut self,
        head: &[u8],
        reason: &'static str,
        conn: &Watched,
        buf: &mut ReadBufCursor<'_>,
    ) {
        conn.comes_for(None);
        conn.refuse(Refusal { status: 400, reason, head: head.into() }, 1);
        self.mode = Mode::Refused;
        self.replace_what_is_refused();
        self.hand_on(buf);
    }

    /// Whether it is known by now what the client speaks.
    #[cold]
    fn greet(&mut self, bytes: &[u8], conn: &Watched) -> bool {
        self.mode = match bytes.get(..PREFACE.len()) {
            Some(first) if self.h2 && first == PREFACE => {
                conn.speaks_h2();
                Mode::Raw
            }
            None if self.h2 && PREFACE.starts_with(bytes) => return false,
            _ => Mode::Http1,
        };
        true
    }

    /// Divides `bytes` into what may be handed on and what is to be held.
    #[inline]
    fn judge<'a>(&mut self, bytes: &'a [u8], conn: &Watched) -> (&'a [u8], &'a [u8]) {
        match self.mode {
            Mode::Raw | Mode::Greeting | Mode::Proxy => return (bytes, &[]),
            Mode::Refused => return (&[], &[]),
            Mode::Http1 if conn.is_tunnel() => {
                self.framing.tunnel();
                self.mode = Mode::Raw;
                return (bytes, &[]);
            }
            Mode::Http1 => {}
        }
        let before = self.framing.heads();
        match self.framing.feed(bytes) {
            Ok(verified) => {
                let (good, rest) = bytes.split_at(verified.min(bytes.len()));
                if memchr::memchr(b'#', good).is_some() {
                    note_fragments(good, before, self.framing.heads(), conn);
                }
                (good, rest)
            }
            Err(rejected) => (self.refuse(bytes, rejected, conn), &[]),
        }
    }

    #[cold]
    fn refuse<'a>(&mut self, bytes: &'a [u8], why: Rejected, conn: &Watched) -> &'a [u8] {
        let Rejected { verified, reject, in_body, head } = why;
        self.mode = Mode::Refused;
        self.bad_body = in_body;
        if in_body {
            conn.fault_body(self.framing.heads(), reject.status, reject.reason);
        } else {
            let head = bytes.get(head).unwrap_or_default().into();
            let refusal = Refusal { status: reject.status, reason: reject.reason, head };
            conn.refuse(refusal, self.framing.heads() + 1);
        }
        bytes.get(..verified).unwrap_or_default()
    }

    /// Puts what stands for the refused behind what was good.
    #[inline]
    fn replace_what_is_refused(&mut self) {
        if self.mode == Mode::Refused {
            self.passed.extend_from_slice(if self.bad_body { BAD_CHUNK } else { STAND_IN });
        }
    }

    /// The head that has begun did not come in time.
    #[cold]
    fn give_up_head(&mut self, conn: &Watched) {
        let head = std::mem::take(&mut self.held).into_boxed_slice();
        let refusal = Refusal { status: 408, reason: "header_timeout", head };
        conn.refuse(refusal, self.framing.heads() + 1);
        self.mode = Mode::Refused;
        self.passed.extend_from_slice(STAND_IN);
    }

    /// The client sends no more. Returns whether there is still something to hand on.
    #[cold]
    fn end(&mut self, conn: &Watched) -> bool {
        if self.mode == Mode::Proxy && self.held.is_empty() || !self.is_http1() {
            return false;
        }
        let held = self.held.len();
        match self.framing.eof(held) {
            // The server finds by itself that a body ends early; what is held is a part of it.
            Some(reject) if self.framing.is_in_body() => {
                conn.fault_body(self.framing.heads(), reject.status, reject.reason);
                self.held.clear();
                false
            }
            Some(reject) => {
                let head = std::mem::take(&mut self.held).into_boxed_slice();
                let refusal = Refusal { status: reject.status, reason: reject.reason, head };
                conn.refuse(refusal, self.framing.heads() + 1);
                self.mode = Mode::Refused;
                self.passed.extend_from_slice(STAND_IN);
                true
            }
            // At most an empty line, which is no request.
            None => {
                self.held.clear();
                false
            }
        }
    }

    /// What comes is, or may be, a head of HTTP/1.
    fn is_http1(&self) -> bool {
        matches!(self.mode, Mode::Proxy | Mode::Greeting | Mode::Http1)
    }

    /// Whether what is held is a head: neither a part of a body, nor the empty line behind one.
    #[cold]
    fn has_begun_head(&self) -> bool {
        let held = self.held.len();
        self.is_http1()
            && held != 0
            && !self.framing.is_in_body()
            && self.framing.eof(held).is_some()
    }

    /// The stream is gone: a head that had begun, and a refusal that nobody heard, were requests too.
    fn abandon(&mut self, conn: &Arc<Watched>) {
        let gone = if self.mode == Mode::Refused {
            conn.unserved_refusal()
        } else if self.has_begun_head() {
            let head = std::mem::take(&mut self.held).into_boxed_slice();
            Some(Refusal { status: 499, reason: "client_gone", head })
        } else {
            None
        };
        if let Some(refusal) = gone {
            conn.recorder().unserved(conn, &refusal);
        }
    }
}

/// The server drops a target's fragment; the record shows targets as they came.
#[cold]
fn note_fragments(good: &[u8], before: u64, after: u64, conn: &Watched) {
    // With several heads in one read it is not worth telling which is whose.
    if after != before + 1 {
        return;
    }
    let line = good.split(|byte| *byte == b'\r').find(|line| !line.is_empty() && *line != b"\n");
    let target = line.and_then(|line| line.split(|byte| *byte == b' ').nth(1));
    if let Some(target) = target.filter(|target| target.contains(&b'#')) {
        conn.note_target(after, target);
    }
}

impl<I: Read> Read for WatchedIo<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut this = self.project();
        let (input, conn) = (this.input, &**this.conn);
        if conn.must_refuse_head() && input.is_http1() {
            input.give_up_head(conn);
        }
        if !input.passed.is_empty() {
            input.hand_on(&mut buf);
            return Poll::Ready(Ok(()));
        }
        if input.mode == Mode::Raw {
            let read = this.inner.poll_read(cx, buf);
            if read.is_ready() {
                conn.bytes_read();
            }
            return read;
        }
        if input.mode == Mode::Refused {
            // The server writes its last answer and closes; nothing that comes is for it.
            return Poll::Pending;
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let before = buf.remaining();
            loop {
                let room =
                    scratch.len().min(if input.held.is_empty() && input.mode == Mode::Http1 {
                        buf.remaining().max(1)
                    } else {
                        READ
                    });
                let Some(room) = scratch.get_mut(..room) else { return Poll::Pending };
                let mut read = ReadBuf::new(room);
                ready!(this.inner.as_mut().poll_read(cx, read.unfilled()))?;
                let new = read.filled();
                if new.is_empty() {
                    if input.end(conn) {
                        input.hand_on(&mut buf);
                    }
                    return Poll::Ready(Ok(()));
                }
                input.take_in(new, conn, &mut buf);
                // Known by now what they are.
                conn.bytes_read();
                if buf.remaining() < before {
                    return Poll::Ready(Ok(()));
                }
                if !input.passed.is_empty() {
                    input.hand_on(&mut buf);
                    return Poll::Ready(Ok(()));
                }
            }
        })
    }
}

impl<I: Read + Write> Write for WatchedIo<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        note(this.conn, this.inner.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let flushed = note(this.conn, this.inner.poll_flush(cx));
        if let Poll::Ready(Ok(())) = flushed {
            // The server flushes when it has nothing left to write.
            this.conn.settle(true);
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut this = self.project();
        ready!(this.inner.as_mut().poll_shutdown(cx))?;
        if this.input.mode != Mode::Refused && !this.conn.closes_early() {
            return Poll::Ready(Ok(()));
        }
        // A socket that is closed with unread bytes resets the connection, and may take the answer
        // with it. The sweeper ends a farewell that takes too long.
        SCRATCH.with_borrow_mut(|scratch| {
            while this.input.ignored < FAREWELL {
                let mut read = ReadBuf::new(scratch);
                if ready!(this.inner.as_mut().poll_read(cx, read.unfilled())).is_err() {
                    break;
                }
                match read.filled().len() {
                    0 => break,
                    bytes => this.input.ignored += bytes as u64,
                }
            }
            Poll::Ready(Ok(()))
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        note(this.conn, this.inner.poll_write_vectored(cx, bufs))
    }
}

fn note<T>(conn: &Watched, poll: Poll<T>) -> Poll<T> {
    match poll {
        Poll::Pending => conn.write_awaited(),
        Poll::Ready(_) => conn.write_moved(),
    }
    poll
}

/// A descriptor on the runtime.
pub(super) fn registered<T: AsRawFd>(owner: T) -> io::Result<AsyncFd<T>> {
    #[expect(
        deprecated,
        reason = "its successor is unsafe to call, which nothing here may be; what it asks for \
                  holds: all owners keep one open descriptor until they are dropped"
    )]
    AsyncFd::new(owner)
}
