//! A service's log as it grows. Each stream has a thread of its own, as files cannot be waited for otherwise; the file
//! is the buffer, so a client that does not read keeps nothing but its place.
//! Not here: the last lines as text (`logs`).

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use supervisor_core::ServiceName;
use supervisor_logs::{Line, Mark, Next, Query, Tracker, Unfinished, last};
use tokio::sync::mpsc;

use super::logs::{MAX_BYTES, warn};
use super::problem::Problem;
use super::stream::{self, Source};
use crate::log_lines::{self, Output};
use crate::sse;

/// Parts that wait for the client.
const PARTS: usize = 2;
/// A part is sent once it has so many bytes, and has at most a line more.
const PART: usize = 256 << 10;
/// After so long without a line it is looked whether the client is still there.
const WAIT: Duration = Duration::from_secs(1);

/// One log of a service.
#[derive(Debug, Clone)]
pub(super) struct LogFile {
    pub(super) service: ServiceName,
    pub(super) path: PathBuf,
    pub(super) output: Output,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// With the last so many lines.
    Tail(usize),
    /// Behind what the client has seen.
    Behind(Mark),
}

/// `FILE-OFFSET` or `FILE-OFFSET-BASE`, as the `id` of a line tells it.
pub(super) fn parse_mark(id: &str) -> Option<Mark> {
    let mut numbers = id.split('-').map(|number| number.parse().ok());
    let (file, offset) = (numbers.next()??, numbers.next()??);
    let base = match numbers.next() {
        Some(base) => Some(base?),
        None => None,
    };
    numbers.next().is_none().then_some(Mark { file, offset, base })
}

pub(super) fn follow(file: LogFile, begin: Begin, wanted: Query) -> Result<Response, Problem> {
    let place = stream::place()?;
    let (sender, parts) = mpsc::channel(PARTS);
    let held = place.clone();
    let work = move || {
        // What cannot be read ends the stream; the client comes back with the place that it has.
        if let Err(error) = pump(&file, begin, wanted, &sender) {
            let mut part = Vec::new();
            trouble(&file, &error.to_string(), &mut part);
            let _ = sender.blocking_send(part.into());
        }
        drop(held);
    };
    match std::thread::Builder::new().name("log-stream".to_owned()).stack_size(512 << 10).spawn(work) {
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

fn pump(file: &LogFile, begin: Begin, wanted: Query, client: &mpsc::Sender<Bytes>) -> io::Result<()> {
    let mut part = Vec::new();
    let resume = |mark| Tracker::resume(&file.path, wanted.clone(), mark);
    let all = || Tracker::of_all(&file.path, wanted.clone());
    let (mut lines, mut tracker) = match begin {
        Begin::Tail(count) => {
            let stop = || client.is_closed();
            let found = last(&file.path, &wanted, (count, MAX_BYTES), Unfinished::Left, &stop)?;
            found.trouble.iter().for_each(|cause| trouble(file, cause, &mut part));
            (found.lines, found.end.map(resume).transpose()?.flatten().unwrap_or_else(all))
        }
        Begin::Behind(mark) => {
            let resumed = resume(mark)?;
            if resumed.is_none() {
                sse::write(&mut part, "", "gap", br#"{"cause":"lines are missing: their file is no longer kept"}"#);
            }
            (Vec::new(), resumed.unwrap_or_else(all))
        }
    };
    let mut over = false;
    loop {
        for line in lines.drain(..) {
            tell(file, &line, &mut part);
            if part.len() >= PART && client.blocking_send(std::mem::take(&mut part).into()).is_err() {
                return Ok(());
            }
        }
        if over {
            sse::write(&mut part, "", "end", br#"{"cause":"`until` has passed"}"#);
        }
        if !part.is_empty() && client.blocking_send(std::mem::take(&mut part).into()).is_err() {
            return Ok(());
        }
        // A log may go on for long without a line that is wanted.
        if over || client.is_closed() {
            return Ok(());
        }
        over = tracker.next(&mut lines, WAIT)? == Next::Over;
    }
}

/// Lines are missing.
fn trouble(file: &LogFile, cause: &str, part: &mut Vec<u8>) {
    warn(file, cause);
    sse::write(part, "", "error", serde_json::json!({ "cause": cause }).to_string().as_bytes());
}

/// Its `id` is the place behind it.
fn tell(file: &LogFile, line: &Line, part: &mut Vec<u8>) {
    let Mark { file: inode, offset, base } = line.end;
    let base = base.map_or_else(String::new, |base| format!("-{base}"));
    let data = log_lines::json(file.service.as_str(), file.output, line);
    sse::write(part, &format!("{inode}-{offset}{base}"), "", data.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_a_busy_log_ends_with_its_client_and_comes_in_small_parts() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("web.log");
        std::fs::write(&path, "some line of a service\n".repeat(40_000)).expect("written");
        let service = ServiceName::new("web").expect("a name");
        let file = LogFile { service, path, output: Output::Merged };
        let (sender, mut parts) = mpsc::channel(PARTS);
        let begin = Begin::Tail(10_000);
        let work = std::thread::spawn(move || pump(&file, begin, Query::default(), &sender));
        let first = parts.blocking_recv().expect("a part");
        assert!(first.len() >= PART && first.len() < PART + 1024, "{}", first.len());
        drop(parts);
        assert!(work.join().expect("no panic").is_ok());
    }

    #[test]
    fn what_cannot_be_read_is_told_to_the_client() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = LogFile {
            service: ServiceName::new("web").expect("a name"),
            path: dir.path().to_owned(),
            output: Output::Merged,
        };
        let mut part = Vec::new();
        trouble(&file, "it is a \"directory\"", &mut part);
        let told = sse::Parser::default().take(&part);
        assert_eq!((told[0].event.as_str(), told[0].data.as_str()), ("error", r#"{"cause":"it is a \"directory\""}"#));
    }

    #[test]
    fn a_place_is_read_as_it_was_told() {
        let file =
            LogFile { service: ServiceName::new("web").expect("a name"), path: PathBuf::new(), output: Output::Merged };
        for base in [None, Some(4000)] {
            let end = Mark { file: 7, offset: 104, base };
            let line = Line { text: b"hello".to_vec(), whole: true, seq: Some(5), time: 0, generation: None, end };
            let mut part = Vec::new();
            tell(&file, &line, &mut part);
            let told = sse::Parser::default().take(&part);
            assert_eq!(parse_mark(&told[0].id), Some(end));
            assert!(told[0].data.contains(r#""line":"hello""#));
        }
        for wrong in ["", "7", "-", "7-", "7-x", "a-1", "7-1-", "7-1-x", "7-1-2-3"] {
            assert_eq!(parse_mark(wrong), None, "{wrong}");
        }
    }
}
