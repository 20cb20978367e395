//! A spool against a queue, and against death at any byte.

use super::super::frame::Frame;
use super::*;
use crate::testing::Dice;
use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;

fn frame(position: u64, parcel: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Frame { segment: 1, slot: 2, position, items: 3, parcel }.write(&mut bytes);
    bytes
}

fn texts(batch: &Batch) -> Vec<String> {
    let all = batch.parcels();
    all.into_iter().map(|it| String::from_utf8_lossy(it).into_owned()).collect()
}

/// Takes all that is there.
fn drained(spool: &mut Spool) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let (batch, lost) = spool.oldest(3, 100).unwrap();
        assert_eq!(lost, 0);
        if batch.is_empty() {
            return all;
        }
        all.extend(texts(&batch));
        spool.done(&batch).unwrap();
    }
}

/// The files with frames, in their order.
fn files(directory: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(directory).unwrap().map(|it| it.unwrap().path());
    let mut all: Vec<_> = all.filter(|it| it.extension().is_some()).collect();
    all.sort();
    all
}

#[test]
fn a_spool_is_a_bounded_queue_that_a_restart_does_not_disturb() {
    for seed in 0..40 {
        let (mut dice, directory) = (Dice(seed), tempfile::tempdir().unwrap());
        let is_on_disk = seed % 4 != 0;
        let open = || match is_on_disk {
            true => Spool::on_disk(directory.path(), 2_000, 1).unwrap(),
            false => Spool::in_memory(2_000),
        };
        let (mut spool, mut queue, mut number) = (open(), VecDeque::new(), 0);
        for _ in 0..300 {
            match dice.roll(8) {
                0..4 => {
                    let text = format!("{number}{}", "x".repeat(dice.roll(90) as usize));
                    let bytes = frame(number, text.as_bytes());
                    if spool.has_room(bytes.len()) {
                        spool.append(&bytes, 3).unwrap();
                        queue.push_back(text);
                        number += 1;
                    }
                }
                4..7 => {
                    let (batch, _) = spool.oldest(1 + dice.roll(4) as usize, 200).unwrap();
                    let texts = texts(&batch);
                    assert!(!texts.is_empty() || queue.is_empty());
                    assert!(texts.iter().eq(queue.iter().take(texts.len())), "seed {seed}");
                    if dice.roll(3) > 0 {
                        spool.done(&batch).unwrap();
                        queue.drain(..texts.len());
                    }
                }
                _ if is_on_disk => {
                    drop(spool);
                    spool = open();
                }
                _ => {}
            }
            assert!(spool.unsent() <= spool.used() && spool.used() <= 2_000);
            let bytes: usize = queue.iter().map(|text: &String| 32 + text.len()).sum();
            assert_eq!(spool.unsent(), bytes as u64);
            assert_eq!(spool.waiting(), queue.len() as u64 * 3, "seed {seed}");
        }
        assert!(drained(&mut spool).into_iter().eq(queue));
        assert!(!is_on_disk || files(directory.path()).len() <= 1, "what was sent is removed");
    }
}

#[test]
fn a_file_that_was_cut_at_any_byte_gives_its_whole_parcels_and_takes_more() {
    let whole = [frame(1, b"first"), frame(2, b"second"), frame(3, b"third")].concat();
    for cut in 0..=whole.len() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::on_disk(directory.path(), 10_000, 1).unwrap();
        spool.append(&whole, 9).unwrap();
        drop(spool);
        let path = files(directory.path()).remove(0);
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(cut as u64).unwrap();
        let mut spool = Spool::on_disk(directory.path(), 10_000, 1).unwrap();
        let left = match cut {
            0..37 => 0,
            37..75 => 1,
            75..112 => 2,
            _ => 3,
        };
        assert_eq!(spool.waiting(), left as u64 * 3, "cut at {cut}");
        // What is there says how far the ring was read with it.
        assert_eq!([1, 2, 3].map(|it| spool.has(2, it)), [left > 0, left > 1, left > 2]);
        assert!(!spool.has(1, 1));
        spool.append(&frame(4, b"fourth"), 3).unwrap();
        let mut expected = vec!["first", "second", "third"];
        expected.truncate(left);
        expected.push("fourth");
        assert_eq!(drained(&mut spool), expected, "cut at {cut}");
    }
}

#[test]
fn bytes_that_are_not_what_was_written_cost_the_rest_of_their_file_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = Spool::on_disk(directory.path(), 800, 1).unwrap();
    for number in 0..8 {
        spool.append(&frame(number, format!("{number:060}").as_bytes()), 3).unwrap();
    }
    let all = files(directory.path());
    assert!(all.len() > 2);
    let mut bytes = fs::read(&all[1]).unwrap();
    bytes[40] ^= 1;
    let bad = frames(&fs::read(&all[1]).unwrap()).count();
    fs::write(&all[1], bytes).unwrap();
    let mut read = 0;
    loop {
        let (batch, lost) = spool.oldest(100, 1_000).unwrap();
        if batch.is_empty() {
            assert_eq!(lost, 0);
            break;
        }
        read += batch.count;
        spool.done(&batch).unwrap();
    }
    assert_eq!(read, 8 - bad);
    assert_eq!(spool.give_up_waiting(), bad as u64 * 3);
}

#[test]
fn what_says_how_far_was_sent_may_be_torn_at_the_price_of_sending_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = Spool::on_disk(directory.path(), 10_000, 1).unwrap();
    spool.append(&[frame(1, b"first"), frame(2, b"second")].concat(), 6).unwrap();
    let (batch, _) = spool.oldest(1, 1_000).unwrap();
    spool.done(&batch).unwrap();
    drop(spool);
    let cursor = directory.path().join("cursor");
    let good = fs::read(&cursor).unwrap();
    let reopened = || drained(&mut Spool::on_disk(directory.path(), 10_000, 1).unwrap()).len();
    for byte in [0, 9, 17] {
        let mut bad = good.clone();
        bad[byte] ^= 1;
        fs::write(&cursor, bad).unwrap();
        assert_eq!(reopened(), 2);
        fs::write(&cursor, &good).unwrap();
        assert_eq!(reopened(), 1);
    }
}

#[test]
fn what_came_at_once_makes_room_little_by_little_as_it_is_sent() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = Spool::on_disk(directory.path(), 4_000, 1).unwrap();
    let all: Vec<u8> = (0..40).flat_map(|number| frame(number, &[b'x'; 60])).collect();
    assert!(spool.has_room(all.len()));
    spool.append(&all, 120).unwrap();
    assert!(files(directory.path()).iter().all(|it| fs::metadata(it).unwrap().len() <= 500 + 92));
    // Half of it is sent: as much is free, but for a part of it.
    for _ in 0..20 {
        let (batch, _) = spool.oldest(1, 1_000).unwrap();
        spool.done(&batch).unwrap();
    }
    assert!(spool.used() <= spool.unsent() + 592, "{} {}", spool.used(), spool.unsent());
    let spool_again = |spool| {
        drop(spool);
        Spool::on_disk(directory.path(), 4_000, 1).unwrap()
    };
    let mut spool = spool_again(spool);
    assert_eq!((drained(&mut spool).len(), spool.unsent()), (20, 0));
    // And when it is sent, all of the room is.
    assert!(spool.has_room(4_000));
    let mut spool = spool_again(spool);
    assert!(spool.has_room(4_000));
    let one = frame(99, &[b'y'; 3_968]);
    spool.append(&one, 3).unwrap();
    assert_eq!((spool.used(), files(directory.path()).len()), (4_000, 1));
    // A file that holds all the room makes it free as soon as it is sent.
    drained(&mut spool);
    assert!(spool.has_room(4_000));
    spool.append(&one, 3).unwrap();
    assert_eq!((spool.used(), files(directory.path()).len()), (4_000, 1));
}

#[test]
fn what_finds_no_place_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = Spool::on_disk(directory.path(), 4_000, 1).unwrap();
    spool.append(&frame(0, b"first"), 3).unwrap();
    // The third file cannot be made.
    fs::create_dir(directory.path().join("0000000000000003.spool")).unwrap();
    let all: Vec<u8> = (1..20).flat_map(|number| frame(number, &[b'x'; 60])).collect();
    spool.append(&all, 57).unwrap_err();
    assert_eq!((spool.unsent(), files(directory.path()).len()), (37, 2));
    fs::remove_dir(directory.path().join("0000000000000003.spool")).unwrap();
    spool.append(&all, 57).unwrap();
    assert_eq!(drained(&mut spool).len(), 20);
}

#[test]
fn a_directory_has_one_owner_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::on_disk(directory.path(), 10_000, 1).unwrap();
    let second = Spool::on_disk(directory.path(), 10_000, 1).unwrap_err();
    assert_eq!(second.to_string(), "another service uses it");
    drop(spool);
    assert!(Spool::on_disk(directory.path(), 10_000, 1).is_ok());
    assert!(Spool::on_disk(Path::new("/proc/none"), 10_000, 1).is_err());
}
