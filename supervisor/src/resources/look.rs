//! One look at the processes of the machine.
//! Not here: whose they are (`forest`), adding them up.

use std::collections::HashMap;

use supervisor_core::ServiceName;
use sysinfo::{ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};

use super::forest::{Owner, Roots};
use super::meter::Reading;
use crate::platform;

/// A process of ours.
pub(super) struct Seen {
    pub(super) reading: Reading,
    pub(super) memory_bytes: u64,
    pub(super) open_fds: Option<u64>,
    pub(super) threads: Option<u64>,
    /// Ended; only its parent has not looked yet.
    pub(super) ended: bool,
}

impl Seen {
    pub(super) fn cpu_ms(&self) -> u64 {
        self.reading.own_ms + self.reading.waited_ms
    }
}

/// Those of all processes that belong to us.
pub(super) fn processes(roots: &Roots, orphan: impl FnMut(i32) -> Option<ServiceName>) -> Option<Vec<Seen>> {
    let mut system = System::new().ok()?;
    let kind = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
    let number = |pid: sysinfo::Pid| i32::try_from(pid.as_u32()).unwrap_or(0);
    let parents: HashMap<i32, i32> = system
        .processes()
        .values()
        .map(|process| (number(process.pid()), process.parent().map_or(0, number)))
        .collect();
    let owners = roots.owners(&parents, orphan);
    let seen = system.processes().values().filter_map(|process| {
        let pid = number(process.pid());
        let owner = owners.get(&pid)?.clone();
        let beside = platform::beside(pid);
        // What the keeper waited for are the services themselves.
        let waited = beside.filter(|_| matches!(owner, Owner::Service(_))).map_or(0, |beside| beside.waited_ms);
        let reading = Reading {
            owner,
            pid,
            parent: parents.get(&pid).copied().unwrap_or(0),
            started: beside.map_or_else(|| process.start_time(), |beside| beside.started),
            own_ms: process.accumulated_cpu_time(),
            waited_ms: waited,
        };
        Some(Seen {
            reading,
            memory_bytes: process.memory(),
            open_fds: process.open_files().and_then(|count| u64::try_from(count).ok()),
            threads: beside.map(|beside| beside.threads),
            ended: matches!(process.status(), ProcessStatus::Zombie | ProcessStatus::Dead),
        })
    });
    Some(seen.collect())
}
