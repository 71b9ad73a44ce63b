//! Every service of a fleet in its place, and what is known of each without looking at it: an event costs what it changes,
//! however many services there are.
//! Not here: what is done about it (see `fleet` and `order`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use crate::phase::Phase;
use crate::run::Run;
use crate::service::Service;
use crate::slot::Slot;
use crate::snapshot::ServiceSnapshot;
use crate::time::Time;

/// The services. Whoever gets at one to change it is noticed: it is looked at again.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    services: Vec<Service>,
    /// What was seen of each, by its place.
    seen: Vec<Sight>,
    /// Not looked at since they may have changed.
    unseen: BTreeSet<usize>,
    /// Those that something may have happened to in this turn.
    touched: BTreeSet<usize>,
    /// Those that the last snapshot may show otherwise.
    unshown: BTreeSet<usize>,
    deadlines: BTreeSet<(Time, usize)>,
    runs: BTreeMap<u64, usize>,
    traits: BTreeMap<Trait, BTreeSet<usize>>,
}

/// Why the fleet looks at a service though nothing happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trait {
    /// Something of it lives.
    Lives,
    /// It is not wanted, and lives without having been asked to end.
    ToEnd,
    /// Something of it waits to be started.
    ToStart,
    /// Something of it may hold a start slot.
    Starts,
    /// It is to be forgotten.
    Gone,
}

impl Trait {
    const ALL: [Self; 5] = [Self::Lives, Self::ToEnd, Self::ToStart, Self::Starts, Self::Gone];

    fn of(self, service: &Service) -> bool {
        match self {
            Self::Lives => !service.down(),
            Self::ToEnd => service.ends_next(),
            Self::ToStart => service.waits_for_start(),
            Self::Starts => service.slots.iter().flat_map(Slot::runs).any(|run| run.slot_until(0).is_some()),
            Self::Gone => service.is_gone(),
        }
    }
}

#[derive(Debug, Default)]
struct Sight {
    deadline: Option<Time>,
    runs: Vec<u64>,
}

impl Roster {
    pub(crate) fn new(services: Vec<Service>) -> Self {
        let all: BTreeSet<usize> = (0..services.len()).collect();
        let seen = services.iter().map(|_| Sight::default()).collect();
        Self { services, seen, unseen: all.clone(), touched: all.clone(), unshown: all, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.services.len()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Service> {
        self.services.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Service> {
        (0..self.services.len()).for_each(|place| self.note(place));
        self.services.iter_mut()
    }

    pub(crate) fn into_services(self) -> Vec<Service> {
        self.services
    }

    /// Who has this run, unless it is over.
    pub(crate) fn place_of_run(&self, run: u64) -> Option<usize> {
        self.runs.get(&run).copied()
    }

    /// Those that something was done to in this turn, and those whose deadline has come.
    pub(crate) fn concerned(&self, now: Time) -> BTreeSet<usize> {
        let late = self.deadlines.range(..=(now, usize::MAX)).map(|&(_, place)| place);
        self.touched.iter().copied().chain(late).collect()
    }

    /// Those that something was done to in this turn.
    pub(crate) fn touched(&self) -> BTreeSet<usize> {
        self.touched.clone()
    }

    pub(crate) fn end_turn(&mut self) {
        self.touched.clear();
    }

    /// Gives a snapshot of each that may look otherwise than in the one before.
    pub(crate) fn show(&mut self, mut show: impl FnMut(usize, Arc<ServiceSnapshot>)) {
        for place in std::mem::take(&mut self.unshown) {
            show(place, self.services[place].snapshot());
        }
    }

    pub(crate) fn first_deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    /// As of the last look.
    pub(crate) fn with(&self, own: Trait) -> impl DoubleEndedIterator<Item = usize> {
        self.traits.get(&own).into_iter().flatten().copied()
    }

    pub(crate) fn any(&self, own: Trait) -> bool {
        self.with(own).next().is_some()
    }

    /// Looks at those that may have changed.
    pub(crate) fn look(&mut self) {
        for place in std::mem::take(&mut self.unseen) {
            let (service, seen) = (&self.services[place], &mut self.seen[place]);
            let deadline = service.deadline();
            if deadline != seen.deadline {
                seen.deadline.take().map(|at| self.deadlines.remove(&(at, place)));
                seen.deadline = deadline;
                self.deadlines.extend(deadline.map(|at| (at, place)));
            }
            for run in seen.runs.drain(..) {
                self.runs.remove(&run);
            }
            seen.runs.extend(service.slots.iter().flat_map(Slot::runs).map(|run| run.number));
            self.runs.extend(seen.runs.iter().map(|run| (*run, place)));
            for own in Trait::ALL {
                let all = self.traits.entry(own).or_default();
                if own.of(service) {
                    all.insert(place)
                } else {
                    all.remove(&place)
                };
            }
        }
    }

    fn note(&mut self, place: usize) {
        self.unseen.insert(place);
        self.touched.insert(place);
        self.unshown.insert(place);
    }
}

impl Index<usize> for Roster {
    type Output = Service;

    fn index(&self, place: usize) -> &Service {
        &self.services[place]
    }
}

impl IndexMut<usize> for Roster {
    fn index_mut(&mut self, place: usize) -> &mut Service {
        self.note(place);
        &mut self.services[place]
    }
}

impl Service {
    /// It is to be asked to end when it is its turn.
    pub(crate) fn ends_next(&self) -> bool {
        !self.wanted() && self.slots.iter().flat_map(Slot::runs).any(Run::unasked)
    }

    /// To be forgotten.
    pub(crate) fn is_gone(&self) -> bool {
        self.leaving && self.down()
    }

    fn waits_for_start(&self) -> bool {
        let waits = |slot: &Slot| match slot.phase {
            Phase::Waiting { .. } | Phase::Backoff { .. } | Phase::Failed { retry_at: Some(_) } => true,
            Phase::Failed { retry_at: None } | Phase::Stopped | Phase::Completed | Phase::Up(_) => false,
        };
        self.rollout.is_some() || self.slots.iter().any(waits)
    }
}
