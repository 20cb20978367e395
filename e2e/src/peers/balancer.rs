//! A balancer before several instances of a service, which learns of them as kube-proxy does: an instance that
//! is not ready any more is left out only after it has said so several times and the news has spread, and
//! connections that it has stay where they are. What cannot be connected is not tried elsewhere.

use crate::load::{Target, get};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// How instances are followed.
#[derive(Clone, Copy, Debug)]
pub struct Follows {
    /// Time between two probes.
    pub period: Duration,
    /// Failures in a row until an instance counts as not ready.
    pub failures: u32,
    /// Time until the balancer knows what the probes know.
    pub lag: Duration,
}

/// Takes connections on a port of its own, until it is dropped.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    book: Arc<Mutex<Book>>,
    end: Option<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Book {
    /// What is known of each instance.
    instances: BTreeMap<SocketAddr, Known>,
    /// Where connections go.
    endpoints: Vec<SocketAddr>,
    next: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    failures: u32,
    /// What the probes say, and when everybody knows it.
    news: Option<(bool, Instant)>,
}

impl Balancer {
    /// Before no instance yet.
    ///
    /// # Panics
    /// When there is no port, or no runtime, left.
    #[must_use]
    pub fn start(follows: Follows) -> Balancer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a listener of ours");
        let address = listener.local_addr().expect("it is bound");
        let book = Arc::new(Mutex::new(Book::default()));
        let (end, ended) = channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime for the balancer");
        let (serving, following) = (Arc::clone(&book), Arc::clone(&book));
        let (over, is_over) = tokio::sync::oneshot::channel();
        let threads = vec![
            std::thread::spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = accept(listener, serving) => {}
                        _ = is_over => {}
                    }
                });
            }),
            std::thread::spawn(move || {
                follow(&following, follows, &ended);
                // Whoever accepts has gone if this fails.
                over.send(()).ok();
            }),
        ];
        Balancer { address, book, end: Some(end), threads }
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this instance is followed.
    pub fn add(&self, instance: SocketAddr) {
        lock(&self.book).instances.insert(instance, Known::default());
    }

    /// Whether connections go there.
    #[must_use]
    pub fn sends_to(&self, instance: SocketAddr) -> bool {
        lock(&self.book).endpoints.contains(&instance)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        drop(self.end.take());
        for thread in self.threads.drain(..) {
            // One that panicked has said so.
            thread.join().ok();
        }
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Probes all instances again and again.
fn follow(book: &Mutex<Book>, follows: Follows, ended: &Receiver<()>) {
    let mut next = Instant::now();
    // News spread between two probes, too.
    let step = (follows.period / 5).max(Duration::from_millis(10));
    while matches!(ended.recv_timeout(step), Err(RecvTimeoutError::Timeout)) {
        let now = Instant::now();
        if now >= next {
            next = now + follows.period;
            let all: Vec<_> = lock(book).instances.keys().copied().collect();
            for instance in all {
                let answer = get(&Target::from(instance), "/readyz", Duration::from_secs(1));
                let ready = answer.is_ok_and(|it| it.status == 200);
                note(&mut lock(book), instance, ready, follows);
            }
        }
        spread(&mut lock(book));
    }
}

/// Notes what a probe has found.
fn note(book: &mut Book, instance: SocketAddr, ready: bool, follows: Follows) {
    let Some(known) = book.instances.get_mut(&instance) else { return };
    known.failures = if ready { 0 } else { known.failures + 1 };
    let said = known.news.map(|(ready, _)| ready);
    let says = match (ready, known.failures >= follows.failures) {
        (true, _) => true,
        (false, true) => false,
        (false, false) => return,
    };
    if said != Some(says) {
        known.news = Some((says, Instant::now() + follows.lag));
    }
}

/// What is known for long enough, everybody knows.
fn spread(book: &mut Book) {
    let now = Instant::now();
    for (instance, known) in &book.instances {
        match known.news {
            Some((true, then)) if now >= then && !book.endpoints.contains(instance) => {
                book.endpoints.push(*instance);
            }
            Some((false, then)) if now >= then => book.endpoints.retain(|it| it != instance),
            _ => {}
        }
    }
}

async fn accept(listener: TcpListener, book: Arc<Mutex<Book>>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("it does not block");
    while let Ok((mut client, _)) = listener.accept().await {
        let endpoint = {
            let mut book = lock(&book);
            book.next += 1;
            let (next, count) = (book.next, book.endpoints.len());
            (count > 0).then(|| book.endpoints[next % count])
        };
        tokio::spawn(async move {
            let Some(endpoint) = endpoint else { return };
            if let Ok(mut server) = TcpStream::connect(endpoint).await {
                client.set_nodelay(true).ok();
                server.set_nodelay(true).ok();
                // Either side may break it off; both know then.
                tokio::io::copy_bidirectional(&mut client, &mut server).await.ok();
            }
        });
    }
}
