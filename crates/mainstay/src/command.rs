//! Commands of the application's own: code that runs once, on the command line, with the service's
//! configuration.

use crate::config::Config;
#[cfg(feature = "database")]
use crate::db::{Open, Pool};
use crate::http::body::BoxError;
use serde::de::DeserializeOwned;
use std::ffi::OsString;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

/// What a command is given: its arguments and the configuration.
#[derive(Clone, Debug)]
pub struct Call {
    pub(crate) args: Vec<OsString>,
    pub(crate) config: Config,
    #[cfg_attr(not(feature = "database"), expect(dead_code, reason = "databases are told it"))]
    pub(crate) name: String,
}

impl Call {
    /// What followed the command's name; what is no UTF-8 is shown as well as it can be.
    #[must_use]
    pub fn args(&self) -> Vec<String> {
        self.args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect()
    }

    /// The application's own table, `[app]` of the configuration, as a type of its own.
    ///
    /// # Errors
    /// When the table does not fit the type; the message names the key.
    pub fn app_config<T: DeserializeOwned>(&self) -> Result<T, BoxError> {
        let table = self.config.app.clone();
        T::deserialize(table).map_err(|error| format!("[app]: {}", error.message()).into())
    }

    /// One connection to the database that the configuration names, as a pool.
    ///
    /// # Errors
    /// When none is named, or it cannot be reached.
    #[cfg(feature = "database")]
    pub async fn database(&self) -> Result<Pool<sqlx::Any>, BoxError> {
        let url = self.config.database.url.as_ref();
        let url = url.ok_or("database.url is not set, nor DATABASE_URL")?;
        crate::db::alone(Open::new(url.expose()), &self.config.database, &self.name).await
    }
}

type Run = dyn Fn(Call) -> Pin<Box<dyn Future<Output = Result<String, BoxError>>>> + Send + Sync;

/// A command as it was registered.
#[derive(Clone)]
pub(crate) struct Own {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    run: Arc<Run>,
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Own {
    pub(crate) fn new<F, Fut>(name: &'static str, about: &'static str, run: F) -> Own
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, BoxError>> + 'static,
    {
        Own { name, about, run: Arc::new(move |call| Box::pin(run(call))) }
    }

    /// Runs it to its end, and gives what it prints.
    ///
    /// # Errors
    /// What it says, or that there can be no runtime.
    pub(crate) fn run(&self, call: Call) -> Result<String, BoxError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on((self.run)(call))
    }
}
