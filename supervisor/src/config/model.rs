//! A whole, validated configuration.
//! Not here: reading or checking it; a value of these types is valid by construction.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use supervisor_core::{CheckId, ServiceName, ServiceSpec, Settings};
use tokio_rustls::rustls::pki_types::ServerName;

use super::alert::Alert;
use super::files::Mark;
use super::withheld::Withheld;
use crate::platform::controllers::Most;

/// One `supervisor.toml` with its includes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stack {
    /// The main file, absolute.
    pub(crate) file: PathBuf,
    /// `[supervisor] name`, or the name of the directory.
    pub(crate) name: String,
    /// Sockets, token; absolute. Not made yet.
    pub(crate) runtime_dir: PathBuf,
    /// Lock, stack cookie, journal, reports of ends; absolute. Not made yet.
    pub(crate) state_dir: PathBuf,
    /// Changed files are reloaded unasked.
    pub(crate) auto_reload: bool,
    pub(crate) shutdown_timeout: Duration,
    /// At least 1: the 0 of the file is resolved.
    pub(crate) max_parallel_starts: usize,
    /// With those that are ready as soon as they run.
    pub(crate) max_parallel_launches: usize,
    pub(crate) http: Http,
    /// `[logs] dir`, absolute: where the supervisor's own log goes.
    pub(crate) logs_dir: PathBuf,
    /// `[logs] total` and `min_free`.
    pub(crate) log_budget: LogBudget,
    /// In the order of the file.
    pub(crate) services: Vec<Service>,
    pub(crate) alerts: Vec<Alert>,
    /// What env files say, and nobody is given.
    pub(crate) withheld: BTreeSet<Withheld>,
}

impl Stack {
    /// What its fleet goes by.
    pub(crate) fn settings(&self, seed: u64) -> Settings {
        let Self { max_parallel_starts, max_parallel_launches, .. } = *self;
        Settings { max_parallel_starts, max_parallel_launches, seed }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Http {
    pub(crate) listen: Listen,
    pub(crate) open: Vec<OpenGroup>,
    /// Lower case, without port.
    pub(crate) allowed_hosts: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listen {
    /// 127.0.0.1, 9700 or the next free up to 9719.
    Auto,
    Off,
    At(SocketAddr),
}

/// What may be read over TCP without a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenGroup {
    Health,
    Status,
    Metrics,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Service {
    /// What decisions need.
    pub(crate) spec: ServiceSpec,
    /// What a launch needs.
    pub(crate) launch: Arc<Launch>,
    /// Where its name stands.
    pub(crate) at: Place,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: PathBuf,
    /// From 1.
    pub(crate) line: u32,
    /// From 1, in characters.
    pub(crate) column: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Launch {
    pub(crate) name: ServiceName,
    /// At least one; the program first. With `shell = true` already `["/bin/sh", "-c", …]`.
    pub(crate) command: Vec<Template>,
    /// The directory of the file that says it: a program named with a `/` is relative to this.
    pub(crate) base: PathBuf,
    /// Absolute.
    pub(crate) cwd: PathBuf,
    /// Env files, then `env`, already merged; a later one wins.
    pub(crate) env: BTreeMap<String, Template>,
    /// The env files, there or not.
    pub(crate) env_files: Vec<PathBuf>,
    pub(crate) secrets: BTreeMap<String, SecretSource>,
    pub(crate) inherit_env: InheritEnv,
    /// A name or a number.
    pub(crate) user: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) umask: u32,
    pub(crate) handoff: Handoff,
    pub(crate) bind: IpAddr,
    pub(crate) port: Option<u16>,
    /// Further named listeners.
    pub(crate) ports: BTreeMap<String, u16>,
    pub(crate) limits: Limits,
    /// Readiness and liveness checks together, by the id that the spec uses.
    pub(crate) probes: BTreeMap<CheckId, Probe>,
    /// `ready.notify` or `live.watchdog`: the run gets a notify socket.
    pub(crate) notify: bool,
    /// The pattern of `ready.log`, which `pattern` takes.
    pub(crate) ready_line: Option<String>,
    /// The number of the descriptor of `ready.fd`.
    pub(crate) ready_fd: Option<u32>,
    pub(crate) watchdog: Option<Duration>,
    pub(crate) long_lived: LongLived,
    pub(crate) log: Log,
}

/// What a run may use; `None`: whatever there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// In bytes: its tree never has more, or is killed.
    pub(crate) memory: Option<u64>,
    /// In bytes: a tree with more is replaced in its own time.
    pub(crate) memory_soft: Option<u64>,
    /// In thousandths of a core.
    pub(crate) cpu_milli: Option<u64>,
    /// Processes and threads.
    pub(crate) pids: Option<u64>,
    /// Open files of each process, the soft limit.
    pub(crate) nofile: Option<u64>,
}

/// What becomes of connections that do not end by themselves while a generation drains; services on the kit ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LongLived {
    pub(crate) close_after: Duration,
    pub(crate) spread: Duration,
}

/// A string with everything expanded but what only a spawn knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(pub(crate) Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Text(String),
    Generation,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretSource {
    File {
        path: PathBuf,
        /// Of its content when the configuration was loaded.
        mark: Mark,
    },
    Command(Vec<String>),
    Env(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InheritEnv {
    All,
    Names(Vec<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handoff {
    /// The supervisor holds the listener; the service inherits it.
    Socket,
    /// Nothing is held; the service binds `PORT` itself.
    Own,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) how: ProbeHow,
    /// One try.
    pub(crate) timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProbeHow {
    /// On the generation's own port; with handoff `socket` on its private `supervisor-probe` listener.
    Http {
        path: String,
        status: Vec<u16>,
        headers: BTreeMap<String, String>,
        host: Option<String>,
        /// Over TLS, asking for this name.
        tls: Option<ServerName<'static>>,
    },
    /// The generation's own port.
    Tcp,
    /// Exit code 0 passes.
    Command(Vec<Template>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    /// Absolute.
    pub(crate) dir: PathBuf,
    /// 0: never rotated.
    pub(crate) max_size: u64,
    /// The greatest number where the file says 0, which means no limit.
    pub(crate) keep: u32,
    pub(crate) gzip: bool,
    /// NAME.out.log and NAME.err.log instead of NAME.log.
    pub(crate) split: bool,
    /// Zero: no archive is too old.
    pub(crate) max_age: Duration,
    /// On a full disk the service waits; else its output is dropped.
    pub(crate) block: bool,
}

/// In bytes; 0: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogBudget {
    pub(crate) total: u64,
    pub(crate) min_free: u64,
}

impl ProbeHow {
    pub(crate) fn is_encrypted(&self) -> bool {
        match self {
            Self::Http { tls, .. } => tls.is_some(),
            Self::Tcp | Self::Command(_) => false,
        }
    }
}

impl Limits {
    /// What the kernel can enforce.
    pub(crate) fn most(&self) -> Most {
        Most { memory: self.memory, pids: self.pids, cpu_milli: self.cpu_milli }
    }
}

impl Template {
    /// This text, whatever the generation.
    pub(crate) fn of_text(text: &str) -> Self {
        Self(vec![Part::Text(text.to_owned())])
    }

    /// The text, when it is the same for every generation.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text for one generation.
    pub(crate) fn render(&self, generation: u64) -> String {
        self.0
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.clone(),
                Part::Generation => generation.to_string(),
            })
            .collect()
    }
}
