//! The decisions of the supervisor: what should run, what runs, and what to do about the difference.
//! Not here: clocks, files, processes, sockets, threads, randomness. Time and chance are arguments.

#![warn(missing_docs)]

mod checks;
mod clearing;
mod command;
mod ending;
mod event;
mod excess;
mod fleet;
mod gates;
mod graph;
mod health;
mod launch;
mod memory;
mod order;
mod phase;
mod plan;
mod recover;
mod restart;
mod rollback;
mod rollout;
mod roster;
mod run;
mod service;
mod slot;
mod snapshot;
mod spec;
mod starting;
mod time;
mod vain;
mod verdict;
mod view;
mod vitals;
mod words;

pub use command::{Command, Transition};
pub use event::{Event, Excess, Failure, ProbeOutcome, SeenOff};
pub use fleet::{Fleet, Recovered, Settings};
pub use health::{Health, HealthStatus};
pub use memory::{Memory, RolloutMemory, RunMemory, SlotMemory};
pub use plan::{Change, Plan};
pub use snapshot::{
    Alarm, ExitReport, GenerationSnapshot, OutOfMemory, Role, RolloutPhase, RolloutResult, RolloutSnapshot,
    RunSnapshot, ServiceSnapshot, State,
};
pub use spec::{
    Check, CheckId, Condition, Dependency, GraphError, Kind, Liveness, Policy, Readiness, RestartPolicy, RolloutPolicy,
    ServiceName, ServiceNameError, ServiceSpec, Sign, StopPolicy,
};
pub use time::{Millis, Time};
