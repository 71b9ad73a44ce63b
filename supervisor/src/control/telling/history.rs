//! What is worth an event: the loop's doings, as notes for the journal.
//! Not here: keeping them (`journal`). Nothing here waits.

use std::collections::BTreeMap;

use supervisor_core::{CheckId, ExitReport, Memory, ProbeOutcome, RolloutSnapshot, ServiceName, Time, Transition};

use crate::certificates::Certificate;
use crate::config::Service;
use crate::control::api::view::What;
use crate::control::keeper::inventory::Inventory;
use crate::control::run::Run;
use crate::control::run_loop::Control;
use crate::control::startup::MEMORY;
use crate::control::telling::reports::Reports;
use crate::exits::Writer;
use crate::journal::{Ended, Journal, Kind, Note, PassedLimit, STARTED, TOOK_OVER};
use crate::{rollouts, signals, timestamp};

/// What is needed to tell news from what was told already.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) journal: Journal,
    pub(crate) reports: Reports,
    /// The last answer of each check of a run that is not over: that it passed, or what it said.
    answers: BTreeMap<(u64, CheckId), bool>,
    /// Why a service could not be started last time. A busy port is tried every few seconds.
    unborn: BTreeMap<ServiceName, String>,
}

impl History {
    pub(crate) fn new(journal: Journal, writer: Writer) -> Self {
        Self { journal, reports: Reports::new(writer), answers: BTreeMap::new(), unborn: BTreeMap::new() }
    }

    pub(crate) fn begins(&self, first: bool, inventory: &Inventory) {
        if first {
            let cause = format!("{STARTED} version {}, pid {}", env!("CARGO_PKG_VERSION"), inventory.keeper_pid);
            self.journal.note(Note::new(timestamp::now(), Kind::Supervisor, &cause));
        }
        let pid = std::process::id();
        let cause = format!("{}, pid {pid}", if first { STARTED } else { TOOK_OVER });
        self.journal.note(Note::new(timestamp::now(), Kind::Control, &cause));
    }

    pub(crate) fn supervisor(&self, cause: &str) {
        self.journal.note(Note::new(timestamp::now(), Kind::Supervisor, cause));
    }

    /// The machine slept, or someone stopped us.
    pub(crate) fn stood_still(&self, seconds: u64) {
        let cause = format!("resumed after {seconds}s in which nothing of the supervisor ran");
        self.journal.note(Note::new(timestamp::now(), Kind::Control, &cause));
    }

    /// Someone asked for something; of all services when none is named.
    pub(crate) fn request(&self, what: &str, services: &[ServiceName]) {
        let note = |cause: &str| Note::new(timestamp::now(), Kind::Request, cause);
        if services.is_empty() {
            self.journal.note(note(&format!("{what} of everything")));
        }
        for service in services {
            self.journal.note(note(what).of(service, 0));
        }
    }

    /// A changed configuration was applied or rejected.
    pub(crate) fn reload(&self, cause: &str) {
        self.journal.note(Note::new(timestamp::now(), Kind::Reload, cause));
    }

    pub(crate) fn transition(&self, transition: &Transition) {
        let Transition { service, generation, from, to, cause } = transition;
        let note = Note::new(timestamp::now(), Kind::State, cause).of(service, *generation);
        self.journal.note(note.change(*from, *to));
    }

    pub(crate) fn rollout(&self, service: &ServiceName, rollout: &RolloutSnapshot) {
        let note = Note::new(timestamp::now(), Kind::Rollout, &rollouts::in_words(rollout));
        self.journal.note(Note { result: rollout.result, ..note.of(service, rollout.to) });
    }

    /// The log of a service cannot be written, because of this, or can be again.
    pub(crate) fn log_trouble(&self, service: &ServiceName, trouble: Option<&str>) {
        let cause = trouble.map_or_else(|| "its log is written again".to_owned(), |why| format!("its log: {why}"));
        let note = Note::new(timestamp::now(), Kind::Disk, &cause).of(service, 0);
        self.journal.note(note.passed(trouble.is_none()));
    }

    pub(crate) fn limit_passed(&self, service: &ServiceName, generation: u64, passed: PassedLimit, cause: &str) {
        let note = Note::new(timestamp::now(), Kind::Limit, cause).of(service, generation).passed(false);
        self.journal.note(Note { limit: Some(passed), ..note });
    }

    pub(crate) fn within_limits(&self, service: &ServiceName) {
        let note = Note::new(timestamp::now(), Kind::Limit, "keeps within its limits again").of(service, 0);
        self.journal.note(note.passed(true));
    }

    /// `passed`: whether the service shows none that is not good; `None` when this one alone is.
    pub(crate) fn certificate(
        &self,
        service: &ServiceName,
        generation: u64,
        certificate: Certificate,
        passed: Option<bool>,
        cause: &str,
    ) {
        let note = Note::new(timestamp::now(), Kind::Certificate, cause).of(service, generation).shown(certificate);
        self.journal.note(Note { passed, ..note });
    }

    /// The one that was told of is not looked at any more.
    pub(crate) fn no_certificate(&self, service: &ServiceName) {
        let cause = "its certificate is not looked at any more";
        self.journal.note(Note::new(timestamp::now(), Kind::Certificate, cause).of(service, 0).passed(true));
    }

    pub(crate) fn listener(&self, service: &ServiceName, cause: &str) {
        self.journal.note(Note::new(timestamp::now(), Kind::Listener, cause).of(service, 0));
    }

    pub(crate) fn ended(&mut self, service: &ServiceName, exit: &ExitReport, cause: &str) {
        let unborn = exit.pid == 0;
        if unborn && self.unborn.get(service).is_some_and(|before| before == cause) {
            return;
        }
        self.unborn.remove(service);
        if unborn {
            self.unborn.insert(service.clone(), cause.to_owned());
        }
        self.journal.note(end(service, exit, cause));
    }

    /// What an earlier control recorded with the keeper, but may not have come to write. The journal knows.
    pub(crate) fn ended_before(&self, service: &ServiceName, exit: &ExitReport) {
        if exit.pid != 0 {
            self.journal.note(end(service, exit, &exit.in_words()));
        }
    }

    /// A check answered. Only another answer than the last one is news.
    pub(crate) fn probed(&mut self, run: &Run, number: u64, service: &Service, id: CheckId, outcome: &ProbeOutcome) {
        let (passed, answer) = match outcome {
            ProbeOutcome::Passed => (true, "passed"),
            ProbeOutcome::Failed(seen) | ProbeOutcome::Untried(seen) => (false, seen.as_str()),
        };
        if self.answers.insert((number, id), passed) == Some(passed) {
            return;
        }
        let live = service.spec.live.iter().flat_map(|live| &live.checks);
        let title = service.spec.ready.checks.iter().chain(live).find(|check| check.id == id);
        let title = title.map_or("check", |check| check.title.as_str());
        let note = Note::new(timestamp::now(), Kind::Probe, answer).of(&run.record.service, run.record.generation);
        self.journal.note(note.probed(title, passed));
    }

    /// A run is over, and so are its checks.
    pub(crate) fn forget(&mut self, run: u64) {
        self.answers.retain(|(of, _), _| *of != run);
    }
}

impl Control {
    pub(crate) fn note_recorded_ends(&self, inventory: &Inventory) {
        for (key, value) in &inventory.records {
            if let Some(service) = key.strip_prefix(MEMORY).and_then(|name| ServiceName::new(name).ok())
                && let Ok(memory) = serde_json::from_slice::<Memory>(value)
            {
                for exit in memory.slots.iter().filter_map(|slot| slot.last_exit.as_ref()) {
                    self.history.ended_before(&service, exit);
                }
            }
        }
    }

    pub(crate) fn note_request(&self, what: &What) {
        match what {
            What::Start(services) => self.history.request("start", services),
            What::Stop { services, now: false } => self.history.request("stop", services),
            What::Stop { services, now: true } => self.history.request("stop at once", services),
            What::Restart(services) => self.history.request("restart", services),
            What::Signal { service, signal } => {
                let what = format!("signal {}", signals::name(*signal));
                self.history.request(&what, std::slice::from_ref(service));
            }
        }
    }

    pub(crate) fn note_probe(&mut self, number: u64, id: CheckId, outcome: &ProbeOutcome) {
        let Some(run) = self.runs.get(&number) else { return };
        let Some(service) = self.catalogue.of(&run.record.service, run.record.revision) else { return };
        self.history.probed(run, number, service, id, outcome);
    }
}

fn end(service: &ServiceName, exit: &ExitReport, cause: &str) -> Note {
    Note::new(wall(exit.at), Kind::Exit, cause).of(service, exit.generation).ended(ended(exit))
}

pub(crate) fn ended(exit: &ExitReport) -> Ended {
    Ended {
        pid: (exit.pid != 0).then_some(exit.pid),
        code: exit.code,
        signal: exit.signal.map(signals::name),
        core_dumped: exit.core_dumped,
        asked: exit.asked,
        ran_ms: exit.ran,
        cpu_ms: exit.cpu,
        max_rss_bytes: exit.max_rss,
        leftovers: exit.leftovers.clone(),
        oom: exit.oom,
    }
}

pub(crate) fn wall(at: Time) -> String {
    timestamp::format(i64::try_from(at.0).unwrap_or(i64::MAX).saturating_add(crate::control::wall_offset_ms()))
}
