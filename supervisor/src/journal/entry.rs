//! One event, as it is kept and told: one line of JSON.
//! Never here: environment, arguments, or anything else that may hold a secret.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use supervisor_core::{OutOfMemory, RolloutResult, ServiceName, State};

use super::CAUSE;
use crate::api::{Name, OutOfMemoryWord, RolloutResultWord, StateWord};
use crate::certificates::Certificate;
use crate::untrusted::one_line;

/// Of a list of processes, this many are told.
const PIDS: usize = 10;
/// Of the name of a check, this much, in bytes.
const CHECK: usize = 128;

/// How the cause of the first event of a supervisor begins, and of its first control.
pub(crate) const STARTED: &str = "started";
/// How the cause of the first event of each further control begins.
pub(crate) const TOOK_OVER: &str = "took over";

/// A numbered event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Event")]
pub(crate) struct Entry {
    /// Grows from event to event, and is never used again, whatever dies.
    pub(crate) seq: u64,
    #[serde(flatten)]
    pub(crate) note: Note,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "EventKind")]
pub(crate) enum Kind {
    /// A service changed its state.
    State,
    /// A run ended, or never began.
    Exit,
    /// A check answered otherwise than before.
    Probe,
    /// Someone asked for something.
    Request,
    /// A changed configuration was applied or rejected.
    Reload,
    /// A generation is replaced by the next.
    Rollout,
    /// A held socket was shut, and is open again.
    Listener,
    /// A log could not be written, or can be again.
    Disk,
    /// A limit was passed, or is kept again.
    Limit,
    /// A service shows another certificate, or one that ends soon or has ended.
    Certificate,
    /// The supervisor as a whole.
    Supervisor,
    /// The role that decides.
    Control,
    /// Events are missing here.
    Gap,
    /// Written by a newer version.
    #[serde(other)]
    Other,
}

impl Kind {
    /// Those that can be asked for.
    pub(crate) const ALL: [Self; 13] = [
        Self::State,
        Self::Exit,
        Self::Probe,
        Self::Request,
        Self::Reload,
        Self::Rollout,
        Self::Listener,
        Self::Disk,
        Self::Limit,
        Self::Certificate,
        Self::Supervisor,
        Self::Control,
        Self::Gap,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Exit => "exit",
            Self::Probe => "probe",
            Self::Request => "request",
            Self::Reload => "reload",
            Self::Rollout => "rollout",
            Self::Listener => "listener",
            Self::Disk => "disk",
            Self::Limit => "limit",
            Self::Certificate => "certificate",
            Self::Supervisor => "supervisor",
            Self::Control => "control",
            Self::Gap => "gap",
            Self::Other => "other",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// What happened. Everything but the time, the kind and the cause is there only where it belongs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Note {
    /// RFC 3339, UTC, milliseconds.
    pub(crate) at: String,
    pub(crate) kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Name>")]
    pub(crate) service: Option<ServiceName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) generation: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<StateWord>")]
    pub(crate) from: Option<State>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<StateWord>")]
    pub(crate) to: Option<State>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) check: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) passed: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) exit: Option<Ended>,
    /// What became of a rollout, once it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<RolloutResultWord>")]
    pub(crate) result: Option<RolloutResult>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<PassedLimit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<Certificate>,
    /// How many events are missing, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lost: Option<u64>,
    /// In words, one line.
    pub(crate) cause: String,
}

/// A limit that was passed. In bytes, or in processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PassedLimit {
    /// `None`: it was the machine's.
    pub(crate) key: Option<LimitKey>,
    /// What was used, as far as anybody counted.
    pub(crate) used: Option<u64>,
    /// What may be used.
    pub(crate) most: Option<u64>,
}

/// As it stands below `limits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LimitKey {
    Memory,
    MemorySoft,
    Pids,
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "End")]
pub(crate) struct Ended {
    /// `None`: no process came to be.
    pub(crate) pid: Option<i32>,
    pub(crate) code: Option<i32>,
    /// Without `SIG`.
    pub(crate) signal: Option<String>,
    /// The kernel wrote a core.
    #[serde(default)]
    pub(crate) core_dumped: bool,
    /// We asked it to end.
    pub(crate) asked: bool,
    pub(crate) ran_ms: u64,
    /// Of the main process and its waited-for children.
    pub(crate) cpu_ms: u64,
    /// The greatest resident set of the main process.
    pub(crate) max_rss_bytes: u64,
    /// Processes of its tree that had to be killed after it, the first ten.
    pub(crate) leftovers: Vec<i32>,
    /// Whether the kernel killed it, or a part of it, for want of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<OutOfMemoryWord>")]
    pub(crate) oom: Option<OutOfMemory>,
}

impl Note {
    pub(crate) fn new(at: String, kind: Kind, cause: &str) -> Self {
        Self {
            at,
            kind,
            service: None,
            generation: None,
            from: None,
            to: None,
            check: None,
            passed: None,
            exit: None,
            result: None,
            limit: None,
            certificate: None,
            lost: None,
            cause: one_line(cause, CAUSE),
        }
    }

    pub(crate) fn of(mut self, service: &ServiceName, generation: u64) -> Self {
        self.service = Some(service.clone());
        self.generation = (generation > 0).then_some(generation);
        self
    }

    pub(crate) fn change(mut self, from: State, to: State) -> Self {
        (self.from, self.to) = (Some(from), Some(to));
        self
    }

    pub(crate) fn ended(mut self, mut exit: Ended) -> Self {
        exit.leftovers.truncate(PIDS);
        self.exit = Some(exit);
        self
    }

    /// Something is well (again), or is not.
    pub(crate) fn passed(mut self, passed: bool) -> Self {
        self.passed = Some(passed);
        self
    }

    pub(crate) fn probed(mut self, check: &str, passed: bool) -> Self {
        (self.check, self.passed) = (Some(one_line(check, CHECK)), Some(passed));
        self
    }

    pub(crate) fn shown(mut self, mut certificate: Certificate) -> Self {
        certificate.host = certificate.host.map(|host| one_line(&host, CHECK));
        self.certificate = Some(certificate);
        self
    }

    pub(crate) fn lost(mut self, lost: u64) -> Self {
        self.lost = Some(lost);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_stays_one_line_whatever_a_service_puts_into_it() {
        let forged = "status 500: x\n{\"seq\":9,\"kind\":\"state\"}\r\u{2028}\u{1b}[2J\u{202e}";
        let note = Note::new(String::new(), Kind::Probe, forged).probed("http\n/health", false);
        assert_eq!(note.cause, "status 500: x {\"seq\":9,\"kind\":\"state\"} [2J ");
        assert_eq!(note.check.as_deref(), Some("http /health"));
        assert!(!serde_json::to_string(&note).unwrap().contains('\n'));
    }

    #[test]
    fn the_longest_note_is_shorter_than_the_longest_line() {
        let long = "\"".repeat(1 << 20);
        let name = ServiceName::new(&"a".repeat(63)).unwrap();
        let exit = Ended { leftovers: vec![i32::MIN; 5000], signal: Some("RTMAX".to_owned()), ..Ended::default() };
        let note = Note::new("2026-11-23T00:21:01.000Z".to_owned(), Kind::Supervisor, &long)
            .of(&name, u64::MAX)
            .change(State::CrashLoop, State::CrashLoop)
            .probed(&long, false)
            .ended(exit)
            .lost(u64::MAX);
        assert!(serde_json::to_string(&Entry { seq: u64::MAX, note }).unwrap().len() < super::super::LINE);
    }

    #[test]
    fn an_event_of_a_newer_version_is_no_damage() {
        let text = r#"{"seq":7,"at":"2026-11-23T00:21:01.000Z","kind":"eclipse","moon":true,"cause":"dark"}"#;
        let entry: Entry = serde_json::from_str(text).unwrap();
        assert_eq!((entry.seq, entry.note.kind), (7, Kind::Other));
    }

    #[test]
    fn every_kind_is_found_by_its_word() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert_eq!(Kind::parse("other"), None);
    }
}
