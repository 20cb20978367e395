//! What a process says to the supervisor, on a pipe of its own: lines of JSON.

use mainstay_os::fds;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

/// One thing said.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "say", rename_all = "lowercase")]
pub(crate) enum Word {
    /// From now on this worker counts. A probe says it when it could take over.
    Ready,
    /// It never will.
    Failed { code: u8, reason: String },
    /// It should be replaced.
    Recycle {
        reason: String,
        /// Something of it is broken; absent in what programs say that do not know it.
        #[serde(default)]
        broken: bool,
    },
}

/// The speaking end.
#[derive(Debug)]
pub(crate) struct Voice {
    fd: OwnedFd,
}

/// A word longer than this would not be written whole by one write to a pipe.
const LONGEST: usize = 4_096;

impl Voice {
    /// Takes over the inherited pipe.
    ///
    /// # Errors
    /// When the descriptor is not open.
    pub(crate) fn take(number: RawFd) -> io::Result<Voice> {
        Ok(Voice { fd: fds::take(number)? })
    }

    /// Says a word. Nobody listening is nobody to tell; a long reason is cut.
    pub(crate) fn say(&self, word: &Word) {
        let text = encode(word).or_else(|| match word {
            Word::Failed { code, reason } => {
                let reason = reason.chars().take(LONGEST / 8).collect();
                encode(&Word::Failed { code: *code, reason })
            }
            Word::Ready | Word::Recycle { .. } => None,
        });
        if let Some(text) = text {
            rustix::io::write(&self.fd, text.as_bytes()).ok();
        }
    }
}

fn encode(word: &Word) -> Option<String> {
    let mut text = serde_json::to_string(word).expect("a word is plain text");
    text.push('\n');
    (text.len() <= LONGEST).then_some(text)
}

/// The listening end.
#[derive(Debug)]
pub(crate) struct Ear {
    fd: OwnedFd,
    heard: Vec<u8>,
}

impl Ear {
    /// An ear on the reading end of a pipe, which is made non-blocking.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Ear> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Ear { fd, heard: Vec::new() })
    }

    /// Reads what was said since the last call; `None` once the speaker is gone and all is heard.
    pub(crate) fn listen(&mut self) -> Option<Vec<Word>> {
        let mut buffer = [0; LONGEST];
        let mut gone = false;
        loop {
            match rustix::io::read(&self.fd, &mut buffer) {
                Ok(0) => {
                    gone = true;
                    break;
                }
                // What is not a line by now is not a word of ours.
                Ok(read) if self.heard.len() < 4 * LONGEST => {
                    self.heard.extend_from_slice(&buffer[..read]);
                }
                Ok(_) => self.heard.clear(),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => break,
            }
        }
        let mut words = Vec::new();
        while let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.heard.drain(..=end).collect();
            words.extend(serde_json::from_slice(&line).ok());
        }
        (!gone || !words.is_empty()).then_some(words)
    }
}

impl AsFd for Ear {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
