//! A server that keeps what is posted to it, by path, and answers as each path is told to.

use super::inbox::{self, Request};
use serde_json::Value;
use std::collections::HashMap;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// What was posted once.
#[derive(Clone, Debug)]
pub struct Posted {
    /// Its path.
    pub path: String,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Value,
    /// The status that it was answered with.
    pub status: u16,
}

/// Status, body.
type Answer = (u16, String);

/// The server. It listens as long as the test runs.
#[derive(Clone, Debug)]
pub struct Postbox {
    address: SocketAddr,
    posted: Arc<Mutex<Vec<Posted>>>,
    answers: Arc<Mutex<HashMap<String, Vec<Answer>>>>,
}

impl Postbox {
    /// Starts one that answers everything with 200.
    #[must_use]
    pub fn start() -> Postbox {
        let (listener, address) = inbox::bound();
        let postbox = Postbox { address, posted: Arc::default(), answers: Arc::default() };
        let own = postbox.clone();
        inbox::serve(listener, move |stream| own.serve(stream));
        postbox
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next request to this path is answered so; several are one after the other, and then the last for ever.
    pub fn answer(&self, path: &str, answers: &[(u16, &str)]) {
        let answers = answers.iter().rev().map(|(status, body)| (*status, (*body).to_owned()));
        let mut all = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(path.to_owned(), answers.collect());
    }

    /// What was posted to this path and taken, in order.
    #[must_use]
    pub fn taken(&self, path: &str) -> Vec<Posted> {
        let all = self.posted.lock().unwrap_or_else(PoisonError::into_inner);
        let is = |it: &&Posted| it.path == path && (200..300).contains(&it.status);
        all.iter().filter(is).cloned().collect()
    }

    /// What was posted to this path, taken or not.
    #[must_use]
    pub fn posted(&self, path: &str) -> Vec<Posted> {
        let all = self.posted.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|it| it.path == path).cloned().collect()
    }

    fn next(&self, path: &str) -> Answer {
        let mut all = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(path) {
            Some(answers) if answers.len() > 1 => answers.pop().unwrap_or_default(),
            Some(answers) => answers.last().cloned().unwrap_or((200, String::new())),
            None => (200, String::new()),
        }
    }

    /// Serves a connection to its end.
    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        loop {
            let Request { target, headers, body } = inbox::read(&mut reader)?;
            let (status, text) = self.next(&target);
            let body = serde_json::from_slice(&body).ok()?;
            let posted = Posted { path: target, headers, body, status };
            self.posted.lock().unwrap_or_else(PoisonError::into_inner).push(posted);
            let length = text.len();
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{text}");
            stream.write_all(answer.as_bytes()).ok()?;
        }
    }
}
