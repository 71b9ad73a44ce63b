//! The arranging: a fleet, a clock that is a number, and commands told as short sentences.
//! Not here: promises.

use std::collections::BTreeMap;
use std::sync::Arc;

use supervisor_core::{
    Change, Check, CheckId, Command, Condition, Dependency, Event, ExitReport, Failure, Fleet, Health, Kind, Liveness,
    Memory, Plan, Policy, ProbeOutcome, Readiness, Recovered, RestartPolicy, Role, RolloutPolicy, ServiceName,
    ServiceSnapshot, ServiceSpec, Settings, Sign, State, StopPolicy, Time, Transition,
};

pub(crate) struct Desk {
    pub(crate) fleet: Fleet,
    pub(crate) now: Time,
    /// The raw commands of the last call.
    pub(crate) last: Vec<Command>,
    pub(crate) runs: BTreeMap<String, u64>,
    memories: BTreeMap<String, Memory>,
    /// Service and generation of each run.
    names: BTreeMap<u64, (String, u64)>,
}

pub(crate) fn name(text: &str) -> ServiceName {
    ServiceName::new(text).unwrap()
}

/// A service with no gate, no liveness, and restarts without chance: 500 ms, doubling up to 30 s.
pub(crate) fn service(own: &str) -> ServiceSpec {
    ServiceSpec {
        name: name(own),
        revision: 1,
        kind: Kind::Service,
        autostart: true,
        critical: true,
        depends_on: Vec::new(),
        restart: RestartPolicy {
            policy: Policy::Always,
            delay: 500,
            factor: 2.0,
            max_delay: 30_000,
            jitter: 0.0,
            reset_after: 30_000,
            crash_loop: 5,
            max_restarts: 0,
            success_exit_codes: vec![0],
        },
        stop: StopPolicy { signal: 15, timeout: 10_000 },
        ready: Readiness { signs: BTreeMap::new(), delay: None, checks: Vec::new(), interval: 100, deadline: 60_000 },
        live: None,
        rollout: RolloutPolicy::exclusive(),
        instances: 1,
    }
}

pub(crate) fn oneshot(own: &str) -> ServiceSpec {
    ServiceSpec { kind: Kind::Oneshot, ..service(own) }
}

pub(crate) fn with(mut spec: ServiceSpec, change: impl FnOnce(&mut ServiceSpec)) -> ServiceSpec {
    change(&mut spec);
    spec
}

pub(crate) fn on(spec: ServiceSpec, others: &[&str]) -> ServiceSpec {
    others.iter().fold(spec, |spec, other| on_condition(spec, other, Condition::Ready))
}

pub(crate) fn on_condition(spec: ServiceSpec, other: &str, condition: Condition) -> ServiceSpec {
    with(spec, |spec| spec.depends_on.push(Dependency { on: name(other), condition }))
}

pub(crate) fn notifying(own: &str) -> ServiceSpec {
    with(service(own), |spec| must_give(spec, Sign::Notify, "no READY=1"))
}

pub(crate) fn must_give(spec: &mut ServiceSpec, sign: Sign, missing: &str) {
    spec.ready.signs.insert(sign, missing.to_owned());
}

pub(crate) fn check(id: u8, title: &str) -> Check {
    Check { id: CheckId(id), title: title.to_owned() }
}

/// Checks `http /health` once a second; three failures in a row are death.
pub(crate) fn watched(own: &str) -> ServiceSpec {
    with(service(own), |spec| {
        let checks = vec![check(0, "http /health")];
        spec.live = Some(Liveness { checks, interval: 1_000, failures: 3, watchdog: None });
    })
}

pub(crate) fn code(code: i32) -> ExitReport {
    ExitReport { code: Some(code), ..ExitReport::default() }
}

pub(crate) fn signal(signal: i32) -> ExitReport {
    ExitReport { code: None, signal: Some(signal), ..code(0) }
}

pub(crate) fn settings() -> Settings {
    Settings { max_parallel_starts: 8, max_parallel_launches: 8, seed: 7 }
}

pub(crate) fn desk(specs: Vec<ServiceSpec>) -> Desk {
    desk_with(settings(), specs)
}

pub(crate) fn desk_with(settings: Settings, specs: Vec<ServiceSpec>) -> Desk {
    let fleet = Fleet::new(settings, specs).unwrap();
    Desk {
        fleet,
        now: Time(1_000_000),
        last: Vec::new(),
        runs: BTreeMap::new(),
        names: BTreeMap::new(),
        memories: BTreeMap::new(),
    }
}

/// A fleet whose services all run, in the order given.
pub(crate) fn running(specs: Vec<ServiceSpec>) -> Desk {
    let names: Vec<_> = specs.iter().map(|spec| spec.name.to_string()).collect();
    let mut desk = desk(specs);
    desk.start(&names.iter().map(String::as_str).collect::<Vec<_>>());
    desk.spawn_all();
    desk
}

/// What an earlier control left of a service: its memory, and its live run with its main process.
type Left<'a> = (&'a str, Memory, Option<(u64, i32)>);

pub(crate) fn recovered(specs: Vec<ServiceSpec>, entries: Vec<Left<'_>>) -> (Desk, Vec<String>) {
    let now = Time(1_000_000);
    let mut runs = BTreeMap::new();
    let mut map = BTreeMap::new();
    for (own, memory, run) in entries {
        let number = run.map_or(memory.run, |(run, _)| run);
        runs.insert(own.to_owned(), number);
        let runs = run.into_iter().map(|(run, pid)| (run, pid, Time(900_000))).collect();
        map.insert(name(own), Recovered { memory, runs, older: Vec::new() });
    }
    let (fleet, commands) = Fleet::recover(settings(), specs, map, 100, now).unwrap();
    let names = runs.iter().map(|(own, run)| (*run, (own.clone(), 4))).collect();
    let mut desk = Desk { fleet, now, last: Vec::new(), runs, names, memories: BTreeMap::new() };
    let deeds = desk.hear(commands);
    (desk, deeds)
}

impl Desk {
    /// Tells the fleet; gives what is to be done, without reports and memories.
    pub(crate) fn tell(&mut self, event: Event) -> Vec<String> {
        let commands = self.fleet.handle(self.now, event);
        self.hear(commands)
    }

    pub(crate) fn health(&mut self) -> Health {
        let services = self.fleet.snapshot();
        Health::of(services.iter().map(AsRef::as_ref))
    }

    pub(crate) fn hear(&mut self, commands: Vec<Command>) -> Vec<String> {
        for command in &commands {
            if let Command::Remember { service, memory } = command {
                self.memories.insert(service.to_string(), memory.as_ref().clone());
            }
        }
        let deeds = commands.iter().filter_map(|command| self.sentence(command)).collect();
        self.last = commands;
        deeds
    }

    /// Lets time pass, waking the fleet at each of its deadlines and never in between.
    pub(crate) fn pass(&mut self, millis: u64) -> Vec<String> {
        let end = self.now.after(millis);
        let mut deeds = Vec::new();
        let mut all = Vec::new();
        while let Some(at) = self.fleet.next_deadline().filter(|&at| at <= end) {
            assert!(at > self.now, "a deadline that is not ahead would be a busy loop");
            self.now = at;
            deeds.extend(self.tell(Event::DeadlineReached));
            all.append(&mut self.last);
        }
        self.now = end;
        self.last = all;
        deeds
    }

    pub(crate) fn start(&mut self, names: &[&str]) -> Vec<String> {
        self.tell(Event::StartRequested(names.iter().map(|n| name(n)).collect()))
    }

    pub(crate) fn stop(&mut self, names: &[&str]) -> Vec<String> {
        self.tell(Event::StopRequested(names.iter().map(|n| name(n)).collect()))
    }

    pub(crate) fn kill(&mut self, names: &[&str]) -> Vec<String> {
        self.tell(Event::KillRequested(names.iter().map(|n| name(n)).collect()))
    }

    pub(crate) fn restart(&mut self, names: &[&str]) -> Vec<String> {
        self.tell(Event::RestartRequested(names.iter().map(|n| name(n)).collect()))
    }

    /// A new plan, in which only `changes` are named.
    pub(crate) fn replan(&mut self, specs: Vec<ServiceSpec>, changes: &[(&str, Change)]) -> Vec<String> {
        let changes = changes.iter().map(|(own, change)| (name(own), *change)).collect();
        self.tell(Event::Replanned(Plan { specs, changes }))
    }

    pub(crate) fn spawned(&mut self, own: &str) -> Vec<String> {
        let run = self.runs[own];
        self.tell(Event::Spawned { run, pid: pid(run) })
    }

    /// Answers every spawn until none is left.
    pub(crate) fn spawn_all(&mut self) {
        loop {
            let waiting: Vec<_> = self.fleet.snapshot().iter().filter(|s| being_made(s)).cloned().collect();
            if waiting.is_empty() {
                return;
            }
            for snapshot in waiting {
                self.spawned(snapshot.name.as_str());
            }
        }
    }

    pub(crate) fn spawn_failed(&mut self, own: &str, failure: Failure) -> Vec<String> {
        self.tell(Event::SpawnFailed { run: self.runs[own], failure })
    }

    pub(crate) fn exited(&mut self, own: &str, exit: ExitReport) -> Vec<String> {
        self.ended(own, exit, true)
    }

    pub(crate) fn exited_with_rest(&mut self, own: &str, exit: ExitReport) -> Vec<String> {
        self.ended(own, exit, false)
    }

    fn ended(&mut self, own: &str, exit: ExitReport, alone: bool) -> Vec<String> {
        let run = self.runs[own];
        self.tell(Event::Exited { run, exit: ExitReport { pid: pid(run), at: self.now, ..exit }, alone })
    }

    pub(crate) fn surveyed(&mut self, own: &str, remaining: &[i32]) -> Vec<String> {
        self.tell(Event::Surveyed { run: self.runs[own], remaining: remaining.to_vec() })
    }

    pub(crate) fn passed(&mut self, own: &str, check: u8) -> Vec<String> {
        self.probed(own, check, self.now, ProbeOutcome::Passed)
    }

    pub(crate) fn failed(&mut self, own: &str, check: u8) -> Vec<String> {
        self.probed(own, check, self.now, ProbeOutcome::Failed("connection refused".to_owned()))
    }

    pub(crate) fn probed(&mut self, own: &str, check: u8, began: Time, outcome: ProbeOutcome) -> Vec<String> {
        self.tell(Event::Probed { run: self.runs[own], check: CheckId(check), began, outcome })
    }

    pub(crate) fn notified(&mut self, own: &str) -> Vec<String> {
        self.tell(Event::SignSeen { run: self.runs[own], sign: Sign::Notify })
    }

    pub(crate) fn fed(&mut self, own: &str) -> Vec<String> {
        self.tell(Event::NotifiedWatchdog { run: self.runs[own] })
    }

    pub(crate) fn see(&mut self, own: &str) -> Arc<ServiceSnapshot> {
        self.fleet.snapshot().iter().find(|snapshot| snapshot.name.as_str() == own).cloned().unwrap()
    }

    pub(crate) fn state(&mut self, own: &str) -> State {
        self.see(own).state
    }

    pub(crate) fn cause(&mut self, own: &str) -> String {
        self.see(own).cause.clone()
    }

    /// How long until the next attempt.
    pub(crate) fn wait(&mut self, own: &str) -> u64 {
        let now = self.now;
        self.see(own).next_attempt.unwrap().since(now)
    }

    /// The reports of the last call.
    pub(crate) fn reports(&self) -> Vec<String> {
        let reports = self.last.iter().filter_map(|command| match command {
            Command::Report(Transition { service, from, to, cause, .. }) => {
                Some(format!("{service}: {} -> {}: {cause}", from.as_str(), to.as_str()))
            }
            _ => None,
        });
        reports.collect()
    }

    /// What the last call told of rollouts: instance, generations, phase or result.
    pub(crate) fn told(&self) -> Vec<String> {
        let rollouts = self.last.iter().filter_map(|command| match command {
            Command::Rollout { service, rollout } => {
                let what = match &rollout.result {
                    Some(result) => format!("{result:?}/{:?}", rollout.phase),
                    None => format!("{:?}", rollout.phase),
                };
                Some(format!("{service} {}->{}: {what}", rollout.from, rollout.to))
            }
            _ => None,
        });
        rollouts.collect()
    }

    /// Every generation that is not over, with its role.
    pub(crate) fn roles(&mut self, own: &str) -> Vec<(u64, Role)> {
        self.see(own).generations.iter().map(|of| (of.run.generation, of.role)).collect()
    }

    /// From now on news of `alias` are news of this generation.
    pub(crate) fn name(&mut self, alias: &str, own: &str, generation: u64) {
        let seen = self.see(own);
        let run = seen.generations.iter().find(|of| of.run.generation == generation).unwrap().run.run;
        self.runs.insert(alias.to_owned(), run);
    }

    /// The last memory of `own` in the last call.
    pub(crate) fn memory(&self, own: &str) -> Option<Memory> {
        self.last.iter().rev().find_map(|command| match command {
            Command::Remember { service, memory } if service.as_str() == own => Some(memory.as_ref().clone()),
            _ => None,
        })
    }

    /// The newest memory of `own`, whenever it was given.
    pub(crate) fn memory_kept(&self, own: &str) -> Memory {
        self.memories[own].clone()
    }

    /// The newest run of a service bears its name; an older one has its generation behind it.
    fn called(&self, run: u64) -> String {
        let (service, generation) = &self.names[&run];
        if self.runs[service] == run { service.clone() } else { format!("{service}#{generation}") }
    }

    fn sentence(&mut self, command: &Command) -> Option<String> {
        Some(match command {
            Command::Spawn { service, run, generation, .. } => {
                self.runs.insert(service.to_string(), *run);
                self.names.insert(*run, (service.to_string(), *generation));
                format!("spawn {service}")
            }
            Command::Stop { run, signal } => format!("stop {} with {signal}", self.called(*run)),
            Command::Drain { run, signal } => format!("drain {} with {signal}", self.called(*run)),
            Command::Kill { run } => format!("kill {}", self.called(*run)),
            Command::Survey { run } => format!("survey {}", self.called(*run)),
            Command::SignalRest { run, pids, signal } => {
                format!("signal {pids:?} of {} with {signal}", self.called(*run))
            }
            Command::Probe { run, check, .. } => format!("probe {} {}", self.called(*run), check.0),
            Command::Release { run, .. } => format!("release {}", self.called(*run)),
            Command::CloseListeners { service } => format!("close {service}"),
            Command::Forget { service } => format!("forget {service}"),
            Command::FinishShutdown => "finish".to_owned(),
            Command::Ended { .. } | Command::Remember { .. } | Command::Report(_) | Command::Rollout { .. } => {
                return None;
            }
        })
    }
}

pub(crate) fn pid(run: u64) -> i32 {
    i32::try_from(run).unwrap() + 1_000
}

fn being_made(snapshot: &ServiceSnapshot) -> bool {
    snapshot.run.as_ref().is_some_and(|run| run.pid.is_none()) && snapshot.state != State::Stopping
}
