//! The places where logs go: files that are rotated, removed and fill their disk, pipes that nobody
//! reads, and writers that are killed. The lines are counted against the requests.

use crate::support::*;
use e2e::harness::{Launch, Service, is_alive, poll, poll_every};
use rustix::process::{Signal, kill_process};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The access log in a directory of its own; each line names its request.
const CONFIG: &str = "workers.count = 2\nlog.access = \"{dir}/logs/access.log\"\n\
                      log.access_format = \"id %(id)s %(s)s end\"";

/// A ready fixture that logs into its directory `logs`.
fn logging(config: &str) -> (Service, PathBuf) {
    let service = Launch::new(fixture()).directory("logs").config(config).start().ready(START);
    let logs = service.directory().join("logs");
    (service, logs)
}

/// Lines of a log by their text.
#[derive(Debug, Default)]
struct Lines {
    times: BTreeMap<String, usize>,
    torn: Vec<String>,
}

impl Lines {
    /// Those of all files of a directory and of those below it.
    fn of(directory: &Path) -> Lines {
        let mut lines = Lines::default();
        lines.read(directory);
        lines
    }

    fn read(&mut self, path: &Path) {
        if let Ok(entries) = fs::read_dir(path) {
            return entries.flatten().for_each(|entry| self.read(&entry.path()));
        }
        let text = fs::read(path).unwrap_or_default();
        self.add(&String::from_utf8_lossy(&text));
    }

    fn add(&mut self, text: &str) {
        for line in text.split_inclusive('\n') {
            if line.starts_with("id ") && line.ends_with(" end\n") {
                *self.times.entry(line.to_owned()).or_default() += 1;
            } else {
                self.torn.push(line.to_owned());
            }
        }
    }

    fn count(&self) -> u64 {
        self.times.values().sum::<usize>() as u64
    }

    fn twice(&self) -> usize {
        self.times.values().filter(|times| **times > 1).count()
    }
}

/// Waits until the lines are as many as the requests, and holds both sides' books together.
fn assert_all_written(service: &Service, logs: &Path, title: &str) {
    let mut last = (0, 0, 0);
    let all = poll_every(Duration::from_millis(200), START, || {
        let status = service.status();
        let dropped = status.counter("access_lines_dropped");
        last = (status.counter("http_requests"), Lines::of(logs).count(), dropped);
        // The first status is older than the lines, and a line is counted when it is written.
        let counted = || service.status().counter("access_lines_written") == last.1;
        (last.0 == last.1 + last.2 && counted()).then_some(())
    });
    let (requests, count, dropped) = last;
    let lines = Lines::of(logs);
    say(format_args!("{title}: {requests} requests, {count} lines, {dropped} dropped"));
    let status = service.status();
    assert!(all.is_some(), "{title}: {requests} requests, {count} lines; {status:#?}");
    assert_eq!((lines.twice(), lines.torn.len()), (0, 0), "{title}: {:?}", lines.torn.first());
    assert_eq!(dropped, 0, "{title}: lines that found no room");
}

fn process(service: &Service) -> rustix::process::Pid {
    let is_there = |s: &e2e::harness::Status| s.watch().is_some_and(is_alive);
    service.wait_status("a watch process", START, is_there).watch().expect("just waited for")
}

#[test]
fn log_to_stdout_false_writes_a_file_in_the_directory_of_the_start() {
    let _together = together();
    let launch = Launch::new(fixture()).env("LOG_TO_STDOUT", "false").config("workers.count = 1");
    let service = launch.start().ready(START);
    let path = service.directory().join("app.log");
    let written = || {
        let text = fs::read_to_string(&path).unwrap_or_default();
        text.contains("Worker ready").then_some(text)
    };
    let text = poll(START, written).expect("the file has the line");
    for line in text.lines() {
        let parts: Vec<_> = line.splitn(4, " - ").collect();
        assert_eq!(parts.get(1..3), Some(&["mainstay.error", "INFO"][..]), "{line}");
    }
    assert_eq!(service.log(), "", "nothing is left for standard error");
    use std::os::unix::fs::MetadataExt;
    let mode = fs::metadata(&path).expect("just read").mode() & 0o777;
    assert_eq!(mode & 0o027, 0, "{mode:o}: nobody else may read it, nor the group write");
}

#[test]
fn a_file_that_cannot_be_written_is_refused_before_anything_is_done() {
    let _together = together();
    let bad = "workers.count = 1\nlog.error = \"{dir}/missing/app.log\"";
    let mut failed = Launch::new(fixture()).config(bad).start();
    assert_eq!(failed.wait_exit(START).code(), Some(78), "{}", failed.log());
    let told = failed.log();
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains("mainstay.toml:") && told.contains("log.error ="), "{told}");
    assert!(told.contains("No such file or directory"), "{told}");

    let good = "workers.count = 1\nlog.error = \"{dir}/app.log\"";
    let service = Launch::new(fixture()).config(good).start().ready(START);
    let before = service.wait_workers(1, START);
    service.configure(bad);
    let output = service.control(&["reload", "--wait"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let reason = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(reason.contains("log.error"), "{reason}");
    let check = service.control(&["check"]);
    assert_eq!(check.status.code(), Some(78), "{check:?}");
    assert_eq!(service.wait_workers(1, START).pids(), before.pids());
    assert_eq!(service.get("/").map(|answer| answer.status), Ok(200));
}

#[test]
fn a_hundred_rotations_under_load_lose_no_line_and_tear_none() {
    let _alone = alone();
    let (service, logs) = logging(CONFIG);
    let path = logs.join("access.log");
    let load = usual_load(&service).start();
    let there = |path: &Path| poll(START, || path.exists().then_some(())).is_some();
    for round in 0..100 {
        assert!(there(&path), "no file before round {round}\n{}", service.log());
        match round % 25 {
            // As logrotate does without a script: noticed within a second.
            7 | 16 => fs::rename(&path, logs.join(format!("alone.{round}"))).expect("a rename"),
            // The directory is gone for a while; what is in it is written to meanwhile.
            20 => {
                let away = logs.with_extension(format!("{round}"));
                fs::rename(&logs, &away).expect("a rename");
                load.run_for(Duration::from_millis(300));
                fs::create_dir(&logs).expect("a new directory");
                fs::rename(&away, logs.join(format!("moved.{round}"))).expect("a rename");
            }
            _ => {
                fs::rename(&path, logs.join(format!("signal.{round}"))).expect("a rename");
                service.signal(Signal::USR1);
            }
        }
        load.run_for(Duration::from_millis(20));
    }
    assert!(there(&path), "no file after the last round");
    let report = load.stop();
    assert_nothing_lost("100 rotations", &report, &service);
    assert_all_written(&service, &logs, "100 rotations");
}

#[test]
fn lines_wait_while_their_directory_is_removed_and_come_when_it_is_back() {
    let _together = together();
    let (service, logs) = logging(CONFIG);
    service.get("/before").expect("an answer");
    assert!(poll(START, || (Lines::of(&logs).count() > 0).then_some(())).is_some());
    // The start's own probes have their lines by now, which are removed with the file.
    assert_all_written(&service, &logs, "before");
    let before = service.status().counter("http_requests");
    fs::remove_dir_all(&logs).expect("our own directory");
    for _ in 0..50 {
        service.get("/meanwhile").expect("served without a log");
    }
    service.wait_log(&["The access log cannot be written: No such file or directory"], START);
    fs::create_dir(&logs).expect("the directory again");
    service.wait_log(&["The access log is written again after", "; 0 lines were dropped"], START);
    let written = || (Lines::of(&logs).count() == 50).then_some(());
    assert!(poll(START, written).is_some(), "{} lines", Lines::of(&logs).count());
    let status = service.status();
    assert_eq!(status.counter("access_lines_written"), before + 50);
}

#[test]
fn a_pipe_that_is_read_again_gets_the_rest_and_how_many_lines_it_lost() {
    let _together = together();
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    // The smallest rings there are.
    let config = "workers.count = 1\nlog.buffer = \"64 KiB\"\n\
                  log.access_format = \"id %(id)s %(s)s end\"";
    let launch = Launch::new(fixture()).config(config).stdout(writer);
    let mut service = launch.start().ready(START);
    for _ in 0..4_000 {
        assert_eq!(service.get("/").map(|answer| answer.status), Ok(200));
    }
    service.wait_log(&["The access log cannot be written: nobody reads it"], START);
    let status = service.status();
    let dropped = status.counter("access_lines_dropped");
    assert!(dropped > 0, "the pipe and the ring held everything");
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    service.wait_log(&["The access log is written again after"], START);
    service.wait_log(&[&format!("{dropped} log lines of pid"), "(access log)"], START);
    say(format_args!("a pipe that nobody read: {dropped} lines dropped and told"));
    let requests = service.status().counter("http_requests");
    service.signal(Signal::TERM);
    assert_eq!(service.wait_exit(START).code(), Some(0));
    let mut lines = Lines::default();
    lines.add(&reading.join().expect("a reader").expect("text"));
    assert_eq!((lines.torn.len(), lines.twice()), (0, 0), "{:?}", lines.torn);
    assert_eq!(lines.count() + dropped, requests);
}

#[test]
fn a_full_disk_loses_nothing_unsaid_and_tears_nothing() {
    let _together = together();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let logs = directory.path().to_owned();
    let Some(disk) = Disk::mount(&logs, "16m") else { return };
    let service = service(&CONFIG.replace("{dir}/logs", &logs.display().to_string()));
    // Little room at first, and then enough for the rest of the load.
    let filler = vec![b'x'; (16 << 20) - (96 << 10)];
    fs::write(logs.join("filler"), filler).expect("room for the filler");
    let load = usual_load(&service).start();
    service.wait_log(&["The access log cannot be written: No space left on device"], START);
    load.run_for(Duration::from_millis(500));
    fs::remove_file(logs.join("filler")).expect("our own file");
    service.wait_log(&["The access log is written again after"], START);
    // The next file is on a disk with room.
    let report = load.stop();
    assert_nothing_lost("a full disk", &report, &service);
    assert_all_written(&service, &logs, "a full disk");
    drop(service);
    drop(disk);
}

#[test]
fn a_watch_killed_twenty_times_under_load_loses_no_line_and_writes_none_twice() {
    let _alone = alone();
    // It is started again more slowly each time, so that twenty deaths of one take minutes.
    for first in [0, 7, 14] {
        let (service, logs) = logging(&format!("{CONFIG}\nlog.error = \"app.log\""));
        kill_watch(&service, &logs, 7, first);
    }
}

/// Kills watch so often, each time elsewhere within its rounds of 5 ms.
fn kill_watch(service: &Service, logs: &Path, times: u64, first: u64) {
    let load = usual_load(service).start();
    for round in first..first + times {
        let watch = process(service);
        load.run_for(Duration::from_micros(20_000 + round * 1_700));
        kill_process(watch, Signal::KILL).expect("the watch process of the status");
        let fresh = |s: &e2e::harness::Status| s.watch().is_some_and(|now| now != watch);
        service.wait_status("another watch process", START, fresh);
    }
    let report = load.stop();
    assert_nothing_lost("watch killed", &report, service);
    assert_all_written(service, logs, "watch killed");
    let path = service.directory().join("app.log");
    let deaths = || {
        let text = fs::read_to_string(&path).unwrap_or_default();
        (text.matches("Watch (pid:").count() as u64 == times).then_some(())
    };
    assert!(poll(START, deaths).is_some(), "each death is told once: {}", service.log());
    let counted = || {
        let counted = service.status().counter("error_lines_written");
        let text = fs::read_to_string(&path).unwrap_or_default();
        (counted == text.lines().count() as u64).then_some(())
    };
    assert!(poll(START, counted).is_some(), "lines of the error log are counted");
}

#[test]
fn a_reload_takes_the_logs_to_their_new_places_with_every_line() {
    let _together = together();
    let (service, logs) = logging(CONFIG);
    let load = usual_load(&service).start();
    for round in 0..3 {
        let name = format!("access.{round}");
        let before = process(&service);
        service.configure(&CONFIG.replace("access.log", &name));
        service.control_ok(&["reload", "--wait"]);
        let fresh = |s: &e2e::harness::Status| s.watch().is_some_and(|now| now != before);
        service.wait_status("another watch process", START, fresh);
        let there = || logs.join(&name).exists().then_some(());
        assert!(poll(START, there).is_some(), "no {name}:\n{}", service.log());
    }
    assert!(service.log_lines(&["Watch (pid:"]).is_empty(), "none of them has died");
    let report = load.stop();
    assert_nothing_lost("reloads onto other files", &report, &service);
    assert_all_written(&service, &logs, "reloads onto other files");
}
