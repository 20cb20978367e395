//! A server of HTTP that answers as it was told, and keeps what it was sent.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What is done with a request.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    /// Answered, with these headers and this body.
    Answer(u16, &'static str, Vec<u8>),
    /// The connection stays open and silent.
    Silence,
    /// The connection is closed without an answer.
    Close,
}

pub(super) fn ok() -> Deed {
    Deed::Answer(200, "", Vec::new())
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Came {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
    /// It was answered with 200.
    pub(super) taken: bool,
}

#[derive(Clone)]
pub(super) struct Server {
    pub(super) url: String,
    came: Arc<Mutex<Vec<Came>>>,
}

impl Server {
    /// A server that does for each request, by its number, what `plan` says.
    pub(super) fn start(plan: impl Fn(usize) -> Deed + Send + Sync + 'static) -> Server {
        Server::on(TcpListener::bind("127.0.0.1:0").unwrap(), plan)
    }

    pub(super) fn on(
        listener: TcpListener,
        plan: impl Fn(usize) -> Deed + Send + Sync + 'static,
    ) -> Server {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let came = Arc::new(Mutex::new(Vec::new()));
        let (all, plan) = (Arc::clone(&came), Arc::new(plan));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (all, plan) = (Arc::clone(&all), Arc::clone(&plan));
                thread::spawn(move || serve(stream.unwrap(), &all, &*plan));
            }
        });
        Server { url, came }
    }

    pub(super) fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }

    /// The names of all spans that were taken.
    pub(super) fn spans(&self) -> Vec<String> {
        let came = self.came();
        let mut names = Vec::new();
        for request in came.iter().filter(|it| it.taken) {
            let request = ExportTraceServiceRequest::decode(&request.body[..]).unwrap();
            for resource in request.resource_spans {
                for scope in resource.scope_spans {
                    names.extend(scope.spans.into_iter().map(|span| span.name));
                }
            }
        }
        names
    }
}

fn serve(stream: TcpStream, all: &Mutex<Vec<Came>>, plan: &dyn Fn(usize) -> Deed) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let mut came = all.lock().unwrap();
        let deed = plan(came.len());
        let taken = matches!(deed, Deed::Answer(200, ..));
        came.push(Came { head, body, taken });
        drop(came);
        match deed {
            Deed::Answer(status, headers, body) => {
                let len = body.len();
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {len}\r\n{headers}\r\n");
                stream.write_all(head.as_bytes()).ok()?;
                stream.write_all(&body).ok()?;
            }
            Deed::Silence => drop(reader.read_line(&mut String::new())),
            Deed::Close => return None,
        }
    }
}
