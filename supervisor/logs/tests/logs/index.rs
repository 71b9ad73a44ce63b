//! The index beside a log: small, and never a reason to lose or to invent a line.
//! Not here: what is found with it.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use supervisor_logs::{Compression, Feed, Line, Next, Pump, Query, Search, Settings, Tracker, Unfinished, stage};
use tempfile::tempdir;

use crate::{assert_same, feed, finish, keep_all, numbered, pump_through};

fn lines(path: &Path) -> Vec<Line> {
    let mut search = Search::new(path, Query::default(), Unfinished::Shown).expect("a log");
    let mut lines = Vec::new();
    while search.read(&mut lines).expect("it is readable") {}
    lines
}

fn text(path: &Path) -> Vec<u8> {
    lines(path).iter().flat_map(|line| [&line.text, b"\n".as_slice()].concat()).collect()
}

#[test]
fn numbers_go_on_where_they_were_when_the_pump_is_another_one() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    for number in 0..3 {
        pump_through(&path, keep_all(100), format!("{number}\n").repeat(100).as_bytes());
    }
    let numbers: Vec<_> = lines(&path).iter().map(|line| line.seq).collect();
    assert_eq!(numbers, (0..300).map(|line| Some(line * 2)).collect::<Vec<_>>());
}

#[test]
fn without_an_index_or_with_a_damaged_one_every_line_is_found_and_no_number_comes_twice() {
    let dir = tempdir().expect("a directory");
    let (path, index) = (dir.path().join("a.log"), dir.path().join("a.log.idx"));
    let mut sent = Vec::new();
    let mut last = 0;
    let garbage: [&dyn Fn(); 4] = [
        &|| fs::remove_file(&index).expect("it is there"),
        &|| fs::write(&index, vec![0xff; 1000]).expect("it can be written"),
        &|| {
            let whole = fs::read(&index).expect("it is there");
            fs::write(&index, &whole[..whole.len() - 5]).expect("it can be written");
        },
        &|| {
            fs::remove_file(&index).expect("it is there");
            fs::create_dir(&index).expect("it can be made");
        },
    ];
    for damage in garbage {
        let piece = numbered(50);
        pump_through(&path, keep_all(200), &piece);
        sent.extend_from_slice(&piece);
        assert_same(&text(&path), &sent);
        let new = lines(&path).split_off(sent.split(|byte| *byte == b'\n').count() - 51);
        let numbers: Vec<u64> = new.iter().filter_map(|line| line.seq).collect();
        assert!(numbers.len() == 50 && numbers.is_sorted() && numbers[0] >= last, "{numbers:?}");
        last = numbers[49];
        damage();
        assert_same(&text(&path), &sent);
    }
    pump_through(&path, keep_all(200), b"and on\n");
    assert!(text(&path).ends_with(b"and on\n"));
}

#[test]
fn an_emptied_log_repeats_no_number() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let pump = Pump::new();
    let mut input = feed(&pump, 1, &path, &keep_all(0));
    input.write_all(&numbered(1000)).expect("the pump reads");
    crate::eventually("all is there", || fs::read(&path).is_ok_and(|text| text == numbered(1000)));
    fs::OpenOptions::new().write(true).truncate(true).open(&path).expect("it can be emptied");
    input.write_all(b"after\n").expect("the pump reads");
    finish(&pump, 1);
    let found = lines(&path);
    assert_eq!((found.len(), found[0].seq), (1, Some(numbered(1000).len() as u64)));
}

#[test]
fn who_tracks_a_log_that_is_emptied_gets_what_comes_after_it_with_other_numbers() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let pump = Pump::new();
    let mut input = feed(&pump, 1, &path, &keep_all(0));
    let mut tracker = Tracker::of_all(&path, Query::default());
    let mut told = Vec::new();
    input.write_all(b"whole\nbegun").expect("the pump reads");
    crate::eventually("both are there", || fs::read(&path).is_ok_and(|text| text == b"whole\nbegun"));
    while tracker.read(&mut told).expect("it is readable") {}
    fs::OpenOptions::new().write(true).truncate(true).open(&path).expect("it can be emptied");
    input.write_all(b" on\nafter\n").expect("the pump reads");
    crate::eventually("what comes after it is told", || {
        tracker.read(&mut told).expect("it is readable");
        told.last().is_some_and(|line: &Line| line.text == b"after")
    });
    let told: Vec<_> = told.iter().map(|line| (line.text.as_slice(), line.whole, line.seq)).collect();
    let wanted = [("whole", true, 0), ("begun", false, 6), (" on", true, 11), ("after", true, 15)];
    assert_eq!(told, wanted.map(|(text, whole, seq)| (text.as_bytes(), whole, Some(seq))));
}

#[test]
fn what_came_after_the_last_moment_that_is_wanted_is_not_read_through() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let part = || numbered(50_000);
    pump_through(&path, keep_all(0), &part());
    let until = lines(&path).last().map(|line| line.time);
    // The index tells times apart once they are a second apart.
    std::thread::sleep(Duration::from_millis(1100));
    pump_through(&path, keep_all(0), &part());
    pump_through(&path, keep_all(0), &part());
    let mut tracker = Tracker::of_all(&path, Query { until, ..Query::default() });
    let (mut told, mut looks) = (Vec::new(), 0);
    while tracker.next(&mut told, Duration::ZERO).expect("it is readable") != Next::Over {
        looks += 1;
    }
    assert_same(&told.iter().flat_map(|line| [&line.text, b"\n".as_slice()].concat()).collect::<Vec<_>>(), &part());
    assert!(looks < 15, "one look is at 64 KiB, and this part has 538 KiB: {looks}");
}

#[test]
fn a_log_that_is_emptied_while_nothing_writes_repeats_no_number() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let pump = Pump::new();
    for (id, text) in [(1, numbered(1000)), (2, b"after\n".to_vec())] {
        let mut input = feed(&pump, id, &path, &keep_all(0));
        input.write_all(&text).expect("the pump reads");
        drop(input);
        finish(&pump, id);
        if id == 1 {
            fs::OpenOptions::new().write(true).truncate(true).open(&path).expect("it can be emptied");
        }
    }
    let found = lines(&path);
    assert_eq!((found.len(), found[0].seq), (1, Some(numbered(1000).len() as u64)));
}

#[test]
fn the_index_of_an_endless_flood_of_small_files_stays_small() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let (output, mut input) = std::io::pipe().expect("a pipe");
    let settings = Settings { max_size: 40, keep: 3, compression: Compression::None, ..Settings::default() };
    let pump = Pump::new();
    pump.attach(Feed { id: 1, pipe: output.into(), stage: stage().ok(), path: path.clone(), generation: 1, settings });
    for piece in numbered(40_000).chunks(10_000) {
        input.write_all(piece).expect("the pump reads");
    }
    finish(&pump, 1);
    let len = fs::metadata(dir.path().join("a.log.idx")).expect("an index").len();
    assert!((100 << 10..300 << 10).contains(&len), "{len} bytes");
    let found = lines(&path);
    let behind = numbered(40_000).len() as u64;
    let last = found.last().expect("lines");
    assert_eq!((last.text.as_slice(), last.seq), (b"line 40000".as_slice(), Some(behind - 11)));
    assert!(found.iter().all(|line| line.generation == Some(1)));
}
