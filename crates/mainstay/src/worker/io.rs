//! A connection's stream that notes what passes, for its deadlines.

use super::connections::Open;
use crate::http::watched::Watched;
use hyper::rt::{Read, ReadBufCursor, Write};
use pin_project_lite::pin_project;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

pin_project! {
    /// The stream `inner` of the connection `conn`.
    pub(crate) struct WatchedIo<I> {
        #[pin]
        inner: I,
        conn: Arc<Watched>,
        // Lives as long as the stream does, also in the hands of an application that upgraded it.
        open: Open,
    }
}

impl<I> WatchedIo<I> {
    pub(crate) fn new(inner: I, conn: Arc<Watched>, open: Open) -> WatchedIo<I> {
        WatchedIo { inner, conn, open }
    }
}

impl<I: Read> Read for WatchedIo<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
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
        note(this.conn, this.inner.poll_flush(cx))
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
