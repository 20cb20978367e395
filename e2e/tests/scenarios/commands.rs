//! Every command of README and guides: run here against a service, run elsewhere, or named below with the reason
//! why no test can. One that is none of these fails.

use crate::support::*;
use e2e::harness::{Launch, Service, poll};
use e2e::peers::{Hook, find, missing};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What the program is called in the guides.
const NAMES: [&str; 3] = ["mainstay", "shop", "notes"];

/// Beginnings of commands that are not run here, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("cargo run --release -- serve", "`the program` of .ci/run builds and runs it"),
    ("cargo run -p ", "the tests of examples/ start each of them"),
    ("cargo run --release -p bench", "a measurement, which takes minutes"),
    ("cargo test", "a step of .ci/run, or one of its scenarios for longer"),
    ("E2E_", "scenarios of .ci/run, for longer"),
    ("MAINSTAY_LIMIT_KEYS=", "a test of .ci/run, with more keys"),
    ("MAINSTAY_BLESS=1 ", "it writes what tests compare"),
    ("RUSTFLAGS=\"--cfg loom\"", "a step of .ci/run"),
    (".ci/", "what runs this, or is run by hand, since it takes minutes"),
    ("fuzz/run ", "it takes minutes; what it has found is a test"),
    ("cd ", "the steps of .ci/run are in that directory"),
    (
        "docker ",
        "`.ci/image` runs both by buildah and podman; ship.rs runs the image without an engine",
    ),
    ("kubectl create", "there is no cluster"),
    ("kubectl apply", "there is no cluster; ship.rs judges the manifests by their schemas"),
    ("kubectl kustomize", "ship.rs has what it renders judged"),
    ("install ", "it changes the machine; ship.rs judges the files"),
    ("systemctl ", "there is no systemd; systemd.rs and ship.rs are in its place"),
    ("mainstay status -c /etc", "of a service under systemd"),
    ("cp contrib/fail2ban", "it changes the machine; bans.rs reads both files where they are"),
    ("cp contrib/crowdsec", "it changes the machine; bans.rs reads both files where they are"),
    ("fail2ban-regex ", "bans.rs runs it with a log of a service"),
    (
        "promtool tsdb",
        "it writes where the machine has its Prometheus; history.rs has it make blocks",
    ),
    ("mv shop.new", "lifecycle.rs replaces a program"),
    ("kill -USR2", "lifecycle.rs sends it to a service under load"),
    ("mainstay probe https://", "there is no network; probes.rs asks a server of its own"),
    (
        "curl -s -H 'Accept: application/json' http://203.0.113.1/",
        "an address of documentation; bans.rs asks as a banned client",
    ),
    ("MAINSTAY_LIMITS_DEFAULT=1/hour mainstay serve &", "ratelimits.rs has a service with limits"),
    (
        "mainstay doctor kubernetes deployment.yaml",
        "a manifest of the reader's; ship.rs judges ours",
    ),
    ("notes migrate", "a program with migrations; databases.rs runs each of them"),
    ("mainstay alerts ack", "it needs an alert; alerts.rs acknowledges one"),
];

/// Commands whose code is not 0, as the guides say.
const CODES: &[(&str, i32)] =
    &[("mainstay doctor --strict", 1), ("MAINSTAY_LIMITS_DEFAULT=5/min mainstay check", 78)];

/// One command of a page.
struct Found {
    page: PathBuf,
    text: String,
}

/// Everything behind a prompt in the blocks of a page, with the lines that it goes on in.
fn commands(page: &Path) -> Vec<Found> {
    let text = fs::read_to_string(page).expect("a page").replace("\\\n", " ");
    let (mut found, mut within) = (Vec::new(), false);
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(kind) => within = !within && matches!(kind, "console" | "sh" | "bash" | "shell"),
            None if !within => {}
            None => {
                let command = line.strip_prefix("$ ").or_else(|| line.strip_prefix("# "));
                found
                    .extend(command.map(|it| Found { page: page.to_owned(), text: it.to_owned() }));
            }
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn pages() -> Vec<PathBuf> {
    let root = root();
    let mut pages = vec![
        root.join("CONTRIBUTING.md"),
        root.join("README.md"),
        root.join("fuzz/README.md"),
        root.join("examples/README.md"),
        root.join("examples/from-flask/README.md"),
    ];
    let guides = fs::read_dir(root.join("docs")).expect("the guides").flatten();
    pages.extend(
        guides.map(|it| it.path()).filter(|it| it.extension().is_some_and(|it| it == "md")),
    );
    pages.sort();
    pages
}

/// A directory in which the program has the names of the guides, and the files that they speak of.
struct Desk<'a> {
    place: tempfile::TempDir,
    service: &'a Service,
}

impl Desk<'_> {
    fn of(service: &Service) -> Desk<'_> {
        let place = tempfile::tempdir().expect("a temporary directory");
        for name in NAMES {
            symlink(mainstay(), place.path().join(name)).expect("a new directory is writable");
        }
        Desk { place, service }
    }

    /// Puts everything where it was.
    fn tidy(&self) {
        let config = self.service.directory().join("mainstay.toml");
        let put = |name: &str, text: &str| {
            fs::write(self.place.path().join(name), text).expect("a file of ours");
        };
        let config = fs::read_to_string(config).expect("the service's configuration");
        put("mainstay.toml", &config);
        put("shop.toml", &config);
        put("gunicorn.conf.py", "workers = 2\ntimeout = 60\n");
        // It has a receiver in it, which doctor does not want others to read.
        for name in ["mainstay.toml", "shop.toml"] {
            let alone = fs::Permissions::from_mode(0o600);
            fs::set_permissions(self.place.path().join(name), alone).expect("a file of ours");
        }
    }

    fn run(&self, text: &str) -> Output {
        let here = self.place.path();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("sh");
        shell.args(["-e", "-c", text]).current_dir(here).env_clear();
        shell.env("PATH", format!("{}:{path}", here.display())).env("HOME", here);
        shell.stdin(Stdio::null()).output().expect("a shell")
    }
}

/// The command as it can be run: what would serve for ever is checked, with the same settings, and the addresses
/// are those of this service.
fn runnable(text: &str, service: &Service) -> String {
    let admin = service.admin.to_string();
    let text = text
        .replace("127.0.0.1:8000", &service.address.to_string())
        .replace("127.0.0.1:8001", &admin);
    let (command, _) = text.split_once(" #").unwrap_or((&text, ""));
    let command = command.trim();
    if let Some(settings) = command.strip_suffix(" serve") {
        return format!("{settings} check");
    }
    command.replace(" serve -c ", " check -c ").replace("./shop --", "shop check --")
}

#[test]
fn every_command_of_the_guides_is_run_or_has_a_reason_not_to_be() {
    let _together = together();
    if find("curl").is_none() {
        return missing("curl");
    }
    let hook = Hook::start();
    let receivers =
        format!("alerts.receivers = \"ops={}\"\nalerts.state = \"{{dir}}/alerts\"", hook.url());
    let config = format!(
        "workers.count = 2\ndatabase.url = \"sqlite:{{dir}}/site.db\"\n{receivers}\n\
                          limits.routes = [\"POST /login: 5/minute\"]\nbans.limits = \"20 per 10 minute\"\nproxy.trusted = \"10.0.0.0/8\""
    );
    let service = Launch::new(mainstay()).directory("alerts").config(&config).start().ready(START);
    service.control_ok(&["user", "add", "alice"]);
    // The history of the guides has begun: its first ten seconds are over.
    let begun = poll(START, || {
        let answer = service.get_admin("/history").ok()?;
        answer.text().contains("request_seconds").then_some(())
    });
    assert!(begun.is_some(), "no history:\n{}", service.log());
    let desk = Desk::of(&service);
    let mut unused: BTreeMap<_, _> = ELSEWHERE.iter().copied().collect();
    let (mut ran, mut left, mut wrong) = (0, 0, Vec::new());
    // For whoever tries the guides as somebody new would, see .ci/new-user.
    let each = std::env::var_os("E2E_STEPS").is_some();
    for page in pages() {
        desk.tidy();
        let mut took = Vec::new();
        for Found { page, text } in commands(&page) {
            // guides.rs has whole sets of variables checked.
            if text.starts_with("export ") {
                continue;
            }
            if let Some((begin, _)) = ELSEWHERE.iter().find(|(begin, _)| text.starts_with(begin)) {
                unused.remove(begin);
                left += 1;
                continue;
            }
            let wanted =
                CODES.iter().find(|(begin, _)| text.starts_with(begin)).map_or(0, |it| it.1);
            let begun = Instant::now();
            let output = desk.run(&runnable(&text, &service));
            took.push((text.clone(), begun.elapsed()));
            if output.status.code() != Some(wanted) {
                let said = [output.stdout, output.stderr].concat();
                wrong.push(format!(
                    "{}: {text}: {}\n{}",
                    page.display(),
                    output.status,
                    String::from_utf8_lossy(&said)
                ));
            }
        }
        ran += took.len();
        if each && !took.is_empty() {
            let name = page.strip_prefix(root()).unwrap_or(&page).display();
            let all: Duration = took.iter().map(|it| it.1).sum();
            say(format_args!("{name}: {} commands in {all:.1?}", took.len()));
            took.iter().for_each(|(text, took)| say(format_args!("{took:>12.1?} {text}")));
        }
    }
    say(format_args!("{ran} commands of the guides were run, {left} have a reason not to be"));
    assert!(wrong.is_empty(), "{} of {ran} failed:\n{}", wrong.len(), wrong.join("\n"));
    assert!(unused.is_empty(), "no guide has these any more: {unused:#?}");
    assert!(ran >= 45, "the guides have them: {ran}");
}

#[test]
fn readme_tells_of_every_command_that_help_lists() {
    let _together = together();
    let output = Command::new(mainstay()).arg("--help").stdin(Stdio::null()).output();
    let help = output.expect("the program can be started").stdout;
    let help = String::from_utf8(help).expect("text");
    let (_, commands) = help.split_once("\nCommands:\n").expect("a list of commands");
    let rows = commands.lines().take_while(|it| !it.is_empty());
    let names: Vec<_> = rows.filter_map(|it| it.split_whitespace().next()).collect();
    assert!(names.len() > 20, "{help}");
    let readme = fs::read_to_string(root().join("README.md")).expect("README");
    let (_, table) = readme.split_once("\n## Operate it\n").expect("its table");
    let (table, _) = table.split_once("\n## ").expect("what follows");
    let told = |name: &str| ['`', ' '].iter().any(|end| table.contains(&format!("`{name}{end}")));
    let untold: Vec<_> = names.into_iter().filter(|name| !told(name)).collect();
    assert_eq!(untold, [""; 0]);
}
