//! What the model of the world objects to, as far as it looks at more than one run.
//! Not here: the model itself (see `world`).

use std::collections::BTreeSet;
use std::sync::Arc;

use supervisor_core::{Condition, Kind, Role, ServiceName, ServiceSnapshot, State};

use crate::world::{Main, World};

impl World {
    /// Every tree is shown; of each instance at most one generation serves, one comes up, and three drain.
    pub(crate) fn check_generations(&self, seen: &ServiceSnapshot) {
        let shown: BTreeSet<_> = seen.generations.iter().map(|generation| generation.run.run).collect();
        let trees = self.trees.iter().filter(|(_, tree)| tree.service == seen.name).map(|(run, _)| *run);
        assert_eq!(shown, trees.collect(), "{}: a generation is shown while its tree may live", seen.name);
        let revisions = self.fleet.revisions(&seen.name);
        let mut live = self.trees.values().filter(|tree| tree.service == seen.name);
        assert!(live.all(|tree| revisions.contains(&tree.revision)), "{}: what lives goes by {revisions:?}", seen.name);
        for instance in seen.generations.iter().map(|generation| generation.instance) {
            let count = |roles: &[Role]| {
                let these = seen.generations.iter().filter(|of| of.instance == instance && roles.contains(&of.role));
                these.count()
            };
            assert!(count(&[Role::Serving]) <= 1, "{}: two serve", seen.name);
            assert!(count(&[Role::Starting, Role::Baking]) <= 1, "{}: two come up", seen.name);
            assert!(count(&[Role::Draining]) <= 3, "{}: too many drain", seen.name);
        }
        let coming = seen.generations.iter().filter(|of| matches!(of.role, Role::Starting | Role::Baking));
        assert!(coming.count() <= 1, "{}: one instance at a time", seen.name);
    }

    /// Who waits does so in vain if anything below is down and not about to come up; nobody else does.
    pub(crate) fn check_vain(&self, seen: &ServiceSnapshot, snapshot: &[Arc<ServiceSnapshot>]) {
        if !self.is_planned(&seen.name) {
            return;
        }
        let hopeless = self.spec(&seen.name).depends_on.iter().any(|dependency| {
            let below = snapshot.iter().find(|below| below.name == dependency.on).unwrap();
            let never_ready = below.kind == Kind::Service && dependency.condition != Condition::Completed;
            match below.state {
                State::Failed | State::CrashLoop => true,
                State::Stopped => !below.wanted,
                State::Completed => never_ready,
                _ => below.in_vain,
            }
        });
        assert_eq!(seen.in_vain, seen.state == State::Waiting && hopeless, "{}: {}", seen.name, seen.cause);
    }

    /// What served is let go of only when another generation of the instance is ready to.
    pub(crate) fn check_drain(&self, run: u64, snapshot: &[Arc<ServiceSnapshot>]) {
        let tree = &self.trees[&run];
        let seen = snapshot.iter().find(|seen| seen.name == tree.service).unwrap();
        let serves = seen.generations.iter().any(|of| {
            let newer = of.instance == tree.instance && of.run.generation > tree.generation;
            newer && of.role == Role::Serving
        });
        assert!(serves || self.recovering, "{}: drained though nobody serves", tree.service);
    }

    pub(crate) fn check_spawn(
        &self,
        name: &ServiceName,
        run: u64,
        (generation, instance): (u64, u32),
        snapshot: &[Arc<ServiceSnapshot>],
    ) {
        assert!(self.wanted.contains(name), "{name}: a start of what is wanted down");
        let beside = self.trees.values().any(|tree| tree.service == *name && tree.instance == instance);
        let seen = snapshot.iter().find(|seen| seen.name == *name).unwrap();
        let role = seen.generations.iter().find(|of| of.run.run == run).map(|of| of.role);
        assert!(instance < self.spec(name).instances, "{name}: an instance too many");
        let coming_up = role == Some(Role::Starting);
        assert!(!beside || self.may_overlap(name), "{name}: a start beside a live tree");
        assert!(!beside || coming_up || role == Some(Role::Serving), "{name}: a start for nothing");
        assert!(run > self.newest_run, "{name}: a run number twice");
        let memory = &self.memories[name];
        assert_eq!((memory.run, memory.generation), (run, generation), "{name}: intent precedes the process");
        for dependency in &self.spec(name).depends_on {
            let below = snapshot.iter().find(|seen| seen.name == dependency.on).unwrap();
            let lives = self
                .trees
                .values()
                .any(|tree| tree.service == below.name && !tree.asked && matches!(tree.main, Main::Alive { .. }));
            let holds = match (dependency.condition, below.kind) {
                (Condition::Completed, _) | (Condition::Ready, Kind::Oneshot) => below.state == State::Completed,
                (Condition::Ready, Kind::Service) => lives && matches!(below.state, State::Running | State::Rolling),
                (Condition::Started, Kind::Service) => lives,
                (Condition::Started, Kind::Oneshot) => lives || below.state == State::Completed,
            };
            assert!(holds, "{name}: started although {} is {:?}", below.name, below.state);
        }
    }

    /// By the spec that its starts go by; the model keeps only the newest.
    fn may_overlap(&self, name: &ServiceName) -> bool {
        self.spec(name).rollout.overlap || self.memories[name].fallback.is_some()
    }

    pub(crate) fn check_forget(&self, service: &ServiceName, snapshot: &[Arc<ServiceSnapshot>]) {
        assert!(!self.trees.values().any(|tree| tree.service == *service), "forgotten while it lives");
        assert!(!self.specs.iter().any(|spec| spec.name == *service), "forgotten though it is in the plan");
        assert!(snapshot.iter().all(|seen| seen.name != *service));
    }
}
