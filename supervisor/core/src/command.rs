//! What the core asks the shell to do. A failed effect comes back as an event.
//! Not here: doing it.

use crate::memory::Memory;
use crate::snapshot::{RolloutSnapshot, State};
use crate::spec::{CheckId, ServiceName};

/// One effect. Commands are carried out in the order in which they are given.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub enum Command {
    /// Start generation `generation` of `service` as run `run`. Answered by `Spawned` or `SpawnFailed`.
    Spawn {
        /// The service.
        service: ServiceName,
        /// The run: unique over all services for the life of the keeper.
        run: u64,
        /// The generation: 1, 2, 3 … per service.
        generation: u64,
        /// Which instance of the service it is, from 0.
        instance: u32,
        /// The revision of its spec: which launch is meant.
        revision: u64,
        /// Its place in an ordered shutdown without control: higher numbers are stopped first.
        stop_rank: u32,
    },
    /// Send `signal`, then `SIGCONT`, to the main process of `run`.
    Stop {
        /// The run.
        run: u64,
        /// The number of the signal.
        signal: i32,
    },
    /// Send `signal`, then `SIGCONT`, to the main process of `run`: another generation serves, it finishes and ends.
    Drain {
        /// The run.
        run: u64,
        /// The number of the signal.
        signal: i32,
    },
    /// Send `SIGKILL` to the main process of `run` and its process group.
    Kill {
        /// The run.
        run: u64,
    },
    /// Find out what is left of the tree of `run`. Answered by `Surveyed`, again after each change until it is empty.
    Survey {
        /// The run.
        run: u64,
    },
    /// Send `signal` (and `SIGCONT` after a `SIGTERM`) to processes of the tree of `run` found by a survey.
    SignalRest {
        /// The run.
        run: u64,
        /// Which.
        pids: Vec<i32>,
        /// The number of the signal.
        signal: i32,
    },
    /// Try a check once. Answered by `Probed`. Never given while a try of the same check is under way.
    Probe {
        /// The service.
        service: ServiceName,
        /// The run.
        run: u64,
        /// Which check.
        check: CheckId,
    },
    /// The run is over and its tree is gone: let go of its log pipe (once drained), sockets, and pending probes, and of
    /// listeners that none of the revisions its service goes by wants.
    Release {
        /// The service.
        service: ServiceName,
        /// The run.
        run: u64,
    },
    /// The service is down for good or for now (stopped, failed, completed): close its held listeners, so that
    /// clients are refused rather than left hanging.
    CloseListeners {
        /// The service.
        service: ServiceName,
    },
    /// Keep this: it is handed back in `Recovered` when control starts anew.
    Remember {
        /// The service.
        service: ServiceName,
        /// What to keep.
        memory: Box<Memory>,
    },
    /// The one recorded end of a run, for those who keep a history. Given before its `Release`.
    Ended {
        /// The service.
        service: ServiceName,
        /// The run.
        run: u64,
        /// How it ended.
        exit: Box<crate::snapshot::ExitReport>,
        /// The same in words.
        cause: String,
    },
    /// The service is not in the plan any more and is down: whatever is kept of it may go, its memory included.
    Forget {
        /// The service.
        service: ServiceName,
    },
    /// A change of state happened: write one line of log.
    Report(Transition),
    /// A rollout has come to another phase, or to its result.
    Rollout {
        /// The service.
        service: ServiceName,
        /// All that is known of it.
        rollout: Box<RolloutSnapshot>,
    },
    /// All is down. The supervisor may exit.
    FinishShutdown,
}

/// A change of state that the world may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The service.
    pub service: ServiceName,
    /// The generation it concerns; 0 before the first.
    pub generation: u64,
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Why, in words.
    pub cause: String,
}
