//! The line of output by which a run says that it is ready: looked for while it is still in its pipe, so that a control
//! that dies before it has taken it in leaves it to the next one.
//! Not here: which runs wait for one, and what follows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use regex::bytes::Regex;
use supervisor_core::{Event, Sign};
use supervisor_logs::{Glimpse, Onlooker, plain};
use tokio::sync::mpsc;

use crate::config;
use crate::control::signs::notify::{Source, Told};

/// A longer line is judged by its beginning of this many bytes.
const LONGEST: usize = 8 << 10;
/// Pieces of output that wait to be looked at; of each pipe there is at most one.
const LOOKS: usize = 4096;
/// The engine of the patterns is not recursive.
const STACK: usize = 256 << 10;

/// The thread that looks: what a pattern costs delays neither the loop nor any other log.
#[derive(Debug)]
pub(crate) struct Lines {
    told: mpsc::Sender<Told>,
    queue: Option<SyncSender<Look>>,
}

struct Look {
    seeker: Arc<Mutex<Seeker>>,
    glimpse: Glimpse,
}

impl Lines {
    pub(crate) fn new(told: mpsc::Sender<Told>) -> Self {
        Self { told, queue: None }
    }

    /// For one pipe of a run; it looks until `wanted` is false.
    pub(crate) fn onlooker(&mut self, run: u64, pattern: String, wanted: Arc<AtomicBool>) -> Onlooker {
        let queue = self.queue.get_or_insert_with(start).clone();
        let seeker =
            Seeker { run, pattern: Pattern::Text(pattern), wanted, cut: Cut::default(), told: self.told.clone() };
        let seeker = Arc::new(Mutex::new(seeker));
        Box::new(move |glimpse| {
            let look = Look { seeker: Arc::clone(&seeker), glimpse };
            match queue.try_send(look) {
                Ok(()) => {}
                // There is no thread, or more pipes than it has room for.
                Err(TrySendError::Full(look) | TrySendError::Disconnected(look)) => look.carry_out(),
            }
        })
    }
}

/// Idle without work; it ends with the last pipe that is watched, once control lets go of it, too.
fn start() -> SyncSender<Look> {
    let (queue, looks) = sync_channel(LOOKS);
    let work = move |looks: Receiver<Look>| looks.into_iter().for_each(Look::carry_out);
    if let Err(error) = thread::Builder::new().name("lines".to_owned()).stack_size(STACK).spawn(move || work(looks)) {
        tracing::warn!(%error, "the threads of the logs look for lines themselves");
    }
    queue
}

impl Look {
    fn carry_out(self) {
        self.seeker.lock().unwrap_or_else(PoisonError::into_inner).look(self.glimpse);
    }
}

/// Looks for the line in one pipe.
struct Seeker {
    run: u64,
    pattern: Pattern,
    wanted: Arc<AtomicBool>,
    cut: Cut,
    told: mpsc::Sender<Told>,
}

enum Pattern {
    Text(String),
    Compiled(Box<Regex>),
}

impl Seeker {
    fn look(&mut self, mut glimpse: Glimpse) {
        if let Pattern::Text(text) = &self.pattern {
            match config::pattern(text) {
                Ok(pattern) => self.pattern = Pattern::Compiled(Box::new(pattern)),
                // The configuration was checked, so this is not known to happen.
                Err(error) => {
                    tracing::error!(run = self.run, %error, "its line cannot be looked for");
                    self.wanted.store(false, Ordering::Relaxed);
                }
            }
        }
        if !self.wanted.load(Ordering::Relaxed) {
            return glimpse.be_the_last();
        }
        let Pattern::Compiled(pattern) = &self.pattern else { return };
        if self.cut.any_line(glimpse.bytes(), |line| pattern.is_match(&plain(line))) {
            self.wanted.store(false, Ordering::Relaxed);
            glimpse.be_the_last();
            let event = Event::SignSeen { run: self.run, sign: Sign::Line };
            // Nobody listens any more only when control ends.
            let _ = self.told.blocking_send(Told { event, source: Source::Output { _glimpse: glimpse } });
        }
    }
}

/// Cuts what comes in pieces into lines.
#[derive(Default)]
struct Cut {
    line: Vec<u8>,
    /// The line has been judged by its beginning.
    judged: bool,
}

impl Cut {
    /// Whether `wanted` is true of any line that ends in these bytes, or becomes too long.
    fn any_line(&mut self, bytes: &[u8], mut wanted: impl FnMut(&[u8]) -> bool) -> bool {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, ended) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            let room = LONGEST - self.line.len();
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            let full = self.line.len() == LONGEST;
            if (ended || full) && !std::mem::replace(&mut self.judged, true) && wanted(&self.line) {
                return true;
            }
            if ended {
                self.line.clear();
                self.judged = false;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines that are judged when `pieces` come one after the other.
    fn judged(pieces: &[&[u8]]) -> Vec<String> {
        let (mut cut, mut lines) = (Cut::default(), Vec::new());
        for piece in pieces {
            let found = cut.any_line(piece, |line| {
                lines.push(String::from_utf8_lossy(line).into_owned());
                false
            });
            assert!(!found);
        }
        lines
    }

    #[test]
    fn lines_are_judged_once_they_are_whole_however_they_come() {
        assert_eq!(judged(&[b"one\ntw", b"o\n", b"\nthree"]), ["one", "two", ""]);
        assert_eq!(judged(&[b"a", b"b", b"c", b"\n"]), ["abc"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_judged_once_by_its_beginning() {
        let long = vec![b'x'; LONGEST * 3];
        let beginning = "x".repeat(LONGEST);
        assert_eq!(judged(&[&long, b"y\nnext\n"]), [beginning.as_str(), "next"]);
        assert_eq!(judged(&[&long[..LONGEST - 1], b"x", b"\n"]), [beginning.as_str()]);
    }

    #[test]
    fn the_first_line_that_is_wanted_is_the_last_that_is_judged() {
        let mut count = 0;
        let found = Cut::default().any_line(b"a\nb\nc\n", |line| {
            count += 1;
            line == b"b"
        });
        assert_eq!((found, count), (true, 2));
    }

    #[test]
    fn bytes_that_are_no_text_can_be_matched() {
        assert!(config::pattern("^r.*y$").unwrap().is_match(b"r\xc3\xa4dy"));
        assert!(config::pattern("ready$").unwrap().is_match(b"\xff\xfe ready"));
    }
}
