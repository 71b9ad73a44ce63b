//! The texts of a load, places in them, and the problems found at those places.
//! Not here: what a problem looks like to a person (see `diagnostics`).

use std::cell::OnceCell;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::masked::masked;

/// So many problems are shown; the rest is counted.
const MAX_PROBLEMS: usize = 100;

/// One text of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileId(u32);

/// Bytes of a text, from `start` up to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Span {
    pub(super) file: FileId,
    pub(super) start: u32,
    pub(super) end: u32,
}

/// May lines of a text be shown?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quoting {
    Lines,
    /// Env files: their lines are secrets as often as not.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) quoting: Quoting,
    /// Where each line begins; found when first asked for.
    lines: OnceCell<Vec<usize>>,
    /// Made when first shown.
    shown: OnceCell<String>,
}

impl Source {
    /// The text as it may be shown, byte for byte in the same places.
    pub(super) fn shown(&self) -> &str {
        self.shown.get_or_init(|| masked(&self.text))
    }

    /// Line from 1, and the byte at which it begins.
    pub(super) fn line_of(&self, at: usize) -> (usize, usize) {
        let lines = self.lines.get_or_init(|| {
            let ends = self.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(end, _)| end + 1);
            std::iter::once(0).chain(ends).collect()
        });
        let line = lines.partition_point(|begin| *begin <= at);
        (line, line.checked_sub(1).and_then(|index| lines.get(index)).copied().unwrap_or(0))
    }
}

/// All texts of a load.
#[derive(Debug, Default)]
pub(super) struct Sources(Vec<Source>);

#[derive(Debug)]
pub(super) struct Problem {
    pub(super) at: At,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

#[derive(Debug)]
pub(super) enum At {
    Span(Span),
    /// The file as a whole.
    File(PathBuf),
}

/// What is wrong. A problem of `[defaults]` is met once for each service, and kept once.
#[derive(Debug, Default)]
pub(super) struct Problems {
    kept: Vec<Problem>,
    seen: HashSet<(Span, String)>,
    dropped: usize,
}

impl Sources {
    /// `text` has at most 4 GiB: `Disk` reads far less.
    pub(super) fn add(&mut self, path: &Path, text: String, quoting: Quoting) -> FileId {
        let id = FileId(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        self.0.push(Source { path: path.to_owned(), text, quoting, lines: OnceCell::new(), shown: OnceCell::new() });
        id
    }

    pub(super) fn of(&self, id: FileId) -> &Source {
        &self.0[id.0 as usize]
    }

    /// What relative paths in this text are relative to.
    pub(super) fn dir(&self, id: FileId) -> &Path {
        self.of(id).path.parent().unwrap_or(Path::new("/"))
    }

    /// `file:line`, for a message that points to a second place.
    pub(super) fn place(&self, span: Span) -> String {
        let source = self.of(span.file);
        let (line, _) = source.line_of(span.start as usize);
        format!("{}:{line}", source.path.display())
    }
}

impl Span {
    /// Places beyond 4 GiB do not exist; they saturate.
    pub(super) fn new(file: FileId, bytes: std::ops::Range<usize>) -> Self {
        let clamp = |at| u32::try_from(at).unwrap_or(u32::MAX);
        Self { file, start: clamp(bytes.start), end: clamp(bytes.end) }
    }
}

impl Problems {
    pub(super) fn add(&mut self, at: Span, message: impl Into<String>) {
        self.keep(at, message.into(), None);
    }

    pub(super) fn add_with_help(&mut self, at: Span, message: impl Into<String>, help: impl Into<String>) {
        self.keep(at, message.into(), Some(help.into()));
    }

    pub(super) fn add_for_file(&mut self, path: &Path, message: impl Into<String>) {
        self.kept.push(Problem { at: At::File(path.to_owned()), message: message.into(), help: None });
    }

    /// False once further problems are only counted: advice that is dear to find need not be sought.
    pub(super) fn has_room(&self) -> bool {
        self.kept.len() < MAX_PROBLEMS
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count() == 0
    }

    pub(super) fn count(&self) -> usize {
        self.kept.len() + self.dropped
    }

    /// In the order of the files, and how many more there were.
    pub(super) fn into_sorted(mut self) -> (Vec<Problem>, usize) {
        self.kept.sort_by_key(|problem| match problem.at {
            At::File(_) => None,
            At::Span(span) => Some(span),
        });
        (self.kept, self.dropped)
    }

    fn keep(&mut self, at: Span, message: String, help: Option<String>) {
        if self.seen.contains(&(at, message.clone())) {
            return;
        }
        if !self.has_room() {
            self.dropped += 1;
            return;
        }
        self.seen.insert((at, message.clone()));
        self.kept.push(Problem { at: At::Span(at), message, help });
    }
}
