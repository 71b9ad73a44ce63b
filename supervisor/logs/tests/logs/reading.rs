//! Tails and followers see what was written: in order, each byte once.
//! Not here: writing.

use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use supervisor_logs::{Compression, Follower, From, Mark, Pump, Settings, tail, tail_then_follow};
use tempfile::tempdir;

use crate::{assert_same, eventually, feed, finish, keep_all, numbered, pump_through};

const ALL: usize = usize::MAX;

/// Reads until `wanted` bytes were read in all, in pieces of `max`.
fn follow(follower: &mut Follower, seen: &mut Vec<u8>, wanted: usize, max: usize) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while seen.len() < wanted {
        assert!(Instant::now() < deadline, "only {} of {wanted} bytes in time", seen.len());
        if follower.read(seen, max).expect("it can be read") == 0 {
            follower.wait(Duration::from_millis(100)).expect("it can be waited for");
        }
    }
}

fn lines(from: u32, to: u32) -> Vec<u8> {
    let (before, all) = (numbered(from - 1).len(), numbered(to));
    all[before..].to_vec()
}

#[test]
fn the_last_lines_come_from_archives_too() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    pump_through(&path, keep_all(1000), &numbered(10_000));
    for count in [1, 10, 100, 1000, 9_999, 10_000] {
        let last = tail(&path, count as usize, ALL).expect("a tail");
        assert_same(&last, &lines(10_001 - count, 10_000));
    }
    assert_same(&tail(&path, 20_000, ALL).expect("a tail"), &numbered(10_000));
    assert_same(&tail(&path, 20_000, 5000).expect("a tail"), &lines(10_001 - 499, 10_000));
    assert_same(&tail(&path, 0, ALL).expect("a tail"), b"");
}

#[test]
fn the_last_lines_come_from_compressed_archives_too() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let pump = Pump::new();
    let settings = Settings { max_size: 100_000, keep: 99, compression: Compression::Gzip, ..Settings::default() };
    feed(&pump, 1, &path, &settings).write_all(&numbered(30_000)).expect("the pump reads");
    finish(&pump, 1);
    eventually("they are compressed", || {
        dir.path().join("a.log.3.gz").exists() && !dir.path().join("a.log.1").exists()
    });
    assert_same(&tail(&path, 25_000, ALL).expect("a tail"), &lines(5_001, 30_000));
    assert_same(&tail(&path, ALL, ALL - 1).expect("a tail"), &numbered(30_000));
    assert_same(&tail(&path, ALL, 220_000).expect("a tail"), &lines(10_001, 30_000));
}

#[test]
fn a_damaged_archive_hides_no_newer_lines() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    fs::write(&path, "c\n").expect("a file");
    fs::write(dir.path().join("a.log.1"), "b\n").expect("a file");
    fs::write(dir.path().join("a.log.2.gz"), "no gzip").expect("a file");
    assert_same(&tail(&path, 10, ALL).expect("a tail"), b"b\nc\n");
}

#[test]
fn a_log_that_is_not_there_has_no_lines() {
    let dir = tempdir().expect("a directory");
    assert_same(&tail(&dir.path().join("no/a.log"), 10, ALL).expect("a tail"), b"");
    let (text, mut follower, trouble) = tail_then_follow(&dir.path().join("a.log"), 10, ALL).expect("a tail");
    assert_same(&text, b"");
    assert_eq!(trouble, None);
    pump_through(&dir.path().join("a.log"), keep_all(0), b"first\n");
    let mut seen = Vec::new();
    follow(&mut follower, &mut seen, 6, 100);
    assert_same(&seen, b"first\n");
}

#[test]
fn a_follower_begins_where_it_is_told() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    fs::write(&path, "0123456789").expect("a file");
    let mut followers = [From::Start, From::End, From::Offset(4)].map(|from| Follower::new(&path, from));
    pump_through(&path, keep_all(0), b"abc");
    for (follower, wanted) in followers.iter_mut().zip(["0123456789abc", "abc", "456789abc"]) {
        let mut seen = Vec::new();
        while follower.read(&mut seen, 2).expect("it can be read") > 0 {}
        assert_eq!(String::from_utf8_lossy(&seen), wanted);
    }
}

#[test]
fn a_wait_ends_with_the_next_line() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let pump = Pump::new();
    let mut input = feed(&pump, 1, &path, &keep_all(0));
    input.write_all(b"first\n").expect("the pump reads");
    eventually("it is there", || path.exists());
    let mut follower = Follower::new(&path, From::Start);
    let mut seen = Vec::new();
    follow(&mut follower, &mut seen, 6, 100);
    follower.wait(Duration::ZERO).expect("what was before is forgotten");
    let begin = Instant::now();
    follower.wait(Duration::from_millis(50)).expect("it can be waited for");
    assert!(begin.elapsed() >= Duration::from_millis(50), "nothing came and the wait ended");
    input.write_all(b"second\n").expect("the pump reads");
    follower.wait(Duration::from_secs(20)).expect("it can be waited for");
    assert!(begin.elapsed() < Duration::from_secs(15), "the line did not end the wait");
    follow(&mut follower, &mut seen, 13, 100);
    assert_same(&seen, b"first\nsecond\n");
}

/// Followers of different pace under rotation: each sees every line once.
fn followed(settings: &Settings) {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let text = numbered(200_000);
    let pump = Pump::new();
    let mut input = feed(&pump, 1, &path, settings);
    std::thread::scope(|scope| {
        for max in [1 << 20, 4096, 20_001] {
            let text = &text;
            // Before the first byte: whoever comes after a rotation begins with a later file.
            let mut follower = Follower::new(&path, From::Start);
            scope.spawn(move || {
                let mut seen = Vec::new();
                follow(&mut follower, &mut seen, text.len(), max);
                assert_same(&seen, text);
            });
        }
        for piece in text.chunks(2_000) {
            input.write_all(piece).expect("the pump reads");
            std::thread::sleep(Duration::from_micros(300));
        }
    });
    finish(&pump, 1);
}

#[test]
fn a_follower_sees_each_line_once_across_rotations() {
    followed(&keep_all(20_000));
}

#[test]
fn a_follower_sees_each_line_once_while_archives_are_compressed() {
    followed(&Settings { compression: Compression::Gzip, ..keep_all(20_000) });
}

#[test]
fn a_follower_that_slept_finds_its_place_among_compressed_archives() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let pump = Pump::new();
    let settings = Settings { max_size: 20_000, keep: 99, compression: Compression::Gzip, ..Settings::default() };
    let mut input = feed(&pump, 1, &path, &settings);
    input.write_all(&numbered(100)).expect("the pump reads");
    eventually("it is there", || fs::read(&path).is_ok_and(|text| text == numbered(100)));
    let mut follower = Follower::new(&path, From::Start);
    let mut seen = Vec::new();
    follow(&mut follower, &mut seen, 500, 500);
    input.write_all(&lines(101, 20_000)).expect("the pump reads");
    finish(&pump, 1);
    eventually("they are compressed", || {
        dir.path().join("a.log.9.gz").exists() && !dir.path().join("a.log.1").exists()
    });
    follow(&mut follower, &mut seen, numbered(20_000).len(), 1 << 20);
    assert_same(&seen, &numbered(20_000));
}

#[test]
fn a_follower_that_slept_too_long_goes_on_with_the_oldest_that_is_left() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let settings = Settings { max_size: 1000, keep: 2, compression: Compression::None, ..Settings::default() };
    pump_through(&path, settings.clone(), &numbered(50));
    let mut follower = Follower::new(&path, From::Start);
    pump_through(&path, settings, &lines(51, 5_000));
    let mut seen = Vec::new();
    while follower.read(&mut seen, 1 << 20).expect("it can be read") > 0 {}
    let first = seen.windows(2).position(|pair| pair == b"\nl").expect("lines");
    let left = crate::content(&path);
    assert!(seen.ends_with(&left) && seen.len() > left.len() + first, "{} of {}", seen.len(), left.len());
    assert!(seen.starts_with(&numbered(50)));
}

#[test]
fn a_follower_of_an_emptied_log_begins_anew() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    pump_through(&path, keep_all(0), b"a long line before\n");
    let mut follower = Follower::new(&path, From::End);
    fs::write(&path, "after\n").expect("it can be emptied");
    let mut seen = Vec::new();
    follow(&mut follower, &mut seen, 6, 100);
    assert_same(&seen, b"after\n");
}

#[test]
fn following_goes_on_right_after_the_tail() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let pump = Pump::new();
    let settings = Settings { compression: Compression::Gzip, ..keep_all(20_000) };
    let mut input = feed(&pump, 1, &path, &settings);
    std::thread::scope(|scope| {
        let followers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let (mut seen, mut follower, _) = tail_then_follow(&path, 1000, 1 << 20).expect("a tail");
                        let wanted = seen.len() + 50_000;
                        follow(&mut follower, &mut seen, wanted, 3000);
                        assert!(is_gapless(&seen), "a gap or a double in {} bytes", seen.len());
                    }
                })
            })
            .collect();
        let mut number = 0;
        while !followers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            for _ in 0..100 {
                number += 1;
                writeln!(input, "line {number}").expect("the pump reads");
            }
            std::thread::sleep(Duration::from_micros(300));
        }
    });
    finish(&pump, 1);
}

/// Numbered lines one after the other, perhaps with a part of one at each end.
fn is_gapless(seen: &[u8]) -> bool {
    let seen = String::from_utf8_lossy(seen);
    let whole: Vec<&str> = seen.split_inclusive('\n').skip(1).filter(|line| line.ends_with('\n')).collect();
    let numbers: Vec<u32> =
        whole.iter().filter_map(|line| line.strip_prefix("line ")?.trim_end().parse().ok()).collect();
    numbers.len() == whole.len() && numbers.windows(2).all(|pair| pair[0] + 1 == pair[1])
}

fn marks_hold(settings: &Settings) {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let all = numbered(30_000);
    let (first, rest) = all.split_at(all.len() / 2);
    let pump = Pump::new();
    let mut pipe = feed(&pump, 1, &path, settings);
    pipe.write_all(first).expect("the pump reads");
    let mut follower = Follower::of_all(&path);
    let mut seen = Vec::new();
    let mut marks = Vec::new();
    while seen.len() < first.len() {
        let want = (seen.len() + 7_000).min(first.len());
        follow(&mut follower, &mut seen, want, 900);
        marks.push((seen.len(), follower.mark().expect("something was read")));
    }
    // What was read lies in other files by now.
    pipe.write_all(rest).expect("the pump reads");
    drop(pipe);
    finish(&pump, 1);
    for (before, mark) in marks {
        let mut follower = Follower::resume(&path, mark).expect("it can be read").expect("it is kept");
        let mut seen = Vec::new();
        follow(&mut follower, &mut seen, all.len() - before, ALL);
        assert_same(&seen, &all[before..]);
    }
}

#[test]
fn a_mark_leads_back_to_its_place_across_rotations() {
    marks_hold(&keep_all(20_000));
}

#[test]
fn a_mark_leads_back_to_its_place_in_a_compressed_archive() {
    marks_hold(&Settings { max_size: 20_000, keep: 99, compression: Compression::Gzip, ..Settings::default() });
}

#[test]
fn a_mark_in_a_file_that_is_gone_leads_nowhere() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    fs::write(&path, "one\ntwo\n").expect("a file");
    let mut follower = Follower::new(&path, From::Start);
    follow(&mut follower, &mut Vec::new(), 8, 100);
    let mark = follower.mark().expect("something was read");
    assert!(Follower::resume(&path, Mark { offset: 9, ..mark }).expect("it can be read").is_none(), "beyond the end");
    assert!(Follower::resume(&path, Mark { file: mark.file + 1, ..mark }).expect("it can be read").is_none());
    fs::remove_file(&path).expect("it is there");
    assert!(Follower::resume(&path, mark).expect("it can be read").is_none());
}
