//! A receiver of webhooks that keeps what it is sent, and answers well or as its mood is.

use super::inbox::{self, Request};
use crate::harness::poll;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long it says nothing.
const HANG: Duration = Duration::from_millis(400);

/// Longest time that it keeps an answer.
const HELD: Duration = Duration::from_secs(60);

/// What it was sent once.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body as it came.
    pub text: String,
    /// The same, read.
    pub body: Value,
}

impl Message {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// The same however often it is sent.
    #[must_use]
    pub fn id(&self) -> &str {
        self.header("webhook-id").unwrap_or_default()
    }

    /// `firing not_ready`.
    #[must_use]
    pub fn what(&self) -> String {
        let of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let alert = &self.body["alerts"][0];
        format!("{} {}", of(&alert["status"]), of(&alert["labels"]["alertname"]))
    }
}

/// The receiver. It listens as long as the test runs.
#[derive(Clone, Debug)]
pub struct Hook {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<Message>>>,
    /// What its mood follows from; 0 is a good one.
    mood: Arc<AtomicU64>,
    /// It answers nobody.
    holds: Arc<AtomicBool>,
}

impl Hook {
    /// Starts one.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn start() -> Hook {
        let (listener, address) = inbox::bound();
        let hook =
            Hook { address, taken: Arc::default(), mood: Arc::default(), holds: Arc::default() };
        let own = hook.clone();
        inbox::serve(listener, move |stream| own.serve(stream));
        hook
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook/hunter2", self.address)
    }

    /// From now on it answers with 200, 429 or 500, hangs, or breaks off after it has taken something, all by chance; without a seed it is well again.
    pub fn moody(&self, seed: u64) {
        self.mood.store(seed, Ordering::SeqCst);
    }

    /// Keeps its answers to what it takes until it is told to go on.
    pub fn hold(&self, holds: bool) {
        self.holds.store(holds, Ordering::SeqCst);
    }

    /// What it has taken, in order, repetitions included.
    #[must_use]
    pub fn taken(&self) -> Vec<Message> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same, each message once.
    #[must_use]
    pub fn unique(&self) -> Vec<Message> {
        let mut seen = std::collections::HashSet::new();
        self.taken().into_iter().filter(|it| seen.insert(it.id().to_owned())).collect()
    }

    /// What comes of the next message.
    fn roll(&self) -> u64 {
        let next = |seed: u64| {
            let next = seed.wrapping_mul(6_364_136_223_846_793_005);
            (seed != 0).then(|| next.wrapping_add(1_442_695_040_888_963_407))
        };
        match self.mood.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next) {
            Ok(seed) => (seed >> 33) % 10,
            Err(_) => 0,
        }
    }

    /// Serves a connection to its end.
    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        loop {
            let Request { headers, body, .. } = inbox::read(&mut reader)?;
            let mood = self.roll();
            let (status, more) = match mood {
                0..=4 | 9 => (200, ""),
                5 | 6 => (429, "retry-after: 0\r\n"),
                7 => (500, ""),
                // It says nothing, and breaks off.
                8 => {
                    stream.set_read_timeout(Some(HANG)).ok()?;
                    reader.read_line(&mut String::new()).ok();
                    return None;
                }
                _ => return None,
            };
            // As it stood before anybody saw what it has taken.
            let is_held = self.holds.load(Ordering::SeqCst);
            if status == 200 {
                let text = String::from_utf8(body).ok()?;
                let body = serde_json::from_str(&text).ok()?;
                let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
                taken.push(Message { headers, text, body });
            }
            if is_held {
                poll(HELD, || (!self.holds.load(Ordering::SeqCst)).then_some(()));
            }
            if mood == 9 {
                // It has taken it, and nobody will know.
                return None;
            }
            let answer = format!("HTTP/1.1 {status} X\r\n{more}content-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).ok()?;
        }
    }
}
