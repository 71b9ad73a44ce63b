//! A log as a stream over the API, whatever becomes of its files and of control meanwhile.
//! Not here: events (`events`), files (`logs`).

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use e2e::{Setup, Signal, Stack, eventually, send};

/// One connection after the other, each going on behind the last line that was seen.
struct Reader<'a> {
    stack: &'a Stack,
    stream: Option<BufReader<UnixStream>>,
    place: String,
    next: String,
    seen: Vec<String>,
}

impl Reader<'_> {
    fn connect(&mut self) -> BufReader<UnixStream> {
        let last = if self.place.is_empty() { String::new() } else { format!("Last-Event-ID: {}\r\n", self.place) };
        eventually("a stream", || {
            let mut stream = UnixStream::connect(self.stack.socket()).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
            let path = "/api/v1/services/t/logs?follow=true&tail=10000";
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n{last}\r\n").ok()?;
            let mut stream = BufReader::new(stream);
            let mut status = String::new();
            stream.read_line(&mut status).ok()?;
            status.contains(" 200 ").then_some(stream)
        })
    }

    /// One line of the stream; a stream that ends is followed by another.
    fn step(&mut self) {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect(),
        };
        let mut line = String::new();
        if stream.read_line(&mut line).is_ok_and(|count| count > 0 && line.ends_with('\n')) {
            self.stream = Some(stream);
        } else {
            return;
        }
        if let Some(place) = line.strip_prefix("id: ") {
            place.trim_end().clone_into(&mut self.next);
        } else if let Some(data) = line.strip_prefix("data: ") {
            // The place counts only with its line.
            self.place.clone_from(&self.next);
            let data: serde_json::Value = serde_json::from_str(data).expect("it is JSON");
            self.seen.push(data["line"].as_str().unwrap_or_else(|| panic!("no line: {data}")).to_owned());
        }
    }
}

#[test]
fn every_line_comes_once_though_files_are_rotated_and_control_is_killed() {
    let stack = Setup::of("[services.t]\ncommand = './puppet seq --rate 2000 --count 8000'")
        .logs("max_size = '4KiB'\nkeep = 0\ncompress = 'none'")
        .start();
    let mut reader =
        Reader { stack: &stack, stream: None, place: String::new(), next: String::new(), seen: Vec::new() };
    for round in 1..=4 {
        while reader.seen.len() < round * 1500 {
            reader.step();
        }
        send(stack.control(), Signal::SIGKILL);
    }
    while reader.seen.last().is_none_or(|line| line != "8000") {
        reader.step();
    }
    let wanted: Vec<String> = (1..=8000).map(|number| number.to_string()).collect();
    let wrong = reader.seen.iter().zip(&wanted).position(|(one, other)| one != other);
    assert!(reader.seen == wanted, "{} lines, wrong from {wrong:?} on", reader.seen.len());
}
