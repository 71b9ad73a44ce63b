//! A disk that takes no more: the service goes on, what is dropped is counted exactly and told of afterwards.
//! Not here: paths that are refused.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::process::Command;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use supervisor_logs::{Compression, Pump, Settings};
use tempfile::tempdir;

use crate::{child, child_directory, eventually, feed, finish, keep_all, numbered};

/// Lines that end with a point, so that none begins like another: every one that was sent is in the log or counted in a marker, in order; returns how many lines were dropped.
pub(crate) fn account(sent: &[u8], log: &[u8]) -> u64 {
    let (mut kept_bytes, mut bytes, mut lines, mut added, mut most_ended) = (0, 0, 0, 0, 0);
    let mut kept = Vec::new();
    let whole: HashSet<&[u8]> = sent.split_inclusive(|&byte| byte == b'\n').collect();
    let all: Vec<&[u8]> = log.split_inclusive(|&byte| byte == b'\n').collect();
    for (at, line) in all.iter().enumerate() {
        let text = String::from_utf8_lossy(line);
        if let Some(told) = text.strip_prefix("[supervisor] dropped ") {
            let numbers: Vec<u64> = told.split(' ').filter_map(|word| word.parse().ok()).collect();
            (bytes, lines) = (bytes + numbers[0], lines + numbers[1]);
            continue;
        }
        kept_bytes += line.len() as u64;
        most_ended += u64::from(all.get(at + 1).is_some_and(|next| next.starts_with(b"[supervisor]")));
        if whole.contains(line) {
            kept.push(text.trim_start_matches("line ").trim_end_matches(['.', '\n']).parse::<u64>().expect("a number"));
        } else {
            assert!(all[at + 1].starts_with(b"[supervisor]"), "torn, and not by an outage: {text:?}");
            added += 1;
        }
    }
    let sent_lines = sent.iter().filter(|&&byte| byte == b'\n').count() as u64;
    assert!(kept.is_sorted() && kept.windows(2).all(|pair| pair[0] < pair[1]), "out of order");
    // Of some lines before a marker nothing but the end was dropped, and the marker gave them another one.
    let ended = (kept.len() as u64 + lines).checked_sub(sent_lines).expect("lines are missing");
    assert!(ended <= most_ended, "{ended} lines too many");
    assert_eq!(kept_bytes - added - ended + bytes, sent.len() as u64, "bytes");
    lines
}

#[test]
fn a_file_that_may_not_grow_costs_counted_lines_and_never_the_service() {
    let directory = tempdir().expect("a directory");
    let this = child("outage::limited", directory.path());
    // Only a shell can ignore a signal without unsafe code; what is ignored stays so across exec.
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#]).arg(this.get_program()).args(this.get_args());
    shell.env("LOGS_TEST_DIR", directory.path());
    let output = shell.output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "is a child process of the test above"]
fn limited() {
    let Some(directory) = child_directory() else { return };
    let path = directory.join("a.log");
    let (_, most) = getrlimit(Resource::RLIMIT_FSIZE).expect("a limit");
    let pump = Pump::new();
    let mut input = feed(&pump, 1, &path, &keep_all(0));
    let mut sent = Vec::new();
    for limit in [100_000, 300_000] {
        setrlimit(Resource::RLIMIT_FSIZE, limit, most).expect("it can be lowered");
        let begin = sent.len();
        (1..=100_000).for_each(|_| writeln!(sent, "line {}.", sent.len()).expect("memory"));
        input.write_all(&sent[begin..]).expect("the pump reads");
        eventually("it is told", || {
            pump.stats(&path).is_some_and(|stats| stats.error.as_deref() == Some("File too large"))
        });
        setrlimit(Resource::RLIMIT_FSIZE, most, most).expect("it can be raised");
        eventually("it is over", || pump.stats(&path).is_some_and(|stats| stats.error.is_none()));
    }
    finish(&pump, 1);
    let log = fs::read(&path).expect("a log");
    let dropped = account(&sent, &log);
    let stats = pump.stats(&path).expect("it is known");
    assert!(dropped > 100_000, "only {dropped} lines were dropped");
    assert_eq!(stats.dropped_lines, dropped);
    assert_eq!(stats.bytes + stats.dropped_bytes, sent.len() as u64);
}

#[test]
fn a_full_disk_costs_counted_lines_and_never_the_service() {
    on_a_small_disk("outage::full");
}

#[test]
fn a_full_disk_costs_old_archives_first() {
    on_a_small_disk("outage::full_of_archives");
}

/// Runs a test as a child on a file system of 400 KiB, if one can be had.
pub(crate) fn on_a_small_disk(name: &str) {
    on_a_disk_of("size=400k", name);
}

/// The same on one with these limits.
pub(crate) fn on_a_disk_of(limits: &str, name: &str) {
    let directory = tempdir().expect("a directory");
    let user = if nix::unistd::geteuid().is_root() { "-m" } else { "-Urm" };
    let this = child(name, directory.path());
    let script = r#"mount -t tmpfs -o "$LIMITS" none "$LOGS_TEST_DIR" || exit 99; exec "$0" "$@""#;
    let mut command = Command::new("unshare");
    command.args([user, "sh", "-c", script]).arg(this.get_program()).args(this.get_args());
    command.env("LOGS_TEST_DIR", directory.path()).env("LIMITS", limits);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return println!("skipped: {name}: no unshare: {error}"),
    };
    let told = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(99) || told.starts_with("unshare:") {
        return println!("skipped: {name}: no file system of our own can be mounted: {told}");
    }
    assert!(output.status.success(), "{told}");
}

#[test]
#[ignore = "is a child process of a test above"]
fn full() {
    let Some(directory) = child_directory() else { return };
    let (path, filler) = (directory.join("a.log"), directory.join("filler"));
    fs::write(&filler, vec![0; 200_000]).expect("there is room");
    let pump = Pump::new();
    let mut input = feed(&pump, 1, &path, &keep_all(0));
    let sent: Vec<u8> = (1..=100_000).flat_map(|number| format!("line {number}.\n").into_bytes()).collect();
    input.write_all(&sent).expect("the pump reads");
    let told = Some("No space left on device".to_owned());
    eventually("it is told", || pump.stats(&path).is_some_and(|stats| stats.error == told && stats.dropped_bytes > 0));
    // What came last waits in the pipe for a while: a short outage costs nothing.
    fs::remove_file(&filler).expect("it can be removed");
    eventually("it is over", || pump.stats(&path).is_some_and(|stats| stats.error.is_none()));
    finish(&pump, 1);
    let log = fs::read(&path).expect("a log");
    let dropped = account(&sent, &log);
    assert_eq!(pump.stats(&path).map(|stats| stats.dropped_lines), Some(dropped));
    assert!(String::from_utf8_lossy(&log).contains(" lines: No space left on device\n"));
}

#[test]
#[ignore = "is a child process of a test above"]
fn full_of_archives() {
    let Some(directory) = child_directory() else { return };
    let path = |name: &str| directory.join(name);
    fs::write(path("b.log.1"), vec![0; 100_000]).expect("there is room");
    fs::write(path("b.log.2"), vec![0; 100_000]).expect("there is room");
    fs::write(path("stranger.log.1"), vec![0; 100_000]).expect("there is room");
    let pump = Pump::new();
    let _other = feed(&pump, 2, &path("b.log"), &keep_all(0));
    let settings = Settings { max_size: 50_000, keep: 99, compression: Compression::None, ..Settings::default() };
    let mut input = feed(&pump, 1, &path("a.log"), &settings);
    let sent = numbered(20_000);
    input.write_all(&sent).expect("the pump reads");
    finish(&pump, 1);
    assert!(!path("b.log.2").exists(), "the oldest archive is gone");
    assert!(path("stranger.log.1").exists(), "what nobody told us of stays");
    let kept = crate::content(&path("a.log"));
    crate::assert_same(&kept, &sent[sent.len() - kept.len()..]);
    let stats = pump.stats(&path("a.log")).expect("it is known");
    assert_eq!((stats.dropped_bytes, stats.error), (0, None));
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "needs splice and tee")]
fn a_short_outage_loses_nothing() {
    let directory = tempdir().expect("a directory");
    let place = directory.path().join("logs");
    // A file in the way of the directory.
    fs::write(&place, "").expect("a file");
    let path = place.join("a.log");
    let pump = Pump::new();
    feed(&pump, 1, &path, &keep_all(0)).write_all(&numbered(100)).expect("the pump reads");
    eventually("it is told", || pump.stats(&path).is_some_and(|stats| stats.error.is_some()));
    fs::remove_file(&place).expect("it can be removed");
    eventually("it is there", || fs::read(&path).is_ok_and(|text| text == numbered(100)));
    assert_eq!(pump.stats(&path).map(|stats| stats.dropped_bytes), Some(0));
}
