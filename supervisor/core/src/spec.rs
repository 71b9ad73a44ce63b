//! What the operator wants of each service, as far as decisions need it.
//! Not here: how a process is launched or how a check is carried out; the shell keeps that under the same names.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::time::Millis;

/// The name of a service: `[a-z0-9][a-z0-9_-]{0,62}`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceName(Arc<str>);

/// Why a string is not a service name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceNameError;

impl ServiceName {
    /// Checks and wraps a name.
    ///
    /// # Errors
    /// When `name` does not match `[a-z0-9][a-z0-9_-]{0,62}`.
    pub fn new(name: &str) -> Result<Self, ServiceNameError> {
        let mut bytes = name.bytes();
        let head = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let tail = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        if head && tail && name.len() <= 63 { Ok(Self(name.into())) } else { Err(ServiceNameError) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ServiceNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name is 1 to 63 of a-z, 0-9, `_` and `-`, and begins with a letter or digit")
    }
}

impl std::error::Error for ServiceNameError {}

impl TryFrom<String> for ServiceName {
    type Error = ServiceNameError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(&name)
    }
}

impl From<ServiceName> for String {
    fn from(name: ServiceName) -> Self {
        name.as_str().to_owned()
    }
}

/// Everything that decisions about one service need.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceSpec {
    /// Its name, unique in the fleet.
    pub name: ServiceName,
    /// The number of the configuration in which its launch last changed.
    pub revision: u64,
    /// Runs for ever, or to completion.
    pub kind: Kind,
    /// Wanted up when the supervisor starts.
    pub autostart: bool,
    /// Counts in the aggregate health; an optional service only degrades it.
    pub critical: bool,
    /// What must hold before it may start.
    pub depends_on: Vec<Dependency>,
    /// When it is started again.
    pub restart: RestartPolicy,
    /// How it is stopped.
    pub stop: StopPolicy,
    /// When it counts as ready.
    pub ready: Readiness,
    /// When it counts as dead although its process lives.
    pub live: Option<Liveness>,
    /// How a generation is followed by the next one while it runs.
    pub rollout: RolloutPolicy,
    /// How many of it run side by side; at least 1.
    pub instances: u32,
}

impl ServiceSpec {
    /// One of which nothing is asked: never started by itself, never restarted, without checks.
    pub(crate) fn bare(name: ServiceName) -> Self {
        let restart = RestartPolicy {
            policy: Policy::No,
            delay: 0,
            factor: 1.0,
            max_delay: 0,
            jitter: 0.0,
            reset_after: 1,
            crash_loop: 0,
            max_restarts: 0,
            success_exit_codes: vec![0],
        };
        Self {
            name,
            revision: 0,
            kind: Kind::Service,
            autostart: false,
            critical: false,
            depends_on: Vec::new(),
            restart,
            stop: StopPolicy { signal: 15, timeout: 1 },
            ready: Readiness { signs: BTreeMap::new(), delay: None, checks: Vec::new(), interval: 1, deadline: 0 },
            live: None,
            rollout: RolloutPolicy::exclusive(),
            instances: 1,
        }
    }
}

/// Runs for ever, or to completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Meant to run until it is stopped.
    Service,
    /// Meant to exit with success; dependents may wait for that.
    Oneshot,
}

/// One entry of `depends_on`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The service that is depended on.
    pub on: ServiceName,
    /// What must hold of it.
    pub condition: Condition,
}

/// What must hold of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// Its process has been started.
    Started,
    /// It is ready (a oneshot: completed).
    Ready,
    /// It ran to completion with success.
    Completed,
}

/// When an ended run is followed by a new one.
#[derive(Debug, Clone, PartialEq)]
pub struct RestartPolicy {
    /// Which ends are followed by a new run.
    pub policy: Policy,
    /// The first delay; zero means every restart is immediate.
    pub delay: Millis,
    /// Each further failure multiplies the delay by this; at least 1.
    pub factor: f64,
    /// No delay is longer than this.
    pub max_delay: Millis,
    /// The share of a delay that is random, 0 to 1 (0.5: equal jitter, delay/2 + random(0, delay/2)).
    pub jitter: f64,
    /// A run this long is good: the count of failures halves for each such span of running.
    pub reset_after: Millis,
    /// Failures in a row until the state is `crash-loop`; 0 means never.
    pub crash_loop: u32,
    /// Restarts in a row until the service is given up; 0 means never.
    pub max_restarts: u32,
    /// Exit codes that count as success.
    pub success_exit_codes: Vec<i32>,
}

/// Which ends are followed by a new run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Every end (of a oneshot: every failure).
    Always,
    /// Failures only: a signal, or a code outside `success_exit_codes`.
    OnFailure,
    /// None.
    No,
}

/// How a run is asked to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPolicy {
    /// The number of the signal that asks; `SIGCONT` follows it.
    pub signal: i32,
    /// How long until the whole tree is killed.
    pub timeout: Millis,
}

/// How a generation that runs is followed by the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutPolicy {
    /// Two generations may run at once: the old one serves until the new one is ready. Without it, the old one is
    /// stopped first.
    pub overlap: bool,
    /// The number of the signal that tells the old one that another one serves; `None`: the stop signal.
    pub drain_signal: Option<i32>,
    /// The new one must be ready for this long before it takes over.
    pub bake: Millis,
    /// A new one that fails this soon after it took over is followed by the old spec.
    pub warm: Millis,
    /// How long the old one may take to finish what it has begun, before it is stopped.
    pub drain: Millis,
}

impl RolloutPolicy {
    /// Never two at once: stop, then start.
    #[must_use]
    pub fn exclusive() -> Self {
        Self { overlap: false, drain_signal: None, bake: 0, warm: 0, drain: 0 }
    }
}

/// A check of one service, by its place in the list of its readiness or liveness checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CheckId(pub u8);

/// One active check (http, tcp, command): the shell knows how, the core only when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Unique among all checks of the service, readiness and liveness together.
    pub id: CheckId,
    /// What a person calls it: `http /health`, `tcp 8001`, `command`.
    pub title: String,
}

/// How a service says by itself that it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// `READY=1`, as in `sd_notify(3)`.
    Notify,
    /// A line of its output.
    Line,
    /// A newline on a descriptor that it was given, as with s6.
    Newline,
}

/// When a starting run counts as ready: all that are given must hold. With nothing given, as soon as it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// What the service must say by itself; with each, in words, what is missing until then: `no READY=1`.
    pub signs: BTreeMap<Sign, String>,
    /// Wait this long after the start.
    pub delay: Option<Millis>,
    /// Active checks; each must pass once.
    pub checks: Vec<Check>,
    /// The first pause between two tries of a check; it doubles up to one second.
    pub interval: Millis,
    /// A start that is not ready after this long has failed; 0 means never.
    pub deadline: Millis,
}

impl Readiness {
    /// Nothing is given.
    pub(crate) fn at_once(&self) -> bool {
        self.signs.is_empty() && self.delay.is_none() && self.checks.is_empty()
    }
}

/// When a ready run counts as dead although its process lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Liveness {
    /// Active checks.
    pub checks: Vec<Check>,
    /// The pause between two tries of a check.
    pub interval: Millis,
    /// Failures in a row of one check until the run is replaced.
    pub failures: u32,
    /// `WATCHDOG=1` must arrive at least this often.
    pub watchdog: Option<Millis>,
}

/// Why a set of specs is no fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GraphError {
    /// `service` depends on a name that does not exist.
    UnknownDependency {
        /// The service that says so.
        service: ServiceName,
        /// The name it says.
        on: ServiceName,
    },
    /// Services depend on each other; the path begins and ends with the same name.
    Cycle(Vec<ServiceName>),
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownDependency { service, on } => {
                write!(f, "service `{service}` depends on `{on}`, which does not exist")
            }
            Self::Cycle(path) => {
                f.write_str("services depend on each other: ")?;
                for (i, name) in path.iter().enumerate() {
                    if i > 0 {
                        f.write_str(" -> ")?;
                    }
                    write!(f, "{name}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for GraphError {}
