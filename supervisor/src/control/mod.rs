//! Control: the role that decides. It has no children and may die at any time; a new one takes over from what the
//! keeper holds.
//! Not here: decisions themselves (`supervisor-core`), processes (`supervisor-keeper`).

mod api;
mod effects;
mod errands;
mod gap;
mod keeper;
pub(crate) mod launch;
mod limits;
mod news;
mod probe;
mod reload;
mod run;
mod run_loop;
pub(crate) mod signs;
mod startup;
mod telling;
mod threads;
pub(crate) mod tree;

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use supervisor_core::Time;

pub(crate) use api::operations::{Operation, OperationKind, Outcome, Part};
pub(crate) use api::view::{Ask, ConfigView, Executable, Refusal, View, What};
#[cfg(test)]
pub(crate) use api::view::{Facts, Known, LogTrouble, Rejected};
pub(crate) use errands::Errand;
pub(crate) use launch::prepare::log_paths;
pub(crate) use probe::UNANSWERED;
pub(crate) use probe::command::{collect, told};
#[cfg(test)]
pub(crate) use reload::Planned;
pub(crate) use reload::in_force::InForce;
pub(crate) use reload::{Deed, Mode, Plan, ReloadAsk, Reloaded};
pub(crate) use run_loop::News;
pub(crate) use telling::instruments::{Instruments, PROBE_BUCKETS_MS, ROLLOUT_BUCKETS_MS, START_BUCKETS_MS, Tally};

/// `EX_CONFIG`: the keeper does not try again with a control that says so at its first start.
const EXIT_CONFIG: u8 = 78;

/// What the keeper starts control with.
#[derive(Debug, Clone)]
pub(crate) struct ControlArgs {
    pub(crate) config: PathBuf,
    /// The output of all services goes to our stdout, too.
    pub(crate) foreground: bool,
    /// There we only show what services print.
    pub(crate) quiet: bool,
    /// At the first start only these are started (with what they depend on), instead of all with autostart.
    pub(crate) only: Vec<String>,
    /// When the only named service ends for good, so does the supervisor, with its exit code.
    pub(crate) mirror: bool,
}

/// The role's main; gives its exit code. `channel` leads to the keeper. `read`: the configuration, where it has been
/// read already.
pub(crate) fn run(args: ControlArgs, channel: OwnedFd, read: Option<InForce>) -> u8 {
    crate::platform::share_heaps();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(threads::MOST)
        .thread_keep_alive(std::time::Duration::from_secs(2))
        .build();
    let result = match runtime {
        Ok(runtime) => {
            // Where no thread can be had, work waits as long as one is there; without any, the runtime panics.
            runtime.spawn_blocking(|| {
                loop {
                    std::thread::park();
                }
            });
            let result = runtime.block_on(startup::run(args, channel, read));
            // A thread that hangs on a dead disk must not keep us from ending.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(startup::StartupError::System(error)),
    };
    match result {
        Ok(()) => 0,
        Err(error) => {
            startup::complain(&error);
            if error.is_lasting() { EXIT_CONFIG } else { 1 }
        }
    }
}

/// The monotonic clock, in milliseconds.
pub(crate) fn now() -> Time {
    let clock = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    // The monotonic clock is always there, and never negative.
    Time(clock.map_or(0, |time| {
        u64::try_from(time.tv_sec()).unwrap_or(0) * 1000 + u64::try_from(time.tv_nsec()).unwrap_or(0) / 1_000_000
    }))
}

/// What to add to the monotonic clock to get milliseconds since 1970, now.
fn wall_offset_ms() -> i64 {
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(wall.as_millis()).unwrap_or(i64::MAX) - i64::try_from(now().0).unwrap_or(0)
}
