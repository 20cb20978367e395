//! An HTTP endpoint for logs, which keeps the lines of each body that it takes.

use super::inbox;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// What it does with what is posted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// It keeps it, and answers with 204.
    #[default]
    Takes,
    /// It answers with 500.
    Refuses,
    /// It hangs up instead of an answer.
    HangsUp,
}

/// The endpoint. It listens as long as the test runs.
#[derive(Clone, Debug)]
pub struct LogEndpoint {
    book: Arc<Mutex<Book>>,
}

#[derive(Debug, Default)]
struct Book {
    mood: Mood,
    taken: Vec<String>,
    headers: Vec<(String, String)>,
    refused: usize,
}

impl LogEndpoint {
    /// Starts one at this address.
    ///
    /// # Panics
    /// When somebody else is there.
    #[must_use]
    pub fn start(address: SocketAddr, mood: Mood) -> LogEndpoint {
        let listener = TcpListener::bind(address).expect("the address is free");
        let endpoint = LogEndpoint { book: Arc::default() };
        endpoint.turn(mood);
        let own = endpoint.clone();
        inbox::serve(listener, move |stream| own.serve(stream));
        endpoint
    }

    /// From now on it does this; how often it has refused or hung up is counted anew.
    pub fn turn(&self, mood: Mood) {
        self.with(|book| (book.mood, book.refused) = (mood, 0));
    }

    /// The lines that it has taken, in order.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.with(|book| book.taken.clone())
    }

    /// Bodies that it has not taken since its last turn.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.with(|book| book.refused)
    }

    /// A header of the last request, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let of = |(_, value): &(String, String)| value.clone();
        self.with(|book| book.headers.iter().find(|it| it.0 == name).map(of))
    }

    fn with<T>(&self, see: impl FnOnce(&mut Book) -> T) -> T {
        see(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Serves a connection to its end.
    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        loop {
            let request = inbox::read(&mut reader)?;
            let text = String::from_utf8(request.body).ok()?;
            let mood = self.with(|book| {
                book.headers = request.headers;
                match book.mood {
                    Mood::Takes => book.taken.extend(text.lines().map(str::to_owned)),
                    _ => book.refused += 1,
                }
                book.mood
            });
            let status = match mood {
                Mood::Takes => "204 No Content",
                Mood::Refuses => "500 Internal Server Error",
                Mood::HangsUp => return None,
            };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).ok()?;
        }
    }
}
