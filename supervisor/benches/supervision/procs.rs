//! What the kernel tells: who descends from whom, and what a process costs.
//! Not here: which processes are to be asked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::Error;

/// What all threads of some processes have used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Work {
    /// Voluntary and not.
    pub(crate) switches: u64,
    pub(crate) cpu_ns: u64,
}

/// Ends whatever this program has started and has not ended yet, by number.
pub(crate) struct Sweep;

impl Drop for Sweep {
    fn drop(&mut self) {
        let me = Pid::this().as_raw();
        end(|| below(me));
    }
}

/// Whatever a supervisor leaves behind becomes ours, so that nothing is lost sight of.
#[cfg(target_os = "linux")]
pub(crate) fn adopt_orphans() -> nix::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)
}

/// The figures come from `/proc`.
#[cfg(not(target_os = "linux"))]
pub(crate) fn adopt_orphans() -> nix::Result<()> {
    Err(Errno::ENOSYS)
}

/// One line on where the figures come from.
pub(crate) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cores} cores, Linux {kernel}, load before {}", read("/proc/loadavg"))
}

/// Ends all that `find` finds until it finds nothing: all are halted first, so that none of them starts another.
pub(crate) fn end(find: impl Fn() -> Vec<i32>) {
    for _ in 0..100 {
        let left = find();
        if left.is_empty() {
            return;
        }
        for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
            for pid in &left {
                let _ = kill(Pid::from_raw(*pid), signal);
            }
        }
        std::thread::sleep(Duration::from_millis(20));
        for pid in &left {
            reap(*pid);
        }
    }
    eprintln!("still there: {:?}", find());
}

/// Lives, and does not merely wait to be reaped.
pub(crate) fn lives(pid: i32) -> bool {
    reap(pid);
    stat(pid).is_some_and(|(_, state)| state != 'Z' && state != 'X')
}

/// Every living descendant.
pub(crate) fn below(root: i32) -> Vec<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for pid in numbers(Path::new("/proc")) {
        if let Some((parent, state)) = stat(pid)
            && state != 'Z'
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut roots = vec![root];
    while let Some(root) = roots.pop() {
        let more = children.remove(&root).unwrap_or_default();
        found.extend(&more);
        roots.extend(more);
    }
    found
}

pub(crate) fn executable(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// Proportional set size of all, in KiB.
pub(crate) fn pss_kib(pids: &[i32]) -> Result<u64, Error> {
    let mut sum = 0;
    for pid in pids {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        sum += field(&rollup, "Pss:").ok_or("no Pss")?;
    }
    Ok(sum)
}

pub(crate) fn work(pids: &[i32]) -> Work {
    let mut work = Work::default();
    for pid in pids {
        let tasks = PathBuf::from(format!("/proc/{pid}/task"));
        for task in numbers(&tasks) {
            let read = |file: &str| fs::read_to_string(tasks.join(task.to_string()).join(file)).unwrap_or_default();
            let status = read("status");
            for name in ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"] {
                work.switches += field(&status, name).unwrap_or(0);
            }
            // Nanoseconds, where `stat` has hundredths of a second only.
            let schedstat = read("schedstat");
            work.cpu_ns += schedstat.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    work
}

fn reap(pid: i32) {
    match waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => {}
        Ok(_) | Err(_) => {}
    }
}

/// The parent and the state.
fn stat(pid: i32) -> Option<(i32, char)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command stands in parentheses and may hold anything, so fields are counted after the last one.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((fields.next()?.parse().ok()?, state))
}

fn numbers(dir: &Path) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
