//! What tasks and threads have to tell the loop.
//! Not here: what follows from it (`run_loop`).

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use supervisor_core::{Failure, ProbeOutcome, ServiceName};

use super::errands::Errand;
use super::launch::prepare::Prepared;
use super::limits::{Finding, Renewed};
use super::probe::Probed;
use super::reload::Loaded;
use crate::alerts::AlertState;

/// One piece of it.
#[derive(Debug)]
pub(crate) enum News {
    Prepared {
        run: u64,
        result: Box<Result<Prepared, Failure>>,
    },
    /// Its preparation hangs.
    Overdue {
        run: u64,
    },
    Probed(Probed),
    HelperReady {
        id: u64,
        result: Result<Box<(supervisor_keeper::Spawn, OwnedFd)>, ProbeOutcome>,
        output: Option<OwnedFd>,
    },
    Sorted {
        by_run: BTreeMap<u64, Vec<i32>>,
    },
    Drained {
        run: u64,
    },
    /// The files at the paths of services that are to be restarted.
    ProgramsSeen {
        services: Vec<ServiceName>,
        /// Of these another one than that which runs.
        rebuilt: BTreeSet<ServiceName>,
    },
    /// A held listener had been shut.
    Reopened {
        service: ServiceName,
        name: String,
        times: u32,
    },
    /// It is time to look at what runs use.
    LookDue,
    Looked(Vec<Finding>),
    /// Looking at one of these runs takes too long.
    LookHangs(BTreeSet<u64>),
    /// It does not hang any more.
    LookWentOn(BTreeSet<u64>),
    /// The kernel knows the limits of what runs.
    LimitsRenewed(Vec<Renewed>),
    SocketRemoved,
    LogTrouble,
    /// Something happened to a file of the configuration.
    FilesTouched,
    /// It is time for a reload that had to wait.
    ReloadDue,
    Loaded(Box<Loaded>),
    /// An alert is told by a program.
    Errand(Box<Errand>),
    /// How alerts stand.
    Alerts(Arc<Vec<AlertState>>),
}
