//! The configuration that is in force, its number, and how it survives this control.
//! Not here: how another one takes its place (`reload`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use supervisor_core::{ServiceName, ServiceSpec};

use crate::config::{self, Diagnostics, Disk, Recorded, Recorder, Service, Stack, Surroundings};

/// The number of the configuration that a supervisor starts with; each one that changes something adds one.
const FIRST: u64 = 1;

/// The configuration in force.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) revision: u64,
    /// When it was loaded, in milliseconds since 1970.
    pub(crate) loaded_ms: i64,
    /// As the files say.
    pub(crate) said: Arc<Stack>,
    /// The same, but for what only another start can change.
    pub(crate) stack: Arc<Stack>,
    pub(crate) recorded: Arc<Recorded>,
    pub(crate) surroundings: Arc<Surroundings>,
    fixed: Fixed,
}

/// What the keeper keeps of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    revision: u64,
    loaded_ms: i64,
    /// Of services whose launch changed since the first one.
    revisions: BTreeMap<ServiceName, u64>,
    fixed: Fixed,
    recorded: Recorded,
}

/// What stays as it was when the supervisor started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Fixed {
    name: String,
    runtime_dir: PathBuf,
    state_dir: PathBuf,
    logs_dir: PathBuf,
}

impl Fixed {
    fn of(stack: &Stack) -> Self {
        Self {
            name: stack.name.clone(),
            runtime_dir: stack.runtime_dir.clone(),
            state_dir: stack.state_dir.clone(),
            logs_dir: stack.logs_dir.clone(),
        }
    }

    fn impose(self, stack: &Stack) -> Stack {
        let Self { name, runtime_dir, state_dir, logs_dir } = self;
        Stack { name, runtime_dir, state_dir, logs_dir, ..stack.clone() }
    }
}

impl InForce {
    /// What the files say now, for a supervisor to start with.
    pub(crate) fn of_file(file: &Path) -> Result<Self, Diagnostics> {
        let surroundings = Surroundings::of_process();
        let mut recorder = Recorder::new(Disk);
        let stack = config::load(file, &surroundings, &mut recorder)?;
        Ok(Self::first(stack, recorder.into_recorded(), surroundings))
    }

    /// What a supervisor starts with.
    pub(crate) fn first(mut stack: Stack, recorded: Recorded, surroundings: Surroundings) -> Self {
        number(&mut stack.services, &BTreeMap::new());
        let fixed = Fixed::of(&stack);
        Self::new(FIRST, now_ms(), stack, recorded, Arc::new(surroundings), fixed)
    }

    /// What an earlier control left.
    pub(crate) fn recalled(file: &Path, kept: Kept, surroundings: Surroundings) -> Result<Self, Diagnostics> {
        let Kept { revision, loaded_ms, revisions, fixed, mut recorded } = kept;
        let mut stack = config::load(file, &surroundings, &mut recorded)?;
        number(&mut stack.services, &revisions);
        Ok(Self::new(revision, loaded_ms, stack, recorded, Arc::new(surroundings), fixed))
    }

    /// The next one: services in `restarted` have another launch than before.
    pub(crate) fn next(&self, mut stack: Stack, recorded: Recorded, restarted: &BTreeSet<ServiceName>) -> Self {
        let revision = self.revision + 1;
        let mut revisions: BTreeMap<ServiceName, u64> =
            self.said.services.iter().map(|service| (service.spec.name.clone(), service.spec.revision)).collect();
        for service in &stack.services {
            let name = &service.spec.name;
            if restarted.contains(name) || !revisions.contains_key(name) {
                revisions.insert(name.clone(), revision);
            }
        }
        number(&mut stack.services, &revisions);
        Self::new(revision, now_ms(), stack, recorded, Arc::clone(&self.surroundings), self.fixed.clone())
    }

    /// The same, said in other words.
    pub(crate) fn reworded(&self, mut stack: Stack, recorded: Recorded) -> Self {
        let revisions = self.said.services.iter().map(|service| (service.spec.name.clone(), service.spec.revision));
        number(&mut stack.services, &revisions.collect());
        let surroundings = Arc::clone(&self.surroundings);
        Self::new(self.revision, self.loaded_ms, stack, recorded, surroundings, self.fixed.clone())
    }

    fn new(
        revision: u64,
        loaded_ms: i64,
        said: Stack,
        recorded: Recorded,
        surroundings: Arc<Surroundings>,
        fixed: Fixed,
    ) -> Self {
        let stack = Arc::new(fixed.clone().impose(&said));
        Self { revision, loaded_ms, said: Arc::new(said), stack, recorded: Arc::new(recorded), surroundings, fixed }
    }

    pub(crate) fn kept(&self) -> Kept {
        let all = self.said.services.iter().map(|service| (service.spec.name.clone(), service.spec.revision));
        Kept {
            revision: self.revision,
            loaded_ms: self.loaded_ms,
            revisions: all.filter(|(_, revision)| *revision != FIRST).collect(),
            fixed: self.fixed.clone(),
            recorded: Recorded::clone(&self.recorded),
        }
    }

    pub(crate) fn specs(&self) -> Vec<ServiceSpec> {
        self.said.services.iter().map(|service| service.spec.clone()).collect()
    }
}

fn number(services: &mut [Service], revisions: &BTreeMap<ServiceName, u64>) {
    for service in services {
        service.spec.revision = revisions.get(&service.spec.name).copied().unwrap_or(FIRST);
    }
}

/// The wall clock.
pub(crate) fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
