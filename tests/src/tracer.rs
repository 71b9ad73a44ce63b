//! System calls that fail on request, in a process that runs already.
//! Not here: which ones a test wants to fail.

use std::fs;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use crate::signal::send;
use crate::wait::eventually;

/// `strace` on a process and on all that it makes from now on; they are let go when this is dropped.
#[derive(Debug)]
pub struct Tracer(Child);

impl Tracer {
    /// Attaches. `inject` as strace has it, such as `setuid:error=EPERM`.
    ///
    /// # Panics
    /// When strace cannot be run, or does not come to trace.
    #[must_use]
    #[track_caller]
    pub fn of(pid: i32, inject: &str) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("inject={inject}")]);
        command.args(["-e", &format!("trace={}", inject.split(':').next().unwrap_or_default())]);
        command.args(["-p", &pid.to_string()]).stdin(Stdio::null()).stderr(Stdio::null());
        let tracer = Self(command.spawn().expect("strace is there"));
        eventually("every thread to be traced", || all_traced(pid).then_some(()));
        tracer
    }

    /// Processes can be traced here.
    #[must_use]
    pub fn works() -> bool {
        let mut command = Command::new("strace");
        command.args(["-qq", "-o", "/dev/null", "true"]).stdin(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // Asked, it lets go; killed, it might leave someone stopped.
        send(self.0.id().cast_signed(), Signal::SIGTERM);
        let _reaped = self.0.wait();
    }
}

fn all_traced(pid: i32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let statuses = tasks.map(|task| fs::read_to_string(task.path().join("status")).unwrap_or_default());
    statuses.into_iter().all(|status| !status.contains("TracerPid:\t0\n"))
}
