//! The decisions of the supervisor: what should run, what runs, and what to do about the difference.
//! Not here: clocks, files, processes, sockets, threads, randomness. Time and chance are arguments.

mod command;
mod event;
mod health;
mod fleet;
mod restart;
mod service;
mod snapshot;
mod spec;
mod time;

pub use command::{Command, Memory, Transition};
pub use event::{Event, Failure, ProbeOutcome};
pub use fleet::{Fleet, Recovered, Settings};
pub use health::{Health, HealthStatus};
pub use snapshot::{ExitReport, RunSnapshot, ServiceSnapshot, State};
pub use spec::{
    Check, CheckId, Condition, Dependency, GraphError, Kind, Liveness, Policy, Readiness, RestartPolicy, ServiceName,
    ServiceNameError, ServiceSpec, StopPolicy,
};
pub use time::{Millis, Time};
