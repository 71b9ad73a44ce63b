//! Every service by name and revision, as long as something that lives may need it.
//! Not here: which revision is meant; the core says that.

use std::collections::{BTreeMap, BTreeSet};

use supervisor_core::ServiceName;

use crate::config::{Service, Stack};

/// Of so many configurations the keeper keeps what is only there to be gone back to. Each may be 4 MiB long, and it keeps 64
/// MiB of everything.
const KEPT: usize = 8;

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
    /// when all that was before is gone, and is then taken back. But of a few configurations only: in a large fleet each
    /// service may have changed in another one.
    pub(crate) fn prune(&mut self, needed: impl Fn(&ServiceName, u64) -> bool) {
        let last: BTreeMap<ServiceName, u64> = self.earlier.keys().cloned().collect();
        let before =
            |name: &ServiceName, revision| self.current.contains_key(name) && last.get(name) == Some(&revision);
        let lasts = self.earlier.iter().filter(|((name, revision), _)| before(name, *revision));
        let numbers: BTreeSet<u64> = lasts.map(|(_, (_, number))| *number).collect();
        let newest: BTreeSet<u64> = numbers.into_iter().rev().take(KEPT).collect();
        self.earlier.retain(|(name, revision), (_, number)| {
            needed(name, *revision) || (newest.contains(number) && before(name, *revision))
        });
    }

    /// Configurations that the keeper has for nothing; it is to be told.
    pub(crate) fn needless(&mut self) -> Vec<u64> {
        let needed: BTreeSet<u64> = self.earlier.values().map(|(_, config)| *config).collect();
        self.kept.extract_if(.., |config| !needed.contains(config)).collect()
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
    fn services_changed_one_by_one_keep_no_configuration_each() {
        let names: Vec<String> = (0..20).map(|number| format!("s{number:02}")).collect();
        let mut services: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        let mut catalogue = Catalogue::default();
        catalogue.put_in_force(&stack(&services), 0);
        let mut dropped = Vec::new();
        for changed in 0..20 {
            let before = changed as u64 + 1;
            services[changed].1 = before + 1;
            catalogue.put_in_force(&stack(&services), before);
            catalogue.prune(|name, revision| name.as_str() == "s00" && revision == 1);
            dropped.extend(catalogue.needless());
        }
        assert_eq!(dropped, [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let known = |name: &str| catalogue.of(&ServiceName::new(name).unwrap(), 1).is_some();
        assert!(known("s00") && known("s19") && !known("s05"), "what is needed, and the last few");
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
