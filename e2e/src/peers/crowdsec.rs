//! CrowdSec, as Debian has it (`.ci/crowdsec` unpacks it): what it decides on the lines of a log, with this
//! repository's parser and scenarios. Nothing of it goes to its makers.

use super::missing;
use super::python::target;
use crate::harness::{free_port, poll};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Longest time that one of its programs may take for a small log.
const LONGEST: Duration = Duration::from_secs(120);
const STAGES: [&str; 3] = ["s00-raw", "s01-parse", "s02-enrich"];

/// Whom CrowdSec would ban for the lines of a log, each address with the scenario. None where it is not there.
///
/// # Panics
/// When it cannot read our files.
#[must_use]
pub fn crowdsec(log: &Path) -> Option<Vec<(String, String)>> {
    let root = target().join("peers/crowdsec");
    if !root.join("usr/bin/crowdsec").exists() {
        missing("CrowdSec (.ci/crowdsec fetches it)");
        return None;
    }
    let taken = |said: &String| said.contains("address already in use");
    // It opens its port long after it was given one: somebody else may have it by then.
    let said = match decide(log, &root) {
        Err(said) if taken(&said) => decide(log, &root),
        decided => decided,
    };
    let said = said.unwrap_or_else(|said| panic!("{said}"));
    // `Ip 192.0.2.7 performed 'mainstay/scan' (1 events over 0s) at …`
    let performed = said.lines().filter_map(|line| {
        let (who, what) = line.split_once(" performed '")?;
        let (_, ip) = who.rsplit_once(' ')?;
        Some((ip.to_owned(), what.split('\'').next()?.to_owned()))
    });
    let mut found: Vec<_> = performed.collect();
    found.sort_unstable();
    found.dedup();
    Some(found)
}

/// What it says while it goes through a log; the error is what it says when it cannot.
fn decide(log: &Path, root: &Path) -> Result<String, String> {
    let directory = tempfile::tempdir().expect("a directory");
    let config = settle(directory.path(), root);
    let command = |name: &str| {
        let mut command = Command::new(root.join("usr/bin").join(name));
        command.arg("-c").arg(&config).current_dir(directory.path());
        command
    };
    let mut machine = command("cscli");
    machine.args(["machines", "add", "e2e", "--password", "secret-of-a-test", "--force", "-f"]);
    machine.arg(directory.path().join("credentials.yaml"));
    run(machine, &directory.path().join("cscli.log"))?;
    let mut agent = command("crowdsec");
    agent.args(["-no-capi", "-type", "mainstay", "-dsn"]).arg(format!("file://{}", log.display()));
    let said = run(agent, &directory.path().join("crowdsec.log"))?;
    if said.contains("level=fatal") { Err(said) } else { Ok(said) }
}

/// Runs a program to its end, and gives what it says; as an error where it fails or has no end.
fn run(mut command: Command, into: &Path) -> Result<String, String> {
    let file = fs::File::create(into).expect("a file");
    command.stdout(file.try_clone().expect("a file")).stderr(file);
    let mut child = command.spawn().expect("a program that is there");
    let end = poll(LONGEST, || child.try_wait().expect("a child"));
    if end.is_none() {
        child.kill().ok();
        child.wait().ok();
    }
    let said = String::from_utf8_lossy(&fs::read(into).expect("a file")).into_owned();
    match end {
        None => Err(format!("it has not ended within {LONGEST:?}: {said}")),
        Some(status) if status.success() => Ok(said),
        Some(status) => Err(format!("{status}: {said}")),
    }
}

/// Makes what it needs, and returns its configuration.
fn settle(directory: &Path, root: &Path) -> std::path::PathBuf {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/crowdsec");
    let hub = root.join("usr/share/crowdsec/hub");
    let etc = directory.join("etc");
    for stage in STAGES {
        fs::create_dir_all(etc.join("parsers").join(stage)).expect("a directory");
    }
    for other in ["scenarios", "postoverflows"] {
        fs::create_dir_all(etc.join(other)).expect("a directory");
    }
    fs::create_dir_all(directory.join("data")).expect("a directory");
    let copy = |from: &Path, to: &str| {
        fs::copy(from, etc.join(to)).unwrap_or_else(|error| panic!("{}: {error}", from.display()))
    };
    let theirs = hub.join("parsers");
    copy(&theirs.join("s00-raw/crowdsecurity/syslog-logs.yaml"), "parsers/s00-raw/syslog.yaml");
    copy(
        &theirs.join("s02-enrich/crowdsecurity/dateparse-enrich.yaml"),
        "parsers/s02-enrich/date.yaml",
    );
    copy(&ours.join("parsers/mainstay-logs.yaml"), "parsers/s01-parse/mainstay-logs.yaml");
    copy(&ours.join("scenarios/mainstay.yaml"), "scenarios/mainstay.yaml");
    for name in ["profiles.yaml", "simulation.yaml"] {
        copy(&root.join("etc/crowdsec").join(name), name);
    }
    fs::create_dir_all(etc.join("patterns")).expect("a directory");
    for pattern in fs::read_dir(root.join("etc/crowdsec/patterns")).expect("its patterns") {
        let pattern = pattern.expect("a file");
        copy(&pattern.path(), &format!("patterns/{}", pattern.file_name().display()));
    }
    fs::write(etc.join("acquis.yaml"), "filenames: []\n").expect("a file");
    let (port, at, hub) = (free_port(), directory.display(), hub.display());
    let credentials = format!("url: http://127.0.0.1:{port}/\nlogin: e2e\npassword: none\n");
    fs::write(directory.join("credentials.yaml"), credentials).expect("a file");
    let config = format!(
        "common:\n  daemonize: false\n  log_media: stdout\n  log_level: info\n\
         config_paths:\n  config_dir: {at}/etc/\n  data_dir: {at}/data/\n  \
         simulation_path: {at}/etc/simulation.yaml\n  hub_dir: {hub}/\n  index_path: {hub}/.index.json\n\
         crowdsec_service:\n  acquisition_path: {at}/etc/acquis.yaml\n  parser_routines: 1\n\
         db_config:\n  type: sqlite\n  db_path: {at}/data/crowdsec.db\n\
         api:\n  client:\n    credentials_path: {at}/credentials.yaml\n  \
         server:\n    listen_uri: 127.0.0.1:{port}\n    profiles_path: {at}/etc/profiles.yaml\n\
         prometheus:\n  enabled: false\n"
    );
    let path = etc.join("config.yaml");
    fs::write(&path, config).expect("a file");
    path
}
