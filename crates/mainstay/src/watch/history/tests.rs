//! The store with its file: what it keeps, what it lets go, and what it does with a file that is of no use.

use super::file::{self, FILE};
use super::intake::Happening;
use super::read::Question;
use super::recorder::{Message, Recorder, put};
use super::roll::{Bucket, Kind, STEP};
use super::store::{Batch, Store};
use super::totals::Totals;
use crate::clock;
use crate::log::Log;
use crate::metrics::names;
use mainstay_os::segment::{Layout, Segment};
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use tempfile::{TempDir, tempdir};

const BEGIN: i64 = 1_800_000_000;
const MIB: u64 = 1 << 20;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

fn run<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what)
}

fn batch(at: i64, names: &[&str]) -> Batch {
    let mut bucket = Bucket::default();
    bucket.add_time(0.25, false);
    let parts = names.iter().map(|it| ((*it).to_owned(), Kind::Metric, bucket.clone())).collect();
    Batch { at, end: at + STEP, parts, happenings: Vec::new() }
}

async fn open(directory: &TempDir) -> (Store, Option<String>) {
    Store::open(directory.path(), 64 * MIB).await.unwrap()
}

/// Counts of all buckets of a level.
async fn counts(store: &mut Store, name: &str, width: i64) -> Vec<(i64, u64)> {
    let (id, _) = store.series[name];
    let found = store.buckets(id, width, (0, i64::MAX)).await.unwrap();
    found.into_iter().map(|(at, bucket)| (at, bucket.n)).collect()
}

#[test]
fn what_was_written_is_there_after_a_kill_and_the_open_minute_goes_on() {
    run(async {
        let directory = tempdir().unwrap();
        let (mut store, _) = open(&directory).await;
        for step in 0..3 {
            let (lost, written) = store.take(batch(BEGIN + step * STEP, &["a"]), None).await;
            assert!(lost == 0 && written.is_ok(), "{written:?}");
        }
        // As after kill -9: nothing of it is tidied up.
        let copy = tempdir().unwrap();
        for name in [FILE, "history.db-wal"] {
            fs::copy(directory.path().join(name), copy.path().join(name)).unwrap();
        }
        let (mut again, forgotten) = open(&copy).await;
        assert_eq!(forgotten, None);
        assert!(!copy.path().join("history.db-shm").exists(), "nobody shares it");
        again.take(batch(BEGIN + 3 * STEP, &["a"]), None).await.1.unwrap();
        assert_eq!(counts(&mut again, "a", 60).await, [(BEGIN, 4)]);
        assert_eq!(counts(&mut again, "a", STEP).await.len(), 4);
        again.close().await.unwrap();
        assert!(!copy.path().join("history.db-wal").exists(), "the log is gone with the end");
        let mode = fs::metadata(copy.path().join(FILE)).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
    });
}

#[test]
fn requests_are_counted_once_over_the_deaths_of_watch() {
    let totals = |requests| Totals {
        birth: BEGIN as u64 * 1_000_000_000,
        requests,
        bins: vec![requests],
        ..Totals::default()
    };
    run(async {
        let directory = tempdir().unwrap();
        let mut expected = 0;
        for life in 1..4_i64 {
            let (mut store, _) = open(&directory).await;
            for step in 0..3 {
                expected += 7;
                let at = BEGIN + (life - 1) * 100 + step * STEP;
                let batch = Batch { at, end: at + STEP, ..Batch::default() };
                let (_, written, next) = put(store, batch, totals(expected)).await;
                written.unwrap();
                store = next;
            }
            let all = counts(&mut store, "requests", STEP).await;
            assert_eq!(all.iter().map(|(_, n)| n).sum::<u64>(), expected);
            store.close().await.unwrap();
        }
    });
}

/// A recorder of a directory at work: what it is told, and what it tells.
fn recorder(directory: &Path) -> (SyncSender<Message>, Log, JoinHandle<()>) {
    let layout = Layout { slots: 3, ring_bytes: [4_096; 3], ..Layout::small(names::CELLS) };
    let log = Log::new(Segment::on_heap(layout), 0);
    let (door, told) = sync_channel(64);
    let recorder = Recorder {
        log: log.clone(),
        directory: Some(directory.to_owned()),
        most: 64 * MIB,
        is_told: false,
        failures: 0,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    (door, log, thread::spawn(move || recorder.run(&told, &runtime)))
}

/// What no clock shows, and what overflows where tests are checked for that.
fn absurd() -> Message {
    let batch = Batch { at: i64::MAX, end: i64::MAX, ..batch(BEGIN, &["a"]) };
    Message::Batch(Box::new((batch, Totals::default())))
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "the fault is an overflow, for which nobody looks here")]
fn a_fault_of_the_thread_that_writes_is_told_and_it_goes_on_where_the_file_ends() {
    let directory = tempdir().unwrap();
    let (door, log, thread) = recorder(directory.path());
    let write = |step| {
        let batch = batch(BEGIN + step * STEP, &["a"]);
        door.send(Message::Batch(Box::new((batch, Totals::default())))).unwrap();
    };
    write(0);
    door.send(absurd()).unwrap();
    write(1);
    // As often as it is a batch between them.
    for step in 2..12 {
        door.send(absurd()).unwrap();
        write(step);
    }
    door.send(Message::End).unwrap();
    thread.join().unwrap();
    let told = |name| log.segment().total(names::event_cell_of(name).unwrap());
    assert_eq!((told("history.failed"), told("history.unsaved")), (11, 0));
    run(async {
        let (mut store, forgotten) = open(&directory).await;
        assert_eq!(forgotten, None);
        assert_eq!(counts(&mut store, "a", 60).await, [(BEGIN, 6), (BEGIN + 60, 6)]);
    });
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "the fault is an overflow, for which nobody looks here")]
fn a_thread_that_does_nothing_but_fail_is_given_up() {
    let directory = tempdir().unwrap();
    let (door, log, thread) = recorder(directory.path());
    for _ in 0..5 {
        door.send(absurd()).unwrap();
    }
    thread.join().unwrap();
    assert!(door.send(Message::End).is_err(), "who hands over something is told that it is lost");
    assert_eq!(log.segment().total(names::event_cell_of("history.failed").unwrap()), 5);
}

fn spoil(path: &Path, how: &str) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    match how {
        "garbage" => fs::write(path, "This is no database. ".repeat(1_000)).unwrap(),
        "truncated" => file.set_len(file.metadata().unwrap().len() / 2).unwrap(),
        "torn" => file.set_len(5_000).unwrap(),
        _ => std::os::unix::fs::FileExt::write_all_at(&file, &[0x5a; 4096], 8 * 4096).unwrap(),
    }
}

#[test]
fn a_file_that_is_of_no_use_is_put_aside_and_a_fresh_one_begun() {
    run(async {
        for how in ["garbage", "truncated", "torn", "overwritten"] {
            let directory = tempdir().unwrap();
            let (mut store, _) = open(&directory).await;
            let names: Vec<_> = (0..40).map(|it| format!("series-{it}")).collect();
            let names: Vec<_> = names.iter().map(|it| &**it).collect();
            for step in 0..20 {
                store.take(batch(BEGIN + step * STEP, &names), None).await.1.unwrap();
            }
            store.close().await.unwrap();
            let path = directory.path().join(FILE);
            spoil(&path, how);
            let spoilt = fs::metadata(&path).unwrap().len();
            let (mut store, forgotten) = open(&directory).await;
            assert!(forgotten.is_some_and(|it| !it.is_empty()), "{how}");
            // Opening it may have counted in its head.
            let kept = fs::metadata(directory.path().join("history.db.bad")).unwrap().len();
            assert_eq!(kept, spoilt, "{how}");
            store.take(batch(BEGIN, &["a"]), None).await.1.unwrap();
            assert_eq!(store.series.len(), 1);
            store.close().await.unwrap();
        }
    });
}

#[test]
fn a_file_of_somebody_else_is_put_aside_and_one_that_another_process_has_is_left_alone() {
    run(async {
        let directory = tempdir().unwrap();
        let (store, _) = open(&directory).await;
        let taken = Store::open(directory.path(), 64 * MIB).await.unwrap_err();
        assert!(!file::is_damaged(&taken), "{taken}");
        store.close().await.unwrap();
        let path = directory.path().join(FILE);
        let mut bytes = fs::read(&path).unwrap();
        bytes[68..72].copy_from_slice(b"else");
        fs::write(&path, bytes).unwrap();
        let (_, forgotten) = open(&directory).await;
        assert!(forgotten.unwrap().contains("no history of this version"));
    });
}

#[test]
fn a_directory_that_cannot_be_used_is_an_error_and_not_a_damage() {
    run(async {
        let directory = tempdir().unwrap();
        let file = directory.path().join("a file");
        fs::write(&file, "").unwrap();
        let error = Store::open(&file.join("below"), 64 * MIB).await.unwrap_err();
        assert!(!file::is_damaged(&error), "{error}");
        let mut store = Store::in_memory(64 * MIB).await.unwrap();
        store.take(batch(BEGIN, &["a"]), None).await.1.unwrap();
        assert_eq!(counts(&mut store, "a", STEP).await, [(BEGIN, 1)]);
    });
}

fn size(directory: &Path) -> u64 {
    let files = fs::read_dir(directory).unwrap().map(|it| it.unwrap().metadata().unwrap().len());
    files.sum()
}

#[test]
fn the_cap_is_never_exceeded_and_the_finest_goes_first() {
    run(async {
        let directory = tempdir().unwrap();
        let most = MIB * 3 / 2;
        let (mut store, _) = Store::open(directory.path(), most).await.unwrap();
        let names: Vec<_> = (0..12).map(|it| format!("series-{it}")).collect();
        let mut wide = Bucket::default();
        (0..60).for_each(|it| wide.add_time(0.000_07 * 1.27_f64.powi(it), false));
        let steps = 700;
        for at in (0..steps).map(|step| BEGIN + step * STEP) {
            let part = |name: &String| (name.clone(), Kind::Metric, wide.clone());
            let parts = names.iter().map(part).collect();
            let batch = Batch { at, end: at + STEP, parts, happenings: Vec::new() };
            let (lost, written) = store.take(batch, None).await;
            assert!(lost == 0 && written.is_ok(), "{at}: {written:?}");
            assert!(size(directory.path()) <= most, "{at}: {}", size(directory.path()));
        }
        let fine = counts(&mut store, &names[0], STEP).await;
        assert!((1..steps as usize).contains(&fine.len()), "{} of {steps}", fine.len());
        assert_eq!(fine.last().unwrap().0, BEGIN + (steps - 1) * STEP, "the newest is there");
        let minutes = counts(&mut store, &names[0], 60).await;
        let all = steps as u64 * 60;
        assert_eq!(minutes.iter().map(|(_, n)| n).sum::<u64>(), all, "the minutes are all there");
    });
}

#[test]
fn what_happened_goes_too_when_its_texts_are_what_fills_the_file() {
    run(async {
        let directory = tempdir().unwrap();
        let most = MIB * 3 / 2;
        let (mut store, _) = Store::open(directory.path(), most).await.unwrap();
        for at in (0..150).map(|step| BEGIN + step * STEP) {
            let mut batch = batch(at, &["a"]);
            let (what, text) = (at.to_string(), "z".repeat(32 << 10));
            batch.happenings = vec![Happening { at, kind: "alert", what, text }];
            let (lost, written) = store.take(batch, None).await;
            assert!(lost == 0 && written.is_ok(), "{at}: {written:?}");
            assert!(size(directory.path()) <= most, "{at}: {}", size(directory.path()));
        }
        let kept = "SELECT what FROM event ORDER BY id";
        let kept: Vec<String> =
            sqlx::query_scalar(kept).fetch_all(&mut store.connection).await.unwrap();
        assert!((2..150).contains(&kept.len()), "{}", kept.len());
        assert_eq!(*kept.last().unwrap(), (BEGIN + 149 * STEP).to_string(), "the newest is there");
    });
}

#[test]
fn a_file_that_is_damaged_while_it_is_used_is_put_aside_and_nothing_of_memory_is_lost() {
    run(async {
        let directory = tempdir().unwrap();
        let (mut store, _) = open(&directory).await;
        store.take(batch(BEGIN, &["a"]), None).await.1.unwrap();
        let (mut store, why) = store.renew(directory.path(), 64 * MIB).await.unwrap();
        assert!(why.is_none() && directory.path().join("history.db.bad").exists());
        store.take(batch(BEGIN + STEP, &["a"]), None).await.1.unwrap();
        assert_eq!(counts(&mut store, "a", 60).await, [(BEGIN, 2)], "the open minute goes on");
        store.close().await.unwrap();
        let (mut store, forgotten) = open(&directory).await;
        assert_eq!((forgotten, counts(&mut store, "a", 60).await), (None, vec![(BEGIN, 2)]));
    });
}

#[test]
fn a_disk_that_was_full_and_an_error_after_it_leave_no_transaction_open() {
    run(async {
        let directory = tempdir().unwrap();
        let (mut store, _) = open(&directory).await;
        store.take(batch(BEGIN, &["a"]), None).await.1.unwrap();
        let say = async |store: &mut Store, text: &'static str| {
            sqlx::raw_sql(text).execute(&mut store.connection).await.unwrap();
        };
        // Then SQLite rolls back by itself.
        say(&mut store, "PRAGMA max_page_count = 1").await;
        let mut large = batch(BEGIN + STEP, &["a"]);
        let happened = |text: String| Happening { at: BEGIN, kind: "x", what: "y".into(), text };
        large.happenings = vec![happened("z".repeat(1 << 20))];
        assert!(file::is_full(&store.take(large, None).await.1.unwrap_err()));
        say(&mut store, "PRAGMA max_page_count = 16384").await;
        // And here it does not.
        say(&mut store, "ALTER TABLE event RENAME TO elsewhere").await;
        assert!(store.take(batch(BEGIN + 2 * STEP, &["a"]), None).await.1.is_err());
        say(&mut store, "ALTER TABLE elsewhere RENAME TO event").await;
        for step in 3..9 {
            store.take(batch(BEGIN + step * STEP, &["a"]), None).await.1.unwrap();
        }
        store.close().await.unwrap();
        let (mut again, forgotten) = open(&directory).await;
        assert_eq!(forgotten, None);
        again.take(batch(BEGIN + 9 * STEP, &["a"]), None).await.1.unwrap();
        assert_eq!(counts(&mut again, "a", 60).await, [(BEGIN, 6), (BEGIN + 60, 4)]);
    });
}

#[test]
fn what_is_too_old_goes_level_by_level_and_events_with_it() {
    run(async {
        let mut store = Store::in_memory(64 * MIB).await.unwrap();
        let happening = |at| Happening { at, kind: "alert", what: "a".into(), text: "b".into() };
        let first = Batch { happenings: vec![happening(BEGIN)], ..batch(BEGIN, &["a", "gone"]) };
        store.take(first, None).await.1.unwrap();
        let mut at = BEGIN;
        for (later, levels) in
            [(HOUR, 4), (3 * HOUR, 3), (3 * DAY, 2), (31 * DAY, 1), (401 * DAY, 0)]
        {
            // A clock that leaps is believed a day later: it would erase all if it was wrong.
            at = at.max(BEGIN + later - 26 * HOUR);
            while at < BEGIN + later {
                at = (at + HOUR / 2).min(BEGIN + later);
                store.take(batch(at, &["a"]), None).await.1.unwrap();
            }
            let mut left = 0;
            for width in [STEP, 60, 900, 21_600] {
                left += usize::from(counts(&mut store, "a", width).await[0].0 <= BEGIN);
            }
            assert_eq!(left, levels, "after {later} s");
        }
        assert!(!store.series.contains_key("gone"), "a series without rows is none");
        let question = Question::Events { since: 0, until: i64::MAX };
        let (told, _) = store.answer(question, BEGIN).await.unwrap().unwrap();
        assert_eq!(told, "{\"events\":[]}\n");
    });
}

#[test]
fn a_clock_that_leaps_and_comes_back_lets_nothing_go() {
    run(async {
        let mut store = Store::in_memory(64 * MIB).await.unwrap();
        for at in [BEGIN, BEGIN + 500 * DAY, BEGIN + STEP, BEGIN + 2 * STEP] {
            store.take(batch(at, &["a"]), None).await.1.unwrap();
        }
        let minutes = counts(&mut store, "a", 60).await;
        assert_eq!(minutes, [(BEGIN, 3), (BEGIN + 500 * DAY, 1)], "each sample once, none twice");
    });
}

#[test]
fn a_clock_that_is_wrong_by_years_for_a_while_lets_nothing_go_whoever_dies_meanwhile() {
    run(async {
        let directory = tempdir().unwrap();
        let (mut store, _) = open(&directory).await;
        let before = Happening { at: BEGIN, kind: "alert", what: "a".into(), text: "b".into() };
        for step in 0..12 {
            let happenings = if step == 0 { vec![before.clone()] } else { Vec::new() };
            let batch = Batch { happenings, ..batch(BEGIN + step * STEP, &["a"]) };
            store.take(batch, None).await.1.unwrap();
        }
        let fine = counts(&mut store, "a", STEP).await;
        let mut now = BEGIN + 12 * STEP;
        for (wrong, minutes) in [(500 * DAY, 40), (-500 * DAY, 20), (90 * DAY, 35)] {
            for _ in 0..minutes {
                store.take(batch(now + wrong, &["a"]), None).await.1.unwrap();
                now += 60;
            }
            store.close().await.unwrap();
            (store, _) = open(&directory).await;
        }
        for _ in 0..60 {
            store.take(batch(now, &["a"]), None).await.1.unwrap();
            now += STEP;
        }
        let there = counts(&mut store, "a", STEP).await;
        assert!(fine.iter().all(|it| there.contains(it)), "{fine:?} became {there:?}");
        let question = Question::Events { since: 0, until: i64::MAX };
        let (told, _) = store.answer(question, BEGIN).await.unwrap().unwrap();
        assert!(told.contains("\"what\":\"a\""), "{told}");
    });
}

#[test]
fn what_was_put_aside_before_is_kept_with_its_log_until_there_are_three() {
    let directory = tempdir().unwrap();
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).ok();
    for age in 0..5 {
        fs::write(directory.path().join(FILE), format!("file {age}")).unwrap();
        // The second has none.
        if age != 1 {
            fs::write(directory.path().join("history.db-wal"), format!("log {age}")).unwrap();
        }
        file::put_aside(directory.path()).unwrap();
        assert_eq!((read(FILE), read("history.db-wal")), (None, None));
        for (name, before) in [("", 0), (".1", 1), (".2", 2)] {
            let kept = age - before;
            let expected = |what: &str| (kept >= 0).then(|| format!("{what} {kept}"));
            assert_eq!(read(&format!("history.db.bad{name}")), expected("file"), "{name} at {age}");
            let log = expected("log").filter(|_| kept != 1);
            assert_eq!(read(&format!("history.db.bad{name}-wal")), log, "{name} at {age}");
        }
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 6);
}

#[test]
fn four_hundred_days_stay_small_and_ninety_are_read_at_once() {
    // Each part of the past is fed as finely as what is left of it: what is finer is gone in the end in any case.
    #[expect(clippy::disallowed_methods, reason = "how long a test is, is no setting")]
    let is_whole = std::env::var_os("MAINSTAY_HISTORY_DAYS").is_some();
    let times = if is_whole { 10 } else { 1 };
    let probes: Vec<_> = (0..times).map(|it| format!("probe:{it}")).collect();
    let metrics: Vec<_> = (0..6 * times).map(|it| format!("metric-{it}")).collect();
    let end = BEGIN + 400 * DAY;
    run(async {
        let directory = tempdir().unwrap();
        let (mut store, _) = Store::open(directory.path(), 256 * MIB).await.unwrap();
        let mut at = BEGIN;
        while at < end {
            let left = end - at;
            let step = match left {
                ..=7_200 => STEP,
                7_201..=172_800 => 60,
                172_801..=2_592_000 => 900,
                _ => 21_600,
            };
            let part = |name: &String, kind, seed: i64| {
                let mut bucket = Bucket::default();
                for it in 0..3_i64 {
                    let value = ((at / STEP + seed * 7 + it * 13) % 97) as f64 / 50.0 + 0.001;
                    if kind == Kind::Probe {
                        bucket.add_time(value, it == 2);
                    } else {
                        bucket.add(value, false);
                    }
                }
                (name.clone(), kind, bucket)
            };
            let of_probes = probes.iter().zip(0..).map(|(name, it)| part(name, Kind::Probe, it));
            // Probes are kept by the hour for 90 days.
            let hours = if left > 90 * DAY || left <= 30 * DAY { 1 } else { 6 };
            let mut parts: Vec<_> = of_probes.collect();
            for hour in 1..hours {
                let more = Batch {
                    at: at + hour * HOUR,
                    end: at + hour * HOUR,
                    parts: parts.clone(),
                    happenings: Vec::new(),
                };
                store.take(more, None).await.1.unwrap();
            }
            parts.extend(metrics.iter().zip(0..).map(|(name, it)| part(name, Kind::Metric, it)));
            let batch = Batch { at, end: at + step, parts, happenings: Vec::new() };
            store.take(batch, None).await.1.unwrap();
            at += step;
        }
        let begun = clock::mono();
        for name in &probes {
            let question = Question::Points {
                series: name.clone(),
                since: end - 90 * DAY,
                until: end,
                most: 100,
            };
            let (told, _) = store.answer(question, end).await.unwrap().unwrap();
            let told: serde_json::Value = serde_json::from_str(&told).unwrap();
            assert!((89..=91).contains(&told["points"].as_array().unwrap().len()), "{told}");
        }
        let bars = clock::mono().since(begun);
        let begun = clock::mono();
        let question = Question::Points {
            series: metrics[0].clone(),
            since: end - 30 * DAY,
            until: end,
            most: 3_000,
        };
        let (told, _) = store.answer(question, end).await.unwrap().unwrap();
        let chart = clock::mono().since(begun);
        assert!(told.matches("\"at\"").count() > 2_800, "{}", told.matches("\"at\"").count());
        store.close().await.unwrap();
        let bytes = size(directory.path());
        eprintln!("{} series: {bytes} bytes, 90 days {bars:?}, 30 days {chart:?}", 7 * times);
        assert!(bytes <= 3_000_000 * times as u64, "{bytes}");
        if is_whole && !cfg!(debug_assertions) {
            assert!(bars.as_millis() <= 50 && chart.as_millis() <= 50, "{bars:?} {chart:?}");
        }
    });
}
