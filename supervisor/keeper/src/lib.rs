//! The keeper: the parent of every service. It executes and reports; it decides nothing.
//! Not here: policy, paths to resolve, names to look up, tokio, anything that may block on one service.

mod channel;
mod child;
mod codec;
mod contact;
mod control;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod keeper;
mod message;
mod peer;
mod platform;
mod process;
mod reap;
mod requests;
mod reserve;
mod shutdown;
mod signals;
mod strings;
mod table;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsFd, RawFd};
use std::path::PathBuf;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub use channel::MAX_RECORD;
pub use message::{BY_DESCRIPTOR, Exited, MAX_FDS, Notice, Reply, Request, Spawn, Step, VERSION};
pub use peer::{Incoming, Peer};
pub use signals::reset_signals;
pub use strings::Strings;

/// Where control finds its end of the channel.
pub const CONTROL_FD: RawFd = 3;

/// What the first control does, in a copy of the keeper's process: whatever was read before need not be read again, and
/// an `exec` takes a millisecond or two. Gives its exit code. Those after it are other programs.
pub type FirstControl = Box<dyn FnOnce() -> u8>;

/// How control is started.
pub struct ControlCommand {
    /// `None`: the first is started as any other.
    pub first: Option<FirstControl>,
    /// Absolute.
    pub program: PathBuf,
    /// The zeroth argument included.
    pub argv: Vec<OsString>,
    /// All of it.
    pub env: Vec<(OsString, OsString)>,
}

/// What the keeper needs to know.
pub struct Setup {
    pub control: ControlCommand,
    /// Until control says otherwise.
    pub shutdown_timeout: Duration,
    /// Attached to whoever started it: when the terminal closes, everything ends.
    pub foreground: bool,
}

/// Is the keeper until everything is down; gives its exit code. The process must have one thread and no children.
pub fn run(setup: Setup) -> u8 {
    reset_signals();
    match keeper::Keeper::new(setup) {
        Ok(keeper) => keeper.run(),
        Err(error) => {
            say(&format!("cannot start: {error}"));
            1
        }
    }
}

/// A line on standard error, if it takes one now: a full pipe must not stop the keeper.
fn say(line: &str) {
    let stderr = io::stderr();
    let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut ready, PollTimeout::ZERO) == Ok(1) {
        let _ = stderr.lock().write_all(format!("keeper: {line}\n").as_bytes());
    }
}
