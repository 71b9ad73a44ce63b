//! A log as it grows, over HTTP.
//! Not here: following files as such; that is the log crate's.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::events::Listener;
use super::{PATIENCE, Stand, TOKEN, bearer};
use crate::timestamp;

const PATH: &str = "/api/v1/services/alpha/logs?follow=true";

fn log(stand: &Stand) -> PathBuf {
    let dir = stand.dir.path().join("logs");
    std::fs::create_dir_all(&dir).unwrap();
    dir.join("alpha.log")
}

fn say(stand: &Stand, text: &str) {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(log(stand)).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// The next line of the log, and its place.
fn next(listener: &mut Listener) -> (String, String) {
    let mut id = String::new();
    loop {
        let line = listener.line();
        if let Some(place) = line.strip_prefix("id: ") {
            id = place.to_owned();
        }
        if let Some(data) = line.strip_prefix("data: ") {
            let data: serde_json::Value = serde_json::from_str(data).unwrap();
            return (data["line"].as_str().unwrap_or("no line").to_owned(), id);
        }
    }
}

#[test]
fn lines_come_as_they_are_written_after_the_last_ones() {
    let stand = Stand::new();
    say(&stand, "one\ntwo\nthree\n");
    let mut listener = Listener::of(&stand, &format!("{PATH}&tail=2"), "");
    assert_eq!(next(&mut listener).0, "two");
    assert_eq!(next(&mut listener).0, "three");
    say(&stand, "fo");
    say(&stand, "ur\n\u{1b}[2J\rfive\n");
    assert_eq!(next(&mut listener).0, "four");
    assert_eq!(next(&mut listener).0, "\u{1b}[2J\rfive");
}

#[test]
fn a_client_that_comes_back_goes_on_where_it_was_though_the_log_was_rotated() {
    let stand = Stand::new();
    say(&stand, "one\ntwo\n");
    let mut listener = Listener::of(&stand, PATH, "Accept: text/event-stream\r\n");
    let (line, place) = next(&mut listener);
    assert_eq!(line, "one");
    drop(listener);
    std::fs::rename(log(&stand), log(&stand).with_extension("log.1")).unwrap();
    say(&stand, "three\n");
    let mut again = Listener::of(&stand, PATH, &format!("Last-Event-ID: {place}\r\n"));
    assert_eq!(next(&mut again).0, "two");
    let (line, place) = next(&mut again);
    assert_eq!(line, "three");
    std::fs::remove_file(log(&stand).with_extension("log.1")).unwrap();
    let mut last = Listener::of(&stand, PATH, &format!("Last-Event-ID: {place}\r\n"));
    say(&stand, "four\n");
    assert_eq!(next(&mut last).0, "four");
}

#[test]
fn a_place_that_is_no_longer_kept_is_told_and_everything_that_is_follows() {
    let stand = Stand::new();
    say(&stand, "new\n");
    let mut listener = Listener::of(&stand, PATH, "Last-Event-ID: 1-1000000\r\n");
    while listener.line() != "event: gap" {}
    assert_eq!(next(&mut listener).0, "no line");
    assert_eq!(next(&mut listener).0, "new");
}

#[test]
fn a_stream_ends_when_the_last_moment_that_is_wanted_has_passed_though_the_log_goes_on() {
    let stand = Stand::new();
    say(&stand, "early\n");
    let until = timestamp::now_ms() + 1500;
    let path = format!("{PATH}&until={}", timestamp::format(until));
    let mut listener = Listener::of(&stand, &path, "");
    assert_eq!(next(&mut listener).0, "early");
    let (over, began) = (AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) && began.elapsed() < PATIENCE {
                say(&stand, "more\n");
            }
        });
        while listener.line() != "event: end" {}
        assert!(timestamp::now_ms() > until, "it ended too soon");
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(listener.line(), r#"data: {"cause":"`until` has passed"}"#);
}

#[test]
fn a_log_that_is_not_there_yet_is_waited_for() {
    let stand = Stand::new();
    let path = log(&stand);
    let mut listener = Listener::of(&stand, PATH, "");
    assert_eq!(listener.status(), "200");
    assert!(!path.exists());
    say(&stand, "first\n");
    assert_eq!(next(&mut listener).0, "first");
}

#[test]
fn streams_of_logs_count_with_the_others_and_need_the_token() {
    let stand = Stand::new();
    assert_eq!(stand.tcp("GET", PATH, &[]).status, 401);
    assert_eq!(stand.tcp("GET", "/api/v1/services/ghost/logs?follow=true", &[&bearer(TOKEN)]).status, 404);
    assert_eq!(Listener::of(&stand, PATH, "Last-Event-ID: yesterday\r\n").status(), "400");
    let mut open: Vec<Listener> = (0..32).map(|_| Listener::of(&stand, PATH, "")).collect();
    assert!(open.iter_mut().all(|listener| listener.status() == "200"));
    assert_eq!(Listener::of(&stand, "/api/v1/events?follow=true", "").status(), "503");
    drop(open);
    let began = Instant::now();
    while Listener::of(&stand, PATH, "").status() != "200" {
        assert!(began.elapsed() < PATIENCE, "no place becomes free");
    }
}
