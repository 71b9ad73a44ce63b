//! What there is to know about one service: of the supervisor, of its journal, of its log and of the machine.
//! Not here: how it is shown. What cannot be found out is left out.

use serde::Serialize;
use supervisor_core::{Condition, Kind as ServiceKind, State};

use super::super::failure::Failure;
use super::super::locate::Place;
use super::super::output::sanitised;
use super::super::status::{chosen, has_changed};
use super::advice::advice;
use super::exit;
use super::next::{self, Next};
use super::ports::{self, Port};
use crate::api::{ConfigDocument, SCHEMA_VERSION, ServiceDocument, StatusDocument};
use crate::exits;
use crate::journal::{Entry, Kind};
use crate::timestamp;

/// Of its ends, so many are told.
const ENDS: usize = 5;
/// Among so many of its checks' answers the last bad one is looked for.
const ANSWERS: usize = 50;
/// Of its log.
const LAST_LINES: usize = 10;
const LAST_BYTES: usize = 16 * 1024;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    schema_version: u32,
    #[serde(flatten)]
    pub(super) service: ServiceDocument,
    /// The file of the stack.
    pub(super) file: std::path::PathBuf,
    pub(super) config: ConfigDocument,
    /// Its binary is another one than the one that runs.
    pub(super) binary_changed: bool,
    pub(super) next: Option<Next>,
    pub(super) dependencies: Vec<Dependency>,
    /// The last check that answered badly, when none fails now and the service is not well.
    pub(super) last_failed_check: Option<Entry>,
    /// What somebody asked for last, if it is not to be up.
    pub(super) last_request: Option<Entry>,
    /// The last limit that it passed, unless it keeps within all of them again.
    pub(super) passed_limit: Option<Entry>,
    pub(super) held_ports: Vec<Port>,
    /// Of its runs, the newest first.
    pub(super) ends: Vec<End>,
    /// The report of the newest of them that was a process.
    pub(super) last_exit_report: Option<exits::Report>,
    /// The end of its log, harmless for a terminal.
    pub(super) last_words: Vec<String>,
    pub(super) advice: Option<String>,
    #[serde(skip)]
    pub(super) now_ms: i64,
}

#[derive(Debug, Serialize)]
pub(super) struct End {
    #[serde(flatten)]
    pub(super) entry: Entry,
    /// The number of its report, if it was a process and is among the last.
    pub(super) report: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) condition: Condition,
    pub(super) state: State,
    pub(super) cause: String,
    /// It is as it must be before this one may start.
    pub(super) holds: bool,
}

pub(super) fn gather(place: &Place, status: &StatusDocument, name: &str) -> Result<Report, Failure> {
    let names = [name.to_owned()];
    let service = chosen(status, &names)?[0].clone();
    let now_ms = timestamp::now_ms();
    let reports = exit::reports(place, name).unwrap_or_default();
    let mut report = Report {
        schema_version: SCHEMA_VERSION,
        file: status.supervisor.file.clone(),
        config: status.config.clone(),
        binary_changed: service.executable.as_ref().is_some_and(has_changed),
        next: next::next(&service, now_ms),
        dependencies: dependencies(&service, status),
        last_failed_check: last_failed_check(place, &service),
        last_request: if service.wanted { None } else { events(place, &service, Kind::Request, 1).pop() },
        passed_limit: events(place, &service, Kind::Limit, 1).pop().filter(|entry| entry.note.passed == Some(false)),
        held_ports: ports::ports(&service, status, place),
        ends: events(place, &service, Kind::Exit, ENDS)
            .into_iter()
            .rev()
            .map(|entry| with_report(entry, &reports))
            .collect(),
        last_exit_report: reports.into_iter().next(),
        last_words: last_words(&service),
        advice: None,
        service,
        now_ms,
    };
    report.advice = advice(&report);
    Ok(report)
}

fn with_report(entry: Entry, reports: &[exits::Report]) -> End {
    let of = |report: &&exits::Report| {
        let pid = entry.note.exit.as_ref().and_then(|exit| exit.pid);
        let same = Some(report.facts.generation) == entry.note.generation;
        pid.is_some() && pid == report.facts.exit.pid && same && at_once(&report.facts.at, &entry.note.at)
    };
    let report = reports.iter().find(of).map(|report| report.number);
    End { entry, report }
}

/// The clock may have been read for each of them.
fn at_once(one: &str, other: &str) -> bool {
    let at = timestamp::parse(one).zip(timestamp::parse(other));
    at.is_some_and(|(one, other)| one.abs_diff(other) < 1000)
}

fn dependencies(service: &ServiceDocument, status: &StatusDocument) -> Vec<Dependency> {
    let all = service.depends_on.iter().filter_map(|dependency| {
        let on = status.services.iter().find(|one| one.name == dependency.name)?;
        let holds = match (dependency.condition, on.kind) {
            (Condition::Completed, _) | (Condition::Ready, ServiceKind::Oneshot) => on.state == State::Completed,
            (Condition::Ready, ServiceKind::Service) => matches!(on.state, State::Running | State::Rolling),
            (Condition::Started, _) => on.pid.is_some() || on.state == State::Completed,
        };
        let (name, condition) = (on.name.to_string(), dependency.condition);
        Some(Dependency { name, condition, state: on.state, cause: on.cause.clone(), holds })
    });
    all.collect()
}

fn last_failed_check(place: &Place, service: &ServiceDocument) -> Option<Entry> {
    if service.state.is_well() || !service.wanted || !service.failing.is_empty() {
        return None;
    }
    let last = events(place, service, Kind::Probe, ANSWERS).pop()?;
    let recent = last.note.generation.is_some_and(|generation| generation + 1 >= service.generation);
    (recent && last.note.passed == Some(false)).then_some(last)
}

/// A journal that cannot be read has nothing to tell.
fn events(place: &Place, service: &ServiceDocument, kind: Kind, limit: usize) -> Vec<Entry> {
    let query = format!("service={}&kind={}&limit={limit}", service.name, kind.as_str());
    let events = place.client.events(&query).map(|page| page.events).unwrap_or_default();
    events.into_iter().filter(|entry| entry.note.kind == kind).collect()
}

/// Of split output the errors: they explain more.
fn last_words(service: &ServiceDocument) -> Vec<String> {
    let Some(log) = service.logs.last() else { return Vec::new() };
    let text = supervisor_logs::tail(log, LAST_LINES, LAST_BYTES).unwrap_or_default();
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(sanitised).collect()
}
