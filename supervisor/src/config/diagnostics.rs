//! What is wrong with a configuration, for people (as text) and programs (serialised).
//! Not here: finding it.

use std::fmt;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::Place;
use super::source::{At, Problem, Problems, Quoting, Source, Sources, Span};
use crate::untrusted::deceives;

/// A quoted line is cut to so many columns around the place.
const QUOTE_WIDTH: usize = 120;
/// So many columns of a cut line stand before the place.
const QUOTE_BEFORE: usize = 40;

/// Why a configuration was refused: at least one reason, in the order of the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Diagnostics {
    pub(crate) list: Vec<Diagnostic>,
    /// Further ones that are not listed.
    pub(crate) more: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Diagnostic {
    pub(crate) file: String,
    /// From 1; absent when the file as a whole is meant.
    pub(crate) line: Option<u32>,
    /// From 1, in characters.
    pub(crate) column: Option<u32>,
    /// A lower-case fragment.
    pub(crate) message: String,
    /// What to do.
    pub(crate) help: Option<String>,
    /// Stays in this process: a line of the file may hold what not every reader of the API should see.
    #[serde(skip)]
    quote: Option<Quote>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Quote {
    text: String,
    /// Columns before the underline, and its length.
    indent: usize,
    length: usize,
}

impl Diagnostics {
    pub(super) fn new(problems: Problems, sources: &Sources) -> Self {
        let (kept, more) = problems.into_sorted();
        Self { list: kept.into_iter().map(|problem| Diagnostic::new(problem, sources)).collect(), more }
    }
}

impl Diagnostic {
    /// Something about a file as a whole.
    pub(crate) fn of_file(file: &Path, message: &str) -> Self {
        let file = clean(&file.display().to_string());
        Self { file, line: None, column: None, message: clean(message), help: None, quote: None }
    }

    /// Something that only this machine shows to be wrong.
    pub(crate) fn at(place: &Place, message: &str) -> Self {
        Self { line: Some(place.line), column: Some(place.column), ..Self::of_file(&place.file, message) }
    }

    /// `file:line:column: message`, in one line.
    pub(crate) fn in_short(&self) -> String {
        let place = match (self.line, self.column) {
            (Some(line), Some(column)) => format!(":{line}:{column}"),
            (Some(_) | None, _) => String::new(),
        };
        format!("{}{place}: {}", self.file, self.message)
    }

    fn new(problem: Problem, sources: &Sources) -> Self {
        let (file, place) = match problem.at {
            At::File(path) => (path.display().to_string(), None),
            At::Span(span) => {
                let source = sources.of(span.file);
                (source.path.display().to_string(), Some(locate(source, span)))
            }
        };
        let (line, column, quote) = match place {
            Some((line, column, quote)) => (u32::try_from(line).ok(), u32::try_from(column).ok(), quote),
            None => (None, None, None),
        };
        let help = problem.help.map(|help| clean(&help));
        Self { file: clean(&file), line, column, message: clean(&problem.message), help, quote }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.list.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{diagnostic}")?;
        }
        match self.more {
            0 => Ok(()),
            more => writeln!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for Diagnostics {}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.message)?;
        write!(f, "  --> {}", self.file)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        writeln!(f)?;
        if let (Some(line), Some(quote)) = (self.line, &self.quote) {
            let gutter = line.to_string().len();
            writeln!(f, "{:gutter$} |", "")?;
            writeln!(f, "{line} | {}", quote.text)?;
            writeln!(f, "{:gutter$} | {:indent$}{}", "", "", "^".repeat(quote.length), indent = quote.indent)?;
        }
        match &self.help {
            Some(help) => writeln!(f, "help: {help}"),
            None => Ok(()),
        }
    }
}

/// A span as people count.
pub(super) fn place(span: Span, sources: &Sources) -> Place {
    let source = sources.of(span.file);
    let (line, column, _) = locate(source, span);
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place { file: source.path.clone(), line: number(line), column: number(column) }
}

/// Line, column, and the line itself where it may be shown.
fn locate(source: &Source, span: Span) -> (usize, usize, Option<Quote>) {
    let text = source.text.as_str();
    let start = floor(text, span.start as usize);
    let end = floor(text, span.end as usize).max(start);
    let (line, line_start) = source.line_of(start);
    let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
    let column = 1 + text[line_start..start].chars().count();
    let quote = match source.quoting {
        Quoting::Nothing => None,
        Quoting::Lines => {
            let shown = source.shown();
            let part = |from: usize, to: usize| shown.get(from..to).unwrap_or_default();
            Some(quote(part(line_start, start), part(start, end.min(line_end)), part(end.min(line_end), line_end)))
        }
    };
    (line, column, quote)
}

fn quote(before: &str, marked: &str, after: &str) -> Quote {
    let cut_before = before.chars().count() > QUOTE_WIDTH - QUOTE_BEFORE;
    let before: String = if cut_before {
        let tail: Vec<char> = before.chars().rev().take(QUOTE_BEFORE).collect();
        std::iter::once('…').chain(tail.into_iter().rev()).collect()
    } else {
        before.to_owned()
    };
    let before = clean(&before);
    let room = QUOTE_WIDTH.saturating_sub(before.chars().count());
    let shown_mark: String = clean(&marked.chars().take(room).collect::<String>());
    let room = room.saturating_sub(shown_mark.chars().count());
    let mut rest: String = clean(&after.chars().take(room).collect::<String>());
    if marked.chars().count() > shown_mark.chars().count() || after.chars().nth(room).is_some() {
        rest.push('…');
    }
    Quote {
        indent: width(&before),
        length: width(&shown_mark).max(1),
        text: format!("{before}{shown_mark}{rest}").trim_end().to_owned(),
    }
}

/// The next place at or before `at` where a character begins.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A file must not be able to move the reader's cursor, or to turn the order of the characters around.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == '\t' {
                ' '
            } else if deceives(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// Columns on a terminal: the wide ranges of Unicode's East Asian Width, roughly.
fn width(text: &str) -> usize {
    let wide = |c: char| {
        matches!(u32::from(c), 0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff
            | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd)
    };
    text.chars().map(|c| if wide(c) { 2 } else { 1 }).sum()
}
