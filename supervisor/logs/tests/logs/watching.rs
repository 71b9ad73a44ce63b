//! An onlooker sees every byte before it leaves its pipe.
//! Not here: what it looks for.

use std::fs;
use std::io::{PipeReader, PipeWriter, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use supervisor_logs::{Feed, Glimpse, Pump, stage};
use tempfile::tempdir;

use crate::{assert_same, content, eventually, feed, finish, keep_all, numbered};

const SOON: Duration = Duration::from_secs(20);

/// A watched pipe for `path`: what is shown of it.
fn watch(pump: &Pump, pipe: OwnedFd, path: &Path, max_size: u64) -> Receiver<Glimpse> {
    let (show, shown) = sync_channel(1);
    let onlooker = Box::new(move |glimpse| drop(show.send(glimpse)));
    let settings = keep_all(max_size);
    pump.attach_watched(
        Feed { id: 1, pipe, stage: stage().ok(), path: path.to_owned(), generation: 0, settings },
        onlooker,
    );
    shown
}

fn pipe() -> (PipeReader, PipeWriter) {
    std::io::pipe().expect("a pipe")
}

fn holds_something(pipe: &PipeReader) -> bool {
    use std::os::fd::AsFd;
    poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).expect("it can be asked") > 0
}

#[test]
fn what_is_seen_is_still_in_the_pipe_and_leaves_it_afterwards() {
    let directory = tempdir().expect("a directory");
    let (path, other) = (directory.path().join("a.log"), directory.path().join("b.log"));
    let (pump, (output, mut input)) = (Pump::new(), pipe());
    let shown = watch(&pump, output.try_clone().expect("a duplicate").into(), &path, 0);
    input.write_all(b"one\ntwo\nthr").expect("room");
    let glimpse = shown.recv_timeout(SOON).expect("it is shown");
    assert_eq!(glimpse.bytes(), b"one\ntwo\n", "whole lines first");
    // Nobody else has to wait meanwhile.
    feed(&pump, 2, &other, &keep_all(0)).write_all(b"through\n").expect("room");
    eventually("the other log", || fs::read(&other).is_ok_and(|text| text == b"through\n"));
    assert!(!path.exists() && holds_something(&output));
    drop(glimpse);
    let late = shown.recv_timeout(SOON).expect("a line that does not end is shown, too");
    assert_eq!(late.bytes(), b"thr");
    assert_eq!(fs::read(&path).expect("a log"), b"one\ntwo\n");
    drop(late);
    eventually("all of it", || fs::read(&path).is_ok_and(|text| text == b"one\ntwo\nthr"));
}

#[test]
fn what_was_not_seen_to_the_end_is_shown_to_whoever_comes_next() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("a.log");
    let (output, mut input) = pipe();
    let before = Pump::new();
    let shown = watch(&before, output.try_clone().expect("a duplicate").into(), &path, 0);
    input.write_all(b"ready\n").expect("room");
    std::mem::forget(shown.recv_timeout(SOON).expect("it is shown"));
    before.shutdown();
    let after = Pump::new();
    let shown = watch(&after, output.into(), &path, 0);
    assert_eq!(shown.recv_timeout(SOON).expect("it is shown again").bytes(), b"ready\n");
    eventually("it leaves the pipe", || fs::read(&path).is_ok_and(|text| text == b"ready\n"));
}

#[test]
fn a_flood_is_shown_whole_and_in_order_until_it_is_enough_and_the_log_is_the_same() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("a.log");
    let (pump, (output, mut input)) = (Pump::new(), pipe());
    let shown = watch(&pump, output.into(), &path, 50_000);
    let (text, long) = (numbered(200_000), vec![b'x'; 300_000]);
    let all = [text.as_slice(), &long, b"\nlast\n"].concat();
    let writer = std::thread::spawn({
        let all = all.clone();
        move || input.write_all(&all).expect("the pump reads")
    });
    let mut seen = Vec::new();
    while seen.len() < text.len() + 100_000 {
        let glimpse = shown.recv_timeout(SOON).expect("it goes on");
        seen.extend_from_slice(glimpse.bytes());
    }
    shown.recv_timeout(SOON).expect("one more").be_the_last();
    writer.join().expect("it was written");
    finish(&pump, 1);
    assert_same(&seen, &all[..seen.len()]);
    assert!(shown.recv_timeout(SOON).is_err(), "nothing more is shown");
    assert_same(&content(&path), &all);
}

#[test]
fn an_end_does_not_wait_for_an_onlooker() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("a.log");
    let (pump, (output, mut input)) = (Pump::new(), pipe());
    let shown = watch(&pump, output.into(), &path, 0);
    input.write_all(b"one\ntwo\n").expect("room");
    drop(input);
    let glimpse = shown.recv_timeout(SOON).expect("it is shown");
    finish(&pump, 1);
    assert_eq!(fs::read(&path).expect("a log"), b"one\ntwo\n");
    drop(glimpse);
}
