//! Starts that are being prepared, and those that wait for their turn.
//! Not here: preparing (`prepare`).

use std::collections::BTreeMap;

use supervisor_core::{Command, ServiceName};

/// What is being prepared: one run of a service at a time, so that the next one finds the listeners that it has made.
#[derive(Debug, Default)]
pub(crate) struct Workshop {
    under_way: BTreeMap<u64, ServiceName>,
    /// The starts that wait; of each service at most as many as it has instances.
    waiting: Vec<Command>,
}

impl Workshop {
    /// Gives the start back when it is its turn.
    pub(crate) fn admit(&mut self, start: Command) -> Option<Command> {
        let Command::Spawn { service, run, .. } = &start else { return Some(start) };
        if self.under_way.values().any(|other| other == service) {
            self.waiting.push(start);
            return None;
        }
        self.under_way.insert(*run, service.clone());
        Some(start)
    }

    /// This one is done; gives the next start of its service.
    pub(crate) fn dismiss(&mut self, run: u64) -> Option<Command> {
        let service = self.under_way.remove(&run)?;
        let of_it = |start: &Command| matches!(start, Command::Spawn { service: of, .. } if *of == service);
        let place = self.waiting.iter().position(of_it)?;
        Some(self.waiting.remove(place))
    }
}
