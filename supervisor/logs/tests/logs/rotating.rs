//! Files of the right size, in the right order, whatever a kill left behind.
//! Not here: compression.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use supervisor_logs::{Compression, Pump, Settings};
use tempfile::tempdir;

use crate::{assert_same, content, eventually, feed, files, keep_all, numbered, pump_through};

fn keep(keep: u32) -> Settings {
    Settings { max_size: 1000, keep, compression: Compression::None, ..Settings::default() }
}

/// But the index.
fn names(path: &Path) -> Vec<String> {
    let names = fs::read_dir(path.parent().expect("a directory")).expect("it can be listed");
    let mut names: Vec<String> =
        names.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
    names.retain(|name| name != "a.log.idx");
    names.sort();
    names
}

#[test]
fn a_million_lines_under_rotation_have_no_gap_and_no_double() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let lines = numbered(1_000_000);
    pump_through(&path, keep_all(100_000), &lines);
    assert_same(&content(&path), &lines);
    let files = files(&path);
    assert!(files.len() > lines.len() / 100_000, "{} files", files.len());
    for file in &files {
        let text = fs::read(file).expect("a file");
        assert!(text.len() <= 100_000 && text.ends_with(b"\n"), "{} has {} bytes", file.display(), text.len());
    }
}

#[test]
fn the_oldest_archives_beyond_keep_are_deleted() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    fs::write(dir.path().join("a.log.7"), "from when more were kept\n").expect("a file");
    let lines = numbered(10_000);
    pump_through(&path, keep(3), &lines);
    assert_eq!(names(&path), ["a.log", "a.log.1", "a.log.2", "a.log.3"]);
    let kept = content(&path);
    assert!(kept.len() > 3000, "only {} bytes are kept", kept.len());
    assert_same(&kept, &lines[lines.len() - kept.len()..]);
}

#[test]
fn without_archives_the_log_begins_anew() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let lines = numbered(10_000);
    pump_through(&path, keep(0), &lines);
    assert_eq!(names(&path), ["a.log"]);
    let kept = fs::read(&path).expect("a log");
    assert!(kept.len() <= 1000, "{} bytes", kept.len());
    assert_same(&kept, &lines[lines.len() - kept.len()..]);
}

#[test]
fn without_a_limit_nothing_is_rotated() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    pump_through(&path, keep_all(0), &numbered(500_000));
    assert_eq!(names(&path), ["a.log"]);
}

#[test]
fn new_settings_hold_from_the_next_bytes_on() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let pump = Pump::new();
    let mut input = feed(&pump, 1, &path, &keep_all(0));
    input.write_all(&numbered(300)).expect("the pump reads");
    eventually("all is there", || fs::read(&path).is_ok_and(|text| text == numbered(300)));
    pump.configure(&path, keep(1));
    input.write_all(b"next\n").expect("the pump reads");
    eventually("it is rotated", || fs::read(&path).is_ok_and(|text| text == b"next\n"));
    assert_eq!(names(&path), ["a.log", "a.log.1"]);
    assert_eq!(pump.stats(&path).map(|stats| stats.rotations), Some(1));
}

#[test]
fn a_line_of_ten_megabytes_is_cut_only_far_beyond_the_limit() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let text = [b"before\n".to_vec(), b"x".repeat(10 << 20), b"\nafter\n".to_vec()].concat();
    pump_through(&path, keep_all(100_000), &text);
    assert_same(&content(&path), &text);
    let files = files(&path);
    assert!(files.len() > 5, "{} files", files.len());
    assert!(files.iter().all(|file| file.metadata().expect("a file").len() <= 100_000 + (1 << 20)));
}

#[test]
fn a_line_that_exceeds_the_limit_a_little_stays_whole() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    let text = [b"before\n".to_vec(), b"x".repeat(50_000), b"\nafter\n".to_vec()].concat();
    pump_through(&path, keep(9), &text);
    assert_same(&content(&path), &text);
    let sizes: Vec<u64> = files(&path).iter().map(|file| file.metadata().expect("a file").len()).collect();
    assert_eq!(sizes, [7, 50_001, 6]);
}

/// What is on disk when a rotation of four files with `keep = 5` is killed after each of its steps.
#[test]
fn a_rotation_killed_at_any_step_is_healed_by_the_next() {
    let states: [&[(&str, &str)]; 6] = [
        &[("a.log.4", "1\n"), ("a.log.2", "2\n"), ("a.log.1", "3\n"), ("a.log", "4\n")],
        &[("a.log.4", "1\n"), ("a.log.3", "2\n"), ("a.log.1", "3\n"), ("a.log", "4\n")],
        &[("a.log.4", "1\n"), ("a.log.3", "2\n"), ("a.log.2", "3\n"), ("a.log", "4\n")],
        &[("a.log.4", "1\n"), ("a.log.3", "2\n"), ("a.log.2", "3\n"), ("a.log", "4\n"), (".a.log.new", "")],
        &[("a.log.4", "1\n"), ("a.log.3", "2\n"), ("a.log.2", "3\n"), ("a.log.1", "4\n"), (".a.log.new", "")],
        &[("a.log.4", "1\n"), ("a.log.3", "2\n"), ("a.log.2", "3\n"), ("a.log.1", "4\n")],
    ];
    for state in states {
        let dir = tempdir().expect("a directory");
        let path = dir.path().join("a.log");
        for (name, text) in state {
            fs::write(dir.path().join(name), text).expect("a file");
        }
        let more = "x".repeat(600) + "\n";
        pump_through(&path, keep(5), more.repeat(2).as_bytes());
        let wanted = "1\n2\n3\n4\n".to_owned() + &more.repeat(2);
        assert_same(&content(&path), wanted.as_bytes());
        assert!(!names(&path).contains(&".a.log.new".to_owned()), "{state:?}");
    }
}

#[test]
fn a_new_file_is_readable_by_owner_and_group_only() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("logs/a.log");
    pump_through(&path, keep(2), &numbered(300));
    let mode = |path: &Path| path.metadata().expect("it is there").mode() & 0o7777;
    for file in files(&path) {
        assert_eq!(mode(&file) & !0o640, 0, "{}", file.display());
    }
    assert_eq!(mode(&dir.path().join("logs")) & !0o750, 0);
}
