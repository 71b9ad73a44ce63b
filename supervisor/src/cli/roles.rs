//! The long-lived roles, and how they are started.
//! Not here: what they do.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Args;
use supervisor_keeper::{ControlCommand, Setup};

use super::args::Global;
use super::lock::{Before, Lock, LockError};
use super::terminal::complain;
use crate::config::Stack;
use crate::control::{self, ControlArgs};
use crate::platform::{self, groups};
use crate::state;

/// What an earlier supervisor left behind gets at most so long to end by itself.
const LEFTOVERS: Duration = Duration::from_secs(10);

/// The role that is the parent of everything. Started by `start` and `run`, which have checked everything.
#[derive(Debug, Args)]
pub(crate) struct Keeper {
    #[arg(long)]
    pub(crate) name: String,
    #[arg(long)]
    pub(crate) runtime_dir: PathBuf,
    #[arg(long)]
    pub(crate) state_dir: PathBuf,
    #[arg(long)]
    pub(crate) shutdown_timeout_ms: u64,
    #[command(flatten)]
    pub(crate) first: First,
}

/// The role that decides. Started by the keeper.
#[derive(Debug, Args)]
pub(crate) struct Control {
    #[command(flatten)]
    pub(crate) first: First,
}

/// How a supervisor begins.
#[derive(Debug, Clone, Args)]
pub(crate) struct First {
    /// Attached to whoever started it
    #[arg(long)]
    pub(crate) foreground: bool,
    /// Start only these, and what they depend on
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// End as the only service does
    #[arg(long)]
    pub(crate) mirror: bool,
}

/// A supervisor for this stack, to be spawned or to become.
pub(crate) fn keeper_command(stack: &Stack, first: &First) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg0(format!("supervisor: keeper [{}]", stack.name)).arg("keeper");
    command.arg("--config").arg(&stack.file).arg("--name").arg(&stack.name);
    command.arg("--runtime-dir").arg(&stack.runtime_dir).arg("--state-dir").arg(&stack.state_dir);
    command.arg("--shutdown-timeout-ms").arg(stack.shutdown_timeout.as_millis().to_string());
    command.args(first_arguments(first));
    Ok(command)
}

fn first_arguments(first: &First) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = first.only.iter().map(|name| format!("--only={name}").into()).collect();
    if first.foreground {
        arguments.push("--foreground".into());
    }
    if first.mirror {
        arguments.push("--mirror".into());
    }
    arguments
}

/// Why the keeper cannot begin.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{0}")]
    State(#[from] state::StateError),
    #[error("{0}")]
    Lock(#[from] LockError),
    #[error("failed to find this program: {0}")]
    Program(io::Error),
    #[error("`keeper` needs --config")]
    NoConfig,
}

pub(crate) fn keeper(global: &Global, keeper: Keeper) -> ExitCode {
    if !keeper.first.foreground {
        // It fails only for the leader of a group, who has no terminal to lose.
        let _ = nix::unistd::setsid();
        let _ = std::env::set_current_dir("/");
    }
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let begun = begin(global, keeper);
    match begun {
        Ok((lock, setup, cookie)) => {
            let code = supervisor_keeper::run(setup);
            // It fails where something is left, which the next one looks for.
            groups::remove_all(&cookie);
            if code == 0 {
                lock.end_cleanly();
            }
            ExitCode::from(code)
        }
        Err(refused) => {
            complain(&format!("error: {refused}"));
            ExitCode::FAILURE
        }
    }
}

/// Makes sure that this is the only supervisor of its stack, and that nothing of an earlier one lives. Gives the
/// cookie of the stack, too.
fn begin(global: &Global, keeper: Keeper) -> Result<(Lock, Setup, String), Refused> {
    let file = global.config.as_ref().ok_or(Refused::NoConfig)?;
    state::private_dir(&keeper.runtime_dir)?;
    state::private_dir(&keeper.state_dir)?;
    let lock = Lock::take(&keeper.state_dir)?;
    let shutdown_timeout = Duration::from_millis(keeper.shutdown_timeout_ms);
    let cookie = state::stack_cookie(&keeper.state_dir)?;
    match lock.before() {
        Before::Clean => {}
        Before::Unclean => {
            end_leftovers(&cookie, shutdown_timeout.min(LEFTOVERS));
            // Nobody who was killed has tidied up.
            groups::remove_all(&cookie);
        }
    }
    let mut argv: Vec<OsString> =
        vec![format!("supervisor: control [{}]", keeper.name).into(), "control".into(), "--config".into(), file.into()];
    argv.extend(first_arguments(&keeper.first));
    argv.extend(global.quiet.then(|| "--quiet".into()));
    let program = std::env::current_exe().map_err(Refused::Program)?;
    let control = ControlCommand { program, argv, env: std::env::vars_os().collect() };
    let foreground = keeper.first.foreground;
    Ok((lock, Setup { control, hold: Vec::new(), shutdown_timeout, stderr: None, foreground }, cookie))
}

fn end_leftovers(cookie: &str, timeout: Duration) {
    let (found, left) = control::tree::end_leftovers(cookie, timeout);
    if !found.is_empty() {
        complain(&format!("{} of an earlier supervisor of this stack still ran: ended", processes(&found)));
    }
    if !left.is_empty() {
        complain(&format!("warning: could not be ended: {}", processes(&left)));
    }
}

fn processes(pids: &[i32]) -> String {
    let shown: Vec<String> = pids.iter().take(10).map(i32::to_string).collect();
    let word = if pids.len() == 1 { "process" } else { "processes" };
    let more = if pids.len() > shown.len() { " …" } else { "" };
    format!("{} {word} ({}{more})", pids.len(), shown.join(", "))
}

pub(crate) fn control(global: &Global, control: Control) -> ExitCode {
    let channel = platform::control_channel();
    platform::keep_to_ourselves();
    // A client, a notify socket or a pipe that is gone must be an error, not our death; a full file size limit, too.
    for signal in [signal_hook::consts::SIGPIPE, nix::libc::SIGXFSZ] {
        let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
    }
    match (channel, global.config.clone()) {
        (Ok(channel), Some(config)) => {
            let First { foreground, only, mirror } = control.first;
            control::run(ControlArgs { config, foreground, quiet: global.quiet, only, mirror }, channel)
        }
        (Err(error), _) => {
            complain(&format!("error: `control` is started by the keeper only: {error}"));
            ExitCode::FAILURE
        }
        (Ok(_), None) => {
            complain("error: `control` needs --config");
            ExitCode::FAILURE
        }
    }
}
