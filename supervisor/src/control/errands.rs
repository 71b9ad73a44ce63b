//! Programs that alerts are told by: helpers of the keeper, which end at their deadline, and with this control.
//! Not here: what they are told, and what their end means (`alerts`).

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use supervisor_core::{ProbeOutcome, Time};
use supervisor_keeper::{Exited, Request, Spawn};
use tokio::sync::oneshot;

use super::keeper::link::Purpose;
use super::run_loop::Control;
use super::tree::COOKIE;
use crate::alerts::{self, Beginning, Surroundings};

/// A program to be run.
#[derive(Debug)]
pub(crate) struct Errand {
    /// All but its number and its cookie.
    pub(crate) spawn: Spawn,
    /// In the order of `spawn.fds`.
    pub(crate) fds: Vec<OwnedFd>,
    /// Told how it ended; dropped when nobody will know.
    pub(crate) ended: oneshot::Sender<ProbeOutcome>,
}

/// One that runs.
#[derive(Debug)]
pub(crate) struct Running {
    began: Time,
    timeout_ms: u64,
    ended: oneshot::Sender<ProbeOutcome>,
}

impl Control {
    /// Begins to tell, if there is anyone to tell: what happened since `from`, where nothing is known of earlier.
    pub(crate) fn begin_alerts(&mut self, from: Beginning) {
        if self.in_force.stack.alerts.is_empty() {
            if from == Beginning::Start {
                self.forget_alerts();
            }
            return;
        }
        let begun = self.alerts.begin(Surroundings {
            state_dir: self.in_force.stack.state_dir.clone(),
            view: self.view.clone(),
            shown: self.shown.subscribe(),
            journal: self.history.journal.reader(),
            news: self.news.0.clone(),
            from,
        });
        if let Err(error) = begun {
            tracing::warn!(%error, "there will be no alerts");
        }
    }

    /// Whoever is added later hears nothing of what happens now.
    fn forget_alerts(&mut self) {
        let dir = self.in_force.stack.state_dir.clone();
        self.tasks.spawn_blocking(move || {
            if let Err(error) = alerts::forget(&dir) {
                tracing::warn!(%error, "alerts of an earlier configuration are kept still");
            }
            Ok(())
        });
    }

    pub(crate) fn run_errand(&mut self, errand: Errand) {
        let Errand { mut spawn, fds, ended } = errand;
        if self.fleet.shutting_down() {
            return;
        }
        let id = self.next_helper;
        self.next_helper += 1;
        spawn.run = id;
        spawn.env.push(format!("{COOKIE}={}.{id}", self.places.cookie).into_bytes());
        let running = Running { began: super::now(), timeout_ms: spawn.helper_deadline_ms, ended };
        self.errands.insert(id, running);
        if let Err(error) = self.link.send(Purpose::Helper(id), &Request::Spawn(Box::new(spawn)), fds) {
            self.errand_ended(id, ProbeOutcome::Failed(error.to_string()));
        }
    }

    /// A helper of a check, or of an alert.
    pub(crate) fn either_failed(&mut self, id: u64, step: &str, errno: i32) {
        if self.errands.contains_key(&id) {
            self.errand_failed(id, step, errno);
        } else {
            self.helper_failed(id, step, errno);
        }
    }

    fn errand_failed(&mut self, id: u64, step: &str, errno: i32) {
        let errno = Errno::from_raw(errno);
        self.errand_ended(id, ProbeOutcome::Failed(format!("{step} ({errno:?}): {}", errno.desc())));
    }

    pub(crate) fn errand_exited(&mut self, exited: &Exited) {
        let Some(running) = self.errands.get(&exited.run) else { return };
        let outcome = super::probe::command::outcome(exited, running.began, running.timeout_ms);
        if !exited.alone {
            self.kill_rest_of_helper(exited.run, exited.pid);
        }
        self.errand_ended(exited.run, outcome);
    }

    fn errand_ended(&mut self, id: u64, outcome: ProbeOutcome) {
        if let Some(running) = self.errands.remove(&id) {
            let _ = running.ended.send(outcome);
        }
    }
}
