//! A mail server: Python's aiosmtpd, which keeps what it takes in a directory.

use super::process::{PATIENCE, Server};
use super::python;
use crate::harness::{free_port, poll};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

/// One that runs.
#[derive(Debug)]
pub struct MailServer {
    _server: Server,
    port: u16,
    mailbox: PathBuf,
    _directory: tempfile::TempDir,
}

impl MailServer {
    /// Starts one; `None` where it cannot be installed.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Option<MailServer> {
        let program = python("aiosmtpd", "1.4.6")?.join("python");
        let directory = tempfile::Builder::new().prefix("e2e-mail-").tempdir();
        let directory = directory.expect("a temporary directory");
        let (port, mailbox) = (free_port(), directory.path().join("mailbox"));
        let mut command = Command::new(program);
        command.args(["-m", "aiosmtpd", "-n", "-l", &format!("127.0.0.1:{port}")]);
        command.args(["-c", "aiosmtpd.handlers.Mailbox"]).arg(&mailbox);
        let mut server = Server::start(command, directory.path().join("server.log"));
        server.wait(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(MailServer { _server: server, port, mailbox, _directory: directory })
    }

    /// Where it is.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until it has taken so many mails, and returns them, the oldest first.
    ///
    /// # Panics
    /// When it has not.
    #[must_use]
    pub fn wait(&self, count: usize) -> Vec<String> {
        let read = || {
            let entries = std::fs::read_dir(self.mailbox.join("new")).ok()?;
            let mut files: Vec<_> = entries
                .filter_map(|it| {
                    let path = it.ok()?.path();
                    Some((path.metadata().ok()?.modified().ok()?, path))
                })
                .collect();
            files.sort();
            let texts = files.into_iter().map(|(_, path)| std::fs::read_to_string(path).ok());
            texts.collect::<Option<Vec<_>>>().filter(|it| it.len() >= count)
        };
        poll(PATIENCE, read).unwrap_or_else(|| panic!("not {count} mails: {:?}", read()))
    }
}
