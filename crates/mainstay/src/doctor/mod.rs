//! The command `doctor`: inspects the configuration, this host and the running service, or manifests of
//! Kubernetes, and says of each thing that is unsafe what it is, why it matters and what to do.

mod finding;
mod host;
#[cfg(feature = "kubernetes")]
mod kubernetes;
#[cfg(all(test, feature = "kubernetes"))]
mod page;
mod rules;
mod service;
#[cfg(test)]
mod tests;

use crate::cli::Inspection;
use crate::config::Config;
use crate::config::load::Snapshot;
use std::path::PathBuf;

/// What was asked for: the service's name, the application's defaults, and flags.
pub(crate) type Asked<'a> = (&'a str, Option<&'a str>, &'a [(&'static str, String)]);

/// Inspects a service: exit code and text.
pub(crate) fn inspect(config: &Config, name: &str, how: Inspection) -> (u8, String) {
    service::judge(config, &host::look(config, name)).tell(name, how)
}

/// Inspects manifests: exit code and text.
///
/// # Errors
/// Text for standard error: what cannot be read.
#[cfg(feature = "kubernetes")]
pub(crate) fn kubernetes(
    files: &[PathBuf],
    container: Option<&str>,
    snapshot: &Snapshot,
    asked: Asked<'_>,
    how: Inspection,
) -> Result<(u8, String), String> {
    kubernetes::inspect(files, container, snapshot, asked).map(|found| found.tell("manifests", how))
}

/// Says that this program cannot.
///
/// # Errors
/// Always.
#[cfg(not(feature = "kubernetes"))]
pub(crate) fn kubernetes(
    _: &[PathBuf],
    _: Option<&str>,
    _: &Snapshot,
    _: Asked<'_>,
    _: Inspection,
) -> Result<(u8, String), String> {
    Err("error: this program was built without the feature kubernetes".to_owned())
}
