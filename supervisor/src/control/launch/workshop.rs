//! Starts that are being prepared, and those that wait for their turn.
//! Not here: preparing (`prepare`).

use std::collections::{BTreeMap, BTreeSet};

use supervisor_core::{Command, ServiceName};

/// What is being prepared: one run of a service at a time, so that the next one finds the listeners that it has made.
#[derive(Debug, Default)]
pub(crate) struct Workshop {
    under_way: BTreeMap<u64, ServiceName>,
    /// Those of them that nobody waits for any more. Their threads hang, and keep the places of their services: another
    /// try would cost another thread, until none is left for anybody.
    overdue: BTreeSet<u64>,
    /// The starts that wait; of each service at most as many as it has instances.
    waiting: Vec<Command>,
}

/// When something may be done.
#[derive(Debug, PartialEq)]
pub(crate) enum Turn {
    Now(Command),
    /// `dismiss` gives it back.
    Later,
    /// Not at all: an earlier start of the service hangs.
    Never {
        run: u64,
    },
}

impl Workshop {
    pub(crate) fn admit(&mut self, command: Command) -> Turn {
        let Command::Spawn { service, run, .. } = &command else { return Turn::Now(command) };
        match self.under_way.iter().find(|(_, of)| *of == service) {
            None => {
                self.under_way.insert(*run, service.clone());
                Turn::Now(command)
            }
            Some((earlier, _)) if self.overdue.contains(earlier) => Turn::Never { run: *run },
            Some(_) => {
                self.waiting.push(command);
                Turn::Later
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// This one is done, in time or not. Gives the next start of its service.
    pub(crate) fn dismiss(&mut self, run: u64) -> Option<Command> {
        let service = self.under_way.remove(&run)?;
        self.overdue.remove(&run);
        let place = self.waiting.iter().position(|start| run_of(start, &service).is_some())?;
        Some(self.waiting.remove(place))
    }

    /// This one takes too long. Gives the runs of its service that have waited for it.
    pub(crate) fn give_up(&mut self, run: u64) -> Vec<u64> {
        let Some(service) = self.under_way.get(&run) else { return Vec::new() };
        self.overdue.insert(run);
        let runs = self.waiting.iter().filter_map(|start| run_of(start, service)).collect();
        self.waiting.retain(|start| run_of(start, service).is_none());
        runs
    }

    /// Whether it has been given up.
    pub(crate) fn is_overdue(&self, run: u64) -> bool {
        self.overdue.contains(&run)
    }
}

/// The run that this is the start of, if it is one of this service.
fn run_of(start: &Command, of: &ServiceName) -> Option<u64> {
    if let Command::Spawn { service, run, .. } = start { (service == of).then_some(*run) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(service: &str, run: u64) -> Command {
        let service = ServiceName::new(service).unwrap();
        Command::Spawn { service, run, generation: run, instance: 0, revision: 1, stop_rank: 0 }
    }

    #[test]
    fn a_start_that_hangs_keeps_its_place_until_it_returns_and_no_other_service_waits_for_it() {
        let mut workshop = Workshop::default();
        assert_eq!(workshop.admit(start("web", 1)), Turn::Now(start("web", 1)));
        assert_eq!(workshop.admit(start("web", 2)), Turn::Later);
        assert_eq!(workshop.give_up(1), [2], "who has waited for it is not left waiting");
        for run in 3..40 {
            assert_eq!(workshop.admit(start("web", run)), Turn::Never { run });
        }
        assert_eq!(workshop.admit(start("db", 40)), Turn::Now(start("db", 40)));
        assert!(workshop.is_overdue(1) && !workshop.is_overdue(40));
        assert_eq!(workshop.dismiss(1), None);
        assert_eq!(workshop.admit(start("web", 41)), Turn::Now(start("web", 41)));
        assert_eq!(workshop.admit(start("web", 42)), Turn::Later);
        assert_eq!(workshop.dismiss(41), Some(start("web", 42)));
    }
}
