//! Processes as `/proc` tells of them.
//! Not here: which ones a test may end.

use std::fs;
use std::path::{Path, PathBuf};

/// One process.
#[derive(Debug, Clone)]
pub struct Proc {
    pub pid: i32,
    pub parent: i32,
    pub session: i32,
    /// `R`, `S`, `T`, `Z` …
    pub state: char,
    pub command: String,
}

/// Every process whose environment or command names `marker`, a directory that only one test uses. The supervisor's
/// roles show their environment to root only.
#[must_use]
pub fn processes_of(marker: &Path) -> Vec<Proc> {
    let marker = marker.as_os_str().as_encoded_bytes();
    all_pids()
        .filter(|pid| {
            let names_it = |file: &str| {
                let words = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                words.windows(marker.len()).any(|part| part == marker)
            };
            names_it("environ") || names_it("cmdline")
        })
        .filter_map(of)
        .collect()
}

/// The children of a process, zombies included.
#[must_use]
pub fn child_pids(parent: i32) -> Vec<i32> {
    all_pids().filter_map(of).filter(|one| one.parent == parent).map(|one| one.pid).collect()
}

/// It exists and is no zombie.
#[must_use]
pub fn alive(pid: i32) -> bool {
    of(pid).is_some_and(|one| one.state != 'Z')
}

/// The number of a process in the innermost namespace that it lives in.
#[must_use]
pub fn inner_number(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find(|line| line.starts_with("NSpid:"))?.split_whitespace().last()?.parse().ok()
}

/// Descriptors that it has open; roles show theirs to root only. Not the kernel's log: control opens it, for good, once
/// the machine has killed anything for want of memory, and that may have been a neighbour's test.
#[must_use]
pub fn open_files(pid: i32) -> usize {
    let counts = |link: &PathBuf| *link != *"/dev/kmsg";
    let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    links.filter(|entry| fs::read_link(entry.path()).as_ref().is_ok_and(counts)).count()
}

/// The memory that it has, in bytes; 0 when it is gone.
#[must_use]
pub fn resident(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or("VmRSS: 0");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) << 10
}

/// The time that it has used, and the kernel for it, in hundredths of a second (proc(5), fields 14 and 15).
#[must_use]
pub fn cpu_ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default().split(' ');
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// A variable of the environment that it was started with, if we may know.
#[must_use]
pub fn variable(pid: i32, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let environment = String::from_utf8_lossy(&environment).into_owned();
    let mut all = environment.split('\0');
    all.find_map(|one| Some(one.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
}

fn all_pids() -> impl Iterator<Item = i32> {
    let names = fs::read_dir("/proc").into_iter().flatten().flatten();
    names.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn of(pid: i32) -> Option<Proc> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold any character, so count from the last one.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned();
    Some(Proc { pid, parent, session, state, command })
}
