//! What is told of an incident over everything that may come between its two ends, and how long it takes as things are
//! by default.

use crate::alerts::{LONG, what};
use crate::support::*;
use e2e::harness::{Launch, Service, descendants, is_alive, poll, poll_every};
use e2e::peers::{Hook, Message, Postgres};
use rustix::process::{Signal, kill_process};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// What is told of a watch that dies again and again.
const WATCH_DIES: &str = "watch_crash_loop";
/// Where what is left to tell of it stands.
const LEFT: &str = "watch_crash_loop.json";
const ZONE: &str = "Europe/Berlin";

fn of_watch(messages: Vec<Message>) -> Vec<Message> {
    messages.into_iter().filter(|it| it.what().ends_with(WATCH_DIES)).collect()
}

/// Waits until so many messages about watch have come, each once.
fn wait_told(hook: &Hook, service: &Service, count: usize) -> Vec<Message> {
    let told = || of_watch(hook.taken());
    let found = poll(LONG, || Some(told()).filter(|it| it.len() >= count));
    let found = found.unwrap_or_else(|| panic!("{:?}\n{}", what(&told()), service.log()));
    assert_eq!(found.len(), count, "{:?}\n{}", what(&found), service.log());
    found
}

/// Waits until there is nothing left to tell.
fn wait_nothing_left(service: &Service, state: &Path) {
    let gone = poll(LONG, || (!state.join(LEFT).exists()).then_some(()));
    assert!(gone.is_some(), "{}", service.log());
}

/// Kills watch as soon as there is another one, so often that it is a loop.
fn kill_in_a_row(service: &Service) {
    let mut last = None;
    for _ in 0..3 {
        let next = poll(START, || service.status().watch().filter(|it| last != Some(*it)));
        let watch = next.unwrap_or_else(|| panic!("no watch\n{}", service.log()));
        kill_process(watch, Signal::KILL).expect("it lives");
        last = Some(watch);
    }
}

#[test]
fn the_end_of_a_loop_of_watch_is_told_once_over_an_upgrade_and_over_a_stop_of_the_service() {
    let _together = together();
    let hook = Hook::start();
    let state = tempfile::tempdir().expect("a temporary directory");
    let config = format!(
        "workers.count = 1\nalerts.state = {:?}\nalerts.receivers = \"ops={}\"",
        state.path(),
        hook.url()
    );
    let start = || Launch::new(hello()).config(&config).start().ready(START);
    let mut service = start();
    kill_in_a_row(&service);
    wait_told(&hook, &service, 1);
    service.signal(Signal::USR2);
    service.wait_log(&["took over in place"], START);
    wait_told(&hook, &service, 2);
    // Whoever tells the end has heard that it was taken.
    wait_nothing_left(&service, state.path());
    // The next one is ended by another service.
    kill_in_a_row(&service);
    wait_told(&hook, &service, 3);
    service.signal(Signal::TERM);
    assert_eq!(service.wait_exit(START).code(), Some(0), "{}", service.log());
    assert!(state.path().join(LEFT).exists(), "it is written down");
    let mut service = start();
    wait_told(&hook, &service, 4);
    wait_nothing_left(&service, state.path());
    service.signal(Signal::TERM);
    service.wait_exit(START);
    let all = wait_told(&hook, &service, 4);
    for (pair, of) in all.chunks(2).zip(["an upgrade", "a stop"]) {
        let words = [format!("firing {WATCH_DIES}"), format!("resolved {WATCH_DIES}")];
        assert_eq!(what(pair), words, "over {of}");
        let [one, two] = [&pair[0], &pair[1]].map(|it| it.body["alerts"][0]["startsAt"].clone());
        assert_eq!(one, two, "both ends of one incident, over {of}");
    }
}

#[test]
fn a_loop_of_watch_that_begins_while_the_end_of_another_is_told_is_told_behind_it() {
    let _together = together();
    let hook = Hook::start();
    let config = format!(
        "workers.count = 1\nalerts.state = \"{{dir}}/alerts\"\nalerts.receivers = \"ops={}\"",
        hook.url()
    );
    let service = Launch::new(hello()).config(&config).start().ready(START);
    kill_in_a_row(&service);
    wait_told(&hook, &service, 1);
    hook.hold(true);
    wait_told(&hook, &service, 2);
    kill_in_a_row(&service);
    let loops = || service.log_lines(&["3 times in a row"]).len();
    assert!(poll(START, || (loops() == 2).then_some(())).is_some(), "{}", service.log());
    hook.hold(false);
    // An attempt that was kept for too long is made again.
    let told = || Some(of_watch(hook.unique())).filter(|it| it.len() >= 3);
    let all = poll(LONG, told).unwrap_or_else(|| panic!("{}", service.log()));
    assert_eq!(what(&all), ["firing", "resolved", "firing"].map(|it| format!("{it} {WATCH_DIES}")));
    let [one, two, three] =
        [0, 1, 2].map(|it: usize| all[it].body["alerts"][0]["startsAt"].clone());
    assert!(one == two && two != three, "{one} {two} {three}");
}

/// When a line was written, within its day, to the second.
fn written(line: &str) -> Duration {
    let time = line.split(' ').nth(1).unwrap_or_default();
    let parts: Vec<u64> = time.split(':').filter_map(|it| it.parse().ok()).collect();
    let [hours, minutes, seconds] = parts[..] else { panic!("no time in {line}") };
    Duration::from_secs(hours * 3_600 + minutes * 60 + seconds)
}

/// The last wait for another watch that the log tells of, and how long it was until there was one.
fn last_wait(service: &Service) -> Option<(Duration, Duration)> {
    let lines = service.log_lines(&["watch"]);
    let died = lines
        .iter()
        .rposition(|line| line.contains("; next start in ") && line.contains("(pid:"))?;
    let (_, wait) = lines[died].split_once("; next start in ")?;
    let (count, unit) = wait.split_once(' ')?;
    let unit = if unit.starts_with("ms") { 1_000.0 } else { 1.0 };
    let booted = lines[died..].iter().find(|line| line.contains("Booting watch"))?;
    let [died, booted] = [&lines[died], booted].map(|it| written(it));
    let day = Duration::from_secs(86_400);
    let took = booted.checked_sub(died).unwrap_or_else(|| booted + day - died);
    Some((Duration::from_secs_f64(count.parse::<f64>().ok()? / unit), took))
}

#[test]
fn a_watch_that_waits_for_its_next_start_has_it_at_once_by_a_reload() {
    let _together = together();
    let service = service("workers.count = 1");
    // On a busy machine a wait may be over before the reload: then there is nothing to see, and another one is tried.
    for told in 1..=3 {
        // The wait grows by half with each death: so long that nobody mistakes it for a reload.
        let end = Instant::now() + LONG;
        while service.log_lines(&["12 times in a row"]).len() < told {
            assert!(Instant::now() < end, "{}", service.log());
            if let Some(watch) =
                poll_every(Duration::from_millis(5), START, || service.status().watch())
            {
                // One that has gone by itself was not killed.
                kill_process(watch, Signal::KILL).ok();
            }
        }
        service.control_ok(&["reload", "--wait"]);
        service.wait_status("a watch", START, |it| it.watch().is_some());
        let (wait, took) = poll(START, || last_wait(&service)).expect("it has died, and lives");
        say(format_args!("a watch after {took:?} by a reload; without one the wait was {wait:?}"));
        assert!(wait > Duration::from_secs(8), "{wait:?}");
        if took < wait.mul_f64(0.8) {
            return;
        }
    }
    panic!("no reload brings a watch\n{}", service.log());
}

#[test]
fn a_zone_that_goes_missing_ends_nobody_and_a_reload_keeps_what_was() {
    let _together = together();
    let Ok(berlin) = fs::read(Path::new("/usr/share/zoneinfo").join(ZONE)) else { return };
    let zones = tempfile::tempdir().expect("a temporary directory");
    let file = zones.path().join(ZONE);
    fs::create_dir_all(file.parent().expect("a directory")).expect("ours");
    fs::write(&file, &berlin).expect("ours");
    // A directory without any zone would be none, and another one be looked for.
    fs::write(zones.path().join("Another"), &berlin).expect("ours");
    let config =
        format!("workers.count = 1\nalerts.maintenance = \"night=daily 02:00-04:00 {ZONE}\"");
    let launch = Launch::new(hello()).config(&config);
    let launch = launch.env("TZDIR", zones.path().to_str().expect("a path of ours is UTF-8"));
    let service = launch.start().ready(START);
    let generation = service.wait_workers(1, START).generation;
    for (damage, text) in [("missing", None), ("damaged", Some("TZif3"))] {
        match text {
            None => fs::remove_file(&file).expect("it is there"),
            Some(text) => fs::write(&file, text).expect("ours"),
        }
        let old = service.status().pids();
        kill_a_worker(&service);
        service.wait_status("another worker", START, |it| {
            it.ready() == 1 && it.pids().iter().all(|pid| !old.contains(pid))
        });
        let missed =
            || service.log_lines(&[&format!("No zone {ZONE} is known here any more")]).len();
        let before = missed();
        kill_watch(&service);
        let told = poll(START, || (missed() > before).then_some(()));
        assert!(told.is_some(), "a zone is {damage}, and nobody says so\n{}", service.log());
        let refused = service.control(&["reload", "--wait"]);
        assert!(!refused.status.success(), "a zone is {damage}, and the reload succeeds");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains("no such zone is known here"), "{said}");
        assert_eq!(service.status().generation, generation);
        assert_eq!(service.get("/").map(|it| it.status), Ok(200), "a zone is {damage}");
    }
    fs::write(&file, &berlin).expect("ours");
    service.control_ok(&["reload", "--wait"]);
    assert!(service.status().generation > generation);
}

#[test]
fn from_a_stopped_database_to_the_message_with_everything_as_it_is_by_default() {
    let _alone = alone();
    let Some(mut postgres) = Postgres::start(20) else { return };
    let hook = Hook::start();
    let config = format!(
        "workers.count = 2\nalerts.state = \"{{dir}}/alerts\"\nalerts.receivers = \"ops={}\"",
        hook.url()
    );
    let service = Launch::new(Path::new(env!("CARGO_BIN_EXE_database")))
        .config(&config)
        .env("DATABASE_URL", &postgres.url())
        .start()
        .ready(START);
    service.wait_workers(2, START);
    assert_eq!(what(&hook.taken()), [""; 0]);
    let often = Duration::from_millis(20);
    postgres.stop();
    let begun = Instant::now();
    // Nobody asks for readiness: whoever does has the checks made anew.
    let found = ["Check database fails"];
    let unready = poll_every(often, LONG, || {
        (!service.log_lines(&found).is_empty()).then(|| begun.elapsed())
    });
    let unready = unready.unwrap_or_else(|| panic!("it is ready\n{}", service.log()));
    let told = poll_every(often, LONG, || (!hook.taken().is_empty()).then(|| begun.elapsed()));
    let told = told.unwrap_or_else(|| panic!("nobody is told\n{}", service.log()));
    assert_eq!(what(&hook.taken()), ["firing not_ready"], "and nothing else");
    say(format_args!(
        "from a stopped database to the message: {:.1} s, of them {:.1} s until the check had failed",
        told.as_secs_f64(),
        unready.as_secs_f64()
    ));
    // A check each 5 s and then each second until two have failed, three looks 10 s apart, no wait for others.
    assert!(unready < Duration::from_secs(10), "{unready:?}");
    let looks = told.saturating_sub(unready);
    assert!((Duration::from_secs(19)..Duration::from_secs(34)).contains(&looks), "{looks:?}");
}

/// Waits until watch has looked, and has written down where.
fn wait_looked(service: &Service, state: &Path, before: u64) -> u64 {
    let run = || {
        let text = fs::read(state.join("alerts.json")).ok()?;
        let kept: serde_json::Value = serde_json::from_slice(&text).ok()?;
        kept["place"]["run"].as_u64().filter(|it| *it > before)
    };
    poll(START, run).unwrap_or_else(|| panic!("nobody has looked\n{}", service.log()))
}

#[test]
fn a_service_that_was_killed_says_how_long_nobody_looked_and_one_that_was_ended_does_not() {
    let _together = together();
    for (signal, is_told) in [(Signal::KILL, true), (Signal::TERM, false)] {
        let hook = Hook::start();
        let state = tempfile::tempdir().expect("a temporary directory");
        let config = format!(
            "workers.count = 1\nalerts.interval = \"200ms\"\nalerts.state = {:?}\n\
             alerts.receivers = \"ops={}\"",
            state.path(),
            hook.url()
        );
        let start = || Launch::new(hello()).config(&config).start().ready(START);
        let mut service = start();
        let run = wait_looked(&service, state.path(), 0);
        let all = descendants(service.pid());
        service.signal(signal);
        service.wait_exit(START);
        let gone = poll(START, || all.iter().all(|it| !is_alive(*it)).then_some(()));
        assert!(gone.is_some(), "its processes go with it");
        let service = start();
        wait_looked(&service, state.path(), run);
        if is_told {
            let told = || hook.taken().iter().any(|it| it.what() == "firing monitoring_gap");
            assert!(poll(LONG, || told().then_some(())).is_some(), "{}", service.log());
            service.wait_log(&["Alert rules were not evaluated for"], START);
        } else {
            assert!(!service.log().contains("were not evaluated"), "{}", service.log());
            assert_eq!(what(&hook.taken()), [""; 0]);
        }
    }
}
