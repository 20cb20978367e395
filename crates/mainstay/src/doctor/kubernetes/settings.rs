//! The configuration that a container will have: its ConfigMap, its variables, its arguments.

use super::manifest::Manifests;
use crate::cli;
use crate::config::{Config, Sources, keys};
use crate::doctor::Asked;
use serde_json::Value;
use std::ffi::OsString;
use std::path::PathBuf;

/// The configuration of a container, or what is wrong with it. `given` is the file of
/// whoever asks, which counts where none is mounted.
///
/// # Errors
/// What `check` would say.
pub(crate) fn of(
    all: &Manifests,
    pod: &Value,
    container: &Value,
    given: Option<&(PathBuf, String)>,
    (name, defaults, flags): Asked<'_>,
) -> Result<Config, String> {
    let mut flags = flags.to_vec();
    let arguments = list(&container["args"]).filter_map(Value::as_str).map(OsString::from);
    // A program of another name may have commands of its own; what cannot be read says nothing of settings.
    if let Ok(invocation) = cli::parse(name, "", &[], arguments) {
        flags.extend(invocation.flags);
    }
    let file = mounted(all, pod, container).or_else(|| given.cloned());
    let env = variables(all, container);
    let sources = Sources {
        app_defaults: defaults.map(str::to_owned),
        file,
        env,
        flags,
        ..Sources::default()
    };
    let mut config = Config::resolve(&sources).map_err(|error| error.to_string())?;
    if config.database.url_file.is_some() || is_from_elsewhere(all, container, "database.url") {
        // Which database that is, nobody here knows; the program's default it is not.
        config.database.url = None;
    }
    Ok(config)
}

/// Whether a key is set by a variable whose value is not in the manifest.
fn is_from_elsewhere(all: &Manifests, container: &Value, path: &str) -> bool {
    let Some(key) = keys::find(path) else { return false };
    let is_it = |it: &Value| {
        let name = it["name"].as_str().unwrap_or_default();
        key.variable() == name || key.aliases.iter().any(|alias| alias.var == name)
    };
    // What comes as a whole may hold it, unless it is said beside that.
    let is_unseen = |it: &Value| {
        let map = it["configMapRef"]["name"].as_str();
        it["secretRef"].is_object() || map.is_some_and(|it| all.find("ConfigMap", it).is_none())
    };
    let mut own = list(&container["env"]).filter(|it| is_it(it)).peekable();
    match own.peek() {
        None => list(&container["envFrom"]).any(is_unseen),
        Some(_) => own.any(|it| it["valueFrom"].is_object()),
    }
}

pub(crate) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Variables whose values the manifest says and that may concern the configuration.
fn variables(all: &Manifests, container: &Value) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for from in list(&container["envFrom"]) {
        let map = from["configMapRef"]["name"].as_str().and_then(|it| all.find("ConfigMap", it));
        let entries = map.and_then(|it| it["data"].as_object()).into_iter().flatten();
        found.extend(
            entries.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))),
        );
    }
    for variable in list(&container["env"]) {
        if let (Some(name), Some(value)) = (variable["name"].as_str(), variable["value"].as_str()) {
            found.push((name.to_owned(), value.to_owned()));
        }
    }
    found.retain(|(name, _)| crate::config::env::concerns(name));
    found
}

/// The `mainstay.toml` of a ConfigMap that is mounted.
fn mounted(all: &Manifests, pod: &Value, container: &Value) -> Option<(PathBuf, String)> {
    for mount in list(&container["volumeMounts"]) {
        let mut volumes = list(&pod["spec"]["volumes"]);
        // That of a claim's template stands elsewhere.
        let Some(volume) = volumes.find(|it| it["name"] == mount["name"]) else { continue };
        let Some(map) = volume["configMap"]["name"].as_str() else { continue };
        let data = all.find("ConfigMap", map).and_then(|it| it["data"].as_object());
        let file = data.into_iter().flatten().find(|(name, _)| name.ends_with(".toml"));
        if let Some((name, Value::String(text))) = file {
            return Some((PathBuf::from(format!("{map}/{name}")), text.clone()));
        }
    }
    None
}
