//! The end of a stack: nothing of it may be left.
//! Not here: life (`stack`).

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::procs::Proc;
use crate::signal::send;
use crate::stack::{Done, Stack};
use crate::wait::eventually;

impl Stack {
    /// Stops everything, and is sure that nothing is left.
    #[track_caller]
    pub fn stop(&mut self) -> Done {
        let done = self.cli(&["stop"]).succeeded();
        self.assert_nothing_left();
        done
    }

    /// No process, no socket.
    #[track_caller]
    pub fn assert_nothing_left(&mut self) {
        if let Some(child) = &mut self.foreground {
            eventually("the foreground to end", || child.try_wait().expect("it is our child"));
        }
        self.await_keeper(Duration::from_secs(5));
        let left = self.processes();
        let real: Vec<_> = left.iter().filter(|one| one.state != 'Z').collect();
        assert!(real.is_empty(), "left behind: {real:#?}");
        assert!(!self.socket().exists(), "the socket is still there");
    }

    /// Where a failed test leaves what it saw.
    #[expect(clippy::print_stderr, reason = "the runner of the tests shows it")]
    pub fn note(&self, text: &str) {
        eprintln!("{text}");
    }

    /// How a last `stop` went, in words.
    fn stop_within(&self, limit: Duration) -> String {
        let (mut child, _, err) = self.spawn(&["stop"], Stdio::null());
        let began = Instant::now();
        while began.elapsed() < limit {
            if let Ok(Some(status)) = child.try_wait() {
                return format!("{status}: {}", fs::read_to_string(err).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(15));
        }
        let _gone_already = child.kill();
        let _reaped = child.wait();
        format!("not ended within {limit:?}")
    }

    /// What runs in the foreground may be a wrapper, which ends a little later than what it wraps.
    fn await_foreground(&mut self, limit: Duration) {
        let began = Instant::now();
        while let Some(child) = &mut self.foreground {
            if began.elapsed() > limit || !child.try_wait().is_ok_and(|status| status.is_none()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(15));
        }
    }

    /// An end lets go of the lock, which `stop` waits for, a moment before the process is gone.
    fn await_keeper(&self, limit: Duration) {
        let began = Instant::now();
        let ends = |one: &Proc| one.state != 'Z' && one.command.starts_with("supervisor: keeper");
        while began.elapsed() < limit && self.processes().iter().any(ends) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn confess(&self) {
        for entry in fs::read_dir(&self.root)
            .into_iter()
            .flatten()
            .chain(fs::read_dir(self.path("logs")).into_iter().flatten())
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("supervisor") || name.starts_with("command-") {
                let text = fs::read(entry.path()).unwrap_or_default();
                let tail = &text[text.len().saturating_sub(8000)..];
                if !tail.is_empty() {
                    self.note(&format!("--- {name}\n{}", String::from_utf8_lossy(tail)));
                }
            }
        }
        self.note(&format!("--- processes\n{:#?}", self.processes()));
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        let mut stop = String::new();
        if failed {
            self.confess();
        } else if self.processes().iter().any(|one| one.state != 'Z') {
            stop = self.stop_within(Duration::from_secs(20));
            self.await_foreground(Duration::from_secs(5));
            self.await_keeper(Duration::from_secs(5));
        }
        let mut left = Vec::new();
        // A keeper replaces what is killed, so again until nothing comes back.
        for _ in 0..20 {
            let now: Vec<Proc> = self.processes().into_iter().filter(|one| one.state != 'Z').collect();
            if now.is_empty() {
                break;
            }
            if left.is_empty() && !failed {
                self.confess();
            }
            now.iter().for_each(|one| send(one.pid, Signal::SIGKILL));
            left.extend(now);
            std::thread::sleep(Duration::from_millis(20));
        }
        if let Some(mut child) = self.foreground.take() {
            let _gone_already = child.kill();
            let _reaped = child.wait();
        }
        assert!(failed || left.is_empty(), "`supervisor stop` ({stop}) left behind: {left:#?}");
    }
}
