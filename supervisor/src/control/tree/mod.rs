//! Which process belongs to which run: by its session, else by its control group, else by the random cookie in its
//! environment.
//! Not here: signals to services (the keeper sends them), when to look.

mod emptied;
pub(crate) mod survey;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::platform::{self, Environments, groups};

/// The variable that marks every process of a run.
pub(crate) const COOKIE: &str = "SUPERVISOR_COOKIE";

/// How often processes that were asked to end are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// The cookie in the environment that a process was started with.
pub(crate) fn cookie_of(pid: i32, environments: &mut Environments) -> Option<String> {
    let environ = environments.of(pid)?;
    environ.split(|byte| *byte == 0).find_map(|entry| {
        let value = entry.strip_prefix(COOKIE.as_bytes())?.strip_prefix(b"=")?;
        String::from_utf8(value.to_vec()).ok()
    })
}

/// Some process has this number.
pub(crate) fn alive(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}

/// The run that a cookie names, when it is one of ours.
pub(crate) fn run_of_cookie(cookie: &str, prefix: &str) -> Option<u64> {
    cookie.strip_prefix(prefix)?.strip_prefix('.')?.parse().ok()
}

/// Sorts processes (pid, session) by run. `mains` are the main processes, living or just gone, whose numbers are the
/// sessions of their trees. Those that belong to no run of ours are left out.
pub(crate) fn sort_by_run(
    processes: &[(i32, i32)],
    mains: &BTreeMap<i32, u64>,
    prefix: &str,
) -> BTreeMap<u64, Vec<i32>> {
    let mut sorted: BTreeMap<u64, Vec<i32>> = BTreeMap::new();
    let mut environments = Environments::default();
    for &(pid, session) in processes {
        let run = mains.get(&session).copied();
        let run = run.or_else(|| groups::run_of(pid, prefix));
        let run = run.or_else(|| cookie_of(pid, &mut environments).and_then(|cookie| run_of_cookie(&cookie, prefix)));
        if let Some(run) = run {
            sorted.entry(run).or_default().push(pid);
        }
    }
    sorted
}

/// A process that an earlier supervisor of this stack left behind. The start time tells it from a later process
/// that got the same number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Leftover {
    pub(crate) pid: i32,
    started: u64,
}

/// What lives of this stack: everything in its control groups, everything whose cookie begins with `stack`, and
/// everything in their sessions.
pub(crate) fn leftovers(stack: &str) -> BTreeSet<Leftover> {
    let all = platform::processes();
    let mut environments = Environments::default();
    let mut bears_cookie = |pid| {
        let cookie = cookie_of(pid, &mut environments);
        cookie.is_some_and(|cookie| cookie.strip_prefix(stack).is_some_and(|rest| rest.starts_with('.')))
    };
    let marked: Vec<i32> = all
        .iter()
        .map(|process| process.pid)
        .filter(|pid| groups::is_of_stack(*pid, stack) || bears_cookie(*pid))
        .collect();
    let leaders: BTreeSet<i32> =
        all.iter().filter(|p| marked.contains(&p.pid) && p.session == p.pid).map(|p| p.pid).collect();
    all.iter()
        .filter(|process| marked.contains(&process.pid) || leaders.contains(&process.session))
        .map(|process| Leftover { pid: process.pid, started: process.started })
        .collect()
}

/// Ends what an earlier supervisor of this stack left behind: `SIGTERM` and `SIGCONT`, then `SIGKILL` after
/// `timeout`. Returns what was found and what still lives a second after that. Must only be called under the lock
/// of the stack: no other supervisor of it lives.
pub(crate) fn end_leftovers(stack: &str, timeout: Duration) -> (Vec<i32>, Vec<i32>) {
    let found = leftovers(stack);
    if found.is_empty() {
        return (Vec::new(), Vec::new());
    }
    signal(&found, &[Signal::SIGTERM, Signal::SIGCONT]);
    let polite = Instant::now() + timeout;
    let mut rest = leftovers(stack);
    while !rest.is_empty() && Instant::now() < polite {
        std::thread::sleep(LOOK);
        rest = leftovers(stack);
    }
    let killing = Instant::now() + Duration::from_secs(1);
    while !rest.is_empty() && Instant::now() < killing {
        signal(&rest, &[Signal::SIGKILL]);
        std::thread::sleep(LOOK);
        rest = leftovers(stack);
    }
    (pids(&found), pids(&rest))
}

fn signal(targets: &BTreeSet<Leftover>, signals: &[Signal]) {
    for target in targets {
        // Looked at again right before, so that the number is not a stranger's by now.
        if platform::process(target.pid).is_some_and(|process| process.started == target.started) {
            for one in signals {
                let _ = kill(Pid::from_raw(target.pid), *one);
            }
        }
    }
}

fn pids(of: &BTreeSet<Leftover>) -> Vec<i32> {
    of.iter().map(|one| one.pid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_of_another_stack_or_keeper_names_no_run() {
        assert_eq!(run_of_cookie("aa.bb.12", "aa.bb"), Some(12));
        assert_eq!(run_of_cookie("aa.bc.12", "aa.bb"), None);
        assert_eq!(run_of_cookie("aa.bb12", "aa.bb"), None);
        assert_eq!(run_of_cookie("aa.bb.x", "aa.bb"), None);
    }

    #[test]
    fn a_process_is_sorted_by_session_first() {
        let mains = BTreeMap::from([(100, 7)]);
        let sorted = sort_by_run(&[(101, 100), (102, 999)], &mains, "none");
        assert_eq!(sorted, BTreeMap::from([(7, vec![101])]));
    }
}
