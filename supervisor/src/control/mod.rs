//! Control: the role that decides. It has no children and may die at any time; a new one takes over from what the
//! keeper holds.
//! Not here: decisions themselves (`supervisor-core`), processes (`supervisor-keeper`).

mod asks;
mod catalogue;
mod door;
mod effects;
mod errands;
mod foreground;
mod gap;
mod hangup;
mod hearing;
mod helper;
mod history;
mod in_force;
mod instruments;
mod inventory;
mod keeper_words;
pub(crate) mod launch;
mod limits;
mod lines;
mod link;
mod listeners;
mod log_files;
mod narrator;
mod newline;
pub(crate) mod notify;
mod operations;
mod outcomes;
mod ownlog;
mod prepare;
mod probe;
mod programs;
mod publish;
mod reload;
mod reports;
mod run;
mod run_loop;
mod sockets;
mod startup;
mod survey;
pub(crate) mod tree;
mod view;
mod watch;
mod watch_spots;
mod workshop;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;

use supervisor_core::Time;

pub(crate) use errands::Errand;
pub(crate) use helper::{collect, told};
pub(crate) use instruments::{Instruments, PROBE_BUCKETS_MS, ROLLOUT_BUCKETS_MS, START_BUCKETS_MS, Tally};
pub(crate) use operations::{Operation, OperationKind, Outcome, Part};
pub(crate) use prepare::log_paths;
#[cfg(test)]
pub(crate) use reload::Planned;
pub(crate) use reload::{Deed, Mode, Plan, ReloadAsk, Reloaded};
pub(crate) use run_loop::News;
pub(crate) use view::{Ask, ConfigView, Executable, Refusal, View, What};
#[cfg(test)]
pub(crate) use view::{Facts, LogTrouble, Rejected};

/// `EX_CONFIG`: the keeper does not try again with a control that says so at its first start.
const EXIT_CONFIG: u8 = 78;
/// Threads that may block at once: launches, name lookups, log reads of clients.
const BLOCKING_THREADS: usize = 16;

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

/// The role's main. `channel` leads to the keeper.
pub(crate) fn run(args: ControlArgs, channel: OwnedFd) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
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
            let result = runtime.block_on(startup::run(args, channel));
            // A thread that hangs on a dead disk must not keep us from ending.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(startup::StartupError::System(error)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            startup::complain(&error);
            ExitCode::from(if error.is_lasting() { EXIT_CONFIG } else { 1 })
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
