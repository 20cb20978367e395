//! The control socket: one JSON object a line asked, one answered. Owner only (mode 0600).
//!
//! Nothing here blocks the supervisor: clients that are slow to ask or to read wait by themselves,
//! and those that ask too long a line are sent away.

pub(crate) mod client;
mod obey;
mod wire;

use super::listeners::clear_stale_socket;
use crate::config::{Config, env};
use rustix::event::PollFlags;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
pub(crate) use wire::{Answer, Command};

/// Longest question, bytes.
const LONGEST: usize = 16 * 1024;
/// Clients at once; more wait in the socket's queue.
const CLIENTS: usize = 32;

/// The socket and who is on it.
#[derive(Debug)]
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
    clients: Vec<Client>,
    next: u64,
}

#[derive(Debug)]
struct Client {
    number: u64,
    stream: UnixStream,
    asked: Vec<u8>,
    answer: Vec<u8>,
    waits_for_reload: bool,
    gone: bool,
}

/// A question and who asked it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) client: u64,
    pub(crate) command: Command,
}

/// Where the service `name` has its control socket, if the configuration does not say.
pub(crate) fn socket_path(config: &Config, name: &str) -> PathBuf {
    if let Some(path) = &config.server.control {
        return path.clone();
    }
    let file = format!("{}.sock", name.replace('/', "_"));
    let uid = rustix::process::geteuid().as_raw();
    match env::runtime_dir() {
        Some(directory) => directory.join("mainstay").join(file),
        None if uid == 0 => Path::new("/run/mainstay").join(file),
        None => std::env::temp_dir().join(format!("mainstay-{uid}")).join(file),
    }
}

impl Control {
    /// Binds the socket, making its directory if that is ours to make.
    ///
    /// # Errors
    /// When it is in use, or the directory is not ours alone.
    pub(crate) fn bind(config: &Config, name: &str) -> Result<Control, String> {
        let path = socket_path(config, name);
        let told = |reason: String| format!("{}: {reason}", path.display());
        if config.server.control.is_none()
            && let Some(directory) = path.parent()
        {
            own_directory(directory).map_err(&told)?;
        }
        clear_stale_socket(&path).map_err(|reason| {
            told(format!("{reason}; is the service running already? name another socket"))
        })?;
        // Nobody else may connect, not even between bind and chmod.
        let umask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let bound = UnixListener::bind(&path);
        rustix::process::umask(umask);
        let listener = bound.map_err(|error| told(error.to_string()))?;
        Control::on(listener, path.clone()).map_err(|error| told(error.to_string()))
    }

    /// Takes up a socket that an earlier program of this process had.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn resume(fd: OwnedFd, path: PathBuf) -> std::io::Result<Control> {
        Control::on(UnixListener::from(fd), path)
    }

    fn on(listener: UnixListener, path: PathBuf) -> std::io::Result<Control> {
        listener.set_nonblocking(true)?;
        Ok(Control { listener, path, clients: Vec::new(), next: 0 })
    }

    /// The socket's file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the socket's file.
    pub(crate) fn remove(&self) {
        fs::remove_file(&self.path).ok();
    }

    /// What to poll for.
    pub(crate) fn waits_for(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        let clients = self.clients.iter().map(|client| {
            let flags = if client.answer.is_empty() { PollFlags::IN } else { PollFlags::OUT };
            (client.stream.as_fd(), flags)
        });
        let listener =
            (self.clients.len() < CLIENTS).then(|| (self.listener.as_fd(), PollFlags::IN));
        clients.chain(listener).collect()
    }

    /// Takes in new clients and whole questions.
    pub(crate) fn read(&mut self) -> Vec<Asked> {
        while self.clients.len() < CLIENTS {
            let Ok((stream, _)) = self.listener.accept() else { break };
            if stream.set_nonblocking(true).is_ok() {
                self.next += 1;
                self.clients.push(Client::new(self.next, stream));
            }
        }
        let mut asked = Vec::new();
        for client in &mut self.clients {
            let number = client.number;
            match client.question() {
                Some(Ok(command)) => asked.push(Asked { client: number, command }),
                Some(Err(error)) => client.say(&Answer::error(error)),
                None => {}
            }
        }
        asked
    }

    /// Writes what can be written, and forgets who is gone.
    pub(crate) fn write(&mut self) {
        for client in &mut self.clients {
            client.write();
        }
        self.clients.retain(|client| !client.gone);
    }

    /// Answers one client.
    pub(crate) fn answer(&mut self, client: u64, answer: &Answer) {
        if let Some(client) = self.clients.iter_mut().find(|known| known.number == client) {
            client.say(answer);
        }
    }

    /// The client will be answered when the reload has ended.
    pub(crate) fn wait_for_reload(&mut self, client: u64) {
        if let Some(client) = self.clients.iter_mut().find(|known| known.number == client) {
            client.waits_for_reload = true;
        }
    }

    /// Answers everybody who waited for the end of the reload.
    pub(crate) fn answer_reload(&mut self, result: &Result<u64, String>) {
        let answer = match result {
            Ok(generation) => Answer::ok(serde_json::json!({ "generation": generation })),
            Err(reason) => Answer::error(reason.clone()),
        };
        for client in self.clients.iter_mut().filter(|client| client.waits_for_reload) {
            client.waits_for_reload = false;
            client.say(&answer);
        }
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Client {
    fn new(number: u64, stream: UnixStream) -> Client {
        Client {
            number,
            stream,
            asked: Vec::new(),
            answer: Vec::new(),
            waits_for_reload: false,
            gone: false,
        }
    }

    /// The next whole line, if there is one.
    fn question(&mut self) -> Option<Result<Command, String>> {
        let mut buffer = [0; 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    self.gone = true;
                    break;
                }
                Ok(read) => self.asked.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.gone = true;
                    break;
                }
            }
            if self.asked.len() > LONGEST {
                self.gone = true;
                return None;
            }
        }
        let end = self.asked.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.asked.drain(..=end).collect();
        Some(serde_json::from_slice(&line).map_err(|error| format!("not a command: {error}")))
    }

    fn say(&mut self, answer: &Answer) {
        self.answer.extend_from_slice(answer.to_line().as_bytes());
    }

    fn write(&mut self) {
        while !self.answer.is_empty() {
            match self.stream.write(&self.answer) {
                Ok(written) => drop(self.answer.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
        }
    }
}

/// Makes `directory` for this user alone; one that exists must belong to this user.
fn own_directory(directory: &Path) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt;
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error.to_string()),
    }
    let found = fs::symlink_metadata(directory).map_err(|error| error.to_string())?;
    let ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    if !ours || found.permissions().mode() & 0o022 != 0 {
        return Err("the directory is not this user's alone; set server.control".into());
    }
    Ok(())
}
