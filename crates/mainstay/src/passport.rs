//! What a process of the service is told by the one that started it: its role, and the descriptors
//! it inherits. It travels in one environment variable, because arguments are the user's.

use crate::config::{ConfigError, env};
use crate::log::Log;
use mainstay_os::fds;
use mainstay_os::segment::Segment;
use std::io;
use std::os::fd::{OwnedFd, RawFd};

/// The variable's name.
pub(crate) const VARIABLE: &str = "MAINSTAY_ROLE";

/// The part a process plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// The supervisor again, with a new program in the old process.
    Supervisor,
    /// Runs the application.
    Worker,
    /// Writes logs, answers on the admin listener.
    Watch,
    /// A new program that is asked whether it could take over.
    Probe,
    /// Tells receivers of alerts about watch, which cannot.
    Notice,
}

/// What there is to tell about watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Matter {
    /// How often in a row it has died.
    pub(crate) deaths: u32,
    /// When that was noticed, nanoseconds since the Unix epoch.
    pub(crate) since: u64,
    /// It lives again.
    pub(crate) is_over: bool,
    /// Who knows of the beginning could not be written down.
    #[serde(default)]
    pub(crate) is_unwritten: bool,
}

/// The whole message. Descriptors are numbers in the receiving process.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Passport {
    pub(crate) role: Role,
    /// The slot in the segment that the process holds.
    pub(crate) slot: usize,
    pub(crate) generation: u64,
    /// The segment.
    pub(crate) segment: RawFd,
    /// The configuration file as the supervisor read it.
    pub(crate) config: RawFd,
    /// Where to say READY.
    pub(crate) voice: RawFd,
    /// The listeners, in the order of `server.bind`, or the admin listener for watch.
    pub(crate) listeners: Vec<Passed>,
    /// Where the service listens, as it is shown; for watch.
    #[serde(default)]
    pub(crate) serving: Vec<String>,
    /// What the supervisor hands to its next program.
    pub(crate) handover: Option<RawFd>,
    /// What is to be told of watch.
    #[serde(default)]
    pub(crate) matter: Option<Matter>,
}

/// A listener that is passed on.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Passed {
    pub(crate) fd: RawFd,
    /// At the end of the service it is sealed, and its queue is to be emptied; otherwise the queue
    /// belongs to whoever serves next.
    pub(crate) ends: bool,
}

impl Passport {
    /// Reads this process's passport, if it has one that is meant for it.
    ///
    /// # Errors
    /// When the variable is not one that mainstay wrote.
    pub(crate) fn find() -> Result<Option<Passport>, ConfigError> {
        let Some(text) = env::role() else { return Ok(None) };
        let Ok(passport) = serde_json::from_str::<Passport>(&text) else {
            return Err(ConfigError::variable(VARIABLE, "is set by mainstay alone; unset it"));
        };
        Ok(passport.is_ours().then_some(passport))
    }

    /// Whether the passport was meant for this process. The variable also reaches programs that the
    /// application starts; the segment does not.
    fn is_ours(&self) -> bool {
        let link = std::fs::read_link(format!("/proc/self/fd/{}", self.segment));
        link.is_ok_and(|target| target.to_string_lossy().starts_with("/memfd:mainstay-segment"))
    }

    /// The variable's value.
    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a passport is plain numbers")
    }

    /// A passport without descriptors, for the starter to fill in.
    pub(crate) fn blank(role: Role) -> Passport {
        Passport {
            role,
            slot: 0,
            generation: 0,
            segment: -1,
            config: -1,
            voice: -1,
            listeners: Vec::new(),
            serving: Vec::new(),
            handover: None,
            matter: None,
        }
    }

    /// Maps the segment, checks that the two programs mean the same by it, and opens this process's
    /// log. Also gives the segment's descriptor, for a process that hands it on.
    ///
    /// # Errors
    /// When the descriptor is not a segment that this program understands.
    pub(crate) fn open_log(&self) -> io::Result<(Log, OwnedFd)> {
        let fd = fds::take(self.segment)?;
        let segment = Segment::attach(&fd).map_err(io::Error::other)?;
        let (found, known) = (segment.header().schema(), crate::metrics::names::SCHEMA);
        if found != known {
            return Err(io::Error::other(format!(
                "the segment counts by table {found}, but this program knows table {known}"
            )));
        }
        if segment.slot(self.slot).is_none() {
            return Err(io::Error::other(format!("the segment has no slot {}", self.slot)));
        }
        Ok((Log::new(segment, self.slot), fd))
    }

    /// Takes over the listeners.
    ///
    /// # Errors
    /// When one of them is not open.
    pub(crate) fn take_listeners(&self) -> io::Result<Vec<(OwnedFd, Passed)>> {
        self.listeners.iter().map(|passed| Ok((fds::take(passed.fd)?, *passed))).collect()
    }
}
