//! The long-lived roles, and how they are started.
//! Not here: what they do.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Args;
use supervisor_keeper::{ControlCommand, FirstControl, Setup};

use super::args::Global;
use super::lock::{Before, Lock, LockError};
use super::terminal::complain;
use crate::config::Stack;
use crate::control::{self, ControlArgs, InForce};
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

impl Keeper {
    pub(crate) fn of(stack: &Stack, first: First) -> Self {
        Self {
            name: stack.name.clone(),
            runtime_dir: stack.runtime_dir.clone(),
            state_dir: stack.state_dir.clone(),
            shutdown_timeout_ms: u64::try_from(stack.shutdown_timeout.as_millis()).unwrap_or(u64::MAX),
            first,
        }
    }
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
    let words = keeper_words(stack, first);
    command.arg0(&words[0]).args(&words[1..]);
    Ok(command)
}

/// Its arguments, the zeroth included.
pub(crate) fn keeper_words(stack: &Stack, first: &First) -> Vec<OsString> {
    let title = format!("supervisor: keeper [{}]", stack.name).into();
    let timeout = stack.shutdown_timeout.as_millis().to_string().into();
    let mut words: Vec<OsString> = vec![title, "keeper".into(), "--config".into(), (&stack.file).into()];
    words.extend(["--name".into(), (&stack.name).into(), "--runtime-dir".into(), (&stack.runtime_dir).into()]);
    words.extend(["--state-dir".into(), (&stack.state_dir).into(), "--shutdown-timeout-ms".into(), timeout]);
    words.extend(first_arguments(first));
    words
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

/// Is the keeper; gives the exit code. `read`: the configuration, where this process has read it already.
pub(crate) fn keeper(global: &Global, keeper: Keeper, read: Option<InForce>) -> u8 {
    if !keeper.first.foreground {
        // It fails only for the leader of a group, who has no terminal to lose.
        let _ = nix::unistd::setsid();
        let _ = std::env::set_current_dir("/");
    }
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    match begin(global, keeper, read) {
        Ok((lock, setup, cookie)) => {
            let code = supervisor_keeper::run(setup);
            // It fails where something is left, which the next one looks for.
            groups::remove_all(&cookie);
            if code == 0 {
                lock.end_cleanly();
            }
            code
        }
        Err(refused) => {
            complain(&format!("error: {refused}"));
            1
        }
    }
}

/// Makes sure that this is the only supervisor of its stack, and that nothing of an earlier one lives. Gives the
/// cookie of the stack, too.
fn begin(global: &Global, keeper: Keeper, read: Option<InForce>) -> Result<(Lock, Setup, String), Refused> {
    let file = global.config.as_ref().ok_or(Refused::NoConfig)?;
    state::private_dir(&keeper.runtime_dir)?;
    state::private_dir(&keeper.state_dir)?;
    let lock = Lock::take(&keeper.state_dir)?;
    state::note_runtime_dir(&keeper.state_dir, &keeper.runtime_dir);
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
    let program = own_program().map_err(Refused::Program)?;
    let foreground = keeper.first.foreground;
    let first = first_control(global, keeper.first, argv.clone(), read);
    let control = ControlCommand { program, argv, env: std::env::vars_os().collect(), first };
    Ok((lock, Setup { control, shutdown_timeout, foreground }, cookie))
}

/// What a control that follows another is run from: the keeper's own bytes, whatever lies at their path by then.
fn own_program() -> io::Result<PathBuf> {
    // The child of the keeper, which looks there, is a copy of it.
    let own = PathBuf::from("/proc/self/exe");
    if own.exists() { Ok(own) } else { std::env::current_exe() }
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

/// The first control, where a process can go by another name without becoming another program.
fn first_control(global: &Global, first: First, words: Vec<OsString>, read: Option<InForce>) -> Option<FirstControl> {
    if !platform::can_retitle(&words) {
        return None;
    }
    let global = Global { config: global.config.clone(), quiet: global.quiet, json: global.json };
    Some(Box::new(move || {
        platform::retitle(&words);
        control(&global, Control { first }, read)
    }))
}

/// Is control; gives the exit code.
pub(crate) fn control(global: &Global, control: Control, read: Option<InForce>) -> u8 {
    let channel = platform::control_channel();
    platform::name_ourselves();
    platform::keep_to_ourselves();
    // A client, a notify socket or a pipe that is gone must be an error, not our death; a full file size limit, too.
    for signal in [signal_hook::consts::SIGPIPE, nix::libc::SIGXFSZ] {
        let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
    }
    match (channel, global.config.clone()) {
        (Ok(channel), Some(config)) => {
            let First { foreground, only, mirror } = control.first;
            control::run(ControlArgs { config, foreground, quiet: global.quiet, only, mirror }, channel, read)
        }
        (Err(error), _) => {
            complain(&format!("error: `control` is started by the keeper only: {error}"));
            1
        }
        (Ok(_), None) => {
            complain("error: `control` needs --config");
            1
        }
    }
}
