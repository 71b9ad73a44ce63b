//! What is left of the tree of a run whose main process is gone. Every such process has an ancestor that is a direct
//! child of the keeper, so it is enough to look at those.
//! Not here: what is done about it (the core).

use std::collections::{BTreeMap, BTreeSet};

use supervisor_core::Event;
use supervisor_keeper::Request;

use crate::control::keeper::link::Purpose;
use crate::control::run_loop::{Control, News};
use crate::control::tree;
use crate::platform::{self, groups};

const SIGKILL: i32 = 9;

/// Who waits for an answer.
#[derive(Debug, Default)]
pub(crate) struct Surveys {
    /// Runs of services, and helpers whose rest is killed.
    waiting: BTreeSet<u64>,
    /// A question is under way.
    asked: bool,
    /// Something happened since it was asked.
    again: bool,
    /// The main processes of runs that are gone: their numbers are the sessions of what is left.
    sessions: BTreeMap<i32, u64>,
}

impl Control {
    pub(crate) fn survey(&mut self, run: u64) {
        self.surveys.waiting.insert(run);
        if let Some(pid) = self.runs.get(&run).and_then(|run| run.pid) {
            self.surveys.sessions.insert(pid, run);
        }
        self.survey_again();
    }

    /// The rest of a helper's tree is killed without asking the core.
    pub(crate) fn kill_rest_of_helper(&mut self, id: u64, pid: i32) {
        self.surveys.waiting.insert(id);
        self.surveys.sessions.insert(pid, id);
        self.survey_again();
    }

    pub(crate) fn survey_again(&mut self) {
        if self.surveys.waiting.is_empty() {
            return;
        }
        if self.surveys.asked {
            self.surveys.again = true;
            return;
        }
        self.surveys.asked = true;
        if let Err(error) = self.link.send(Purpose::ListOrphans, &Request::ListOrphans, Vec::new()) {
            tracing::error!(%error, "cannot ask the keeper for its orphans");
        }
    }

    /// Kills at once whatever is in the control group of a run; it is no other run's, ever.
    pub(crate) fn kill_group(&self, run: u64) {
        if let Some(group) = self.runs.get(&run).and_then(|run| run.record.group.as_deref()) {
            groups::kill(group);
        }
    }

    /// Those of supervisors that were killed, whatever their stack. The kernel takes a while for each.
    pub(crate) fn remove_abandoned_groups(&mut self) {
        self.tasks.spawn_blocking(|| {
            platform::remove_abandoned();
            Ok(())
        });
    }

    /// Reading the environment of a stranger may block, so it is done elsewhere.
    pub(crate) fn sort_orphans(&mut self, processes: Vec<(i32, i32)>) {
        if processes.is_empty() {
            self.surveyed(&BTreeMap::new());
            return;
        }
        let (sessions, prefix) = (self.surveys.sessions.clone(), self.places.cookie.clone());
        let news = self.news.0.clone();
        self.tasks.spawn_blocking(move || {
            let by_run = tree::sort_by_run(&processes, &sessions, &prefix);
            let _ = news.blocking_send(News::Sorted { by_run });
            Ok(())
        });
    }

    pub(crate) fn surveyed(&mut self, by_run: &BTreeMap<u64, Vec<i32>>) {
        self.surveys.asked = false;
        for run in self.surveys.waiting.clone() {
            let remaining = by_run.get(&run).cloned().unwrap_or_default();
            if remaining.is_empty() {
                self.surveys.waiting.remove(&run);
                self.surveys.sessions.retain(|_, of| *of != run);
            }
            if run >= crate::control::probe::command::FIRST {
                for pid in remaining {
                    let request = Request::SignalOrphan { pid, signal: SIGKILL, and_continue: false };
                    self.ask_keeper("kill the rest of a helper", &request);
                }
            } else {
                self.happen(Event::Surveyed { run, remaining });
            }
        }
        if std::mem::take(&mut self.surveys.again) {
            self.survey_again();
        }
    }
}
