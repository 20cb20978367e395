//! What the application is given: its worker.

use super::Shared;
use crate::http::body::BoxError;
use crate::status::Status;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::Arc;

/// The worker that runs the application: its configuration, its service, its end. Cloning is
/// cheap.
#[derive(Clone)]
pub struct Worker {
    shared: Arc<Shared>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("generation", &self.generation()).finish_non_exhaustive()
    }
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>) -> Worker {
        Worker { shared }
    }

    /// The application's own table, `[app]` of the configuration, as a type of its own.
    ///
    /// # Errors
    /// When the table does not fit the type; the message names the key.
    pub fn app_config<T: DeserializeOwned>(&self) -> Result<T, BoxError> {
        let table = self.shared.config.app.clone();
        T::deserialize(table).map_err(|error| format!("[app]: {}", error.message()).into())
    }

    /// The service's name: `server.name`, or the program's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The generation this worker belongs to: 1 at start, one more with each reload.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.shared.generation
    }

    /// The service as it is now, in all its processes. Costs some microseconds, no system call but
    /// the clock's.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::read(self.shared.log.segment(), &self.shared.name, &self.shared.version)
    }

    /// Resolves when this worker has been told to leave. Long answers, such as event streams,
    /// should end then; the worker waits for them for `workers.grace`.
    pub async fn stopping(&self) {
        self.shared.drain.wait().await;
    }
}
