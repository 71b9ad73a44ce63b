//! The journal over HTTP: pages, streams, and how many of them.
//! Not here: what the journal itself promises.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use super::{PATIENCE, Stand, TOKEN, bearer, name};
use crate::journal::{Kind, Note};

fn note(cause: &str) -> Note {
    Note::new("2026-11-23T00:21:01.000Z".to_owned(), Kind::Probe, cause)
}

/// A stand whose journal holds events 1 to 6: `alpha` and `beta` in turns.
fn stand() -> Stand {
    let stand = Stand::new();
    for number in 1..=6 {
        let of = if number % 2 == 1 { "alpha" } else { "beta" };
        stand.journal.note(note(&format!("cause {number}")).of(&name(of), number));
    }
    stand.journal.hand_over();
    let mut reader = stand.journal.reader();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { while reader.last().await < 6 {} });
    stand
}

fn numbers(stand: &Stand, query: &str) -> Vec<u64> {
    let answer = stand.ask("GET", &format!("/api/v1/events{query}"), "");
    assert_eq!(answer.status, 200, "{query}: {}", String::from_utf8_lossy(&answer.body));
    answer.json()["events"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()).collect()
}

/// An open stream, line by line.
pub(super) struct Listener(BufReader<UnixStream>);

impl Listener {
    fn new(stand: &Stand, query: &str, header: &str) -> Self {
        Self::of(stand, &format!("/api/v1/events{query}"), header)
    }

    pub(super) fn of(stand: &Stand, path: &str, header: &str) -> Self {
        let mut stream = UnixStream::connect(stand.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n").unwrap();
        Self(BufReader::new(stream))
    }

    pub(super) fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream has ended");
        line.trim_end().to_owned()
    }

    pub(super) fn status(&mut self) -> String {
        self.line().split(' ').nth(1).unwrap().to_owned()
    }

    /// The next `count` values of `id`.
    fn ids(&mut self, count: usize) -> Vec<u64> {
        let mut ids = Vec::new();
        while ids.len() < count {
            ids.extend(self.line().strip_prefix("id: ").map(|id| id.parse::<u64>().unwrap()));
        }
        ids
    }
}

#[test]
fn a_page_is_chosen_by_number_time_service_and_kind() {
    let stand = stand();
    assert_eq!(numbers(&stand, ""), [1, 2, 3, 4, 5, 6]);
    assert_eq!(numbers(&stand, "?limit=2"), [5, 6]);
    assert_eq!(numbers(&stand, "?since=2&limit=2"), [3, 4]);
    assert_eq!(numbers(&stand, "?service=beta"), [2, 4, 6]);
    assert_eq!(numbers(&stand, "?service=beta,alpha&since=4"), [5, 6]);
    assert!(numbers(&stand, "?kind=state").is_empty());
    assert_eq!(numbers(&stand, "?since=2026-11-23T00:21:01Z&limit=1"), [1]);
    assert!(numbers(&stand, "?since=2026-11-23T00:21:01.001Z").is_empty());
    let answer = stand.ask("GET", "/api/v1/events?since=0&limit=2", "").json();
    assert_eq!((&answer["next"], &answer["more"], &answer["oldest"]), (&2.into(), &true.into(), &1.into()));
    assert_eq!((&answer["schema_version"], &answer["trouble"]), (&1.into(), &serde_json::Value::Null));
}

#[test]
fn what_is_asked_wrongly_is_refused_with_a_reason() {
    let stand = Stand::new();
    for query in ["?since=yesterday", "?kind=moon", "?service=A/b", "?limit=x", "?follow=perhaps", "?x=1"] {
        let answer = stand.ask("GET", &format!("/api/v1/events{query}"), "");
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{query}");
    }
    let mut wrong = Listener::new(&stand, "?follow=true", "Last-Event-ID: x\r\n");
    assert_eq!(wrong.status(), "400");
}

#[test]
fn over_tcp_events_need_the_token() {
    let stand = stand();
    assert_eq!(stand.tcp("GET", "/api/v1/events", &[]).status, 401);
    assert_eq!(stand.tcp("GET", "/api/v1/events", &[&bearer(TOKEN)]).status, 200);
}

#[test]
fn a_stream_goes_on_behind_the_last_event_that_was_seen() {
    let stand = stand();
    let mut all = Listener::new(&stand, "?follow=true&since=0", "");
    assert_eq!(all.ids(6), [1, 2, 3, 4, 5, 6]);
    let mut again = Listener::new(&stand, "?since=0", "Accept: text/event-stream\r\nLast-Event-ID: 4\r\n");
    assert_eq!(again.ids(2), [5, 6]);
    let mut newest = Listener::new(&stand, "?follow=true&limit=1&service=alpha", "");
    assert_eq!(newest.ids(1), [5]);
    stand.journal.note(note("seven").of(&name("beta"), 7));
    stand.journal.note(note("eight").of(&name("alpha"), 8));
    stand.journal.hand_over();
    assert_eq!(all.ids(2), [7, 8]);
    assert_eq!(again.ids(2), [7, 8]);
    assert_eq!(newest.ids(1), [8], "beta is none of its business");
}

#[test]
fn a_number_that_this_journal_never_gave_is_told_and_what_comes_is_seen() {
    let stand = stand();
    let mut ahead = Listener::new(&stand, "?follow=true", "Last-Event-ID: 4711\r\n");
    assert_eq!(ahead.ids(1), [6]);
    assert_eq!(ahead.line(), "event: gap");
    stand.journal.note(note("next"));
    stand.journal.hand_over();
    assert_eq!(ahead.ids(1), [7]);
}

#[test]
fn the_thirty_third_stream_is_refused_and_answers_are_not() {
    let stand = stand();
    let mut open: Vec<Listener> = (0..32).map(|_| Listener::new(&stand, "?follow=true", "")).collect();
    for listener in &mut open {
        assert_eq!(listener.status(), "200");
    }
    let mut refused = Listener::new(&stand, "?follow=true", "");
    assert_eq!(refused.status(), "503");
    assert_eq!(numbers(&stand, "?limit=1"), [6]);
    drop(open);
    let began = std::time::Instant::now();
    while Listener::new(&stand, "?follow=true", "").status() != "200" {
        assert!(began.elapsed() < PATIENCE, "no place becomes free");
    }
}

#[test]
fn a_reader_that_does_not_read_costs_no_more_than_its_socket() {
    let stand = stand();
    let mut idle = Listener::new(&stand, "?follow=true", "");
    assert_eq!(idle.status(), "200");
    let mut reader = stand.journal.reader();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // Far more than every buffer on the way holds, and more than the journal keeps.
    for _ in 0..60 {
        for _ in 0..500 {
            stand.journal.note(note(&"x".repeat(900)));
        }
        runtime.block_on(stand.journal.written());
    }
    let last = runtime.block_on(reader.last());
    assert_eq!(numbers(&stand, "?limit=1"), [last]);
    // It is told what it missed.
    let mut ids = idle.ids(1);
    let mut gaps = 0;
    while ids.last() != Some(&last) {
        let next = idle.ids(1)[0];
        gaps += usize::from(idle.line() == "event: gap");
        assert!(next > *ids.last().unwrap(), "{next} after {:?}", ids.last());
        ids.push(next);
    }
    assert_eq!(gaps, 1);
}
