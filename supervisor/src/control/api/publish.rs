//! What the loop shows to the world: the view, the last words.
//! Not here: JSON, sockets (`door`).

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use supervisor_core::{Command, Fleet, ServiceName, State};
use supervisor_keeper::Request;

use crate::config::Stack;
use crate::control::api::asks::Haste;
use crate::control::api::operations::Operations;
use crate::control::api::view::{ConfigView, Facts, Known, LogTrouble, Rejected, View};
use crate::control::keeper::link::{Heard, Purpose};
use crate::control::launch::prepare::{RunRecord, log_paths};
use crate::control::reload::in_force::InForce;
use crate::control::run::Run;
use crate::control::run_loop::{Control, News};
use crate::control::telling::foreground::{Foreground, LAST_WORDS};

/// The pipes of ended runs are copied to the end for at most this long before the supervisor ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

impl View {
    pub(crate) fn new(
        in_force: &InForce,
        fleet: &mut Fleet,
        facts: &Arc<Known>,
        operations: &Operations,
        keeper_pid: i32,
        http: Option<SocketAddr>,
    ) -> Self {
        Self {
            version: 0,
            stack: in_force.stack.clone(),
            config: Arc::default(),
            alerts: Arc::default(),
            certificates: Arc::default(),
            services: fleet.snapshot(),
            facts: facts.clone(),
            operations: operations.shown(),
            wall_offset_ms: crate::control::wall_offset_ms(),
            keeper_pid,
            http,
            shutting_down: fleet.shutting_down(),
        }
    }
}

impl Facts {
    pub(crate) fn of_stack(stack: &Stack) -> impl Iterator<Item = (ServiceName, Self)> {
        let facts = |service: &crate::config::Service| Self {
            executable: None,
            revision: None,
            launch: None,
            logs: log_paths(&service.launch),
            log_trouble: LogTrouble::default(),
        };
        stack.services.iter().map(move |service| (service.spec.name.clone(), facts(service)))
    }
}

impl Control {
    /// Shows what has changed, if anything has.
    pub(crate) fn publish(&mut self) {
        let last = self.view.load();
        let services = self.fleet.snapshot();
        let same = last.version > 0
            && last.shutting_down == self.fleet.shutting_down()
            && Arc::ptr_eq(&last.facts, &self.facts)
            && Arc::ptr_eq(&last.operations, &self.operations.shown())
            && Arc::ptr_eq(&last.stack, &self.in_force.stack)
            && last.http == self.http
            && Arc::ptr_eq(&last.alerts, &self.alerts.shown)
            && Arc::ptr_eq(&last.certificates, &self.certificates.shown)
            && same_rejection(last.config.rejected.as_ref(), self.rejected.as_ref())
            && Arc::ptr_eq(&last.services, &services);
        if same {
            return;
        }
        let mut next =
            View::new(&self.in_force, &mut self.fleet, &self.facts, &self.operations, self.keeper_pid, self.http);
        self.count_starts(&last.services, &services);
        let version = last.version + 1;
        next.version = version;
        next.config = Arc::new(self.config_view());
        next.alerts = Arc::clone(&self.alerts.shown);
        next.certificates = Arc::clone(&self.certificates.shown);
        self.view.store(Arc::new(next));
        self.shown.send_replace(version);
    }

    fn config_view(&self) -> ConfigView {
        let InForce { revision, loaded_ms, said, stack, .. } = &self.in_force;
        let pending = crate::config::supervisor_changes(stack, said);
        ConfigView {
            revision: *revision,
            loaded_ms: *loaded_ms,
            rejected: self.rejected.clone(),
            pending: pending.into_iter().map(|changed| changed.key).collect(),
        }
    }

    /// What is known of a run that was just started, or taken over.
    pub(crate) fn note_run(&mut self, record: &RunRecord) {
        let RunRecord { service, revision, executable, logs, .. } = record;
        let known = self.facts.get(service);
        let changed = known.is_none_or(|facts| {
            facts.executable != *executable || facts.revision != Some(*revision) || facts.logs != *logs
        });
        let launch = self.catalogue.of(service, *revision).map(|known| Arc::clone(&known.launch));
        if changed && let Some(facts) = Arc::make_mut(&mut self.facts).get_mut(service) {
            facts.launch = launch;
            facts.executable.clone_from(executable);
            facts.revision = Some(*revision);
            facts.logs.clone_from(logs);
        }
    }

    /// The services of the configuration in force, and those that it does not know but that are not gone yet.
    pub(crate) fn renew_facts(&mut self) {
        let fresh: Known = Facts::of_stack(&self.in_force.stack).collect();
        // Where its log is, is seen at its next start.
        let stays = |(name, known): &(&ServiceName, &Facts)| known.revision.is_some() || fresh.get(name).is_none();
        let known = self.facts.iter().filter(stays);
        let all = fresh.iter().chain(known).map(|(name, facts)| (name.clone(), facts.clone()));
        self.facts = Arc::new(all.collect());
    }

    /// Looks at the logs again: some of them got into trouble, or out of it.
    pub(crate) fn see_log_trouble(&mut self) {
        let news = |(service, facts): (&ServiceName, &Facts)| {
            let trouble = self.log_trouble(facts);
            (trouble != facts.log_trouble).then(|| (service.clone(), trouble))
        };
        let news: Vec<(ServiceName, LogTrouble)> = self.facts.iter().filter_map(news).collect();
        if news.is_empty() {
            return;
        }
        let known = Arc::make_mut(&mut self.facts);
        for (service, trouble) in news {
            let Some(facts) = known.get_mut(&service) else { continue };
            if facts.log_trouble.error != trouble.error {
                self.history.log_trouble(&service, trouble.error.as_deref());
            }
            facts.log_trouble = trouble;
        }
    }

    fn log_trouble(&self, facts: &Facts) -> LogTrouble {
        let mut trouble = LogTrouble::default();
        for stats in facts.logs.iter().filter_map(|path| self.pump.stats(path)) {
            trouble.dropped_bytes += stats.dropped_bytes;
            trouble.dropped_lines += stats.dropped_lines;
            trouble.error = trouble.error.or(stats.error);
        }
        trouble
    }

    /// A thread that waits for trouble with logs, and tells at most five times a second.
    pub(crate) fn watch_logs(&self) {
        const PAUSE: Duration = Duration::from_millis(200);
        let (pump, news) = (self.pump.clone(), self.news.0.clone());
        let watch = move || {
            let mut seen = 0;
            loop {
                seen = pump.wait_for_trouble(seen, Duration::MAX);
                if news.blocking_send(News::LogTrouble).is_err() {
                    return;
                }
                std::thread::sleep(PAUSE);
            }
        };
        if let Err(error) = std::thread::Builder::new().name("log-trouble".to_owned()).stack_size(64 << 10).spawn(watch)
        {
            tracing::warn!(%error, "trouble with logs will not show in the status");
        }
    }

    /// What an earlier control left: runs that live go on, those that are over are copied to the end, unless the core
    /// wants their trees looked at first.
    pub(crate) fn take_over(
        &mut self,
        runs: BTreeMap<u64, Run>,
        listeners: BTreeMap<ServiceName, Vec<Arc<crate::control::launch::listeners::Listener>>>,
        commands: &[Command],
    ) {
        self.listeners = listeners;
        for service in self.listeners.keys().cloned().collect::<Vec<_>>() {
            self.guard_listeners(&service);
        }
        self.release_all_listeners();
        for (number, run) in runs {
            let lives = run.pid.is_some();
            if lives {
                self.note_run(&run.record);
            }
            self.runs.insert(number, run);
            self.listen(number);
            let surveyed = commands.contains(&Command::Survey { run: number });
            if !lives && !surveyed {
                self.release(number);
            }
        }
    }

    /// `run NAME`: when the one named service has ended for good, or was taken out of the file, so does the supervisor.
    pub(crate) fn mirror(&mut self) {
        if !self.args.mirror || self.fleet.shutting_down() {
            return;
        }
        let over = self.mirrored().is_none_or(|service| match service.state {
            State::Completed => true,
            State::Failed => service.next_attempt.is_none(),
            State::Stopped
            | State::Waiting
            | State::Starting
            | State::Running
            | State::Unhealthy
            | State::Rolling
            | State::Backoff
            | State::CrashLoop
            | State::Stopping => false,
        });
        if over {
            self.shut_down(Haste::InOrder);
        }
    }

    fn mirrored(&mut self) -> Option<Arc<supervisor_core::ServiceSnapshot>> {
        let name = self.args.only.first()?.clone();
        self.fleet.snapshot().iter().find(|service| service.name.as_str() == name).cloned()
    }

    /// The code of the mirrored service, as a shell would tell it; 0 for a fleet that was stopped.
    fn exit_code(&mut self) -> u8 {
        if !self.args.mirror {
            return 0;
        }
        let exit = self.mirrored().and_then(|service| service.last_exit.clone());
        let code = match exit {
            Some(exit) => exit.code.or(exit.signal.map(|signal| 128 + signal)).unwrap_or(1),
            None => 0,
        };
        u8::try_from(code & 0xff).unwrap_or(1)
    }

    /// Everything is down. Logs are copied to the end, then the keeper ends, and with it all.
    pub(crate) async fn finish(mut self) -> io::Result<()> {
        let deadline = tokio::time::Instant::now() + DRAIN_TIMEOUT;
        while !self.runs.is_empty() {
            let Ok(Some(news)) = tokio::time::timeout_at(deadline, self.news.1.recv()).await else { break };
            self.learn(news);
            self.link.flush();
        }
        let foreground = self.foreground.take().inspect(Foreground::ends);
        tracing::info!("{LAST_WORDS}");
        self.history.supervisor("stopped; everything is down");
        let shown = async {
            if let Some(foreground) = foreground {
                foreground.ended().await;
            }
        };
        let (journal, reports) = (self.history.journal.written(), self.history.reports.written());
        let _ = tokio::time::timeout_at(deadline, async { tokio::join!(shown, journal, reports) }).await;
        for name in ["api.sock", "token"] {
            let _ = std::fs::remove_file(self.in_force.stack.runtime_dir.join(name));
        }
        let code = self.exit_code();
        self.link.send(Purpose::Finish, &Request::Finish { code }, Vec::new())?;
        // Once the keeper has taken it, nobody needs us.
        loop {
            match self.link.next().await? {
                Heard::Closed | Heard::Reply { purpose: Purpose::Finish, .. } => return Ok(()),
                Heard::Reply { .. } | Heard::Notice { .. } => {}
            }
        }
    }
}

fn same_rejection(one: Option<&Arc<Rejected>>, other: Option<&Arc<Rejected>>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, Some(_)) | (Some(_), None) => false,
    }
}
