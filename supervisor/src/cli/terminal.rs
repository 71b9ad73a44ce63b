//! Where a command writes: data to stdout, the rest to stderr.
//! Not here: what it writes.

use std::io::{self, IsTerminal, Write};

use crate::platform;

/// Where data and progress go, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// Columns of stdout, when it is a terminal.
    pub(crate) width: Option<usize>,
    /// Stdout shows colours.
    pub(crate) colour: bool,
    /// Rows of stderr, when progress may be drawn in place there.
    pub(crate) live_rows: Option<usize>,
    /// Its columns.
    pub(crate) live_columns: usize,
    /// Stderr shows colours.
    pub(crate) live_colour: bool,
    pub(crate) quiet: bool,
    pub(crate) json: bool,
}

/// Nobody said `NO_COLOR` (no-color.org), and the terminal is no dumb one.
pub(crate) fn colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && !is_dumb()
}

/// It cannot move its cursor.
pub(crate) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

impl Screen {
    pub(crate) fn new(quiet: bool, json: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let live = io::stderr().is_terminal() && !is_dumb() && !quiet;
        let live_size = platform::terminal_size(io::stderr()).unwrap_or((80, 24));
        Self {
            width: terminal.then(|| platform::terminal_size(io::stdout()).map_or(80, |(columns, _)| columns)),
            colour: terminal && colours_wanted(),
            live_rows: live.then_some(live_size.1),
            live_columns: live_size.0,
            live_colour: live && colours_wanted(),
            quiet,
            json,
        }
    }

    /// Data: what the command is for.
    pub(crate) fn data(&self, text: &str) {
        write(io::stdout().lock(), text.as_bytes());
    }

    /// Data in a form for people; its exit code says enough to those who asked for quiet.
    pub(crate) fn show(&self, text: &str) {
        if !self.quiet {
            self.data(text);
        }
    }

    /// What a person wants to know besides.
    pub(crate) fn tell(&self, text: &str) {
        if !self.quiet {
            write(io::stderr().lock(), text.as_bytes());
        }
    }

    /// What went wrong.
    pub(crate) fn complain(&self, text: &str) {
        complain(text);
    }
}

/// What went wrong, before there is a screen.
pub(crate) fn complain(text: &str) {
    write(io::stderr().lock(), text.as_bytes());
    if !text.ends_with('\n') {
        write(io::stderr().lock(), b"\n");
    }
}

/// What a shell tells of a program that `SIGPIPE` has ended.
const ENDED_BY_PIPE: i32 = 141;

/// Whoever reads may go away: then there is nothing more to do. Of other errors nobody can be told.
pub(crate) fn write(mut to: impl Write, bytes: &[u8]) {
    let written = to.write_all(bytes).and_then(|()| to.flush());
    if written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        std::process::exit(ENDED_BY_PIPE);
    }
}
