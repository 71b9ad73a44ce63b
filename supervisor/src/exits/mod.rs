//! Reports of ends: how a run of a service ended, what it used, and the last that it said. The newest 20 of each service are
//! kept across deaths of control and of the supervisor: each in a file of its own, but those of a stop of everything in one.
//! Not here: what an end is (the core), the journal, which tells ends among everything else.

mod files;
mod together;
mod writer;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use supervisor_core::ServiceName;

pub(crate) use files::Files;
pub(crate) use writer::{Filing, Writer};

use crate::api::Name;
use crate::journal::Ended;

/// Of each service so many are kept.
pub(crate) const KEPT: usize = 20;
/// Of its last output …
const LINES: usize = 50;
/// … and at most so many bytes of it.
const BYTES: usize = 16 * 1024;

/// How one run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ExitReport")]
pub(crate) struct Report {
    /// 1, 2, 3 … per service.
    pub(crate) number: u64,
    #[serde(flatten)]
    pub(crate) facts: Facts,
    /// The last lines that this generation wrote; bytes that are no text are replaced.
    pub(crate) last_output: Vec<String>,
}

/// What is known of an end at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Facts {
    #[schemars(with = "Name")]
    pub(crate) service: ServiceName,
    pub(crate) generation: u64,
    /// RFC 3339, UTC, milliseconds.
    pub(crate) at: String,
    /// In words.
    pub(crate) cause: String,
    pub(crate) exit: Ended,
    /// Restarts since it was last started by hand, before this end.
    pub(crate) restarts: u64,
}

/// A report that lacks its number and the last output.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) facts: Facts,
    /// When it ended, in milliseconds of the monotonic clock.
    pub(crate) ended_ms: u64,
    pub(crate) output: Output,
}

/// What a file holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    report: Report,
    #[serde(default)]
    end: End,
}

/// The same end alone has the same: the control that died over it tells it, and so does the next, and neither a sleep of the
/// machine between them nor a clock that is set makes two of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    boot: String,
    ended_ms: u64,
    pid: Option<i32>,
}

/// Where the output of a run is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Output {
    pub(crate) logs: Vec<PathBuf>,
    /// Not before this, in milliseconds since 1970: generations begin anew with each supervisor.
    pub(crate) since: Option<u64>,
}

impl Draft {
    /// To be called once all of its output is in the files.
    fn finish(self, number: u64) -> Report {
        let Self { facts, ended_ms: _, output: Output { logs, since } } = self;
        // A clock that was set back since tells nothing.
        let since = since.filter(|since| u64::try_from(crate::timestamp::now_ms()).is_ok_and(|now| *since <= now));
        let many = logs.len().max(1);
        let (whose, limits) = ((facts.generation, since), (LINES / many, BYTES / many));
        let last = |log: &PathBuf| supervisor_logs::last_of_generation(log, whose, limits);
        let output: Vec<u8> = logs.iter().flat_map(|log| last(log).unwrap_or_default()).collect();
        let last_output = String::from_utf8_lossy(&output).lines().map(str::to_owned).collect();
        Report { number, facts, last_output }
    }

    fn end(&self, boot: &str) -> End {
        End { boot: boot.to_owned(), ended_ms: self.ended_ms, pid: self.facts.exit.pid }
    }
}
