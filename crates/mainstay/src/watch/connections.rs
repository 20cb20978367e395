//! Connections of the admin listener. Until watch ends they are taken; who was taken by then is answered.

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};

/// Connections at once: enough for every prober, not enough to starve watch.
const CONNECTIONS: u32 = 64;
/// A client here sends its request at once, or is not welcome.
const HEADER: Duration = Duration::from_secs(5);
/// How long those who are connected at the end may still take to read their answers.
const LAST: Duration = Duration::from_secs(1);
/// How long those among them may take to ask who have not asked yet.
const SILENT: Duration = Duration::from_millis(100);

/// Those of all listeners.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    places: Arc<Semaphore>,
    leaving: watch::Sender<bool>,
}

impl Connections {
    pub(super) fn new() -> Connections {
        let places = Arc::new(Semaphore::new(CONNECTIONS as usize));
        Connections { places, leaving: watch::Sender::new(false) }
    }

    /// Serves on an inherited listener until the end.
    ///
    /// # Errors
    /// When the descriptor is not a listening socket.
    pub(super) fn listen<F>(
        &self,
        fd: OwnedFd,
        answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    ) -> io::Result<()>
    where
        F: Future<Output = Response<Bytes>> + Send + 'static,
    {
        rustix::io::ioctl_fionbio(&fd, true)?;
        let address = rustix::net::getsockname(&fd)?;
        let connections = self.clone();
        if address.address_family() == rustix::net::AddressFamily::UNIX {
            let listener = UnixListener::from_std(fd.into())?;
            tokio::spawn(async move {
                while let Some(accepted) = connections.until_the_end(listener.accept()).await {
                    let stream = accepted.map(|(stream, _)| TokioIo::new(stream));
                    connections.serve(stream, &answer).await;
                }
            });
        } else {
            let listener = TcpListener::from_std(fd.into())?;
            tokio::spawn(async move {
                while let Some(accepted) = connections.until_the_end(listener.accept()).await {
                    let stream = accepted.map(|(stream, _)| TokioIo::new(stream));
                    connections.serve(stream, &answer).await;
                }
            });
        }
        Ok(())
    }

    /// Takes nobody any more, and waits for those who were taken.
    pub(super) async fn finish(&self) {
        self.leaving.send_replace(true);
        tokio::time::timeout(LAST, self.places.acquire_many(CONNECTIONS)).await.ok();
    }

    /// What `act` gives; nothing once the end has come. Who is in the queue by then is left there, for another watch.
    async fn until_the_end<T>(&self, act: impl Future<Output = T>) -> Option<T> {
        let mut leaving = self.leaving.subscribe();
        let (mut told, mut act) = (pin!(leaving.wait_for(|it| *it)), pin!(act));
        poll_fn(|cx| match told.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => act.as_mut().poll(cx).map(Some),
        })
        .await
    }

    async fn serve<I, F>(
        &self,
        accepted: io::Result<I>,
        answer: &(impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static),
    ) where
        I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
        F: Future<Output = Response<Bytes>> + Send + 'static,
    {
        let Ok(stream) = accepted else {
            // Out of descriptors, most likely; a moment gives some back.
            let never = std::future::pending::<()>();
            return drop(tokio::time::timeout(Duration::from_millis(100), never).await);
        };
        // Taken before anybody may wait for all places.
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
        let (mut leaving, answer) = (self.leaving.subscribe(), answer.clone());
        tokio::spawn(async move {
            let _place = place;
            let has_asked = AtomicBool::new(false);
            let service = service_fn(|request| {
                has_asked.store(true, Relaxed);
                let answer = answer(request);
                async { Ok::<_, Infallible>(answer.await.map(Whole)) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEADER).half_close(true);
            let mut connection = pin!(server.serve_connection(stream, service));
            let mut told = pin!(leaving.wait_for(|it| *it));
            let is_over = poll_fn(|cx| {
                // What came is read before the connection is told.
                if connection.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(true);
                }
                told.as_mut().poll(cx).map(|_| false)
            });
            if is_over.await {
                return;
            }
            // Who says nothing is left at once by a connection that is told, so it is told when it has heard something.
            let asks = poll_fn(|cx| match connection.as_mut().poll(cx) {
                Poll::Pending if !has_asked.load(Relaxed) => Poll::Pending,
                polled => Poll::Ready(polled.is_ready()),
            });
            if let Ok(false) = tokio::time::timeout(SILENT, asks).await {
                connection.as_mut().graceful_shutdown();
                // A client that breaks off has its reasons.
                connection.await.ok();
            }
        });
    }
}

/// A body that is there at once.
struct Whole(Bytes);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = std::mem::take(&mut self.0);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use tokio::sync::mpsc;

    fn ask(address: SocketAddr) -> TcpStream {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        client
    }

    fn read(mut client: TcpStream) -> String {
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn who_is_connected_at_the_end_is_answered_and_who_comes_later_is_left_in_the_queue() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (first, late) = runtime.block_on(async {
            let connections = Connections::new();
            let (asked, mut came) = mpsc::unbounded_channel();
            let (go_on, wait) = watch::channel(false);
            let answer = move |_| {
                let (asked, mut wait) = (asked.clone(), wait.clone());
                async move {
                    asked.send(()).unwrap();
                    wait.wait_for(|it| *it).await.unwrap();
                    // Far more than fits into a socket at once.
                    Response::new(Bytes::from(vec![b'x'; 8 << 20]))
                }
            };
            connections.listen(listener.try_clone().unwrap().into(), answer).unwrap();
            let first = ask(address);
            came.recv().await.unwrap();
            let ending = {
                let connections = connections.clone();
                tokio::spawn(async move { connections.finish().await })
            };
            connections.leaving.subscribe().wait_for(|it| *it).await.unwrap();
            let late = ask(address);
            go_on.send(true).unwrap();
            let reading = tokio::task::spawn_blocking(|| read(first));
            ending.await.unwrap();
            assert!(came.try_recv().is_err(), "who comes later is not asked");
            (reading.await.unwrap(), late)
        });
        drop(runtime);
        assert!(first.starts_with("HTTP/1.1 200"), "{}", &first[..first.len().min(200)]);
        assert!(first.ends_with("xx") && first.len() > 8 << 20, "{}", first.len());
        // Whoever has the listener finds it.
        let (mut found, _) = listener.accept().unwrap();
        found.set_nonblocking(false).unwrap();
        let mut head = [0; 16];
        found.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"GET / HTTP/1.1\r\n");
        drop(late);
    }

    #[test]
    fn an_end_waits_for_no_idle_connection_and_for_none_that_says_nothing() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        runtime.block_on(async {
            let connections = Connections::new();
            let answer = |_| async { Response::new(Bytes::from_static(b"x")) };
            connections.listen(listener.into(), answer).unwrap();
            let mut client = ask(address);
            let answered = tokio::task::spawn_blocking(move || {
                let mut text = Vec::new();
                let mut byte = [0];
                while !text.ends_with(b"\r\n\r\nx") {
                    client.read_exact(&mut byte).unwrap();
                    text.extend(byte);
                }
                client
            });
            let client = answered.await.unwrap();
            let silent = TcpStream::connect(address).unwrap();
            while connections.places.available_permits() + 2 > CONNECTIONS as usize {
                tokio::task::yield_now().await;
            }
            let begun = crate::clock::mono();
            connections.finish().await;
            assert!(crate::clock::mono().since(begun) < LAST);
            assert_eq!(connections.places.available_permits(), CONNECTIONS as usize);
            drop((client, silent));
        });
    }
}
