//! All services together. `handle` is the only thing that changes anything.
//! Not here: what one service does (see `service`), and the order among them (see `order`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::command::Command;
use crate::ending::KILLED_GONE_WITHIN;
use crate::event::Event;
use crate::graph::Graph;
use crate::memory::Memory;
use crate::recover::left_behind;
use crate::restart::Random;
use crate::roster::{Roster, Trait};
use crate::run::Run;
use crate::service::{Service, Turn};
use crate::slot::Slot;
use crate::snapshot::ServiceSnapshot;
use crate::spec::{GraphError, ServiceName, ServiceSpec, Sign};
use crate::time::{Millis, Time};

/// A deadline that is noticed this much too late was missed because we, or the whole machine, stood still.
const STALL: Millis = 2_000;

/// What the whole fleet goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How many services may be starting at once; at least 1.
    pub max_parallel_starts: usize,
    /// How many with those that are ready as soon as they run, which take next to no time for it; at least as many.
    pub max_parallel_launches: usize,
    /// Seed of the jitter.
    pub seed: u64,
}

/// What a new control learns about one service from the keeper.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Recovered {
    /// What `Command::Remember` gave last.
    pub memory: Memory,
    /// Its live runs (and those whose exit is about to be told): run, pid, when it was started.
    pub runs: Vec<(u64, i32, Time)>,
    /// Its specs of older revisions that something of it may still go by.
    pub older: Vec<ServiceSpec>,
}

/// All services together: what should run, what runs, and what to do about the difference.
#[derive(Debug)]
pub struct Fleet {
    pub(crate) settings: Settings,
    pub(crate) graph: Graph,
    /// In the order of the specs.
    pub(crate) services: Roster,
    pub(crate) next_run: u64,
    random: Random,
    resumed: Time,
    course: Course,
    deadline: Option<Time>,
    /// The last snapshot.
    seen: Arc<Vec<Arc<ServiceSnapshot>>>,
}

/// Where the fleet as a whole is going.
#[derive(Debug, Clone, Copy)]
enum Course {
    /// On.
    Serving,
    /// Down, in order; what is left at `kill_at` is killed.
    Ending { kill_at: Time },
    /// Down at once; what is left at `finish_by` is left.
    Killing { finish_by: Time },
    /// It has said that it is down.
    Finished,
}

impl Fleet {
    /// A fleet in which nothing is wanted and nothing runs.
    ///
    /// # Errors
    /// When a dependency does not exist, or services depend on each other.
    pub fn new(settings: Settings, specs: Vec<ServiceSpec>) -> Result<Self, GraphError> {
        let graph = Graph::new(&specs)?;
        let random = Random::new(settings.seed);
        Ok(Self {
            settings,
            graph,
            services: Roster::new(specs.into_iter().map(|spec| Service::new(Arc::new(spec))).collect()),
            next_run: 1,
            random,
            resumed: Time::default(),
            course: Course::Serving,
            deadline: None,
            seen: Arc::default(),
        })
    }

    /// The fleet of a control that takes over: `recovered` is what is remembered of each service, with its live run.
    /// Run numbers go on from `next_run`. The commands are what is due at once. A service without an entry is down
    /// and not wanted; an entry without a service is ended, then forgotten.
    ///
    /// # Errors
    /// As for `new`.
    pub fn recover(
        settings: Settings,
        specs: Vec<ServiceSpec>,
        mut recovered: BTreeMap<ServiceName, Recovered>,
        next_run: u64,
        now: Time,
    ) -> Result<(Self, Vec<Command>), GraphError> {
        let mut fleet = Self::new(settings, specs)?;
        let runs = |r: &Recovered| r.runs.iter().map(|(run, _, _)| *run).chain([r.memory.run]).max();
        let seen = recovered.values().filter_map(runs).max();
        fleet.next_run = next_run.max(seen.unwrap_or(0).saturating_add(1));
        let mut turn = fleet.turn(now);
        let mut services = std::mem::take(&mut fleet.services).into_services();
        for service in &mut services {
            service.recover(recovered.remove(&service.spec.name).unwrap_or_default(), &mut turn);
        }
        for (name, left) in recovered {
            let mut service = left_behind(name, &left.memory);
            service.recover(left, &mut turn);
            services.push(service);
        }
        fleet.services = Roster::new(services);
        fleet.rewire();
        let commands = fleet.proceed(turn);
        Ok((fleet, commands))
    }

    /// Takes in what happened at `now`; gives what is to be done about it, in order. Nothing after `FinishShutdown`.
    pub fn handle(&mut self, now: Time, event: Event) -> Vec<Command> {
        if let Course::Finished = self.course {
            return Vec::new();
        }
        self.notice_stall(now);
        let mut turn = self.turn(now);
        self.take(event, &mut turn);
        self.proceed(turn)
    }

    /// When `Event::DeadlineReached` is due, if nothing happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// Every service as the world may see it, in the order of the specs. What has not changed since the last call is
    /// the same allocation as then, one by one and as a whole.
    pub fn snapshot(&mut self) -> Arc<Vec<Arc<ServiceSnapshot>>> {
        if self.seen.len() == self.services.len() {
            self.services.show(|place, shown| {
                if !Arc::ptr_eq(&self.seen[place], &shown) {
                    Arc::make_mut(&mut self.seen)[place] = shown;
                }
            });
        } else {
            let mut all = Vec::with_capacity(self.services.len());
            self.services.show(|_, shown| all.push(shown));
            self.seen = Arc::new(all);
        }
        Arc::clone(&self.seen)
    }

    /// Where this service is among those of a snapshot.
    #[must_use]
    pub fn place(&self, name: &ServiceName) -> Option<usize> {
        self.graph.place(name)
    }

    /// A shutdown was asked for: nothing starts any more.
    #[must_use]
    pub fn shutting_down(&self) -> bool {
        match self.course {
            Course::Serving => false,
            Course::Ending { .. } | Course::Killing { .. } | Course::Finished => true,
        }
    }

    /// How many services may be starting at once, as in `Settings`. Counts from the next event on.
    pub fn set_max_parallel_starts(&mut self, starts: usize, launches: usize) {
        self.settings.max_parallel_starts = starts;
        self.settings.max_parallel_launches = launches;
    }

    /// A start of this service may yet go by this older revision.
    #[must_use]
    pub fn may_go_back_to(&self, name: &ServiceName, revision: u64) -> bool {
        let service = self.graph.place(name).map(|place| &self.services[place]);
        service.is_some_and(|service| service.may_go_back_to(revision))
    }

    /// The revisions that something of this service goes by: what lives of it, what comes up, and its next start.
    #[must_use]
    pub fn revisions(&self, name: &ServiceName) -> BTreeSet<u64> {
        let service = self.graph.place(name).map(|place| &self.services[place]);
        service.map(Service::revisions).unwrap_or_default()
    }

    /// The start of this run waits for this sign.
    #[must_use]
    pub fn awaits(&self, run: u64, sign: Sign) -> bool {
        let Some(place) = self.services.place_of_run(run) else { return false };
        let mut runs = self.services[place].slots.iter().flat_map(Slot::runs);
        runs.any(|live| live.number == run && live.awaits(sign))
    }

    fn turn(&self, now: Time) -> Turn {
        Turn { now, resumed: self.resumed, random: self.random, out: Vec::new() }
    }

    /// Time that nobody could use is given back: all deadlines move by as much as the first one was missed.
    fn notice_stall(&mut self, now: Time) {
        let Some(missed) = self.deadline.filter(|at| now > at.after(STALL)) else {
            return;
        };
        let gap = now.since(missed);
        let least = now.after(STALL);
        self.resumed = now;
        for service in self.services.iter_mut() {
            for slot in &mut service.slots {
                slot.shift(gap, now, least);
            }
            service.touch();
        }
        match &mut self.course {
            Course::Ending { kill_at: at } | Course::Killing { finish_by: at } => {
                *at = at.after(gap).max(least);
            }
            Course::Serving | Course::Finished => {}
        }
    }

    fn take(&mut self, event: Event, turn: &mut Turn) {
        let now = turn.now;
        match event {
            Event::StartRequested(names) => self.start(&names, turn),
            Event::StopRequested(names) => self.each(&names, |service| service.stop(turn)),
            Event::KillRequested(names) => self.each(&names, |service| service.kill(turn)),
            Event::RestartRequested(names) => {
                if !self.shutting_down() {
                    self.each(&names, |service| {
                        if !service.leaving {
                            service.restart("asked to restart", turn);
                        }
                    });
                }
            }
            Event::Replanned(plan) => self.replan(plan, turn),
            Event::ShutdownRequested { within } => self.shut_down(within, turn),
            Event::ShutdownNowRequested => self.kill_all(turn),
            Event::Spawned { run, pid } => self.with(run, |run| run.spawned(pid, turn)),
            Event::SpawnFailed { run, failure } => self.with(run, |run| run.spawn_failed(&failure, turn)),
            Event::Exited { run, exit, alone } => self.with(run, |run| run.exited(exit, alone, turn)),
            Event::Surveyed { run, remaining } => self.with(run, |run| run.surveyed(remaining, turn)),
            Event::Probed { run, check, began, outcome } => {
                self.with(run, |run| run.probed(check, began, outcome, turn));
            }
            Event::SignSeen { run, sign } => self.with(run, |run| run.sign_seen(sign, turn)),
            Event::SignLost { run, sign, reason } => self.with(run, |run| run.sign_lost(sign, &reason, turn)),
            Event::NotifiedStatus { run, status } => self.with(run, |run| run.notified_status(status)),
            Event::NotifiedDrained { run, seen_off } => self.with(run, |run| run.notified_drained(seen_off)),
            Event::NotifiedWatchdog { run } => {
                // Nobody sees it, so nothing has changed.
                if let Some((_, run)) = self.run_mut(run) {
                    run.notified_watchdog(now);
                }
            }
            Event::Overran { run, excess } => self.overran(run, &excess, turn),
            Event::DeadlineReached => {}
        }
    }

    /// Everything that follows from time and from what was just taken in.
    fn proceed(&mut self, mut turn: Turn) -> Vec<Command> {
        for place in self.services.concerned(turn.now) {
            self.services[place].due(&mut turn);
        }
        if let Course::Ending { kill_at } = self.course
            && kill_at <= turn.now
        {
            self.kill_all(&mut turn);
        }
        self.services.look();
        self.settle(&mut turn);
        self.judge_waiting();
        for place in self.services.touched() {
            self.services[place].flush(&mut turn);
        }
        self.services.look();
        self.forget_gone(&mut turn);
        self.finish(&mut turn);
        self.services.end_turn();
        self.random = turn.random;
        self.deadline = self.first_deadline(turn.now);
        turn.out
    }

    fn first_deadline(&self, now: Time) -> Option<Time> {
        if let Course::Finished = self.course {
            return None;
        }
        let due = self.services.first_deadline().into_iter();
        due.chain(self.slot_deadline(now)).chain(self.course.deadline()).min()
    }

    pub(crate) fn start(&mut self, names: &[ServiceName], turn: &mut Turn) {
        if self.shutting_down() {
            return;
        }
        let places = names.iter().filter_map(|name| self.graph.place(name));
        let named: Vec<_> = places.filter(|&place| !self.services[place].leaving).collect();
        for place in self.graph.below(&named) {
            self.services[place].need(turn);
        }
        for place in named {
            self.services[place].start(turn);
        }
    }

    fn shut_down(&mut self, within: Millis, turn: &mut Turn) {
        let wished = turn.now.after(within);
        match &mut self.course {
            Course::Serving => self.course = Course::Ending { kill_at: wished },
            Course::Ending { kill_at } => *kill_at = wished.min(*kill_at),
            Course::Killing { .. } | Course::Finished => {}
        }
        for service in self.services.iter_mut() {
            service.stop(turn);
        }
    }

    fn kill_all(&mut self, turn: &mut Turn) {
        match self.course {
            Course::Serving | Course::Ending { .. } => {
                self.course = Course::Killing { finish_by: turn.now.after(KILLED_GONE_WITHIN) };
            }
            Course::Killing { .. } | Course::Finished => {}
        }
        for service in self.services.iter_mut() {
            service.kill(turn);
        }
    }

    fn finish(&mut self, turn: &mut Turn) {
        let out_of_time = match self.course {
            Course::Serving | Course::Finished => return,
            Course::Ending { .. } => false,
            Course::Killing { finish_by } => finish_by <= turn.now,
        };
        if out_of_time || !self.services.any(Trait::Lives) {
            self.course = Course::Finished;
            turn.out.push(Command::FinishShutdown);
        }
    }

    /// Names that nobody bears are ignored: the shell has refused them.
    fn each(&mut self, names: &[ServiceName], mut act: impl FnMut(&mut Service)) {
        for name in names {
            if let Some(place) = self.graph.place(name) {
                act(&mut self.services[place]);
            }
        }
    }

    /// News of a run that is over concerns nobody.
    fn with(&mut self, number: u64, act: impl FnOnce(&mut Run)) {
        if let Some((place, run)) = self.run_mut(number) {
            act(run);
            self.services[place].touch();
        }
    }

    fn run_mut(&mut self, number: u64) -> Option<(usize, &mut Run)> {
        let place = self.services.place_of_run(number)?;
        Some((place, self.services[place].run_mut(number)?))
    }
}

impl Course {
    fn deadline(self) -> Option<Time> {
        match self {
            Self::Ending { kill_at: at } | Self::Killing { finish_by: at } => Some(at),
            Self::Serving | Self::Finished => None,
        }
    }
}
