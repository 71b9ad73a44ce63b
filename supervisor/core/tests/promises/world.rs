//! A small model of the world: it owns processes, carries commands out, and objects to any that must not be given.
//! Not here: what happens in it by chance (see `properties`).

use std::collections::{BTreeMap, BTreeSet};

use supervisor_core::{
    CheckId, Command, Event, ExitReport, Fleet, Memory, Plan, ProbeOutcome, Recovered, ServiceName, ServiceSnapshot,
    ServiceSpec, Settings, Sign, State, Time,
};

use crate::desk::settings;

pub(crate) struct World {
    pub(crate) fleet: Fleet,
    pub(crate) now: Time,
    pub(crate) specs: Vec<ServiceSpec>,
    /// What must be wanted up, by the requests so far.
    pub(crate) wanted: BTreeSet<ServiceName>,
    /// Runs that are not released.
    pub(crate) trees: BTreeMap<u64, Tree>,
    pub(crate) probes: BTreeMap<(u64, CheckId), Time>,
    pub(crate) memories: BTreeMap<ServiceName, Memory>,
    shown: BTreeMap<ServiceName, State>,
    /// An end that was recorded, until its run is released.
    ended: Option<(ServiceName, u64)>,
    /// A new control repeats what the one before it may have left undone.
    pub(crate) recovering: bool,
    pub(crate) newest_run: u64,
    next_pid: i32,
    pub(crate) ending: bool,
    pub(crate) finished: bool,
    /// Of the newest plan.
    pub(crate) revision: u64,
}

/// A run as the world has it.
pub(crate) struct Tree {
    pub(crate) service: ServiceName,
    pub(crate) generation: u64,
    pub(crate) instance: u32,
    pub(crate) revision: u64,
    pub(crate) main: Main,
    /// The rest of it.
    pub(crate) rest: BTreeSet<i32>,
    /// It was sent its stop signal, or killed.
    pub(crate) asked: bool,
    pub(crate) surveyed: bool,
    /// What it has said by itself: each once, whoever listens.
    pub(crate) given: BTreeSet<Sign>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Main {
    Unborn,
    Alive { pid: i32, since: Time },
    Dead,
}

impl Tree {
    fn new(service: ServiceName, generation: u64, instance: u32, revision: u64) -> Self {
        let (main, rest) = (Main::Unborn, BTreeSet::new());
        Self {
            service,
            generation,
            instance,
            revision,
            main,
            rest,
            asked: false,
            surveyed: false,
            given: BTreeSet::new(),
        }
    }
}

impl World {
    pub(crate) fn new(specs: Vec<ServiceSpec>) -> Self {
        let shown = specs.iter().map(|spec| (spec.name.clone(), State::Stopped)).collect();
        Self {
            fleet: Fleet::new(slots(), specs.clone()).unwrap(),
            now: Time(5_000_000),
            specs,
            wanted: BTreeSet::new(),
            trees: BTreeMap::new(),
            probes: BTreeMap::new(),
            memories: BTreeMap::new(),
            shown,
            ended: None,
            recovering: false,
            newest_run: 0,
            next_pid: 100,
            ending: false,
            finished: false,
            revision: 1,
        }
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.note_wants(&event);
        let commands = self.fleet.handle(self.now, event);
        self.carry_out(commands);
    }

    /// Control dies, and a new one takes over.
    pub(crate) fn replace_control(&mut self) {
        let mut recovered: BTreeMap<_, _> = self
            .memories
            .clone()
            .into_iter()
            .map(|(name, memory)| (name, Recovered { memory, ..Recovered::default() }))
            .collect();
        for (run, tree) in &self.trees {
            if let Main::Alive { pid, since } = tree.main {
                recovered.get_mut(&tree.service).unwrap().runs.push((*run, pid, since));
            }
        }
        self.probes.clear();
        let (fleet, commands) =
            Fleet::recover(slots(), self.specs.clone(), recovered, self.newest_run + 1, self.now).unwrap();
        self.fleet = fleet;
        self.shown.clear();
        self.recovering = true;
        self.carry_out(commands);
        self.recovering = false;
    }

    pub(crate) fn spawned(&mut self, run: u64) {
        self.next_pid += 1;
        let pid = self.next_pid;
        self.trees.get_mut(&run).unwrap().main = Main::Alive { pid, since: self.now };
        self.tell(Event::Spawned { run, pid });
    }

    pub(crate) fn give(&mut self, run: u64, sign: Sign) {
        if self.trees.get_mut(&run).unwrap().given.insert(sign) {
            self.tell(Event::SignSeen { run, sign });
        }
    }

    /// The main process ends and leaves `rest` processes.
    pub(crate) fn exits(&mut self, run: u64, code: Option<i32>, rest: u8) {
        let tree = self.trees.get_mut(&run).unwrap();
        let Main::Alive { pid, .. } = tree.main else { panic!("only what lives can exit") };
        tree.main = Main::Dead;
        for _ in 0..rest {
            self.next_pid += 1;
            tree.rest.insert(self.next_pid);
        }
        let signal = if code.is_some() { None } else { Some(9) };
        let alone = tree.rest.is_empty();
        let exit = ExitReport { pid, code, signal, at: self.now, ..crate::desk::code(0) };
        self.tell(Event::Exited { run, exit, alone });
    }

    pub(crate) fn survey(&mut self, run: u64) {
        let remaining = self.trees[&run].rest.iter().copied().collect();
        self.tell(Event::Surveyed { run, remaining });
    }

    pub(crate) fn answer(&mut self, run: u64, check: CheckId, outcome: ProbeOutcome) {
        let began = self.probes.remove(&(run, check)).unwrap();
        self.tell(Event::Probed { run, check, began, outcome });
    }

    pub(crate) fn pass(&mut self, millis: u64) {
        let end = self.now.after(millis);
        while let Some(at) = self.fleet.next_deadline().filter(|&at| at <= end) {
            self.now = at;
            self.tell(Event::DeadlineReached);
        }
        self.now = end;
    }

    fn note_wants(&mut self, event: &Event) {
        match event {
            Event::StartRequested(names) if !self.ending => self.want(names),
            Event::RestartRequested(names) if !self.ending => {
                let planned: Vec<_> = names.iter().filter(|name| self.is_planned(name)).cloned().collect();
                self.wanted.extend(planned);
            }
            Event::Replanned(plan) if !self.ending => self.note_plan(plan),
            Event::StopRequested(names) | Event::KillRequested(names) => {
                self.wanted.retain(|name| !names.contains(name));
            }
            Event::ShutdownRequested { .. } | Event::ShutdownNowRequested => {
                self.ending = true;
                self.wanted.clear();
            }
            _ => {}
        }
    }

    fn note_plan(&mut self, plan: &Plan) {
        let old = std::mem::replace(&mut self.specs, plan.specs.clone());
        let is_new = |spec: &&ServiceSpec| old.iter().all(|old| old.name != spec.name);
        let added: Vec<_> = self.specs.iter().filter(is_new).cloned().collect();
        self.wanted = self.wanted.iter().filter(|name| self.is_planned(name)).cloned().collect();
        let kept = old.iter().filter(|spec| self.wanted.contains(&spec.name));
        let gained: Vec<_> = kept.flat_map(|spec| self.gained_since(spec)).collect();
        self.want(&added.iter().filter(|spec| spec.autostart).map(|spec| spec.name.clone()).collect::<Vec<_>>());
        let needed = self.with_all_below(&self.wanted.iter().cloned().collect::<Vec<_>>());
        let is_added = |name: &ServiceName| added.iter().any(|spec| spec.name == *name);
        self.want(&needed.into_iter().filter(is_added).collect::<Vec<_>>());
        self.want(&gained);
    }

    fn gained_since(&self, old: &ServiceSpec) -> Vec<ServiceName> {
        let on = |spec: &ServiceSpec| spec.depends_on.iter().map(|it| it.on.clone()).collect::<BTreeSet<_>>();
        on(self.spec(&old.name)).difference(&on(old)).cloned().collect()
    }

    fn want(&mut self, names: &[ServiceName]) {
        self.wanted.extend(self.with_all_below(names));
    }

    fn with_all_below(&self, names: &[ServiceName]) -> BTreeSet<ServiceName> {
        let mut open: Vec<_> = names.iter().filter(|name| self.is_planned(name)).cloned().collect();
        let mut all = BTreeSet::new();
        while let Some(name) = open.pop() {
            open.extend(self.spec(&name).depends_on.iter().map(|dependency| dependency.on.clone()));
            all.insert(name);
        }
        all
    }

    pub(crate) fn is_planned(&self, name: &ServiceName) -> bool {
        self.specs.iter().any(|spec| spec.name == *name)
    }

    pub(crate) fn spec(&self, name: &ServiceName) -> &ServiceSpec {
        self.specs.iter().find(|spec| spec.name == *name).unwrap()
    }

    fn carry_out(&mut self, commands: Vec<Command>) {
        let snapshot = self.fleet.snapshot();
        for command in commands {
            assert!(!self.finished, "a command after the end: {command:?}");
            self.carry_out_one(command, &snapshot);
        }
        for seen in snapshot.iter() {
            let told = self.shown.insert(seen.name.clone(), seen.state);
            assert_eq!(told.unwrap_or(seen.state), seen.state, "{}: every change of state is reported", seen.name);
            assert_eq!(seen.wanted, self.wanted.contains(&seen.name), "{}: want", seen.name);
            self.check_generations(seen);
            self.check_vain(seen, &snapshot);
        }
        assert!(self.fleet.next_deadline().is_none_or(|at| at > self.now), "a deadline in the past");
    }

    fn signal(&mut self, run: u64) {
        let tree = self.trees.get_mut(&run).unwrap();
        assert!(matches!(tree.main, Main::Alive { .. }), "a signal to a main process that is not");
        tree.asked = true;
    }

    /// The revision that a start of it goes by.
    pub(crate) fn meant(&self, service: &ServiceName) -> u64 {
        self.memories[service].fallback.unwrap_or(self.spec(service).revision)
    }

    fn carry_out_one(&mut self, command: Command, snapshot: &[std::sync::Arc<ServiceSnapshot>]) {
        match command {
            Command::Spawn { service, run, generation, instance, revision, .. } => {
                self.check_spawn(&service, run, (generation, instance), snapshot);
                assert_eq!(revision, self.meant(&service), "{service}: a start with an old spec");
                self.newest_run = run;
                self.trees.insert(run, Tree::new(service, generation, instance, revision));
            }
            Command::Drain { run, .. } => {
                self.check_drain(run, snapshot);
                self.signal(run);
            }
            Command::Stop { run, .. } | Command::Kill { run } => self.signal(run),
            Command::Survey { run } => {
                let tree = self.trees.get_mut(&run).unwrap();
                assert!(!matches!(tree.main, Main::Alive { .. }), "a survey beside a main process");
                tree.surveyed = true;
            }
            Command::SignalRest { run, pids, signal } => {
                let tree = self.trees.get_mut(&run).unwrap();
                assert!(tree.surveyed && !pids.is_empty() && [9, 15].contains(&signal));
            }
            Command::Probe { run, check, service } => {
                assert!(matches!(self.trees[&run].main, Main::Alive { .. }), "a probe of what does not live");
                assert!(self.probes.insert((run, check), self.now).is_none(), "{service}: two tries of one check");
            }
            Command::Release { run, service } => {
                let tree = self.trees.remove(&run).expect("a run is released once");
                assert!(tree.service == service && tree.rest.is_empty());
                assert!(!matches!(tree.main, Main::Alive { .. }), "released while it lives");
                self.probes.retain(|(of, _), _| *of != run);
                assert_eq!(self.ended.take(), Some((service, tree.generation)), "an end that is not recorded");
            }
            Command::Ended { service, run: _, exit, cause } => {
                assert!(!cause.is_empty());
                assert_eq!(self.ended.replace((service, exit.generation)), None, "an end without a release");
            }
            Command::CloseListeners { service } => {
                assert!(!self.trees.values().any(|tree| tree.service == service), "closed under a live tree");
            }
            Command::Remember { service, memory } => {
                let old = self.memories.insert(service, memory.as_ref().clone());
                assert!(old.as_ref() != Some(&memory), "nothing new to remember");
                assert!(old.is_none_or(|old| old.generation <= memory.generation));
            }
            Command::Forget { service } => {
                self.check_forget(&service, snapshot);
                self.memories.remove(&service);
                self.shown.remove(&service);
            }
            Command::Report(transition) => {
                let told = self.shown.insert(transition.service, transition.to);
                assert_eq!(told.unwrap_or(transition.from), transition.from, "a report that continues another story");
                assert!(!transition.cause.is_empty());
            }
            Command::Rollout { service, rollout } => {
                assert!(self.specs.iter().any(|spec| spec.name == service) || rollout.result.is_some());
            }
            Command::FinishShutdown => {
                assert!(self.ending);
                self.finished = true;
            }
        }
    }
}

/// Few enough that they are fought for.
fn slots() -> Settings {
    Settings { max_parallel_starts: 2, max_parallel_launches: 2, ..settings() }
}
