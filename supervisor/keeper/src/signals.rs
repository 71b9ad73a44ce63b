//! The keeper's own signals, and the state in which every program must start.
//! Not here: what a signal leads to.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::SigSet;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::{flag, low_level::pipe};

use crate::platform;

const LAST: i32 = 64;

/// Default dispositions and an empty mask: ignored signals and a blocked mask survive `exec`, so whoever started us
/// may have left any. `SIGPIPE` is among them; a program that writes to pipes wants to ignore it again.
pub fn reset_signals() {
    for signal in 1..=LAST {
        platform::set_default_disposition(signal);
    }
    unblock_signals();
}

pub(crate) fn unblock_signals() {
    // It can fail only for an unknown `how`.
    let _ = SigSet::empty().thread_set_mask();
}

/// What has been caught since the last look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caught {
    pub(crate) stop: bool,
    pub(crate) hangup: bool,
}

/// Wakes `poll` on a signal. `SIGCHLD` does just that.
pub(crate) struct Signals {
    pipe: UnixStream,
    write: UnixStream,
    stop: Arc<AtomicBool>,
    hangup: Arc<AtomicBool>,
}

impl Signals {
    /// From now on every signal waits for `install`.
    pub(crate) fn hold_back() -> io::Result<Self> {
        SigSet::all().thread_set_mask()?;
        let (pipe, write) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        Ok(Self { pipe, write, stop: Arc::default(), hangup: Arc::default() })
    }

    /// From now on `SIGTERM`, `SIGINT`, `SIGQUIT` (stop) and `SIGHUP` are caught; `SIGPIPE`, `SIGUSR1` and `SIGUSR2`
    /// do nothing; all others do what they do by default, which for process 1 is nothing either.
    pub(crate) fn install(&self) -> io::Result<()> {
        let (stop, hangup, ignored) = (&self.stop, &self.hangup, Arc::default());
        for (signal, noted) in [(SIGTERM, stop), (SIGINT, stop), (SIGQUIT, stop), (SIGHUP, hangup)] {
            // In this order: the flag is up before the byte wakes the loop.
            flag::register(signal, Arc::clone(noted))?;
            pipe::register(signal, self.write.try_clone()?)?;
        }
        pipe::register(SIGCHLD, self.write.try_clone()?)?;
        for signal in [SIGPIPE, SIGUSR1, SIGUSR2] {
            flag::register(signal, Arc::clone(&ignored))?;
        }
        Ok(SigSet::empty().thread_set_mask()?)
    }

    pub(crate) fn take(&self) -> Caught {
        let mut bytes = [0; 256];
        while (&self.pipe).read(&mut bytes).is_ok_and(|length| length == bytes.len()) {}
        let take = |flag: &AtomicBool| flag.swap(false, Ordering::AcqRel);
        Caught { stop: take(&self.stop), hangup: take(&self.hangup) }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
