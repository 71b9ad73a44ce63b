//! The process that copies is killed at each step of what it does: writing, rotating, compressing.
//! Not here: kills at any moment (`survival`).

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tempfile::tempdir;

use crate::survival::start;
use crate::{assert_same, child, content, eventually, write_until};

/// What changes files, and how often each thread of the process does it before it is killed, at most.
const STEPS: [(&str, u32); 7] =
    [("rename", 8), ("unlink", 5), ("openat", 12), ("splice", 4), ("write", 5), ("fsync", 2), ("utimensat", 2)];

pub(crate) fn can_be_traced() -> bool {
    let mut command = Command::new("strace");
    command.args(["-qq", "-o", "/dev/null", "true"]).stdin(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// What kills this process when it is about to make this system call for the `number`th time.
pub(crate) fn killed_at(call: &str, number: u32, this: Command) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e"]);
    command.arg(format!("inject={call}:signal=KILL:when={number}")).arg(this.get_program()).args(this.get_args());
    command.envs(this.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command
}

/// One copier, until it comes to this.
fn copies_until(call: &str, number: u32, directory: &Path, pipe: &std::io::PipeReader) {
    let mut command = killed_at(call, number, child("survival::copier", directory));
    command.stdin(pipe.try_clone().expect("a duplicate")).stdout(Stdio::null()).stderr(Stdio::null());
    let mut traced = command.spawn().expect("strace is there");
    eventually(&format!("{call} is called {number} times"), || traced.try_wait().expect("our child").is_some());
    let ended = traced.wait().expect("our child");
    // As strace ends like the one that it traces.
    assert_eq!(ended.signal(), Some(9), "{call} {number}: {ended}");
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "needs splice and tee")]
fn a_kill_at_any_step_loses_and_doubles_nothing_and_leaves_nothing_half_done() {
    if !can_be_traced() {
        return println!(
            "skipped: a_kill_at_any_step_loses_and_doubles_nothing_and_leaves_nothing_half_done: steps can be counted with strace only"
        );
    }
    let directory = tempdir().expect("a directory");
    let at = directory.path();
    fs::write(at.join("gzip"), "").expect("a file");
    let (output, mut input) = std::io::pipe().expect("a pipe");
    let over = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            write_until(&over, &mut input, |written| {
                (0..100).for_each(|_| writeln!(written, "line {}", written.len()).expect("memory"));
                std::thread::sleep(Duration::from_millis(1));
            })
        });
        for (call, times) in STEPS {
            (1..=times).for_each(|number| copies_until(call, number, at, &output));
        }
        over.store(true, Ordering::Relaxed);
        let mut copier = start(at, (&output, None));
        let written = writer.join().expect("it wrote");
        copier.kill().expect("it lives");
        copier.wait().expect("it is gone");
        written
    });
    fs::write(at.join("last"), "").expect("a file");
    let last = start(at, (&output, None)).wait_with_output().expect("it ends");
    assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
    assert_same(&content(&at.join("logs/a.log")), &written);
    let names = fs::read_dir(at.join("logs")).expect("it can be listed").flatten().map(|entry| entry.file_name());
    let half: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with('.')).collect();
    assert!(half.is_empty(), "{half:?}");
}
