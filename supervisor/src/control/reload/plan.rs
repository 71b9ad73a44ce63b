//! What a new configuration does to each service, and because of which keys.
//! Not here: doing it (`apply`). Never here: values.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use supervisor_core::{Change, ServiceName};

use crate::config::{Changed, Effect, Stack, supervisor_changes};

/// The keys of each service that has any other ones than before.
pub(crate) type Changes = BTreeMap<ServiceName, Vec<Changed>>;

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Plan {
    /// Those that something is done to, in the order of the file; then those that are not in it any more.
    pub(crate) services: Vec<Planned>,
    /// So many others stay as they are.
    pub(crate) kept: usize,
    /// Keys of the supervisor itself.
    pub(crate) supervisor: Vec<Changed>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Planned {
    #[schemars(with = "String")]
    pub(crate) name: ServiceName,
    pub(crate) deed: Deed,
    /// Why.
    pub(crate) keys: Vec<Changed>,
}

/// What is done to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Deed {
    /// It is new, and started.
    Start,
    /// It is new, and waits to be asked for.
    Add,
    Restart,
    /// It goes on, with other settings.
    Update,
    /// It is stopped, if it runs, and forgotten.
    Remove,
}

impl Plan {
    /// `wanted` are those that should run now.
    pub(crate) fn new(old: &Stack, new: &Stack, mut changes: Changes, wanted: &BTreeSet<ServiceName>) -> Self {
        let known: BTreeSet<&ServiceName> = old.services.iter().map(|service| &service.spec.name).collect();
        let mut plan = Self { supervisor: supervisor_changes(old, new), ..Self::default() };
        for service in &new.services {
            let name = &service.spec.name;
            let (deed, keys) = match changes.remove(name) {
                _ if !known.contains(name) && service.spec.autostart => (Deed::Start, Vec::new()),
                _ if !known.contains(name) => (Deed::Add, Vec::new()),
                Some(keys) if asks_for_restart(&keys) && wanted.contains(name) => (Deed::Restart, keys),
                Some(keys) => (Deed::Update, keys),
                None => {
                    plan.kept += 1;
                    continue;
                }
            };
            plan.services.push(Planned { name: name.clone(), deed, keys });
        }
        let stays: BTreeSet<&ServiceName> = new.services.iter().map(|service| &service.spec.name).collect();
        let gone = known.into_iter().filter(|name| !stays.contains(name));
        plan.services.extend(gone.map(|name| Planned { name: name.clone(), deed: Deed::Remove, keys: Vec::new() }));
        plan
    }

    /// What is new waits to be asked for.
    pub(crate) fn without_starts(mut self) -> Self {
        for planned in self.services.iter_mut().filter(|planned| planned.deed == Deed::Start) {
            planned.deed = Deed::Add;
        }
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.services.is_empty() && self.supervisor.is_empty()
    }

    /// Services that need another process, up or not.
    pub(crate) fn restarted(&self) -> BTreeSet<ServiceName> {
        let restarted = self.services.iter().filter(|planned| asks_for_restart(&planned.keys));
        restarted.map(|planned| planned.name.clone()).collect()
    }

    /// For the core.
    pub(crate) fn changes(&self) -> BTreeMap<ServiceName, Change> {
        let of = |planned: &Planned| match planned.deed {
            Deed::Restart => Some(Change::Replace),
            Deed::Update if asks_for_restart(&planned.keys) => Some(Change::Replace),
            Deed::Update => Some(Change::Update),
            Deed::Start | Deed::Add | Deed::Remove => None,
        };
        self.services.iter().filter_map(|planned| Some((planned.name.clone(), of(planned)?))).collect()
    }
}

pub(crate) fn asks_for_restart(keys: &[Changed]) -> bool {
    keys.iter().any(|changed| changed.effect == Effect::Restart)
}

/// One line: `mail restarts (env.LEVEL); old removed`.
impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = |keys: &[Changed]| keys.iter().map(|changed| changed.key.as_str()).collect::<Vec<_>>().join(", ");
        let mut parts: Vec<String> = Vec::new();
        for Planned { name, deed, keys } in &self.services {
            let deed = deed.past();
            let why = if keys.is_empty() { String::new() } else { format!(" ({})", words(keys)) };
            parts.push(format!("{name} {deed}{why}"));
        }
        if !self.supervisor.is_empty() {
            parts.push(words(&self.supervisor));
        }
        f.write_str(&parts.join("; "))
    }
}

impl Deed {
    /// As an order.
    pub(crate) fn present(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Add => "add",
            Self::Restart => "restart",
            Self::Update => "update",
            Self::Remove => "remove",
        }
    }

    /// When it is done.
    pub(crate) fn past(self) -> &'static str {
        match self {
            Self::Start => "started",
            Self::Add => "added",
            Self::Restart => "restarted",
            Self::Update => "updated",
            Self::Remove => "removed",
        }
    }
}
