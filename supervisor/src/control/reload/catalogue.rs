//! Every service by name and revision, as long as something that lives may need it.
//! Not here: which revision is meant; the core says that.

use std::collections::{BTreeMap, BTreeSet};

use supervisor_core::ServiceName;

use crate::config::{Service, Stack};

/// The services of the configuration in force, and earlier ones of which something lives.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    current: BTreeMap<ServiceName, Service>,
    /// With the number of the last configuration that had it.
    earlier: BTreeMap<(ServiceName, u64), (Service, u64)>,
    /// Configurations that the keeper has for us.
    kept: BTreeSet<u64>,
}

impl Catalogue {
    /// These are in force now. What they take the place of, the configuration `before`, stays for what runs of it.
    pub(crate) fn put_in_force(&mut self, stack: &Stack, before: u64) {
        self.kept.insert(before);
        let named = stack.services.iter().map(|service| (service.spec.name.clone(), service.clone())).collect();
        for (name, old) in std::mem::replace(&mut self.current, named) {
            let revision = old.spec.revision;
            if self.current.get(&name).is_none_or(|new| new.spec.revision != revision) {
                self.earlier.insert((name, revision), (old, before));
            }
        }
    }

    /// What was in force before these, as an earlier control knew it.
    pub(crate) fn add_earlier(&mut self, stack: &Stack, number: u64) {
        self.kept.insert(number);
        for service in &stack.services {
            let (name, revision) = (&service.spec.name, service.spec.revision);
            if self.current.get(name).is_some_and(|current| current.spec.revision != revision) {
                self.earlier.insert((name.clone(), revision), (service.clone(), number));
            }
        }
    }

    /// Lets go of earlier ones that nobody needs any more. The one before the current one stays: what is new may fail
    /// when all that was before is gone, and is then taken back.
    pub(crate) fn prune(&mut self, needed: impl Fn(&ServiceName, u64) -> bool) {
        let last: BTreeMap<ServiceName, u64> = self.earlier.keys().cloned().collect();
        let before =
            |name: &ServiceName, revision| self.current.contains_key(name) && last.get(name) == Some(&revision);
        self.earlier.retain(|(name, revision), _| needed(name, *revision) || before(name, *revision));
    }

    /// Configurations that the keeper has for nothing; it is to be told.
    pub(crate) fn needless(&mut self) -> Vec<u64> {
        let needed: BTreeSet<u64> = self.earlier.values().map(|(_, config)| *config).collect();
        self.kept.extract_if(.., |config| !needed.contains(config)).collect()
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
        current.or_else(|| self.earlier.get(&(name.clone(), revision)).map(|(service, _)| service))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Disk, Surroundings, load};

    fn stack(names: &[(&str, u64)]) -> Stack {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("supervisor.toml");
        let text: String = names.iter().map(|(name, _)| format!("[services.{name}]\ncommand = 'x'\n")).collect();
        std::fs::write(&file, text).unwrap();
        let env = BTreeMap::from([("HOME".to_owned(), "/".to_owned())]);
        let mut stack = load(Path::new(&file), &Surroundings::new(env, 4711, 2), &mut Disk).unwrap();
        for (service, (_, revision)) in stack.services.iter_mut().zip(names) {
            service.spec.revision = *revision;
        }
        stack
    }

    #[test]
    fn an_earlier_one_stays_while_it_is_needed_and_the_last_one_for_good() {
        let name = |name: &str| ServiceName::new(name).unwrap();
        let mut catalogue = Catalogue::default();
        for revision in 1..=4 {
            catalogue.put_in_force(&stack(&[("a", revision), ("b", 1)]), revision - 1);
        }
        catalogue.prune(|_, revision| revision == 1);
        let known = |catalogue: &Catalogue, of: &str| -> Vec<u64> {
            (1..=4).filter(|revision| catalogue.of(&name(of), *revision).is_some()).collect()
        };
        assert_eq!(known(&catalogue, "a"), [1, 3, 4]);
        assert_eq!(known(&catalogue, "b"), [1]);
        catalogue.prune(|_, _| false);
        assert_eq!(known(&catalogue, "a"), [3, 4]);
        assert_eq!(catalogue.needless(), [0, 1, 2], "what b goes by is in force");
        catalogue.put_in_force(&stack(&[("b", 1)]), 4);
        catalogue.prune(|_, _| false);
        assert_eq!(catalogue.needless(), [3, 4]);
        assert_eq!(known(&catalogue, "a"), [0; 0], "it is not in the file any more, and nothing of it lives");
    }
}
