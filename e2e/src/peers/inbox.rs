//! What the receivers of ours have in common: they listen as long as the test runs, and read requests.

use std::io::BufRead;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// A request as it came.
#[derive(Debug)]
pub(super) struct Request {
    /// Its target.
    pub(super) target: String,
    /// Its headers, names in lower case.
    pub(super) headers: Vec<(String, String)>,
    /// Its body.
    pub(super) body: Vec<u8>,
}

/// A listener on a free port.
pub(super) fn bound() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

/// Serves each connection in a thread of its own.
pub(super) fn serve(
    listener: TcpListener,
    serve: impl Fn(TcpStream) -> Option<()> + Clone + Send + 'static,
) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
}

/// The next request of a connection; `None` at its end, or when it is none.
pub(super) fn read(reader: &mut impl BufRead) -> Option<Request> {
    let (mut first, mut headers, mut length) = (String::new(), Vec::new(), 0);
    reader.read_line(&mut first).ok()?;
    let target = first.split(' ').nth(1)?.to_owned();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        let (name, value) = line.split_once(':')?;
        let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
        if name == "content-length" {
            length = value.parse().ok()?;
        }
        headers.push((name, value));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { target, headers, body })
}
