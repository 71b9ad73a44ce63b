//! What a run took: time, CPU, memory.
//! Not here: the run.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};

/// Time in seconds, memory in bytes.
pub(crate) struct Run {
    pub(crate) wall: f64,
    /// CPU of the readers.
    pub(crate) own: f64,
    /// CPU of readers and writers.
    pub(crate) whole: f64,
    /// Of the readers, resident: before the first byte, and the most there was; zero without readers.
    pub(crate) memory: (u64, u64),
}

/// The middle one.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = values.collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// User and system time so far, in seconds.
pub(crate) fn cpu(who: UsageWho) -> io::Result<f64> {
    let used = getrusage(who)?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(used.user_time()) + seconds(used.system_time()))
}

/// Resident memory of these processes together, in bytes.
pub(crate) fn memory(pids: &[u32]) -> u64 {
    let pages = |pid: &u32| -> Option<u64> {
        fs::read_to_string(format!("/proc/{pid}/statm")).ok()?.split(' ').nth(1)?.parse().ok()
    };
    pids.iter().filter_map(pages).sum::<u64>() * 4096
}

/// Does `work`, and looks meanwhile at the memory of these processes; returns the most that there was.
pub(crate) fn watched<T>(pids: &[u32], work: impl FnOnce() -> T) -> (T, u64) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most = memory(pids);
            while !over.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(10));
                most = most.max(memory(pids));
            }
            most
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        (done, watcher.join().unwrap_or(0))
    })
}
