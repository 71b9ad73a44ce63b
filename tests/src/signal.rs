//! Signals from outside.
//! Not here: whom they are meant for.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Sends a signal; a process that is gone already is no error.
pub fn send(pid: i32, signal: Signal) {
    let _gone_already = kill(Pid::from_raw(pid), signal);
}

/// Stops all of them, so that none can answer the death of another, then kills them.
pub fn kill_together(pids: &[i32]) {
    pids.iter().for_each(|pid| send(*pid, Signal::SIGSTOP));
    pids.iter().for_each(|pid| send(*pid, Signal::SIGKILL));
}
