//! A new plan takes the place of the one in force: services come, change and go.
//! Not here: what a change of a key means; the shell says whether it is an update or asks for another process.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::fleet::Fleet;
use crate::graph::Graph;
use crate::phase::Phase;
use crate::roster::{Roster, Trait};
use crate::service::{REPLACED, Service, Turn, Want};
use crate::spec::{GraphError, Kind, Policy, ServiceName, ServiceSpec};

/// A new configuration, as far as decisions need it. Services that are not in it any more are stopped and forgotten;
/// new ones with `autostart` are started.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Every service, in the order of the file. Must pass `Fleet::check`.
    pub specs: Vec<ServiceSpec>,
    /// What becomes of services that were there before; those that are not named are kept.
    pub changes: BTreeMap<ServiceName, Change>,
}

/// What becomes of a service that was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Nothing that counts for what runs.
    Keep,
    /// What runs goes on, with the new checks, policies and spans at once.
    Update,
    /// What is wanted up is restarted with the new spec; what is wanted down stays down.
    Replace,
}

impl Fleet {
    /// Whether these services can be a fleet. A plan that fails here must not be given to `handle`.
    ///
    /// # Errors
    /// When a dependency does not exist, or services depend on each other.
    pub fn check(specs: &[ServiceSpec]) -> Result<(), GraphError> {
        Graph::new(specs).map(drop)
    }

    /// The plan is in force from now on. One that is no fleet, or that comes during a shutdown, changes nothing.
    pub(crate) fn replan(&mut self, plan: Plan, turn: &mut Turn) {
        if self.shutting_down() || Self::check(&plan.specs).is_err() {
            return;
        }
        let Plan { specs, changes } = plan;
        let known = std::mem::take(&mut self.services).into_services();
        let mut services = Vec::new();
        let mut order = Vec::new();
        let mut old = BTreeMap::new();
        for service in known {
            order.push(service.spec.name.clone());
            old.insert(service.spec.name.clone(), service);
        }
        let (mut added, mut gained) = (Vec::new(), Vec::new());
        for spec in specs.into_iter().map(Arc::new) {
            let service = match old.remove(&spec.name) {
                Some(mut service) => {
                    let returns = std::mem::take(&mut service.leaving);
                    let change = changes.get(&spec.name).copied().unwrap_or(Change::Keep);
                    if returns {
                        added.push(spec.name.clone());
                        service.return_as(spec, turn);
                    } else {
                        gained.extend(service.wanted().then(|| gains(&service.spec, &spec)).into_iter().flatten());
                        service.change(spec, change, turn);
                    }
                    service
                }
                None => {
                    added.push(spec.name.clone());
                    Service::new(spec)
                }
            };
            services.push(service);
        }
        for mut service in order.into_iter().filter_map(|name| old.remove(&name)) {
            service.leave(turn);
            services.push(service);
        }
        self.services = Roster::new(services);
        self.rewire();
        self.start_added(&added, &gained, turn);
    }

    /// New ones with `autostart`, those that something wanted depends on by now (new ones, and those that it has `gained`),
    /// and what these depend on.
    fn start_added(&mut self, added: &[ServiceName], gained: &[ServiceName], turn: &mut Turn) {
        let up = |service: &Service| service.wanted() && !added.contains(&service.spec.name);
        let wanted_before: Vec<bool> = self.services.iter().map(up).collect();
        let named: Vec<_> = added.iter().filter(|name| self.spec(name).is_some_and(|spec| spec.autostart)).collect();
        self.start(&named.into_iter().cloned().collect::<Vec<_>>(), turn);
        let wanted: Vec<_> = (0..self.services.len()).filter(|&place| self.services[place].wanted()).collect();
        let mut needed = self.graph.below(&wanted);
        needed.retain(|&place| added.contains(&self.services[place].spec.name));
        // Wanted already or not: what these depend on may have been stopped.
        needed.extend(gained.iter().filter_map(|name| self.graph.place(name)));
        for place in self.graph.below(&needed).into_iter().chain(needed) {
            self.services[place].need(turn);
        }
        // Sockets of what is started are opened before the plan is in force, however long its start has to wait.
        for (service, was_wanted) in self.services.iter_mut().zip(wanted_before) {
            service.open |= service.wanted() && !was_wanted;
        }
    }

    fn spec(&self, name: &ServiceName) -> Option<&ServiceSpec> {
        self.graph.place(name).map(|place| &*self.services[place].spec)
    }

    /// The graph of the services as they are now.
    pub(crate) fn rewire(&mut self) {
        let names: Vec<_> = self.services.iter().map(|service| service.spec.name.clone()).collect();
        for service in self.services.iter_mut().filter(|service| service.leaving) {
            Arc::make_mut(&mut service.spec).depends_on.retain(|dependency| names.contains(&dependency.on));
        }
        let specs: Vec<_> = self.services.iter().map(|service| Arc::clone(&service.spec)).collect();
        // The plan was checked, and what leaves depends on what stays or on what left later: never the other way round.
        self.graph = Graph::new(&specs).unwrap_or_default();
        for service in self.services.iter_mut() {
            // A blocker names a place, and places have changed.
            for slot in &mut service.slots {
                if let Phase::Waiting { blocker } = &mut slot.phase {
                    *blocker = None;
                }
            }
            if let Some(rollout) = &mut service.rollout {
                rollout.blocker = None;
            }
        }
    }

    /// Forgets what has left.
    pub(crate) fn forget_gone(&mut self, turn: &mut Turn) {
        if !self.services.any(Trait::Gone) {
            return;
        }
        let mut services = std::mem::take(&mut self.services).into_services();
        for service in services.extract_if(.., |service| service.is_gone()) {
            turn.out.push(Command::Forget { service: service.spec.name.clone() });
        }
        self.services = Roster::new(services);
        self.rewire();
        self.services.look();
    }
}

/// What a service depends on by a new spec, and did not by the old one.
fn gains(old: &ServiceSpec, new: &ServiceSpec) -> Vec<ServiceName> {
    let had = |on: &ServiceName| old.depends_on.iter().any(|dependency| dependency.on == *on);
    new.depends_on.iter().map(|dependency| &dependency.on).filter(|on| !had(on)).cloned().collect()
}

impl Service {
    fn change(&mut self, spec: Arc<ServiceSpec>, change: Change, turn: &mut Turn) {
        self.spec = spec;
        self.touch();
        match change {
            Change::Keep => {}
            Change::Update => self.update(turn),
            Change::Replace => {
                if self.wanted() {
                    self.open = true;
                    self.restart(REPLACED, turn);
                } else {
                    self.fallback = None;
                }
            }
        }
        self.resize(turn);
    }

    /// It was on its way out of the fleet: what still runs of it is not what the plan means.
    fn return_as(&mut self, spec: Arc<ServiceSpec>, turn: &mut Turn) {
        let autostart = spec.autostart;
        self.spec = spec;
        self.fallback = None;
        self.begin_anew();
        if autostart {
            self.restart(REPLACED, turn);
        }
        self.resize(turn);
        self.touch();
    }

    /// What runs goes by the new spec from now on; what was given up is worth a try, and what has completed may not do so
    /// any more.
    fn update(&mut self, turn: &Turn) {
        let (new, want) = (Arc::clone(&self.spec), self.want);
        let spec = self.start_spec();
        let always = spec.kind == Kind::Service && spec.restart.policy == Policy::Always;
        for slot in &mut self.slots {
            let over = matches!(slot.phase, Phase::Failed { .. }) || always && matches!(slot.phase, Phase::Completed);
            if over && want == Want::Up {
                slot.start(want);
            }
            let runs = slot.phase.run_mut().into_iter().chain(slot.successor.as_deref_mut()).chain(&mut slot.leaving);
            for run in runs.filter(|run| run.spec.revision == new.revision) {
                run.update(&new, turn.now);
            }
        }
    }

    /// It is not in the plan any more.
    pub(crate) fn leave(&mut self, turn: &mut Turn) {
        self.leaving = true;
        self.stop(turn);
    }
}
