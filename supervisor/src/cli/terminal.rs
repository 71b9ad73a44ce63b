//! Where a command writes: data to stdout, the rest to stderr.
//! Not here: what it writes.

use std::io::{self, IsTerminal, Write};

use super::failure::Exit;
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
        write(text.as_bytes());
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
            say(text);
        }
    }

    /// What went wrong.
    pub(crate) fn complain(&self, text: &str) {
        complain(text);
    }
}

/// What went wrong, before there is a screen.
pub(crate) fn complain(text: &str) {
    say(&format!("{}\n", text.strip_suffix('\n').unwrap_or(text)));
}

/// The command does its work whether or not someone reads of it.
fn say(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// What a shell tells of a program that `SIGPIPE` has ended.
const ENDED_BY_PIPE: i32 = 141;

/// Data to stdout. Whoever reads it may go away: then there is nothing more to do. Data that is lost is a failure.
pub(crate) fn write(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    let Err(error) = stdout.write_all(bytes).and_then(|()| stdout.flush()) else { return };
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(ENDED_BY_PIPE);
    }
    complain(&format!("error: failed to write to stdout: {error}"));
    std::process::exit(Exit::Failed as i32);
}
