//! The screen of `why`: what matters first, nothing that is empty.
//! Not here: finding it out (`report`).

use supervisor_core::{Condition, Role};

use super::ports::{Holder, Port};
use super::report::{Dependency, End, Report};
use crate::api::GenerationDocument;
use crate::cli::clock::local;
use crate::cli::ends::details;
use crate::cli::output::clean;
use crate::cli::status::{bad_certificate, lines, tone, uses};
use crate::cli::table::{Tone, painted, wrapped};
use crate::cli::terminal::Screen;
use crate::config::Diagnostic;
use crate::journal::Entry;
use crate::spans::{short, span};
use crate::timestamp;

/// Columns of what stands before each fact.
const LABEL: usize = 12;

pub(super) fn page(report: &Report, screen: Screen) -> String {
    let (width, colour) = (screen.width, screen.colour);
    let mut text = heading(report, screen);
    for (label, value) in facts(report) {
        let value = wrapped(&clean(&value), width, LABEL + 3);
        text.push_str(&format!("  {} {value}\n", painted(&format!("{label:<LABEL$}"), Tone::Faint, colour)));
    }
    let ends: Vec<String> = report.ends.iter().map(|end| end_line(end, report.now_ms, width)).collect();
    let whole = format!("last ends (`supervisor why {} --exit N` tells one whole)", report.service.name);
    let ends_title = if report.ends.iter().any(|end| end.report.is_some()) { &whole } else { "last ends" };
    for (title, lines) in [(ends_title, &ends), ("last words", &report.last_words)] {
        if !lines.is_empty() {
            text.push_str(&format!("\n{}\n", painted(title, Tone::Faint, colour)));
            lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
        }
    }
    if let Some(advice) = &report.advice {
        text.push_str(&format!("\n{} {}\n", painted("→", Tone::Busy, colour), wrapped(&clean(advice), width, 2)));
    }
    text
}

/// `mail: crash-loop for 12s, and should be up`, and below it why.
fn heading(report: &Report, screen: Screen) -> String {
    let service = &report.service;
    let state = painted(service.state.as_str(), tone(service.state), screen.colour);
    let since = ago(&service.since, report.now_ms).map(|span| format!(" for {span}")).unwrap_or_default();
    let wanted = if service.wanted && !service.state.is_well() { ", and should be up" } else { "" };
    let cause = service.cause.strip_prefix(&format!("{}: ", service.state.as_str())).unwrap_or(&service.cause);
    format!("{}: {state}{since}{wanted}\n{}\n\n", service.name, wrapped(&clean(cause), screen.width, 0))
}

fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let service = &report.service;
    let mut facts = Vec::new();
    if let Some(next) = &report.next {
        let how = if next.how.is_empty() { String::new() } else { format!(" ({})", next.how) };
        facts.push(("next try", format!("in {}, at {}{how}", short(next.in_ms), local(&next.at))));
    }
    // What a start waits for is in its cause already.
    for failing in service.failing.iter().filter(|failing| !service.cause.contains(&failing.answer)) {
        facts.push(("check", format!("{}: {}", failing.check, failing.answer)));
    }
    if let Some(Entry { note, .. }) = &report.last_failed_check {
        let when = ago(&note.at, report.now_ms).map(|span| format!(", {span} ago")).unwrap_or_default();
        facts.push(("check", format!("{}: {}{when}", note.check.as_deref().unwrap_or_default(), note.cause)));
    }
    if let Some(Entry { note, .. }) = &report.passed_limit {
        let when = ago(&note.at, report.now_ms).map(|span| format!(", {span} ago")).unwrap_or_default();
        facts.push(("limit", format!("{}{when}", note.cause)));
    }
    facts.extend(report.dependencies.iter().filter(|dependency| !dependency.holds).map(blocker));
    facts.extend(report.held_ports.iter().map(|port| ("port", holder(port))));
    facts.extend(service.status_text.iter().map(|status| ("it says", status.clone())));
    facts.extend(bad_certificate(service).map(|certificate| ("certificate", certificate.in_words(report.now_ms))));
    if service.log_dropped_lines > 0 || service.log_error.is_some() {
        let now = service.log_error.as_ref().map(|error| format!("; now: {error}")).unwrap_or_default();
        facts.push(("log trouble", format!("{} dropped{now}", lines(service.log_dropped_lines))));
    }
    facts.extend(config(report));
    facts.push(("wanted", if service.wanted { "up" } else { "down" }.to_owned()));
    facts.extend(report.last_request.iter().map(|Entry { note, .. }| {
        let when = ago(&note.at, report.now_ms).map(|span| format!(", {span} ago")).unwrap_or_default();
        ("asked for", format!("{}{when}", note.cause))
    }));
    facts.extend(service.generations.iter().filter_map(|one| process(one, report.now_ms)));
    facts.extend(service.rollout.iter().map(|rollout| {
        let when =
            ago(&rollout.asked_at, report.now_ms).map(|span| format!(", asked for {span} ago")).unwrap_or_default();
        ("rollout", format!("{}{when}", rollout.text))
    }));
    if service.restarts > 0 {
        facts.push(("restarts", service.restarts.to_string()));
    }
    if report.binary_changed {
        facts.push(("binary", "changed since it was started".to_owned()));
    }
    facts.extend(service.resources.iter().filter(|_| service.pid.is_some()).map(|used| ("uses", uses(used))));
    facts.extend(service.address.iter().map(|address| ("address", address.clone())));
    facts.extend(service.logs.iter().map(|log| ("log", log.display().to_string())));
    facts.push(("file", report.file.display().to_string()));
    facts
}

/// What it runs with is not what the files say.
fn config(report: &Report) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let service = &report.service;
    if let (Some(runs), Some(wanted)) = (service.revision, service.wanted_revision)
        && runs != wanted
    {
        facts.push(("config", format!("runs with revision {runs}, not {wanted}")));
    }
    if let Some(rejected) = &report.config.rejected {
        let first = rejected.errors.first().map(Diagnostic::in_short).unwrap_or_default();
        facts.push(("config", format!("what the files say was rejected: {first}")));
    }
    facts
}

/// Each generation that is not over; more than one while one follows the other.
fn process(one: &GenerationDocument, now_ms: i64) -> Option<(&'static str, String)> {
    let pid = one.pid?;
    let up = ago(&one.started, now_ms).map(|span| format!(", up {span}")).unwrap_or_default();
    let role = match one.role {
        Role::Serving if one.ready_since.is_some() => String::new(),
        Role::Serving => ", not ready".to_owned(),
        Role::Starting => format!(", comes up: {}", one.cause),
        Role::Baking => format!(", must stay ready: {}", one.cause),
        Role::Draining => format!(", finishes what it has begun: {}", one.cause),
        Role::Ending => format!(", is being ended: {}", one.cause),
    };
    Some(("process", format!("pid {pid}, generation {}{up}{role}", one.generation)))
}

fn blocker(dependency: &Dependency) -> (&'static str, String) {
    let Dependency { name, condition, state, cause, .. } = dependency;
    let condition = match condition {
        Condition::Started => "started",
        Condition::Ready => "ready",
        Condition::Completed => "completed",
    };
    ("needs", format!("{name} {condition}; {name} is {}: {cause}", state.as_str()))
}

fn holder(port: &Port) -> String {
    let number = port.port;
    match &port.holder {
        Holder::Nobody => format!("{number}: nobody listens"),
        Holder::Itself { pid } => format!("{number}: its own pid {pid} listens"),
        Holder::Supervisor => format!("{number}: held for it by the supervisor"),
        Holder::Service { name, pid, command } => {
            format!("{number}: held by pid {pid} ({command}), which is service `{name}` of this stack")
        }
        Holder::Stranger { pid, command } => {
            format!("{number}: held by pid {pid} ({command}), which is not of this stack")
        }
        Holder::Unknown => format!("{number}: held by a process that we may not look into"),
    }
}

fn end_line(end: &End, now_ms: i64, width: Option<usize>) -> String {
    let note = &end.entry.note;
    let when = ago(&note.at, now_ms).map(|span| format!("{span} ago")).unwrap_or_default();
    let number = end.report.map(|number| format!("{number}: ")).unwrap_or_default();
    let generation = note.generation.map(|generation| format!("generation {generation}, ")).unwrap_or_default();
    let details = note.exit.as_ref().map(|exit| format!(" ({generation}{})", details(exit))).unwrap_or_default();
    let how = clean(&format!("{number}{}{details}", note.cause));
    format!("{when:<LABEL$}{}", wrapped(&how, width, LABEL + 2))
}

fn ago(at: &str, now_ms: i64) -> Option<String> {
    Some(span(now_ms.saturating_sub(timestamp::parse(at)?)))
}
