//! Whose a process is: a service's main process and everything below it, or what it left to the keeper.
//! Not here: reading processes; signals (nothing is decided by this).

use std::collections::{BTreeMap, HashMap};

use supervisor_core::ServiceName;

/// A chain of parents is shorter, unless it was read while numbers changed hands.
const MAX_DEPTH: usize = 1000;

/// Whom a process is counted for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    Keeper,
    Control,
    Service(ServiceName),
}

/// What is known of the roots.
#[derive(Debug, Default)]
pub(super) struct Roots {
    pub(super) keeper: i32,
    pub(super) control: i32,
    /// Main processes; their numbers are the sessions of their trees, too.
    pub(super) mains: BTreeMap<i32, ServiceName>,
}

impl Roots {
    /// The owner of each process that has one. `parents` are all processes of the machine. A child of the keeper that is
    /// no main process lost its parent: `orphan` says whose it was.
    pub(super) fn owners(
        &self,
        parents: &HashMap<i32, i32>,
        mut orphan: impl FnMut(i32) -> Option<ServiceName>,
    ) -> HashMap<i32, Owner> {
        let mut known: HashMap<i32, Option<Owner>> = HashMap::new();
        for &pid in parents.keys() {
            let mut chain = vec![pid];
            let owner = loop {
                let Some(&at) = chain.last() else { break None };
                if let Some(known) = known.get(&at) {
                    break known.clone();
                }
                if let Some(owner) = self.root(at, parents, &mut orphan) {
                    break owner;
                }
                match parents.get(&at) {
                    Some(&parent) if chain.len() < MAX_DEPTH => chain.push(parent),
                    Some(_) | None => break None,
                }
            };
            for at in chain {
                known.insert(at, owner.clone());
            }
        }
        known.into_iter().filter_map(|(pid, owner)| Some((pid, owner?))).collect()
    }

    /// `None`: it is no root, so it belongs where its parent belongs.
    fn root(
        &self,
        pid: i32,
        parents: &HashMap<i32, i32>,
        orphan: impl FnOnce(i32) -> Option<ServiceName>,
    ) -> Option<Option<Owner>> {
        if pid == self.keeper {
            return Some(Some(Owner::Keeper));
        }
        if pid == self.control {
            return Some(Some(Owner::Control));
        }
        if let Some(service) = self.mains.get(&pid) {
            return Some(Some(Owner::Service(service.clone())));
        }
        (parents.get(&pid) == Some(&self.keeper)).then(|| orphan(pid).map(Owner::Service))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServiceName {
        ServiceName::new(text).unwrap()
    }

    fn owner_of(pid: i32) -> Option<Owner> {
        let roots = Roots { keeper: 10, control: 11, mains: BTreeMap::from([(20, name("a")), (30, name("b"))]) };
        // pid, parent
        let parents = [(1, 0), (10, 1), (11, 10), (20, 10), (21, 20), (22, 21), (30, 10), (40, 10), (41, 40), (50, 10)];
        let parents = parents.into_iter().chain([(60, 1), (61, 60), (70, 71), (71, 70)]).collect();
        let orphan = |pid| (pid == 40).then(|| name("b"));
        roots.owners(&parents, orphan).remove(&pid)
    }

    #[test]
    fn a_tree_is_a_main_process_with_all_below_it_and_the_orphans_that_it_left() {
        for pid in [20, 21, 22] {
            assert_eq!(owner_of(pid), Some(Owner::Service(name("a"))), "{pid}");
        }
        for pid in [30, 40, 41] {
            assert_eq!(owner_of(pid), Some(Owner::Service(name("b"))), "{pid}");
        }
        assert_eq!(owner_of(10), Some(Owner::Keeper));
        assert_eq!(owner_of(11), Some(Owner::Control));
    }

    #[test]
    fn strangers_helpers_and_what_was_read_in_a_muddle_belong_to_nobody() {
        for pid in [1, 50, 60, 61, 70, 71] {
            assert_eq!(owner_of(pid), None, "{pid}");
        }
    }
}
