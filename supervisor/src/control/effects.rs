//! The commands of the core, carried out.
//! Not here: decisions. What cannot be done comes back as an event.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use supervisor_core::{Command, Event, Failure, ServiceName, Transition};
use supervisor_keeper::Request;
use tokio::sync::oneshot;

use super::keeper::link::Purpose;
use super::launch::prepare::{self, Order, Prepared, held_name, record_key};
use super::launch::workshop::Turn;
use super::probe::{self, Probed, Target};
use super::run::{OUTPUTS, Run, stage_of};
use super::run_loop::{Control, News};
use super::threads;
use crate::config::{Handoff, ProbeHow, Service};
use crate::exits::Filing;

/// Making ready for a start, or a check, may take this long: a dead disk or name service is a failed one, no hanging one.
pub(crate) const PREPARE_TIMEOUT: Duration = Duration::from_secs(15);
const SIGKILL: i32 = 9;

fn too_late() -> Failure {
    Failure::Launch { message: format!("not prepared within {PREPARE_TIMEOUT:?}") }
}

impl Control {
    pub(crate) fn carry_out_all(&mut self, commands: Vec<Command>) {
        // What is told wakes others, who would take the processor from what is begun.
        let is_told = |command: &Command| matches!(command, Command::Report(_) | Command::Rollout { .. });
        let (told, done): (Vec<_>, Vec<_>) = commands.into_iter().partition(is_told);
        for command in done.into_iter().chain(told) {
            match self.workshop.admit(command) {
                Turn::Now(command) => self.carry_out(command),
                Turn::Later => {}
                Turn::Never { run } => self.stuck(run),
            }
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Spawn { service, run, generation, instance, revision, stop_rank } => {
                self.prepare(&service, run, (generation, instance), revision, stop_rank);
            }
            Command::Stop { run, signal } | Command::Drain { run, signal } => {
                let request = Request::Signal { run, signal, and_continue: true, group: false };
                self.ask_keeper("stop", &request);
            }
            Command::Kill { run } => {
                self.runs.entry(run).and_modify(|run| run.killed = true);
                let request = Request::Signal { run, signal: SIGKILL, and_continue: false, group: true };
                self.ask_keeper("kill", &request);
                self.kill_group(run);
            }
            Command::Survey { run } => self.survey(run),
            Command::SignalRest { run, pids, signal } => {
                if signal == SIGKILL {
                    self.kill_group(run);
                }
                for pid in pids {
                    let request = Request::SignalOrphan { pid, signal, and_continue: signal != SIGKILL };
                    self.ask_keeper("signal a process of a tree", &request);
                }
            }
            Command::Probe { service, run, check } => self.probe(&service, run, check),
            Command::Release { service, run } => {
                self.release(run);
                self.release_listeners(&service);
            }
            Command::CloseListeners { service } => {
                self.close_listeners(&service);
                self.forget_programs(&service);
            }
            Command::Remember { service, memory } => {
                let value = serde_json::to_vec(&memory).unwrap_or_default();
                let key = format!("{}{service}", super::startup::MEMORY);
                self.ask_keeper("remember", &Request::Put { key, value });
            }
            Command::Ended { service, run, exit, cause } => {
                self.count_seen_off(&service, &exit);
                self.history.ended(&service, &exit, &cause);
                self.draft_report(run, &service, &exit, &cause);
            }
            Command::Report(transition) => {
                report(&transition);
                self.history.transition(&transition);
            }
            Command::Forget { service } => {
                let key = format!("{}{service}", super::startup::MEMORY);
                self.ask_keeper("forget a service", &Request::Delete { key });
                self.forget_service(&service);
            }
            Command::Rollout { service, rollout } => {
                self.count_rollout(&service, &rollout);
                self.history.rollout(&service, &rollout);
            }
            Command::FinishShutdown => self.down = true,
        }
    }

    /// Asks the keeper for something whose answer nobody waits for. A broken channel shows when it is read.
    pub(crate) fn ask_keeper(&mut self, what: &'static str, request: &Request) {
        let keeps = matches!(request, Request::Put { .. });
        let purpose = if keeps { Purpose::Keep(what) } else { Purpose::Note(what) };
        if let Err(error) = self.link.send(purpose, request, Vec::new()) {
            tracing::error!(what, %error, "cannot ask the keeper");
        }
    }

    fn prepare(
        &mut self,
        service: &ServiceName,
        run: u64,
        (generation, instance): (u64, u32),
        revision: u64,
        stop_rank: u32,
    ) {
        // Which spec came before is forgotten with the control that knew it; the newest is better than none.
        let entry = self.catalogue.of(service, revision).or_else(|| self.catalogue.current(service));
        let Some(entry) = entry else {
            let message = format!("configuration {revision} of it is not known any more");
            return self.prepared(run, Err(Failure::Launch { message }));
        };
        let held = self.listeners.get(service).into_iter().flatten();
        let held = held.filter(|listener| listener.fits(&entry.launch)).cloned().collect();
        let order = Order {
            run,
            generation,
            instance,
            stop_rank,
            launch: entry.launch.clone(),
            spec: Arc::new(entry.spec.clone()),
            held,
            program: self.programs.of(service, entry.spec.revision).cloned(),
        };
        let Some(thread) = threads::for_start() else { return self.prepared(run, Err(too_late())) };
        let (places, news) = (self.places.clone(), self.news.0.clone());
        // Begun here, not in the task: that runs when the loop waits next, and another core may have nothing to do.
        let begun = Arc::new(AtomicBool::new(false));
        let taken = Arc::clone(&begun);
        let mut work = tokio::task::spawn_blocking(move || {
            let _until_it_ends = thread;
            if taken.swap(true, Ordering::Relaxed) { Err(too_late()) } else { prepare::prepare(&order, &places) }
        });
        self.tasks.spawn(async move {
            // Nobody listens any more only when control ends.
            let result = match tokio::time::timeout(PREPARE_TIMEOUT, &mut work).await {
                Ok(result) => result,
                // It got no thread, so nothing hangs: the next try asks for one again.
                Err(_) if !begun.swap(true, Ordering::Relaxed) => Ok(Err(too_late())),
                Err(_) => {
                    let _ = news.send(News::Overdue { run }).await;
                    work.await
                }
            };
            let internal = |error| Err(Failure::Launch { message: format!("internal error: {error}") });
            let _ = news.send(News::Prepared { run, result: Box::new(result.unwrap_or_else(internal)) }).await;
            Ok(())
        });
    }

    /// It counts as failed; what comes of it yet is thrown away.
    pub(crate) fn overdue(&mut self, run: u64) {
        let waited = self.workshop.give_up(run);
        self.happen(Event::SpawnFailed { run, failure: too_late() });
        waited.into_iter().for_each(|run| self.stuck(run));
    }

    fn stuck(&mut self, run: u64) {
        let message = "an earlier start of it still hangs, on a file system or a name service".to_owned();
        self.happen(Event::SpawnFailed { run, failure: Failure::Launch { message } });
    }

    pub(crate) fn prepared(&mut self, run: u64, result: Result<Prepared, Failure>) {
        match result {
            Ok(late) if self.workshop.is_overdue(run) => {
                late.record.remove_sockets();
                self.emptied.extend(late.record.groups());
            }
            Err(_) if self.workshop.is_overdue(run) => {}
            result => self.hand_over(run, result),
        }
        let next = self.workshop.dismiss(run);
        self.carry_out_all(next.into_iter().collect());
    }

    fn hand_over(&mut self, run: u64, result: Result<Prepared, Failure>) {
        let mut prepared = match result {
            Ok(prepared) => prepared,
            Err(failure) => {
                self.happen(Event::SpawnFailed { run, failure });
                return;
            }
        };
        let service = prepared.record.service.clone();
        self.listeners.entry(service.clone()).or_default().append(&mut prepared.new_listeners);
        self.guard_listeners(&service);
        let mut new = Run::fresh(run, &mut prepared, &self.places);
        if let Some(program) = prepared.new_program.take() {
            self.programs.add(&service, prepared.record.revision, program);
            new.opened_program = true;
        }
        self.runs.insert(run, new);
        let request = Request::Spawn(Box::new(prepared.spawn));
        if let Err(error) = self.link.send(Purpose::Spawn(run), &request, prepared.fds) {
            // One service that asks for too much must not be the end of us.
            let too_much = error.kind() == io::ErrorKind::InvalidInput;
            let why =
                if too_much { "its environment is too long, or it has too many ports" } else { &error.to_string() };
            self.unborn(run, Failure::Launch { message: format!("cannot be handed to the keeper: {why}") });
        }
        // The keeper forks while we see to the next one.
        self.link.flush();
    }

    /// There is no process. The listeners that were to be held with it are held all the same: the next try counts on it.
    fn unborn(&mut self, run: u64, failure: Failure) {
        let of = self.runs.get(&run).map(|run| (run.record.service.clone(), run.record.revision, run.opened_program));
        if let Some((service, revision, opened_program)) = of {
            // One that was held before stays: the next try is to find the same bytes.
            if opened_program {
                self.forget_unborn_program(&service, revision);
            }
            for listener in self.listeners.get(&service).cloned().unwrap_or_default() {
                self.hold_listener(&service, &listener);
            }
        }
        self.happen(Event::SpawnFailed { run, failure });
    }

    pub(crate) fn spawned(&mut self, run: u64, pid: i32) {
        if let Some(entry) = self.runs.get_mut(&run) {
            entry.set_pid(pid);
            let record = entry.record.clone();
            self.note_run(&record);
        }
        self.happen(Event::Spawned { run, pid });
        self.listen(run);
        self.begin_limits(run);
    }

    pub(crate) fn not_spawned(&mut self, run: u64, step: &str, errno: i32) {
        let record = self.runs.get(&run).map(|run| &run.record);
        let service = record.and_then(|record| self.catalogue.of(&record.service, record.revision));
        let of = match step {
            "exec" => record.map(|record| record.program.display().to_string()),
            "chdir" => service.map(|service| service.launch.cwd.display().to_string()),
            _ => None,
        };
        let of = of.unwrap_or_default();
        let errno = Errno::from_raw(errno);
        let what = format!("{step} {of}");
        let message = format!("{}: {} ({errno:?})", what.trim_end(), errno.desc());
        self.unborn(run, Failure::Launch { message });
    }

    /// What a run was started from.
    pub(crate) fn of_run(&self, run: u64) -> Option<&Service> {
        let record = &self.runs.get(&run)?.record;
        self.catalogue.of(&record.service, record.revision)
    }

    fn probe(&mut self, service: &ServiceName, run: u64, check: supervisor_core::CheckId) {
        let Some(entry) = self.of_run(run).or_else(|| self.catalogue.current(service)) else { return };
        let Some(probe) = entry.launch.probes.get(&check).cloned() else { return };
        let target = match (entry.launch.handoff, self.probe_socket(run)) {
            (Handoff::Socket, Some(path)) => Some(Target::Socket(path)),
            (Handoff::Socket | Handoff::Own, _) => Target::port(&entry.launch),
        };
        let news = self.news.0.clone();
        let began = super::now();
        match (&probe.how, target) {
            (ProbeHow::Command(_), _) => self.probe_by_command(run, check, &probe),
            (ProbeHow::Http { .. } | ProbeHow::Tcp, target) => {
                self.tasks.spawn(async move {
                    let (outcome, certificate) = match target {
                        Some(target) => probe::attempt(&probe.how, target, probe.timeout).await,
                        None => (supervisor_core::ProbeOutcome::Failed("the service has no port".to_owned()), None),
                    };
                    let _ = news.send(News::Probed(Probed { run, check, began, outcome, certificate })).await;
                    Ok(())
                });
            }
        }
    }

    /// The run is over. What its pipe still holds is copied first; then the keeper lets go, too.
    pub(crate) fn release(&mut self, number: u64) {
        self.history.forget(number);
        let Some(run) = self.runs.get_mut(&number) else { return };
        run.listening.drain(..).for_each(|listening| listening.abort());
        run.record.remove_sockets();
        self.emptied.extend(run.record.groups());
        for index in 0..run.undrained {
            // The pump may say so on any thread, even on this one, which must not wait for itself.
            let (done, drained) = oneshot::channel();
            self.pump.finish(
                stream(number, index),
                Box::new(move || {
                    let _ = done.send(());
                }),
            );
            let news = self.news.0.clone();
            self.tasks.spawn(async move {
                // A pump that ended without a word will not drain it any more.
                let _ = drained.await;
                let _ = news.send(News::Drained { run: number }).await;
                Ok(())
            });
        }
        if run.undrained == 0 {
            self.forget(number);
        }
    }

    pub(crate) fn drained(&mut self, number: u64) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        run.undrained = run.undrained.saturating_sub(1);
        if run.undrained == 0 {
            self.forget(number);
        }
    }

    /// Unless another one of that name has come.
    fn forget_service(&mut self, service: &ServiceName) {
        if !self.catalogue.knows(service) {
            self.close_listeners(service);
            Arc::make_mut(&mut self.facts).remove(service);
        }
        self.prune_catalogue();
    }

    /// Lets go of earlier configurations of services that have no run of it any more.
    pub(crate) fn prune_catalogue(&mut self) {
        let (runs, fleet) = (&self.runs, &self.fleet);
        self.catalogue.prune(|name, revision| {
            fleet.may_go_back_to(name, revision)
                || runs.values().any(|run| run.record.service == *name && run.record.revision == revision)
        });
        self.prune_programs();
        for revision in self.catalogue.needless() {
            let key = super::startup::before(revision);
            self.ask_keeper("forget a configuration", &Request::Delete { key });
        }
    }

    fn forget(&mut self, number: u64) {
        self.runs.remove(&number);
        if self.fleet.shutting_down() {
            // The keeper lets go of everything when it ends.
            return self.history.reports.file(number, Filing::Together);
        }
        self.history.reports.file(number, Filing::Alone);
        self.prune_catalogue();
        let stages = OUTPUTS.map(stage_of);
        let names = stages.iter().map(String::as_str).chain(OUTPUTS).chain(["notify", "newline"]);
        let names = names.map(|what| held_name(number, what)).collect();
        self.ask_keeper("drop what a run had", &Request::Drop { names });
        self.ask_keeper("forget a run", &Request::Delete { key: record_key(number) });
    }
}

/// The pump's number for an output of a run: two for each, and those of our own log below.
pub(crate) fn stream(run: u64, index: usize) -> u64 {
    run * 2 + index as u64
}

/// One line for each change of state. Causes may hold a service's own words, so they are quoted.
fn report(transition: &Transition) {
    let Transition { service, generation, from, to, cause } = transition;
    // The same state told again is one that someone should look at.
    let (again, alarm) = (from == to, to.alarm());
    let (from, to) = (from.as_str(), to.as_str());
    if again {
        tracing::warn!(%service, generation, to, ?cause, "{service} is still {to}");
    } else if alarm.is_some() {
        tracing::warn!(%service, generation, from, to, ?cause, "{service} is {to}");
    } else {
        tracing::info!(%service, generation, from, to, ?cause, "{service} is {to}");
    }
}
