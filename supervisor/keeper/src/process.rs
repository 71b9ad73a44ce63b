//! Signals to processes, and their ends.
//! Not here: which processes are whose.

#![expect(unsafe_code, reason = "nix has no wait4 and no kill with real-time signals")]

use std::mem::zeroed;

use nix::errno::Errno;
use nix::libc;
use nix::sys::time::{TimeVal, TimeValLike};

use crate::message::Exited;
use crate::platform::MAX_RSS_UNIT;

pub(crate) enum Waited {
    /// Whose end it was is for the caller to say, and when.
    Dead(Exited),
    /// All children live.
    NoneReady,
    NoChildren,
}

/// Reaps one child, if one is to be reaped. Nothing else in this process may wait for children.
pub(crate) fn wait_any() -> Waited {
    let mut status = 0;
    // SAFETY: all zeroes is a valid rusage; both pointers are to locals that outlive the call.
    let (pid, usage) = unsafe {
        let mut usage: libc::rusage = zeroed();
        (libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage), usage)
    };
    match pid {
        0 => Waited::NoneReady,
        ..0 => Waited::NoChildren,
        1.. => Waited::Dead(Exited {
            run: 0,
            pid,
            code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
            signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
            core_dumped: libc::WIFSIGNALED(status) && libc::WCOREDUMP(status),
            at_ms: 0,
            cpu_us: micros(usage.ru_utime) + micros(usage.ru_stime),
            max_rss: u64::try_from(usage.ru_maxrss).unwrap_or(0) * MAX_RSS_UNIT,
            alone: false,
        }),
    }
}

/// `kill(2)`: to a process, or with a negative number to a group.
pub(crate) fn signal(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: kill touches no memory.
    Errno::result(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// To the group that an unreaped main process leads; to it alone as long as it has not called `setsid`.
pub(crate) fn signal_group(leader: i32, number: i32) -> Result<(), Errno> {
    signal(-leader, number).or_else(|_| signal(leader, number))
}

fn micros(time: libc::timeval) -> u64 {
    u64::try_from(TimeVal::from(time).num_microseconds()).unwrap_or(0)
}
