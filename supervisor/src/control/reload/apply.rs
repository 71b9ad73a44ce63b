//! A configuration that was accepted takes the place of the one in force: all of it, or nothing.
//! Not here: whether it is accepted (`load`).

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use supervisor_core::{Event, Fleet, ServiceName};
use supervisor_keeper::{MAX_RECORD, Request};

use super::opening::{self, Bound};
use super::plan::{Changes, Newcomers, Plan};
use super::{MAX_APPLIED, Mode, Reloaded, UnderWay, WITHIN, answer};
use crate::alerts::Beginning;
use crate::config::{self, Diagnostic, Diagnostics, Recorded, Stack};
use crate::control::api::sockets::{self, Swap};
use crate::control::reload::in_force::InForce;
use crate::control::run_loop::Control;
use crate::control::startup;
use crate::control::telling::log_files::{self, settings};

impl Control {
    pub(super) fn accept(
        &mut self,
        recorded: Recorded,
        (stack, bound): (Stack, Vec<Bound>),
        changes: Changes,
        under_way: UnderWay,
    ) {
        let UnderWay { askers, began } = under_way;
        let wanted: BTreeSet<ServiceName> = self.wanted().into_iter().collect();
        let plan = Arc::new(Plan::new(&self.in_force.said, &stack, changes, &wanted, self.newcomers()));
        let unasked = askers.is_empty();
        let (dry, waiting): (Vec<_>, Vec<_>) = askers.into_iter().partition(|ask| ask.mode == Mode::DryRun);
        if !unasked && waiting.is_empty() {
            return answer(dry, &self.planned(&plan));
        }
        if plan.is_empty() {
            let revision = self.in_force.revision;
            let earlier = std::mem::take(&mut self.reloads.last);
            if self.rejected.take().is_some() {
                tracing::info!("the configuration is in order again, and as it is in force");
                self.history.reload("in order again, and as it is in force");
            }
            drop(earlier);
            self.reword(stack, recorded);
            return answer(dry.into_iter().chain(waiting).collect(), &Reloaded::Unchanged { revision });
        }
        answer(dry, &self.planned(&plan));
        if let Some(until) = self.too_many_applied() {
            // Read again then: the last one wins.
            self.reloads.held_until = Some(until);
            self.reloads.waiting.extend(waiting);
            self.reloads.touched = true;
            return;
        }
        match self.apply(recorded.clone(), stack, bound, &plan) {
            Ok(()) => {
                let (revision, took) = (self.in_force.revision, began.elapsed());
                tracing::info!(revision, "reloaded: {plan}");
                self.history.reload(&format!("revision {revision} is in force: {plan}"));
                // Whoever is told looks next at what has become of it.
                self.publish();
                answer(waiting, &Reloaded::Applied { revision, took, plan });
            }
            Err(diagnostics) => self.reject(recorded, diagnostics, waiting),
        }
    }

    pub(super) fn newcomers(&self) -> Newcomers {
        if self.args.mirror { Newcomers::None } else { Newcomers::Autostarted }
    }

    fn planned(&self, plan: &Arc<Plan>) -> Reloaded {
        if plan.is_empty() {
            return Reloaded::Unchanged { revision: self.in_force.revision };
        }
        Reloaded::Planned { plan: Arc::clone(plan) }
    }

    /// When another one may take effect, if not now.
    fn too_many_applied(&mut self) -> Option<supervisor_core::Time> {
        let now = crate::control::now();
        let applied = &mut self.reloads.applied_at;
        while applied.front().is_some_and(|at| at.after(WITHIN) <= now) {
            applied.pop_front();
        }
        if applied.len() < MAX_APPLIED { None } else { applied.front().map(|at| at.after(WITHIN)) }
    }

    /// The same configuration in other words: what it is read from and where things stand in it.
    fn reword(&mut self, stack: Stack, recorded: Recorded) {
        if *self.in_force.recorded == recorded {
            return;
        }
        let next = self.in_force.reworded(stack, recorded);
        if let Ok(kept) = kept(&next) {
            self.in_force = next;
            self.ask_keeper("keep the configuration", &kept);
        }
    }

    /// What can fail comes first, and leaves everything as it was. The core is told before the new configuration is
    /// kept: should this control die in between, the next one finds the old one, and brings everything back to it.
    fn apply(&mut self, recorded: Recorded, stack: Stack, bound: Vec<Bound>, plan: &Plan) -> Result<(), Diagnostics> {
        let next = self.in_force.next(stack, recorded, &plan.restarted());
        let refused = |message: String| {
            let diagnostic = Diagnostic::of_file(&next.said.file, &message);
            Diagnostics { list: vec![diagnostic], more: 0 }
        };
        Fleet::check(&next.specs()).map_err(|error| refused(error.to_string()))?;
        let kept = kept(&next).map_err(|error| refused(error.to_string()))?;
        let swap = sockets::swap(next.stack.http.listen, self.http).map_err(|error| refused(error.to_string()))?;
        let opened = opening::open(bound, plan, &next.stack)?;
        self.reloads.applied_at.push_back(crate::control::now());
        self.reloads.last = None;
        self.rejected = None;
        self.keep_before();
        self.put_in_force(next, plan, opened);
        self.ask_keeper("keep the configuration", &kept);
        match swap {
            Swap::Keep => {}
            Swap::To(listener) => self.swap_http(listener),
        }
        Ok(())
    }

    /// Somebody asks for a restart of these, and their programs are other files than those that run: as in a reload, what
    /// is started next is another revision, and the one before can be gone back to.
    pub(crate) fn renew_programs(&mut self, rebuilt: &BTreeSet<ServiceName>) {
        let (said, recorded) = (Stack::clone(&self.in_force.said), Recorded::clone(&self.in_force.recorded));
        let next = self.in_force.next(said, recorded, rebuilt);
        // It is hardly longer than the one that is kept.
        let Ok(kept) = kept(&next) else { return };
        let names = rebuilt.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(", ");
        let revision = next.revision;
        tracing::info!(revision, "another executable: {names}");
        self.history.reload(&format!("revision {revision} is in force: {names} has another executable"));
        self.keep_before();
        self.put_in_force(next, &Plan::default(), Vec::new());
        self.ask_keeper("keep the configuration", &kept);
    }

    /// What something that lives goes by must be known to the next control, too.
    fn keep_before(&mut self) {
        if let Ok(value) = serde_json::to_vec(&self.in_force.kept()) {
            let key = startup::before(self.in_force.revision);
            self.ask_keeper("keep the configuration before", &Request::Put { key, value });
        }
    }

    fn put_in_force(&mut self, next: InForce, plan: &Plan, opened: Vec<Bound>) {
        self.catalogue.put_in_force(&next.stack, self.in_force.revision);
        self.in_force = next;
        self.renew_facts();
        self.forget_certificates();
        if let Some(foreground) = &self.foreground {
            foreground.follow(&self.in_force.stack);
        }
        self.configure_logs();
        self.renew_limits();
        for (service, listener) in opened {
            self.take_listener(&service, listener);
        }
        self.renew_shutdown_timeout();
        let stack = &self.in_force.stack;
        self.fleet.set_max_parallel_starts(stack.max_parallel_starts, stack.max_parallel_launches);
        let mut specs = self.in_force.specs();
        if self.args.mirror {
            let others = specs.iter_mut().filter(|spec| !self.args.only.iter().any(|only| only == spec.name.as_str()));
            others.for_each(|spec| spec.autostart = false);
        }
        let plan = supervisor_core::Plan { specs, changes: plan.changes() };
        self.happen(Event::Replanned(plan));
        self.seek_no_more_lines();
        self.release_all_listeners();
        self.prune_catalogue();
        self.threads.retain(|service| self.catalogue.current(service).is_some());
        self.begin_alerts(Beginning::Now);
        self.warn_of_open_files();
    }

    /// That others can read, or write. Where files are may be slow.
    pub(crate) fn warn_of_open_files(&mut self) {
        let stack = Arc::clone(&self.in_force.stack);
        for withheld in &stack.withheld {
            tracing::warn!("{withheld}");
        }
        self.tasks.spawn_blocking(move || {
            for file in config::exposed(&stack) {
                tracing::warn!(?file, "other users of this machine can read a file of variables or secrets");
            }
            Ok(())
        });
    }

    fn renew_shutdown_timeout(&mut self) {
        let timeout = startup::shutdown_timeout(&self.in_force.stack, self.longest_shutdown);
        if timeout != self.shutdown_timeout {
            self.shutdown_timeout = timeout;
            let shutdown_timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            self.ask_keeper("configure", &Request::Configure { shutdown_timeout_ms });
        }
    }

    /// New settings for all logs, and for those that are still written to where nobody wants them any more.
    fn configure_logs(&mut self) {
        log_files::declare(&self.pump, &self.in_force.stack);
        for run in self.runs.values() {
            let service = self.catalogue.of(&run.record.service, run.record.revision);
            let service = service.or_else(|| self.catalogue.current(&run.record.service));
            if let Some(service) = service {
                for path in &run.record.logs {
                    self.pump.configure(path, settings(&service.launch.log));
                }
            }
        }
    }
}

/// For the keeper. What it cannot take is refused before anything has changed.
fn kept(next: &InForce) -> io::Result<Request> {
    let value = serde_json::to_vec(&next.kept()).map_err(io::Error::other)?;
    if value.len() > MAX_RECORD {
        return Err(io::Error::other("all files together are too long: at most 4 MiB of them are kept"));
    }
    Ok(Request::Put { key: startup::CONFIG.to_owned(), value })
}
