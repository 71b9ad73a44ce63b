//! When the files are read again, and who is told what came of it.
//! Not here: reading them (`load`), what it means (`plan`), doing it (`apply`).

mod apply;
pub(crate) mod catalogue;
pub(crate) mod in_force;
mod load;
mod opening;
mod plan;
pub(crate) mod spots;
pub(crate) mod watching;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use supervisor_core::{Millis, Time};
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

use self::load::{Errand, Reason};
use self::opening::Ground;
use crate::config::{Diagnostics, Recorded};
use crate::control::api::view::{Refusal, Rejected};
use crate::control::reload::in_force::now_ms;
use crate::control::reload::watching::{Targets, keep_watch};
use crate::control::run_loop::{Control, News};

pub(crate) use load::Loaded;
#[cfg(test)]
pub(crate) use plan::Planned;
pub(crate) use plan::{Deed, Plan};

/// Between the beginnings of two loads: whoever asks meanwhile is answered by the next one.
const PAUSE: Millis = 250;
/// At most so many configurations take effect …
const MAX_APPLIED: usize = 3;
/// … in this time; the last one wins.
const WITHIN: Millis = 10_000;
/// So many may wait for an answer: each takes a connection, and others want in, too.
const MAX_ASKERS: usize = 32;

/// Somebody wants the files to be read again.
#[derive(Debug)]
pub(crate) struct ReloadAsk {
    pub(crate) mode: Mode,
    pub(crate) answer: oneshot::Sender<Result<Reloaded, Refusal>>,
}

/// What an asker wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Apply,
    /// Only to know what would be done.
    DryRun,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(crate) enum Reloaded {
    /// The files say what is in force already.
    Unchanged { revision: u64 },
    /// What would be done.
    Planned { plan: Arc<Plan> },
    /// It is in force.
    Applied { revision: u64, took: Duration, plan: Arc<Plan> },
    /// Nothing has changed.
    Rejected { diagnostics: Arc<Diagnostics> },
}

/// What waits to be read, and what was.
#[derive(Debug, Default)]
pub(crate) struct Reloads {
    touched: bool,
    hung_up: bool,
    waiting: Vec<ReloadAsk>,
    under_way: Option<UnderWay>,
    /// When the last load began.
    loaded_at: Option<Time>,
    /// When configurations took effect, the last few.
    applied_at: VecDeque<Time>,
    /// Nothing is applied before this.
    held_until: Option<Time>,
    timer: Option<AbortHandle>,
    /// What was read last, if that is not what is in force.
    last: Option<Arc<Recorded>>,
    targets: Option<watch::Sender<Targets>>,
}

#[derive(Debug)]
struct UnderWay {
    askers: Vec<ReloadAsk>,
    began: std::time::Instant,
}

impl Control {
    /// Somebody asked for it, by the API.
    pub(crate) fn ask_reload(&mut self, ask: ReloadAsk) {
        let refusal = if self.fleet.shutting_down() {
            Some(Refusal::ShuttingDown)
        } else {
            self.reloads.waiting.retain(|waiting| !waiting.answer.is_closed());
            (self.reloads.waiting.len() >= MAX_ASKERS).then_some(Refusal::Busy)
        };
        match refusal {
            // The asker may have left.
            Some(refusal) => drop(ask.answer.send(Err(refusal))),
            None => {
                self.reloads.waiting.push(ask);
                self.consider_reload();
            }
        }
    }

    /// Somebody asked for it, by a signal.
    pub(crate) fn hung_up(&mut self) {
        self.reloads.hung_up = true;
        self.consider_reload();
    }

    pub(crate) fn files_touched(&mut self) {
        self.reloads.touched = true;
        self.consider_reload();
    }

    pub(crate) fn reload_due(&mut self) {
        self.reloads.timer = None;
        self.consider_reload();
    }

    /// Begins or ends to watch the files, as the configuration says; tells the watch which they are.
    pub(crate) fn watch_files(&mut self) {
        if !self.in_force.said.auto_reload || self.fleet.shutting_down() {
            self.reloads.targets = None;
            return;
        }
        let recorded = self.reloads.last.as_ref().unwrap_or(&self.in_force.recorded);
        let targets = Targets {
            files: recorded.asked().map(ToOwned::to_owned).collect(),
            patterns: recorded.patterns().map(ToOwned::to_owned).collect(),
        };
        match &self.reloads.targets {
            Some(sender) => {
                sender.send_if_modified(|known| {
                    let differ = *known != targets;
                    *known = targets;
                    differ
                });
            }
            None => {
                let (sender, receiver) = watch::channel(targets);
                self.reloads.targets = Some(sender);
                self.tasks.spawn(keep_watch(receiver, self.news.0.clone()));
            }
        }
    }

    /// Begins a load, if there is a reason and it is time for one.
    fn consider_reload(&mut self) {
        let now = crate::control::now();
        let reloads = &mut self.reloads;
        let dry_run = reloads.waiting.iter().any(|ask| ask.mode == Mode::DryRun);
        let asked = reloads.hung_up || !reloads.waiting.is_empty();
        if reloads.under_way.is_some() || !(asked || reloads.touched) || self.fleet.shutting_down() {
            return;
        }
        let paused = reloads.loaded_at.map(|at| at.after(PAUSE));
        let held = reloads.held_until.filter(|_| !dry_run);
        if let Some(at) = paused.max(held).filter(|at| *at > now) {
            self.wake_for_reload(at);
            return;
        }
        reloads.loaded_at = Some(now);
        reloads.held_until = None;
        reloads.touched = false;
        let reason = if asked { Reason::Asked } else { Reason::Touched };
        reloads.hung_up = false;
        let askers = std::mem::take(&mut reloads.waiting);
        reloads.under_way = Some(UnderWay { askers, began: std::time::Instant::now() });
        let errand = self.errand(reason);
        let news = self.news.0.clone();
        self.tasks.spawn_blocking(move || {
            let _ = news.blocking_send(News::Loaded(Box::new(errand.run())));
            Ok(())
        });
    }

    fn errand(&mut self, reason: Reason) -> Errand {
        let wanted = self.wanted().into_iter().collect();
        let running = self.fleet_runs().filter_map(|run| {
            let record = &self.runs.get(&run)?.record;
            Some((record.service.clone(), record.executable.clone()?))
        });
        Errand {
            file: self.in_force.said.file.clone(),
            surroundings: Arc::clone(&self.in_force.surroundings),
            said: Arc::clone(&self.in_force.said),
            last: Arc::clone(self.reloads.last.as_ref().unwrap_or(&self.in_force.recorded)),
            running: running.collect(),
            wanted,
            newcomers: self.newcomers(),
            ground: Ground { held: self.listeners.clone(), http: self.http },
            reason,
        }
    }

    /// The newest live run of each service, as published last.
    fn fleet_runs(&self) -> impl Iterator<Item = u64> {
        let view = self.view.load_full();
        let runs: Vec<u64> = view.services.iter().filter_map(|service| Some(service.run.as_ref()?.run)).collect();
        runs.into_iter()
    }

    fn wake_for_reload(&mut self, at: Time) {
        if let Some(timer) = self.reloads.timer.take() {
            timer.abort();
        }
        let news = self.news.0.clone();
        let wait = Duration::from_millis(at.since(crate::control::now()));
        let timer = self.tasks.spawn(async move {
            tokio::time::sleep(wait).await;
            let _ = news.send(News::ReloadDue).await;
            Ok(())
        });
        self.reloads.timer = Some(timer);
    }

    /// The files have been read.
    pub(crate) fn loaded(&mut self, loaded: Loaded) {
        let Some(under_way) = self.reloads.under_way.take() else { return };
        match loaded {
            _ if self.fleet.shutting_down() => {
                under_way.askers.into_iter().for_each(|ask| drop(ask.answer.send(Err(Refusal::ShuttingDown))));
            }
            Loaded::Untouched => {
                let revision = self.in_force.revision;
                answer(under_way.askers, &Reloaded::Unchanged { revision });
            }
            Loaded::Rejected { recorded, diagnostics } => self.reject(recorded, diagnostics, under_way.askers),
            Loaded::Accepted { recorded, stack, changes, bound } => {
                self.accept(recorded, (*stack, bound), changes, under_way);
            }
        }
        self.watch_files();
        self.consider_reload();
    }

    /// Nothing changes but what is told about it.
    fn reject(&mut self, recorded: Recorded, diagnostics: Diagnostics, askers: Vec<ReloadAsk>) {
        let diagnostics = Arc::new(diagnostics);
        let dry = !askers.is_empty() && askers.iter().all(|ask| ask.mode == Mode::DryRun);
        if !dry {
            let known = self.rejected.as_ref().is_some_and(|known| known.diagnostics == diagnostics);
            if !known && let Some(first) = diagnostics.list.first() {
                let (file, line, column) = (&first.file, first.line, first.column);
                tracing::warn!(file, line, column, "the configuration is rejected, nothing changes: {}", first.message);
                self.history.reload(&format!("rejected, nothing changes: {}", first.in_short()));
            }
            let at_ms = if known { self.rejected.as_ref().map_or_else(now_ms, |known| known.at_ms) } else { now_ms() };
            self.rejected = Some(Arc::new(Rejected { at_ms, diagnostics: Arc::clone(&diagnostics) }));
            self.reloads.last = Some(Arc::new(recorded));
        }
        answer(askers, &Reloaded::Rejected { diagnostics });
    }
}

fn answer(askers: Vec<ReloadAsk>, outcome: &Reloaded) {
    for ask in askers {
        // The asker may have left.
        let _ = ask.answer.send(Ok(outcome.clone()));
    }
}
