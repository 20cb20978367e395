//! Manifests of Kubernetes, judged against the configuration that their pods will have.

mod availability;
mod manifest;
mod pod;
mod probes;
pub(crate) mod rules;
mod settings;
#[cfg(test)]
mod tests;

use super::Asked;
use super::finding::Findings;
use crate::config::load::Snapshot;
use crate::config::{Bind, Config};
use manifest::{Manifests, name_of, pod_of};
use rules::MANIFESTS;
use serde_json::Value;
use settings::list;
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// What runs pods.
const WORKLOADS: &[&str] = &["DaemonSet", "Deployment", "Pod", "StatefulSet"];

/// One container that runs the service, with all that belongs to it.
pub(crate) struct Workload<'a> {
    pub(crate) all: &'a Manifests,
    pub(crate) object: &'a Value,
    pub(crate) pod: &'a Value,
    pub(crate) container: &'a Value,
    pub(crate) config: &'a Config,
    pub(crate) subject: String,
}

impl Workload<'_> {
    /// Ports of the application's listeners.
    pub(crate) fn ports(&self) -> BTreeSet<u16> {
        self.config.server.bind.iter().filter_map(port).collect()
    }

    /// The port of the admin listener.
    pub(crate) fn admin(&self) -> Option<u16> {
        self.config.server.admin.as_ref().and_then(port)
    }

    /// The number of a port that is named by number or by name.
    pub(crate) fn port_of(&self, port: &Value) -> Option<u16> {
        if let Some(number) = port.as_u64() {
            return u16::try_from(number).ok();
        }
        let mut ports = list(&self.container["ports"]);
        let named = ports.find(|it| it["name"] == *port)?;
        u16::try_from(named["containerPort"].as_u64()?).ok()
    }

    pub(crate) fn labels(&self) -> &Value {
        &self.pod["metadata"]["labels"]
    }
}

fn port(bind: &Bind) -> Option<u16> {
    match bind {
        Bind::Tcp { port, .. } => Some(*port),
        _ => None,
    }
}

/// Reads the files and judges what is in them.
///
/// # Errors
/// What cannot be read, and files in which nothing runs.
pub(crate) fn inspect(
    files: &[PathBuf],
    container: Option<&str>,
    snapshot: &Snapshot,
    asked: Asked<'_>,
) -> Result<Findings, String> {
    let mut all = Manifests::default();
    for file in files {
        let told = |error: &dyn std::fmt::Display| format!("error: {}: {error}", file.display());
        let text = read(file).map_err(|error| told(&error))?;
        all.add(&text).map_err(|error| told(&error))?;
    }
    judge(&all, container, snapshot.file(), asked)
}

fn read(file: &Path) -> io::Result<String> {
    if file.as_os_str() != "-" {
        return std::fs::read_to_string(file);
    }
    let mut text = String::new();
    io::stdin().lock().read_to_string(&mut text).map(|_| text)
}

/// Judges manifests.
///
/// # Errors
/// When nothing runs in them.
fn judge(
    all: &Manifests,
    container: Option<&str>,
    file: Option<&(PathBuf, String)>,
    asked: Asked<'_>,
) -> Result<Findings, String> {
    let mut found = Findings::new(MANIFESTS);
    let mut seen = 0;
    for object in all.of(WORKLOADS) {
        let pod = pod_of(object);
        let mut containers = list(&pod["spec"]["containers"]);
        let chosen = match container {
            Some(name) => containers.find(|it| it["name"] == name),
            None => containers.next(),
        };
        let Some(chosen) = chosen else { continue };
        seen += 1;
        let subject = name_of(object);
        match settings::of(all, pod, chosen, file, asked) {
            Ok(config) => {
                let work =
                    Workload { all, object, pod, container: chosen, config: &config, subject };
                probes::judge(&work, &mut found);
                pod::judge(&work, &mut found);
                availability::judge(&work, &mut found);
            }
            Err(error) => {
                found.add("bad-configuration", subject, error.trim().replace('\n', "; "));
            }
        }
    }
    if seen > 0 {
        return Ok(found);
    }
    let named = container.map_or_else(String::new, |it| format!(" with a container {it}"));
    Err(format!("error: no {}{named} is described", WORKLOADS.join(", ")))
}
