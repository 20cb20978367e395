//! A connection's stream that notes what passes, for its deadlines.

use super::connections::Open;
use crate::http::watched::Watched;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use pin_project_lite::pin_project;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Length of HTTP/2's connection preface.
const PREFACE: usize = 24;

pin_project! {
    /// The stream `inner` of the connection `conn`.
    pub(crate) struct WatchedIo<I> {
        #[pin]
        inner: I,
        conn: Arc<Watched>,
        greeted: bool,
        // Lives as long as the stream does, also in the hands of an application that upgraded it.
        open: Open,
    }

    impl<I> PinnedDrop for WatchedIo<I> {
        fn drop(this: Pin<&mut Self>) {
            this.project().conn.settle(false);
        }
    }
}

/// The first bytes tell the protocol. The server asks for no more than these at first, so looking
/// at them costs no further read.
fn read_greeting<I: Read>(
    inner: Pin<&mut I>,
    conn: &Watched,
    greeted: &mut bool,
    cx: &mut Context<'_>,
    mut buf: ReadBufCursor<'_>,
) -> Poll<io::Result<()>> {
    let mut first = [0; PREFACE];
    let room = buf.remaining().min(PREFACE);
    let mut read = ReadBuf::new(&mut first[..room]);
    ready!(inner.poll_read(cx, read.unfilled()))?;
    *greeted = true;
    if read.filled().starts_with(b"PRI ") {
        conn.speaks_h2();
    }
    buf.put_slice(read.filled());
    conn.bytes_read();
    Poll::Ready(Ok(()))
}

impl<I> WatchedIo<I> {
    pub(crate) fn new(inner: I, conn: Arc<Watched>, open: Open) -> WatchedIo<I> {
        WatchedIo { inner, conn, greeted: false, open }
    }
}

impl<I: Read> Read for WatchedIo<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        if !*this.greeted {
            return read_greeting(this.inner, this.conn, this.greeted, cx, buf);
        }
        let read = this.inner.poll_read(cx, buf);
        if read.is_ready() {
            this.conn.bytes_read();
        }
        read
    }
}

impl<I: Write> Write for WatchedIo<I> {
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
        self.project().inner.poll_shutdown(cx)
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
