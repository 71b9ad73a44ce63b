//! Lines of several logs as one, by time.
//! Not here: finding them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;

use crate::line::Line;
use crate::query::Search;

/// Several searches, whose lines come in the order of their times; those of one log in the order of the log.
#[derive(Default)]
pub struct Merge {
    sources: Vec<Source>,
    /// The time of the next line of each, and whose it is.
    next: BinaryHeap<Reverse<(u64, usize)>>,
    begun: bool,
}

struct Source {
    search: Search,
    lines: VecDeque<Line>,
}

impl Merge {
    /// Of these searches, by whose places the lines are told apart.
    #[must_use]
    pub fn new(searches: Vec<Search>) -> Self {
        let sources = searches.into_iter().map(|search| Source { search, lines: VecDeque::new() });
        Self { sources: sources.collect(), ..Self::default() }
    }

    /// The next line, and whose it is; `None`: that was all.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<(usize, Line)>> {
        if !std::mem::replace(&mut self.begun, true) {
            for which in 0..self.sources.len() {
                self.queue(which)?;
            }
        }
        let Some(Reverse((_, which))) = self.next.pop() else { return Ok(None) };
        let line = self.sources[which].lines.pop_front();
        self.queue(which)?;
        Ok(line.map(|line| (which, line)))
    }

    /// What is wrong with archives, whose lines are missing.
    pub fn troubles(&self) -> impl Iterator<Item = (usize, &str)> {
        self.sources.iter().enumerate().filter_map(|(which, source)| Some((which, source.search.trouble()?)))
    }

    fn queue(&mut self, which: usize) -> io::Result<()> {
        let source = &mut self.sources[which];
        while source.lines.is_empty() {
            let mut lines = Vec::new();
            let more = source.search.read(&mut lines)?;
            source.lines.extend(lines);
            if !more {
                break;
            }
        }
        if let Some(first) = source.lines.front() {
            self.next.push(Reverse((first.time, which)));
        }
        Ok(())
    }
}
