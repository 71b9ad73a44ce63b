//! F16: promises that hold over random timelines of requests, deaths, answers, stalls, and new controls.
//! Not here: the model that they are checked against (see `world`).

use std::collections::BTreeMap;

use proptest::prelude::*;
use supervisor_core::{
    Change, CheckId, Condition, Event, Excess, Failure, Kind, Plan, Policy, ProbeOutcome, Readiness, Role, ServiceName,
    ServiceSpec, Sign, State,
};

use crate::chance::{Edit, SERVICES, SIGNS, edits, sign, specs};
use crate::desk::name;
use crate::world::{Main, Tree, World};

/// Something that happens. Numbers pick among what is there.
#[derive(Debug, Clone)]
enum Action {
    Start(u8),
    Stop(u8),
    Kill(u8),
    Restart(u8),
    Spawned(u8),
    LaunchFailed(u8),
    PortBusy(u8),
    Exits { which: u8, code: Option<i32>, rest: u8 },
    Surveyed { which: u8, gone: bool },
    Probed { which: u8, passed: bool },
    Signed(u8, Sign),
    SignLost(u8, Sign),
    Fed(u8),
    Overruns { which: u8, hard: bool },
    Pass(u64),
    Stall(u64),
    StaleNews(u8),
    NewControl,
    Replan(Vec<(Edit, ServiceSpec)>),
}

fn action() -> impl Strategy<Value = Action> {
    let code = prop_oneof![Just(Some(0)), Just(Some(1)), Just(None)];
    prop_oneof![
        4 => any::<u8>().prop_map(Action::Start),
        2 => any::<u8>().prop_map(Action::Stop),
        1 => any::<u8>().prop_map(Action::Kill),
        2 => any::<u8>().prop_map(Action::Restart),
        8 => any::<u8>().prop_map(Action::Spawned),
        1 => any::<u8>().prop_map(Action::LaunchFailed),
        1 => any::<u8>().prop_map(Action::PortBusy),
        5 => (any::<u8>(), code, 0..3_u8).prop_map(|(which, code, rest)| Action::Exits { which, code, rest }),
        5 => (any::<u8>(), any::<bool>()).prop_map(|(which, gone)| Action::Surveyed { which, gone }),
        6 => (any::<u8>(), any::<bool>()).prop_map(|(which, passed)| Action::Probed { which, passed }),
        4 => (any::<u8>(), sign()).prop_map(|(which, sign)| Action::Signed(which, sign)),
        1 => (any::<u8>(), sign()).prop_map(|(which, sign)| Action::SignLost(which, sign)),
        2 => any::<u8>().prop_map(Action::Fed),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(which, hard)| Action::Overruns { which, hard }),
        4 => (0..3_000_u64).prop_map(Action::Pass),
        2 => (0..70_000_u64).prop_map(Action::Pass),
        1 => (0..100_000_u64).prop_map(Action::Stall),
        1 => any::<u8>().prop_map(Action::StaleNews),
        1 => Just(Action::NewControl),
        2 => edits().prop_map(Action::Replan),
    ]
}

fn timeline() -> impl Strategy<Value = Vec<Action>> {
    prop::collection::vec(action(), 0..80)
}

fn some(mask: u8) -> Vec<ServiceName> {
    (0..SERVICES).filter(|place| mask & (1 << place) != 0).map(|place| name(&format!("s{place}"))).collect()
}

impl World {
    fn act(&mut self, action: Action) {
        match action {
            Action::Start(mask) => self.tell(Event::StartRequested(some(mask))),
            Action::Stop(mask) => self.tell(Event::StopRequested(some(mask))),
            Action::Kill(mask) => self.tell(Event::KillRequested(some(mask))),
            Action::Restart(mask) => self.tell(Event::RestartRequested(some(mask))),
            Action::Spawned(which) => self.on_unborn(which, |world, run| world.spawned(run)),
            Action::LaunchFailed(which) => {
                self.on_unborn(which, |world, run| world.fail(run, Failure::Launch { message: "no".to_owned() }));
            }
            Action::PortBusy(which) => {
                self.on_unborn(which, |world, run| world.fail(run, Failure::PortBusy { message: "no".to_owned() }));
            }
            Action::Exits { which, code, rest } => {
                self.on_alive(which, |world, run| world.exits(run, code, rest));
            }
            Action::Surveyed { which, gone } => self.on_surveyed(which, gone),
            Action::Probed { which, passed } => self.on_probe(which, passed),
            Action::Signed(which, sign) => self.on_alive(which, |world, run| world.give(run, sign)),
            Action::SignLost(which, sign) => {
                let reason = "it was closed".to_owned();
                self.on_alive(which, |world, run| world.tell(Event::SignLost { run, sign, reason }));
            }
            Action::Fed(which) => self.on_alive(which, |world, run| world.tell(Event::NotifiedWatchdog { run })),
            Action::Overruns { which, hard } => self.on_alive(which, |world, run| {
                let excess = if hard { Excess::Hard("too much".to_owned()) } else { Excess::Soft("much".to_owned()) };
                world.tell(Event::Overran { run, excess });
            }),
            Action::Pass(millis) => self.pass(millis),
            Action::Stall(millis) => {
                self.now = self.now.after(millis);
                self.tell(Event::DeadlineReached);
            }
            Action::StaleNews(kind) => self.stale_news(kind),
            Action::Replan(edits) => self.replan(edits),
            Action::NewControl => {
                if !self.ending {
                    self.replace_control();
                }
            }
        }
    }

    fn replan(&mut self, edits: Vec<(Edit, ServiceSpec)>) {
        let mut plan = Plan { specs: Vec::new(), changes: BTreeMap::new() };
        self.revision += 1;
        for (edit, fresh) in edits {
            let old = self.specs.iter().find(|old| old.name == fresh.name).cloned();
            let (spec, change) = match (edit, old) {
                (Edit::Remove, _) => continue,
                (Edit::Keep, Some(old)) => (old, Change::Keep),
                // Another kind or another readiness protocol asks for another process.
                (Edit::Update, Some(old)) => {
                    let ready = Readiness { signs: old.ready.signs.clone(), ..fresh.ready };
                    (ServiceSpec { revision: old.revision, kind: old.kind, ready, ..fresh }, Change::Update)
                }
                (Edit::Replace, _) | (_, None) => (ServiceSpec { revision: self.revision, ..fresh }, Change::Replace),
            };
            plan.changes.insert(spec.name.clone(), change);
            plan.specs.push(spec);
        }
        let names: Vec<_> = plan.specs.iter().map(|spec| spec.name.clone()).collect();
        for spec in &mut plan.specs {
            spec.depends_on.retain(|dependency| names.contains(&dependency.on));
        }
        self.tell(Event::Replanned(plan));
    }

    fn fail(&mut self, run: u64, failure: Failure) {
        self.trees.get_mut(&run).unwrap().main = Main::Dead;
        self.tell(Event::SpawnFailed { run, failure });
    }

    fn pick(&self, which: u8, wanted: impl Fn(&Tree) -> bool) -> Option<u64> {
        let runs: Vec<_> = self.trees.iter().filter(|(_, tree)| wanted(tree)).map(|(run, _)| *run).collect();
        if runs.is_empty() { None } else { Some(runs[usize::from(which) % runs.len()]) }
    }

    fn on_unborn(&mut self, which: u8, act: impl FnOnce(&mut Self, u64)) {
        // What a new control surveys was never born and never will be.
        if let Some(run) = self.pick(which, |tree| tree.main == Main::Unborn && !tree.surveyed) {
            act(self, run);
        }
    }

    fn on_alive(&mut self, which: u8, act: impl FnOnce(&mut Self, u64)) {
        if let Some(run) = self.pick(which, |tree| matches!(tree.main, Main::Alive { .. })) {
            act(self, run);
        }
    }

    fn on_surveyed(&mut self, which: u8, gone: bool) {
        if let Some(run) = self.pick(which, |tree| tree.surveyed) {
            if gone {
                self.trees.get_mut(&run).unwrap().rest.pop_first();
            }
            self.survey(run);
        }
    }

    fn on_probe(&mut self, which: u8, passed: bool) {
        let probes: Vec<_> = self.probes.keys().copied().collect();
        if !probes.is_empty() {
            let (run, check) = probes[usize::from(which) % probes.len()];
            let outcome = if passed { ProbeOutcome::Passed } else { ProbeOutcome::Failed("refused".to_owned()) };
            self.answer(run, check, outcome);
        }
    }

    /// Of a run that never was; the model objects to any effect.
    fn stale_news(&mut self, kind: u8) {
        let run = 1_000_000;
        self.tell(match kind % 7 {
            0 => Event::Spawned { run, pid: 1 },
            1 => Event::Exited { run, exit: crate::desk::code(1), alone: true },
            2 => Event::Surveyed { run, remaining: vec![1] },
            3 => {
                let outcome = ProbeOutcome::Failed("old".to_owned());
                Event::Probed { run, check: CheckId(0), began: self.now, outcome }
            }
            4 => Event::SignSeen { run, sign: Sign::Notify },
            5 => Event::SignLost { run, sign: Sign::Newline, reason: "old".to_owned() },
            _ => Event::SpawnFailed { run, failure: Failure::Launch { message: "old".to_owned() } },
        });
    }

    /// Everybody does what they are asked to, for two minutes; oneshots end with success.
    fn be_quiet(&mut self) {
        let end = self.now.after(120_000);
        while self.now < end {
            while self.help() {}
            let alive = |(run, tree): (&u64, &Tree)| matches!(tree.main, Main::Alive { .. }).then_some(*run);
            for run in self.trees.iter().filter_map(alive).collect::<Vec<_>>() {
                self.tell(Event::NotifiedWatchdog { run });
            }
            let step = self.fleet.next_deadline().map_or(900, |at| at.since(self.now).min(900));
            self.pass(step);
        }
    }

    /// One good deed; false when there is none to do.
    fn help(&mut self) -> bool {
        let live: Vec<_> = self.trees.keys().copied().collect();
        for run in live {
            let Some(tree) = self.trees.get(&run) else { continue };
            let (unborn, alive) = (tree.main == Main::Unborn, matches!(tree.main, Main::Alive { .. }));
            let (asked, surveyed) = (tree.asked, tree.surveyed);
            let sign = SIGNS.into_iter().find(|sign| !tree.given.contains(sign));
            if unborn && !surveyed {
                self.spawned(run);
                return true;
            } else if alive && (asked || self.is_ready_oneshot(run)) {
                self.exits(run, Some(0), 0);
                return true;
            } else if surveyed {
                self.trees.get_mut(&run).unwrap().rest.clear();
                self.survey(run);
                return true;
            } else if let Some(sign) = sign.filter(|_| alive) {
                self.give(run, sign);
            }
        }
        let Some((run, check)) = self.probes.keys().next().copied() else { return false };
        self.answer(run, check, ProbeOutcome::Passed);
        true
    }

    fn is_ready_oneshot(&mut self, run: u64) -> bool {
        self.fleet.snapshot().iter().any(|seen| {
            let is_ready = seen.generations.iter().any(|of| of.run.run == run && of.run.ready.is_some());
            seen.kind == Kind::Oneshot && is_ready
        })
    }

    /// Each service is where it is wanted, as far as its policy and its dependencies allow.
    fn assert_settled(&mut self) {
        let snapshot = self.fleet.snapshot();
        let names = |mut names: Vec<ServiceName>| {
            names.sort();
            names
        };
        let shown = names(snapshot.iter().map(|seen| seen.name.clone()).collect());
        assert_eq!(shown, names(self.specs.iter().map(|spec| spec.name.clone()).collect()), "the plan, the whole plan");
        for tree in self.trees.values() {
            let spec = self.specs.iter().find(|spec| spec.name == tree.service).unwrap();
            let seen = snapshot.iter().find(|seen| seen.name == spec.name).unwrap();
            // A rollout may wait for what it depends on, and further instances with it.
            let under_way = seen.rollout.as_ref().is_some_and(|rollout| rollout.result.is_none());
            let rolls = seen.state == State::Rolling || seen.state == State::Waiting && under_way;
            assert!(
                rolls || tree.revision == self.meant(&spec.name),
                "{}: {} runs by an old spec",
                spec.name,
                tree.revision
            );
        }
        let state = |name: &ServiceName| snapshot.iter().find(|seen| seen.name == *name).unwrap().state;
        for (seen, spec) in snapshot.iter().zip(&self.specs) {
            let settled = match (seen.wanted, seen.state) {
                (false, state) => state == State::Stopped,
                (true, State::Running) => {
                    let serving = seen.generations.iter().filter(|of| of.role == Role::Serving).count();
                    let all = serving == spec.instances as usize || spec.restart.policy != Policy::Always;
                    seen.kind == Kind::Service && all
                }
                (true, State::Completed) => seen.kind == Kind::Oneshot || spec.restart.policy != Policy::Always,
                (true, State::Failed) => spec.restart.policy == Policy::No || spec.restart.max_restarts != 0,
                (true, State::Waiting | State::Rolling) => {
                    spec.depends_on.iter().any(|dependency| match dependency.condition {
                        Condition::Completed => state(&dependency.on) != State::Completed,
                        Condition::Ready | Condition::Started => {
                            let kind = snapshot.iter().find(|seen| seen.name == dependency.on).unwrap().kind;
                            state(&dependency.on)
                                != if kind == Kind::Oneshot { State::Completed } else { State::Running }
                        }
                    })
                }
                (true, _) => false,
            };
            assert!(settled, "{} is {:?} ({}), wanted: {}", seen.name, seen.state, seen.cause, seen.wanted);
        }
    }
}

/// So many cases, unless `PROPTEST_CASES` says otherwise.
fn cases(usually: u32) -> ProptestConfig {
    // Or a timeline of eighty events would be shown as it is: it is shortened until no step of it can be left out.
    let shortened = ProptestConfig { max_shrink_iters: 100_000, ..ProptestConfig::default() };
    let config = ProptestConfig { failure_persistence: None, ..shortened };
    if std::env::var_os("PROPTEST_CASES").is_some() { config } else { ProptestConfig { cases: usually, ..config } }
}

proptest! {
    #![proptest_config(cases(1500))]

    #[test]
    fn no_timeline_makes_the_fleet_do_what_it_must_not(specs in specs(), timeline in timeline()) {
        let mut world = World::new(specs);
        for action in timeline {
            world.act(action);
        }
    }

    #[test]
    fn a_shutdown_finishes_in_time_whoever_cooperates(
        specs in specs(),
        before in timeline(),
        within in 0..20_000_u64,
        during in timeline(),
    ) {
        let mut world = World::new(specs);
        for action in before {
            world.act(action);
        }
        world.tell(Event::ShutdownRequested { within });
        let mut stalled = 0;
        for action in during {
            if world.finished {
                break;
            }
            if let Action::Stall(millis) = action {
                stalled += millis + 2_000;
            }
            world.act(action);
        }
        if !world.finished {
            world.pass(within + 5_000 + stalled);
        }
        assert!(world.finished);
        assert!(world.fleet.shutting_down());
    }
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn after_a_quiet_time_every_service_is_where_it_is_wanted(specs in specs(), timeline in timeline()) {
        let mut world = World::new(specs);
        for action in timeline {
            world.act(action);
        }
        world.be_quiet();
        world.assert_settled();
    }
}
