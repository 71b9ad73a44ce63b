//! A terminal that is drawn anew again and again: its second screen, its size, its keys, and the signals that concern it.
//! Not here: what is drawn.

use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::{flag, low_level::pipe};

use crate::platform;

/// The second screen, without a cursor; and back (xterm's control sequences, which every terminal of today knows).
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// From now until it is dropped, the terminal is ours.
pub(crate) struct Live {
    woken: UnixStream,
    ended: Arc<AtomicBool>,
    suspended: Arc<AtomicBool>,
    /// How stdin was, when it is a terminal.
    keys: Option<Termios>,
}

/// Why a wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Time, or another size.
    Draw,
    /// `q`, ^C, or a signal that ends.
    End,
}

impl Live {
    pub(crate) fn enter() -> io::Result<Self> {
        let (woken, waker) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        let (ended, suspended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
            flag::register(signal, Arc::clone(&ended))?;
        }
        flag::register(SIGTSTP, Arc::clone(&suspended))?;
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH] {
            pipe::register(signal, waker.try_clone()?)?;
        }
        let keys = tcgetattr(io::stdin()).ok();
        let live = Self { woken, ended, suspended, keys };
        live.take();
        Ok(live)
    }

    /// Columns and rows.
    pub(crate) fn size() -> (usize, usize) {
        platform::terminal_size(io::stdout()).unwrap_or((80, 24))
    }

    /// As many lines as there is room for.
    pub(crate) fn draw(&self, text: &str) {
        let (_, rows) = Self::size();
        let lines: Vec<&str> = text.lines().collect();
        let shown = if lines.len() > rows { rows.saturating_sub(1) } else { lines.len() };
        let mut frame = String::from("\x1b[H");
        for line in lines.iter().take(shown) {
            frame.push_str(&format!("{line}\x1b[K\r\n"));
        }
        if shown < lines.len() {
            frame.push_str(&format!("… {} more lines\x1b[K", lines.len() - shown));
        } else if let Some(end) = frame.strip_suffix("\r\n") {
            // A line end in the last row would scroll.
            frame.truncate(end.len());
        }
        frame.push_str("\x1b[J");
        say(&frame);
    }

    pub(crate) fn wait(&mut self, time: Duration) -> Wake {
        let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        let stdin = io::stdin();
        let mut fds = vec![PollFd::new(self.woken.as_fd(), PollFlags::POLLIN)];
        if self.keys.is_some() {
            fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        // Interrupted: a signal came, and is seen below.
        let _ = poll(&mut fds, timeout);
        let pressed = fds.get(1).is_some_and(|fd| fd.any() == Some(true));
        let mut bytes = [0; 64];
        while (&self.woken).read(&mut bytes).is_ok_and(|count| count > 0) {}
        if self.suspended.swap(false, Ordering::Relaxed) {
            self.give_back();
            let _ = raise(Signal::SIGSTOP);
            self.take();
        }
        if self.ended.load(Ordering::Relaxed) || (pressed && ends(&mut bytes)) { Wake::End } else { Wake::Draw }
    }

    fn take(&self) {
        if let Some(before) = &self.keys {
            let mut ours = before.clone();
            ours.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON);
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &ours);
        }
        say(ENTER);
    }

    fn give_back(&self) {
        say(LEAVE);
        if let Some(before) = &self.keys {
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, before);
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// `q` or ^D, or nobody presses keys any more.
fn ends(bytes: &mut [u8]) -> bool {
    match nix::unistd::read(io::stdin(), bytes) {
        Ok(0) | Err(_) => true,
        Ok(count) => bytes[..count].iter().any(|byte| matches!(byte, b'q' | b'Q' | 4)),
    }
}

/// Whether stdout can be drawn on.
pub(crate) fn possible() -> bool {
    io::stdout().is_terminal() && !super::terminal::is_dumb()
}

fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
