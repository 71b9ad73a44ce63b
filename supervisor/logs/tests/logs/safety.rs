//! A log path that is no plain file of ours is refused, without waiting and without harm.
//! Not here: disks that are full.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::sys::stat::Mode;
use supervisor_logs::Pump;
use tempfile::tempdir;

use crate::{eventually, feed, finish, keep_all};

/// The pump must refuse what `place` put at the path, and take the path again once it is free.
fn refused(words: &str, place: impl FnOnce(&Path)) {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("a.log");
    place(&path);
    let pump = Pump::new();
    let mut input = feed(&pump, 1, &path, &keep_all(0));
    // More than a pipe holds: the writer must not wait for anyone.
    input.write_all(&b"lost\n".repeat(100_000)).expect("the pump reads");
    eventually("it is refused", || {
        pump.stats(&path).and_then(|stats| stats.error).is_some_and(|error| error.contains(words))
    });
    let kind = fs::symlink_metadata(&path).expect("it is there").file_type();
    if kind.is_dir() { fs::remove_dir(&path) } else { fs::remove_file(&path) }.expect("it can be removed");
    eventually("the dropped lines are told of", || {
        fs::read(&path).is_ok_and(|text| text.starts_with(b"[supervisor] dropped "))
    });
    eventually("the error is gone", || pump.stats(&path).is_some_and(|stats| stats.error.is_none()));
    input.write_all(b"kept\n").expect("the pump reads");
    finish(&pump, 1);
    let stats = pump.stats(&path).expect("it is known");
    let text = fs::read_to_string(&path).expect("a log");
    assert!(text.ends_with("\nkept\n"), "{text}");
    assert_eq!(stats.dropped_lines * 5, stats.dropped_bytes);
    assert_eq!(stats.dropped_bytes + stats.bytes, 500_005);
}

#[test]
fn a_symbolic_link_is_refused_and_its_target_is_untouched() {
    let victims = tempdir().expect("a directory");
    let victim = victims.path().join("victim");
    fs::write(&victim, "precious").expect("a file");
    refused("a symbolic link", |path| symlink(&victim, path).expect("a link"));
    assert_eq!(fs::read_to_string(&victim).expect("a file"), "precious");
}

#[test]
fn a_fifo_is_refused() {
    refused("a FIFO", |path| nix::unistd::mkfifo(path, Mode::S_IRWXU).expect("a FIFO"));
}

#[test]
fn a_directory_is_refused() {
    refused("a directory", |path| fs::create_dir(path).expect("a directory"));
}

#[test]
fn a_socket_is_refused() {
    refused("a socket", |path| drop(UnixListener::bind(path).expect("a socket")));
}

#[test]
fn a_second_name_of_a_file_is_refused_to_root() {
    if !nix::unistd::geteuid().is_root() {
        return println!("skipped: a_second_name_of_a_file_is_refused_to_root: needs root");
    }
    let victims = tempdir().expect("a directory");
    let victim = victims.path().join("victim");
    fs::write(&victim, "precious").expect("a file");
    refused("hard links", |path| fs::hard_link(&victim, path).expect("a link"));
    assert_eq!(fs::read_to_string(&victim).expect("a file"), "precious");
}

#[test]
fn one_bad_path_does_not_stop_another_log() {
    let dir = tempdir().expect("a directory");
    let (bad, good) = (dir.path().join("bad.log"), dir.path().join("good.log"));
    nix::unistd::mkfifo(&bad, Mode::S_IRWXU).expect("a FIFO");
    let pump = Pump::new();
    let mut lost = feed(&pump, 1, &bad, &keep_all(0));
    let mut kept = feed(&pump, 2, &good, &keep_all(0));
    lost.write_all(&b"lost\n".repeat(100_000)).expect("the pump reads");
    kept.write_all(b"kept\n").expect("the pump reads");
    eventually("the good log is written", || fs::read(&good).is_ok_and(|text| text == b"kept\n"));
}
