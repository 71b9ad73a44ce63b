//! Every service by name and revision, as long as something that lives may need it.
//! Not here: which revision is meant; the core says that.

use std::collections::BTreeMap;

use supervisor_core::ServiceName;

use crate::config::{Service, Stack};

/// The services of the configuration in force, and earlier ones of which something lives.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    current: BTreeMap<ServiceName, Service>,
    earlier: BTreeMap<(ServiceName, u64), Service>,
}

impl Catalogue {
    /// These are in force now. What they take the place of stays for what runs of it.
    pub(crate) fn put_in_force(&mut self, stack: &Stack) {
        let named = stack.services.iter().map(|service| (service.spec.name.clone(), service.clone())).collect();
        for (name, old) in std::mem::replace(&mut self.current, named) {
            let revision = old.spec.revision;
            if self.current.get(&name).is_none_or(|new| new.spec.revision != revision) {
                self.earlier.insert((name, revision), old);
            }
        }
    }

    /// Lets go of earlier ones that nobody needs any more.
    pub(crate) fn prune(&mut self, needed: impl Fn(&ServiceName, u64) -> bool) {
        self.earlier.retain(|(name, revision), _| needed(name, *revision));
    }

    pub(crate) fn in_force(&self) -> &BTreeMap<ServiceName, Service> {
        &self.current
    }

    pub(crate) fn knows(&self, name: &ServiceName) -> bool {
        self.current.contains_key(name)
    }

    pub(crate) fn current(&self, name: &ServiceName) -> Option<&Service> {
        self.current.get(name)
    }

    /// As it was in the configuration that a run was started with, but for what has changed without a restart.
    pub(crate) fn of(&self, name: &ServiceName, revision: u64) -> Option<&Service> {
        let current = self.current.get(name).filter(|service| service.spec.revision == revision);
        current.or_else(|| self.earlier.get(&(name.clone(), revision)))
    }
}
