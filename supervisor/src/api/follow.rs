//! A service's log as it grows. Each stream has a thread of its own, as files cannot be waited for otherwise; the file
//! is the buffer, so a client that does not read keeps nothing but its place.
//! Not here: the last lines as text (`logs`).

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use serde_json::json;
use supervisor_logs::{Follower, Mark, tail_then_follow};
use tokio::sync::mpsc;

use super::problem::Problem;
use super::stream::{self, Source};
use crate::sse;

/// Read at once.
const PASS: usize = 64 * 1024;
/// A longer line is told in pieces.
const MAX_LINE: usize = 16 * 1024;
/// Parts that wait for the client.
const PARTS: usize = 2;
/// After so long without a line it is looked whether the client is still there.
const WAIT: Duration = Duration::from_secs(1);

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// With the last so many lines.
    Tail(usize),
    /// Behind what the client has seen.
    Behind(Mark),
}

/// `FILE-OFFSET`, as the `id` of a line tells it.
pub(super) fn parse_mark(id: &str) -> Option<Mark> {
    let (file, offset) = id.split_once('-')?;
    Some(Mark { file: file.parse().ok()?, offset: offset.parse().ok()? })
}

pub(super) fn follow(path: PathBuf, begin: Begin, max_bytes: usize) -> Result<Response, Problem> {
    let place = stream::place()?;
    let (sender, parts) = mpsc::channel(PARTS);
    let held = place.clone();
    let work = move || {
        // What cannot be read ends the stream; the client comes back with the place that it has.
        let _ = pump(&path, begin, max_bytes, &sender);
        drop(held);
    };
    match std::thread::Builder::new().name("log-stream".to_owned()).stack_size(256 << 10).spawn(work) {
        Ok(_) => Ok(stream::answer(Parts(parts), place)),
        Err(error) => {
            let detail = format!("there is no thread to follow it: {error}");
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail))
        }
    }
}

struct Parts(mpsc::Receiver<Bytes>);

impl Source for Parts {
    async fn next(mut self) -> Option<(Bytes, Self)> {
        Some((self.0.recv().await?, self))
    }
}

fn pump(path: &Path, begin: Begin, max_bytes: usize, client: &mpsc::Sender<Bytes>) -> io::Result<()> {
    let mut lines = Lines::default();
    let mut part = Vec::new();
    let (mut text, mut follower) = match begin {
        Begin::Tail(count) => tail_then_follow(path, count, max_bytes)?,
        Begin::Behind(mark) => match Follower::resume(path, mark)? {
            Some(follower) => (Vec::new(), follower),
            None => {
                sse::write(&mut part, "", "gap", br#"{"cause":"lines are missing: their file is no longer kept"}"#);
                (Vec::new(), Follower::of_all(path))
            }
        },
    };
    loop {
        lines.take(&text, follower.mark(), &mut part);
        if !part.is_empty() && client.blocking_send(std::mem::take(&mut part).into()).is_err() {
            return Ok(());
        }
        text.clear();
        while follower.read(&mut text, PASS)? == 0 {
            follower.wait(WAIT)?;
            if client.is_closed() {
                return Ok(());
            }
        }
    }
}

/// Puts lines together, and tells each with the place behind it.
#[derive(Debug, Default)]
struct Lines {
    /// A line that has not ended yet.
    partial: Vec<u8>,
}

impl Lines {
    /// `end` is the place behind `text`.
    fn take(&mut self, text: &[u8], end: Option<Mark>, part: &mut Vec<u8>) {
        let mut left = text.len();
        for piece in text.split_inclusive(|byte| *byte == b'\n').flat_map(|line| line.chunks(MAX_LINE)) {
            left -= piece.len();
            self.partial.extend_from_slice(piece);
            let whole = self.partial.ends_with(b"\n");
            if !whole && self.partial.len() < MAX_LINE {
                continue;
            }
            // Of what is in an older file than the last byte, the place is not known; a client keeps the one before.
            let id = end.and_then(|Mark { file, offset }| Some(format!("{file}-{}", offset.checked_sub(left as u64)?)));
            let line = String::from_utf8_lossy(self.partial.strip_suffix(b"\n").unwrap_or(&self.partial));
            let data = if whole { json!({ "line": line }) } else { json!({ "line": line, "partial": true }) };
            sse::write(part, &id.unwrap_or_default(), "", data.to_string().as_bytes());
            self.partial.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(texts: &[(&[u8], u64)]) -> Vec<(String, String)> {
        let (mut lines, mut part) = (Lines::default(), Vec::new());
        for (text, offset) in texts {
            lines.take(text, Some(Mark { file: 7, offset: *offset }), &mut part);
        }
        let messages = sse::Parser::default().take(&part);
        messages.into_iter().map(|message| (message.id, message.data)).collect()
    }

    fn line(id: &str, data: &str) -> (String, String) {
        (id.to_owned(), data.to_owned())
    }

    #[test]
    fn each_line_is_told_once_it_is_whole_with_the_place_behind_it() {
        let all = told(&[(b"one\ntw", 106), (b"o\n\r\x1b[2J\n", 114)]);
        let wanted = [
            line("7-104", r#"{"line":"one"}"#),
            line("7-108", r#"{"line":"two"}"#),
            line("7-114", r#"{"line":"\r\u001b[2J"}"#),
        ];
        assert_eq!(all, wanted);
    }

    #[test]
    fn a_line_without_end_is_told_in_pieces() {
        let all = told(&[(&vec![b'x'; 2 * MAX_LINE + 3], 1_000_000), (b"end\n", 1_000_004)]);
        assert_eq!(all.len(), 3);
        assert!(all[0].1.ends_with(r#""partial":true}"#) && all[1].1.ends_with(r#""partial":true}"#));
        assert_eq!(all[2], line("7-1000004", r#"{"line":"xxxend"}"#));
    }

    #[test]
    fn lines_of_an_older_file_have_no_place() {
        assert_eq!(told(&[(b"old\nnew\n", 4)]), [line("7-0", r#"{"line":"old"}"#), line("7-4", r#"{"line":"new"}"#)]);
        assert_eq!(told(&[(b"old\nnew\n", 3)]), [line("", r#"{"line":"old"}"#), line("7-3", r#"{"line":"new"}"#)]);
    }

    #[test]
    fn a_place_is_read_as_it_was_told() {
        assert_eq!(parse_mark("7-104"), Some(Mark { file: 7, offset: 104 }));
        for wrong in ["", "7", "-", "7-", "7-x", "a-1", "7-1-2"] {
            assert_eq!(parse_mark(wrong), None, "{wrong}");
        }
    }
}
