//! All that the keeper keeps: runs, held descriptors, records, and whose each process is.
//! Not here: system calls other than those that follow from forgetting something.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;

use nix::libc;

use crate::child::Progress;
use crate::message::{Exited, Notice, Spawn};
use crate::process;

/// Keys and values together. Control is a program with a bug when it comes near.
pub(crate) const MAX_RECORD_BYTES: usize = 64 << 20;

#[derive(Default)]
pub(crate) struct Table {
    pub(crate) runs: BTreeMap<u64, Run>,
    /// Every child that we made and did not reap yet. A child that is not here is an orphan.
    pub(crate) owners: HashMap<i32, Owner>,
    pub(crate) held: BTreeMap<String, OwnedFd>,
    pub(crate) records: BTreeMap<String, Vec<u8>>,
    record_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Run(u64),
    Control,
    /// It is only waited for: a helper whose control is gone, or a launch that failed.
    Nobody,
}

pub(crate) struct Run {
    pub(crate) pid: i32,
    pub(crate) started_ms: u64,
    pub(crate) kind: Kind,
    pub(crate) stop_rank: u32,
    pub(crate) stop_signal: i32,
    pub(crate) stop_timeout_ms: u64,
    /// When its group gets `SIGKILL`.
    pub(crate) kill_at: Option<u64>,
    pub(crate) phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Service,
    Helper,
}

pub(crate) enum Phase {
    /// Not at `exec` yet. `request` is to be answered, unless its control is gone.
    Launching {
        progress: Progress,
        by: u64,
        request: Option<u64>,
    },
    Running,
    /// Reaped. `notice`: how this control has been told.
    Gone {
        exited: Exited,
        notice: Option<u64>,
    },
}

impl Run {
    pub(crate) fn new(spawn: &Spawn, pid: i32, now: u64, phase: Phase) -> Self {
        let helper = spawn.helper_deadline_ms > 0;
        Self {
            pid,
            started_ms: now,
            kind: if helper { Kind::Helper } else { Kind::Service },
            stop_rank: spawn.stop_rank,
            stop_signal: spawn.stop_signal,
            stop_timeout_ms: spawn.stop_timeout_ms,
            kill_at: helper.then(|| now.saturating_add(spawn.helper_deadline_ms)),
            phase,
        }
    }

    /// Not reaped: its process id is its own.
    pub(crate) fn lives(&self) -> bool {
        match self.phase {
            Phase::Launching { .. } | Phase::Running => true,
            Phase::Gone { .. } => false,
        }
    }
}

impl Table {
    pub(crate) fn put_record(&mut self, key: String, value: Vec<u8>) -> Result<(), i32> {
        let before = self.records.get(&key).map_or(0, |value| key.len() + value.len());
        let after = self.record_bytes - before + key.len() + value.len();
        if after > MAX_RECORD_BYTES {
            return Err(libc::ENOSPC);
        }
        self.record_bytes = after;
        self.records.insert(key, value);
        Ok(())
    }

    pub(crate) fn delete_record(&mut self, key: &str) {
        if let Some(value) = self.records.remove(key) {
            self.record_bytes -= key.len() + value.len();
        }
    }

    /// What a new control must know.
    pub(crate) fn inventory(&self) -> Vec<Notice> {
        let runs = self.runs.iter().map(|(id, run)| Notice::Run {
            run: *id,
            pid: run.pid,
            started_ms: run.started_ms,
            helper: run.kind == Kind::Helper,
        });
        let records = self.records.iter();
        let records = records.map(|(key, value)| Notice::Record { key: key.clone(), value: value.clone() });
        let held = self.held.keys().map(|name| Notice::Held { name: name.clone() });
        runs.chain(records).chain(held).collect()
    }

    /// The launch of `run` failed: its process only remains to be reaped.
    pub(crate) fn disown(&mut self, run: u64) {
        if let Some(run) = self.runs.remove(&run).filter(Run::lives) {
            self.owners.insert(run.pid, Owner::Nobody);
        }
    }

    /// Control is gone: its helpers end, and its successor is to hear of every exit anew.
    pub(crate) fn end_epoch(&mut self) {
        let helpers: Vec<u64> = self
            .runs
            .iter()
            .filter(|(_, run)| run.kind == Kind::Helper)
            .map(|(id, run)| {
                if run.lives() {
                    // It fails only when the group ended by itself.
                    let _ = process::signal_group(run.pid, libc::SIGKILL);
                }
                *id
            })
            .collect();
        helpers.into_iter().for_each(|id| self.disown(id));
        for run in self.runs.values_mut() {
            match &mut run.phase {
                Phase::Launching { request, .. } => *request = None,
                Phase::Running => {}
                Phase::Gone { notice, .. } => *notice = None,
            }
        }
    }

    pub(crate) fn acknowledge(&mut self, up_to: u64) {
        self.runs.retain(|_, run| match run.phase {
            Phase::Launching { .. } | Phase::Running => true,
            Phase::Gone { notice, .. } => notice.is_none_or(|number| number > up_to),
        });
    }
}
