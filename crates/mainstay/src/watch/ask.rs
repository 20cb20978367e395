//! What commands ask the running service over its admin listener.

use crate::config::{Bind, Config};
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Nobody answers.
const NOBODY: u8 = 2;
/// For an answer of the service.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a command prints; or text for standard error and the exit code.
pub(super) type Asked = Result<String, (u8, String)>;

/// The JSON at a path, which shows `what`.
///
/// # Errors
/// Text for standard error and the exit code: 2 when no service answers.
pub(super) fn ask(config: &Config, path: &str, what: &str) -> Result<Value, (u8, String)> {
    let answer = ask_text(config, path, what)?;
    serde_json::from_str(&answer).map_err(|_| {
        let bind = config.server.admin.as_ref().map_or_else(String::new, ToString::to_string);
        (NOBODY, format!("error: what answers on {bind} shows no {what}\n"))
    })
}

/// The text at a path, which shows `what`.
///
/// # Errors
/// Text for standard error and the exit code: 2 when no service answers.
pub(super) fn ask_text(config: &Config, path: &str, what: &str) -> Asked {
    let Some(bind) = &config.server.admin else {
        let text = format!("error: server.admin is empty, and {what} are shown there\n");
        return Err((NOBODY, text));
    };
    fetch(bind, path).map_err(|error| {
        (NOBODY, format!("error: no running service answers on {bind}: {error}\n"))
    })
}

fn fetch(bind: &Bind, path: &str) -> io::Result<String> {
    let question = format!("GET {path} HTTP/1.0\r\nhost: mainstay\r\n\r\n");
    let mut answer = Vec::new();
    match bind {
        Bind::Tcp { host, port } => {
            let address = (host.as_str(), *port).to_socket_addrs()?.next();
            let address = address.ok_or_else(|| io::Error::other("it has no address"))?;
            let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(question.as_bytes())?;
            stream.read_to_end(&mut answer)?;
        }
        Bind::Unix(path) => {
            let mut stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(question.as_bytes())?;
            stream.read_to_end(&mut answer)?;
        }
        Bind::Fd(_) => return Err(io::Error::other("its address is not known")),
    }
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(io::Error::other("it does not answer as a service of mainstay does")),
    }
}
