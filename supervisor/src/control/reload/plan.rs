//! What a new configuration does to each service, and because of which keys.
//! Not here: doing it (`apply`). Never here: values.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use supervisor_core::{Change, ServiceName};

use crate::config::{Changed, Effect, Service, Stack, supervisor_changes};

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
    /// It is started: it is new, or what is new depends on it, or what runs does so from now on.
    Start,
    /// It is new, and waits to be asked for.
    Add,
    Restart,
    /// It goes on, with other settings.
    Update,
    /// It is stopped, if it runs, and forgotten.
    Remove,
}

/// Which new services are started besides those that something depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Newcomers {
    Autostarted,
    /// `run NAME` is about one service.
    None,
}

impl Plan {
    /// `wanted` are those that should run now.
    pub(crate) fn new(
        old: &Stack,
        new: &Stack,
        mut changes: Changes,
        wanted: &BTreeSet<ServiceName>,
        newcomers: Newcomers,
    ) -> Self {
        let known: BTreeSet<&ServiceName> = old.services.iter().map(|service| &service.spec.name).collect();
        let started = started((old, new), &known, wanted, newcomers);
        let mut plan = Self { supervisor: supervisor_changes(old, new), ..Self::default() };
        for service in &new.services {
            let name = &service.spec.name;
            let (deed, keys) = match changes.remove(name) {
                keys if started.contains(name) => (Deed::Start, keys.unwrap_or_default()),
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
        let changed = self.services.iter().filter(|planned| !planned.keys.is_empty());
        let change = |keys| if asks_for_restart(keys) { Change::Replace } else { Change::Update };
        changed.map(|planned| (planned.name.clone(), change(&planned.keys))).collect()
    }
}

/// Those that are to be started, and should not run yet: as the core does it.
fn started<'a>(
    (old, stack): (&Stack, &'a Stack),
    known: &BTreeSet<&ServiceName>,
    wanted: &'a BTreeSet<ServiceName>,
    newcomers: Newcomers,
) -> BTreeSet<&'a ServiceName> {
    let services: Services<'a> = stack.services.iter().map(|service| (&service.spec.name, service)).collect();
    let is_new = |name: &&ServiceName| !known.contains(name);
    let asked = services.keys().copied().filter(is_new).filter(|name| match newcomers {
        Newcomers::Autostarted => services[name].spec.autostart,
        Newcomers::None => false,
    });
    let needed = with_dependencies(&services, wanted.iter().collect()).into_iter().filter(is_new);
    let before: Services<'_> = old.services.iter().map(|service| (&service.spec.name, service)).collect();
    let gained = stack.services.iter().filter(|service| wanted.contains(&service.spec.name)).flat_map(|service| {
        let before = before.get(&service.spec.name);
        let had =
            move |on: &ServiceName| before.is_none_or(|one| one.spec.depends_on.iter().any(|known| known.on == *on));
        service.spec.depends_on.iter().map(|dependency| &dependency.on).filter(move |on| !had(on))
    });
    let mut started = with_dependencies(&services, asked.chain(needed).chain(gained).collect());
    started.retain(|name| !wanted.contains(*name));
    started
}

type Services<'a> = BTreeMap<&'a ServiceName, &'a Service>;

/// These, and all that they depend on, at whatever distance.
fn with_dependencies<'a>(services: &Services<'a>, mut open: Vec<&'a ServiceName>) -> BTreeSet<&'a ServiceName> {
    let mut found = BTreeSet::new();
    while let Some(name) = open.pop() {
        if let Some(service) = services.get(name).filter(|_| found.insert(name)) {
            open.extend(service.spec.depends_on.iter().map(|dependency| &dependency.on));
        }
    }
    found
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
