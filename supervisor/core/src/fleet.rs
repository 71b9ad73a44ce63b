//! All services together. `handle` is the only thing that changes anything.
//! Not here: what one service does (see `service`).

use std::sync::Arc;

use crate::command::{Command, Memory};
use crate::event::Event;
use crate::health::Health;
use crate::snapshot::ServiceSnapshot;
use crate::spec::{GraphError, ServiceName, ServiceSpec};
use crate::time::Time;

/// What the whole fleet goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How many services may be starting at once; at least 1.
    pub max_parallel_starts: usize,
    /// Seed of the jitter.
    pub seed: u64,
}

/// What a new control learns about one service from the keeper.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Recovered {
    /// What `Command::Remember` gave last.
    pub memory: Memory,
    /// Its live run (or one whose exit is about to be told): run, pid, when it was started.
    pub run: Option<(u64, i32, Time)>,
}
