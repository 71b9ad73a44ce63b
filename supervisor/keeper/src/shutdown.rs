//! The end: asked of control; without a control that can, done here, by rank.
//! Not here: stopping one service while the others run. That is control's.

use std::collections::{BTreeSet, HashSet};

use nix::libc;

use crate::keeper::{Keeper, Urgency};
use crate::table::Owner;
use crate::{process, say};

/// Control's own part beyond the time of the services.
const GRACE_MS: u64 = 5_000;
/// Containers are killed ten seconds after they are asked to stop.
const PID_ONE_MS: u64 = 8_000;
/// Deaths of control after which it is not trusted with the shutdown.
const MAX_DEATHS: u32 = 3;
/// Between `SIGTERM` and `SIGKILL` for what is left.
const TERM_MS: u64 = 1_000;
/// Control's last deeds after `Finish`.
const FAREWELL_MS: u64 = 2_000;
/// What is not gone by then is beyond us: it sits in the kernel.
const SWEEP_MS: u64 = 5_000;

pub(crate) enum Stage {
    Serving,
    /// Control has been told.
    Asked {
        urgency: Urgency,
        by: u64,
        deaths: u32,
    },
    /// The keeper stops the runs, the highest rank first.
    Stopping {
        by: u64,
        asked: BTreeSet<u64>,
    },
    /// Every process must go.
    Sweeping(Sweep),
}

pub(crate) struct Sweep {
    /// `None`: it shows in the end.
    code: Option<u8>,
    control_until: u64,
    kill_at: u64,
    until: u64,
    asked: HashSet<i32>,
}

impl Stage {
    pub(crate) fn wants_control(&self) -> bool {
        match self {
            Self::Serving | Self::Asked { .. } => true,
            Self::Stopping { .. } | Self::Sweeping(_) => false,
        }
    }

    pub(crate) fn urgency(&self) -> Option<Urgency> {
        match self {
            Self::Asked { urgency, .. } => Some(*urgency),
            Self::Serving | Self::Stopping { .. } | Self::Sweeping(_) => None,
        }
    }

    pub(crate) fn deadline(&self, now: u64) -> Option<u64> {
        match self {
            Self::Serving => None,
            Self::Asked { by, .. } | Self::Stopping { by, .. } => Some(*by),
            Self::Sweeping(Sweep { control_until, kill_at, until, .. }) => {
                [*control_until, *kill_at, *until].into_iter().filter(|at| *at > now).min()
            }
        }
    }

    /// This process id may come back as another process.
    pub(crate) fn forget(&mut self, pid: i32) {
        if let Self::Sweeping(sweep) = self {
            sweep.asked.remove(&pid);
        }
    }
}

impl Keeper {
    /// `SIGTERM` and its like.
    pub(crate) fn stop_requested(&mut self, now: u64) {
        let pid_one = std::process::id() == 1;
        let span = if pid_one { PID_ONE_MS } else { self.shutdown_timeout_ms.saturating_add(GRACE_MS) };
        match &mut self.stage {
            Stage::Serving => {
                let (urgency, by) = (Urgency::InOrder, now.saturating_add(span));
                self.stage = Stage::Asked { urgency, by, deaths: 0 };
                self.news.shutdown = Some(urgency);
                if self.control.is_in_backoff(now) {
                    self.stop_without_control(by, now);
                }
            }
            Stage::Asked { urgency, .. } => {
                *urgency = Urgency::Now;
                self.news.shutdown = Some(Urgency::Now);
            }
            Stage::Stopping { .. } => self.sweep(None, now, now, now),
            Stage::Sweeping(sweep) => sweep.kill_at = sweep.kill_at.min(now),
        }
    }

    /// Control says that every service is down.
    pub(crate) fn finish(&mut self, code: u8, now: u64) {
        self.sweep(Some(code), now + FAREWELL_MS, now + TERM_MS, now);
    }

    /// Control cannot be started at all.
    pub(crate) fn give_up(&mut self, now: u64) {
        say("giving up");
        self.sweep(Some(1), now, now + TERM_MS, now);
    }

    pub(crate) fn count_control_death(&mut self, now: u64) {
        if let Stage::Asked { deaths, by, .. } = &mut self.stage {
            *deaths += 1;
            if *deaths >= MAX_DEATHS {
                let by = *by;
                self.stop_without_control(by, now);
            }
        }
    }

    /// Takes the next step that is due, and gives the exit code when it was the last.
    pub(crate) fn proceed(&mut self, now: u64) -> Option<u8> {
        match &mut self.stage {
            Stage::Serving => self.start_control(now),
            Stage::Asked { by, .. } if *by <= now => {
                say("control did not end everything in time");
                self.sweep(None, now, now + TERM_MS, now);
            }
            Stage::Asked { .. } => self.start_control(now),
            Stage::Stopping { .. } => self.stop_highest_rank(now),
            Stage::Sweeping(Sweep { code: Some(_), .. }) => {
                // Control says that nothing needs them; to close many takes a while, and it ends meanwhile, once it is answered.
                self.tell(now);
                self.table.held.clear();
            }
            Stage::Sweeping(Sweep { code: None, .. }) => {}
        }
        self.sweep_on(now)
    }

    fn stop_without_control(&mut self, by: u64, now: u64) {
        say("control cannot be kept up; stopping everything without it");
        self.lose_control("it is not needed any more", now);
        self.stage = Stage::Stopping { by, asked: BTreeSet::new() };
    }

    fn stop_highest_rank(&mut self, now: u64) {
        let Stage::Stopping { by, asked } = &mut self.stage else {
            return;
        };
        let by = *by;
        let living = || self.table.runs.values().filter(|run| run.lives());
        let Some(rank) = living().map(|run| run.stop_rank).max().filter(|_| now < by) else {
            return self.sweep(None, now, now + TERM_MS, now);
        };
        for (id, run) in self.table.runs.iter_mut().filter(|(_, run)| run.lives()) {
            if run.stop_rank == rank && asked.insert(*id) {
                // Either fails only when the process ended by itself.
                let _ = process::signal(run.pid, run.stop_signal);
                let _ = process::signal(run.pid, libc::SIGCONT);
                run.kill_at = Some(now.saturating_add(run.stop_timeout_ms).min(by));
            }
        }
    }

    fn sweep(&mut self, code: Option<u8>, control_until: u64, kill_at: u64, now: u64) {
        let until = now + SWEEP_MS;
        let code = if let Stage::Sweeping(sweep) = &self.stage { sweep.code.or(code) } else { code };
        let asked = HashSet::new();
        self.stage = Stage::Sweeping(Sweep { code, control_until, kill_at, until, asked });
    }

    /// Killing a parent makes its children ours, so this looks anew after each death.
    fn sweep_on(&mut self, now: u64) -> Option<u8> {
        if matches!(self.stage, Stage::Sweeping(_)) {
            self.reap(now);
        }
        let Stage::Sweeping(sweep) = &mut self.stage else {
            return None;
        };
        if self.childless {
            return Some(sweep.code.unwrap_or(0));
        }
        if sweep.until <= now {
            say("some processes could not be ended");
            return Some(sweep.code.unwrap_or(1));
        }
        let control = self.control.pid().filter(|_| now < sweep.control_until);
        let mut left: BTreeSet<i32> = self.children.pids().into_iter().collect();
        left.extend(self.table.owners.keys());
        for pid in left.into_iter().filter(|pid| Some(*pid) != control) {
            let send = match self.table.owners.get(&pid) {
                Some(Owner::Run(_)) => process::signal_group,
                Some(Owner::Control | Owner::Nobody) | None => process::signal,
            };
            // Whatever fails here is gone, or not for us to end.
            if sweep.kill_at <= now {
                let _ = send(pid, libc::SIGKILL);
            } else if sweep.asked.insert(pid) {
                let _ = send(pid, libc::SIGTERM);
                let _ = send(pid, libc::SIGCONT);
            }
        }
        None
    }
}
