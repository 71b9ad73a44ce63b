//! Ends: of processes, and of launches.
//! Not here: what control makes of them.

use nix::errno::Errno;
use nix::libc;

use crate::child::Reached;
use crate::keeper::Keeper;
use crate::message::{Exited, Reply, Step};
use crate::process::{self, Waited};
use crate::say;
use crate::shutdown::Stage;
use crate::table::{Owner, Phase};

/// Control's "my configuration is wrong" (`EX_CONFIG` of sysexits.h): starting it again will not help.
const EX_CONFIG: i32 = 78;

impl Keeper {
    /// Reaps all that is dead.
    pub(crate) fn reap(&mut self, now: u64) {
        let mut ended: Vec<Exited> = Vec::new();
        self.childless = loop {
            match process::wait_any() {
                Waited::Dead(death) => ended.extend(self.died(death, now)),
                Waited::NoneReady => break false,
                Waited::NoChildren => break true,
            }
        };
        if ended.is_empty() {
            return;
        }
        let groups: Vec<i32> = ended.iter().map(|exited| exited.pid).collect();
        let known = |pid: i32| self.table.owners.contains_key(&pid);
        let alone = self.children.none_but(known, &groups);
        for exited in ended {
            if let Some(run) = self.table.runs.get_mut(&exited.run) {
                run.phase = Phase::Gone { exited: Exited { alone, ..exited }, notice: None };
            }
        }
    }

    /// Whose death was it? That of a run is told when all that is dead is reaped.
    fn died(&mut self, death: Exited, now: u64) -> Option<Exited> {
        if let Some(Owner::Run(run)) = self.table.owners.get(&death.pid) {
            self.settle(*run);
        }
        self.stage.forget(death.pid);
        match self.table.owners.remove(&death.pid) {
            Some(Owner::Run(run)) => return Some(Exited { run, at_ms: now, ..death }),
            Some(Owner::Control) => self.control_died(&death, now),
            Some(Owner::Nobody) => {}
            None => {
                self.news.orphan_reaped |= std::mem::take(&mut self.news.orphans_awaited);
            }
        }
        None
    }

    fn control_died(&mut self, death: &Exited, now: u64) {
        if self.control.pid() != Some(death.pid) {
            return; // One that lingered; its successor is up.
        }
        let meant = death.code == Some(0) && matches!(self.stage, Stage::Sweeping(_));
        if !meant {
            say(&match (death.code, death.signal) {
                (Some(code), _) => format!("control (pid {}) exited with {code}", death.pid),
                (None, signal) => format!("control (pid {}) ended by signal {}", death.pid, signal.unwrap_or(0)),
            });
        }
        self.watch_start(now);
        self.table.end_epoch();
        self.control.ended(now);
        self.count_control_death(now);
        if death.code == Some(EX_CONFIG) && !self.control.has_spawned {
            self.give_up(now);
        }
    }

    /// Looks how far a launch came, and answers once it is known.
    pub(crate) fn settle(&mut self, id: u64) {
        let Some(run) = self.table.runs.get_mut(&id) else {
            return;
        };
        let pid = run.pid;
        let (reached, request) = match &mut run.phase {
            Phase::Launching { progress, request, .. } => (progress.read(), *request),
            Phase::Running | Phase::Gone { .. } => return,
        };
        match (reached, request) {
            (Reached::NotYet, _) => {}
            (Reached::Exec, request) => {
                run.phase = Phase::Running;
                if let Some(request) = request {
                    self.reply(request, &Reply::Spawned { pid }, Vec::new());
                }
            }
            // Whoever asked is gone; its successor will hear of the exit with 127.
            (Reached::Failed { .. }, None) => run.phase = Phase::Running,
            (Reached::Failed { step, errno }, Some(request)) => {
                self.table.disown(id);
                let step = step.name().to_owned();
                self.reply(request, &Reply::SpawnFailed { step, errno }, Vec::new());
            }
        }
    }

    /// The child hangs before `exec`, perhaps on a dead file system.
    pub(crate) fn launch_timed_out(&mut self, id: u64) {
        let Some(run) = self.table.runs.get_mut(&id) else {
            return;
        };
        let request = match &mut run.phase {
            Phase::Launching { request, .. } => request.take(),
            Phase::Running | Phase::Gone { .. } => return,
        };
        // It fails only when the child ended by itself.
        let _ = process::signal(run.pid, libc::SIGKILL);
        let Some(request) = request else {
            run.phase = Phase::Running;
            return;
        };
        self.table.disown(id);
        let step = Step::Fork.name().to_owned();
        let errno = Errno::ETIMEDOUT as i32;
        self.reply(request, &Reply::SpawnFailed { step, errno }, Vec::new());
    }
}
