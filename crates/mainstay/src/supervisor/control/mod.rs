//! The control socket: one JSON object a line asked, one answered. Owner only (mode 0600).
//!
//! Nothing here blocks the supervisor: clients that are slow to ask or to read wait by themselves,
//! and those that ask too long a line are sent away.

pub(crate) mod client;
mod levels;
mod obey;
pub(crate) mod refusals;
mod tables;
mod wire;

use super::listeners::{SocketFile, clear_stale_socket};
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
    file: SocketFile,
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
    /// It has closed its half of the stream; what it is owed it still gets.
    asked_all: bool,
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
        Control::on(listener, SocketFile::new(&path)).map_err(|error| told(error.to_string()))
    }

    /// Takes up a socket that an earlier program of this process had.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn resume(fd: OwnedFd, file: SocketFile) -> std::io::Result<Control> {
        Control::on(UnixListener::from(fd), file)
    }

    fn on(listener: UnixListener, file: SocketFile) -> std::io::Result<Control> {
        listener.set_nonblocking(true)?;
        Ok(Control { listener, file, clients: Vec::new(), next: 0 })
    }

    /// The socket's file.
    pub(crate) fn file(&self) -> &SocketFile {
        &self.file
    }

    /// Removes the socket's file.
    pub(crate) fn remove(&self) {
        self.file.remove().ok();
    }

    /// What to poll for.
    pub(crate) fn waits_for(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        let clients = self.clients.iter().filter_map(|client| {
            let flags = match (client.answer.is_empty(), client.asked_all) {
                (false, _) => PollFlags::OUT,
                (true, false) => PollFlags::IN,
                // It waits for a reload and says no more; its end of the stream stays readable.
                (true, true) => return None,
            };
            Some((client.stream.as_fd(), flags))
        });
        clients.chain([(self.listener.as_fd(), PollFlags::IN)]).collect()
    }

    /// Takes in new clients and whole questions.
    pub(crate) fn read(&mut self) -> Vec<Asked> {
        while let Ok((stream, _)) = self.listener.accept() {
            self.make_room();
            if stream.set_nonblocking(true).is_ok() {
                self.next += 1;
                self.clients.push(Client::new(self.next, stream));
            }
        }
        let mut asked = Vec::new();
        for client in &mut self.clients {
            let number = client.number;
            while let Some(question) = client.question() {
                match question {
                    Ok(command) => asked.push(Asked { client: number, command }),
                    Err(error) => client.say(&Answer::error(error)),
                }
            }
        }
        asked
    }

    /// Sends the oldest client away that neither asked nor is owed anything, when all places are
    /// taken: silent ones must not lock an operator out.
    fn make_room(&mut self) {
        if self.clients.len() < CLIENTS {
            return;
        }
        let idle = self.clients.iter().position(|client| !client.is_owed());
        self.clients.remove(idle.unwrap_or(0));
    }

    /// Writes what can be written, and forgets who is gone.
    pub(crate) fn write(&mut self) {
        for client in &mut self.clients {
            client.write();
        }
        self.clients.retain(|client| !client.gone && (!client.asked_all || client.is_owed()));
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
            asked_all: false,
            gone: false,
        }
    }

    /// The next whole line, if there is one.
    fn question(&mut self) -> Option<Result<Command, String>> {
        let mut buffer = [0; 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    self.asked_all = true;
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

    fn is_owed(&self) -> bool {
        self.waits_for_reload || !self.answer.is_empty()
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
