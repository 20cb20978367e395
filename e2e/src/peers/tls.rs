//! OpenSSL: certificates of one's own, and a server that has them.

use super::process::Server;
use super::{find, missing};
use crate::harness::free_port;
use std::net::{IpAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A server that speaks TLS, with a certificate for `localhost` that it has signed itself.
#[derive(Debug)]
pub struct TlsServer {
    port: u16,
    certificate: PathBuf,
    _server: Server,
    _directory: tempfile::TempDir,
}

impl TlsServer {
    /// Starts one whose certificate is for this name and ends in so many days; `None` where OpenSSL is not
    /// installed.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(name: &str, days: u32) -> Option<TlsServer> {
        let Some(program) = find("openssl") else {
            missing("OpenSSL");
            return None;
        };
        let directory = tempfile::Builder::new().prefix("e2e-tls-").tempdir();
        let directory = directory.expect("a temporary directory");
        let place = |file: &str| directory.path().join(file);
        let (key, certificate) = (place("key.pem"), place("cert.pem"));
        make(&program, (&key, &certificate), name, days);
        let port = free_port();
        let mut command = Command::new(program);
        command.args(["s_server", "-quiet", "-www", "-accept", &format!("127.0.0.1:{port}")]);
        command.arg("-key").arg(&key).arg("-cert").arg(&certificate).stdin(Stdio::null());
        let mut server = Server::start(command, place("server.log"));
        server.wait(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(TlsServer { port, certificate, _server: server, _directory: directory })
    }

    /// Where it listens, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The file of its certificate.
    #[must_use]
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }
}

/// Makes a certificate for a name or an address that ends in so many days, which signs itself.
pub(super) fn make(program: &Path, (key, certificate): (&Path, &Path), name: &str, days: u32) {
    let kind = if name.parse::<IpAddr>().is_ok() { "IP" } else { "DNS" };
    let mut command = Command::new(program);
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]);
    command.args([
        "-subj",
        &format!("/CN={name}"),
        "-addext",
        &format!("subjectAltName={kind}:{name}"),
    ]);
    command.args(["-days", &days.to_string(), "-addext", "basicConstraints=critical,CA:FALSE"]);
    command.arg("-keyout").arg(key).arg("-out").arg(certificate);
    let made = command.output().expect("a program that was found can be started");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
