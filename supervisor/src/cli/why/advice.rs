//! What to do next, when there is something to do.
//! Not here: doing it.

use std::path::Path;

use supervisor_core::{OutOfMemory, State};

use super::ports::{Holder, Port};
use super::report::Report;
use crate::certificates;
use crate::cli::status::bad_certificate;
use crate::control::UNANSWERED;
use crate::journal::{Ended, LimitKey};

/// One sentence, or none: a service that is well, or on its way, needs nobody.
pub(super) fn advice(report: &Report) -> Option<String> {
    let service = &report.service;
    let (name, file) = (&service.name, report.file.display());
    let cause = service.cause.as_str();
    if cause.contains("will not die") {
        return Some(
            "it waits within the kernel, mostly for a disk that does not answer, and ends when that does".to_owned(),
        );
    }
    match service.state {
        State::Running | State::Rolling | State::Completed if report.binary_changed => {
            Some(format!("`supervisor restart {name}` runs the new binary"))
        }
        State::Running | State::Rolling if bad_certificate(service).is_some() => {
            Some(certificates::todo(name.as_str()))
        }
        State::Running | State::Rolling if service.log_error.is_some() => of_log(report),
        State::Running if cause.starts_with("rolled back: ") => {
            let ends = report.ends.iter().find_map(|end| Some((end.report?, end.entry.note.generation?)));
            let look = ends.map(|(number, generation)| {
                format!("`supervisor why {name} --exit {number}` tells the end of generation {generation}; ")
            });
            Some(format!("{}once that is mended, `supervisor restart {name}` tries it again", look.unwrap_or_default()))
        }
        State::Starting => of_probe_socket(report),
        State::Running | State::Rolling | State::Completed | State::Stopping | State::Unhealthy => None,
        State::Stopped if last_end(report).is_some_and(|end| end.asked && was_killed(end)) => Some(format!(
            "`supervisor start {name}` starts it; should it have ended by itself, `stop.timeout` of `{name}` in {file} gives \
             it longer"
        )),
        State::Stopped => Some(format!("`supervisor start {name}` starts it")),
        State::Waiting => {
            let blocker = report.dependencies.iter().find(|dependency| !dependency.holds)?;
            Some(format!("`supervisor why {}` says what keeps that one", blocker.name))
        }
        State::Failed | State::Backoff | State::CrashLoop => {
            let held = held_by_others(&report.held_ports);
            let held =
                held.map(|Held { port, by }| format!("end {by}, or give `port` another number than {port} in {file}"));
            let back = cause
                .starts_with("rolled back, and ")
                .then(|| format!("end what holds it, or `supervisor restart {name}` tries what {file} says once more"));
            let known = back
                .or(held)
                .or_else(|| of_start(report))
                .or_else(|| of_probe_socket(report))
                .or_else(|| of_check(report))
                .or_else(|| of_limits(report))
                .or_else(|| of_end(report));
            Some(known.unwrap_or_else(|| match service.next_attempt {
                None => format!(
                    "it is not tried again; mend what `supervisor logs {name}` shows, and `supervisor start {name}` tries it"
                ),
                Some(_) => format!(
                    "`supervisor logs {name}` shows all that it said; `supervisor start {name}` tries it at once"
                ),
            }))
        }
    }
}

/// It could not begin, or was not ready in time.
fn of_start(report: &Report) -> Option<String> {
    let (name, file, cause) = (&report.service.name, report.file.display(), report.service.cause.as_str());
    if cause.contains("chdir ") {
        return Some(format!("mend `cwd` of `{name}` in {file}"));
    }
    if cause.contains("is not in PATH") {
        return Some(format!(
            "install it, or say in {file} where it is: its path in `command` of `{name}`, or `PATH` in its `env`"
        ));
    }
    if let Some((_, secret)) = cause.split_once("environment: secret ") {
        let secret = secret.split(':').next().unwrap_or_default();
        return Some(format!("mend `secrets.{secret}` of `{name}` in {file}, or what it names"));
    }
    if cause.starts_with("not ready within ") && of_probe_socket(report).is_none() {
        return Some(format!(
            "it lived, but was not ready in time: `supervisor logs {name}` shows how far it came; \
             `ready.deadline` in {file} gives it longer"
        ));
    }
    let (_, rest) = cause.split_once("exec ")?;
    let (program, why) = rest.rsplit_once(": ")?;
    if why.contains("EACCES") {
        return Some(format!("it may not be run: `chmod +x {program}`, or mend `command` of `{name}` in {file}"));
    }
    if why.contains("ENOENT") && Path::new(program).exists() {
        return Some(format!(
            "{program} is there, but not what it needs to be run: the program that its first line names, or its loader"
        ));
    }
    why.contains("ENOENT")
        .then(|| format!("there is no such program: mend `command` of `{name}` in {file}, or build it"))
}

/// Checks ask where nobody answers, as the service does not know that it should.
fn of_probe_socket(report: &Report) -> Option<String> {
    let (name, file) = (&report.service.name, report.file.display());
    let cause = report.service.cause.as_str();
    (cause.starts_with("not ready ") && cause.contains(UNANSWERED)).then(|| {
        format!(
            "`{name}` inherits its port, so that http checks of it ask on a socket of their own, `supervisor-probe` in \
             `LISTEN_FDNAMES`: let it answer there, too, or be ready by `notify` or `log` (`ready` in {file})"
        )
    })
}

/// What it prints is lost.
fn of_log(report: &Report) -> Option<String> {
    let (service, file) = (&report.service, report.file.display());
    let (error, log) = (service.log_error.as_ref()?, service.logs.first()?.display());
    if error.contains("Permission denied") || error.contains("Read-only") {
        return Some(format!("let this user write {log}, or set `[logs] dir` in {file}"));
    }
    Some(format!(
        "make room on the disk of {log}, or let logs take less of it (`max_size` and `total` of `[logs]` in {file})"
    ))
}

/// It was ended for what a check has seen.
fn of_check(report: &Report) -> Option<String> {
    let (name, file) = (&report.service.name, report.file.display());
    let check = report.last_failed_check.as_ref()?.note.check.as_deref()?;
    report.service.cause.starts_with(&format!("{check} failed ")).then(|| {
        format!(
            "it lived, but its check failed: mend what that found, or `live` of `{name}` in {file}; `supervisor logs {name}` \
             shows what it said meanwhile"
        )
    })
}

/// It came up against what it, or the machine, has.
fn of_limits(report: &Report) -> Option<String> {
    let (name, file) = (&report.service.name, report.file.display());
    let higher =
        |key: &str| format!("find what it needs so much for, or give `limits.{key}` of `{name}` more in {file}");
    match last_end(report)?.oom {
        Some(OutOfMemory::Limit) => return Some(higher("memory")),
        Some(OutOfMemory::Machine | OutOfMemory::Unknown) => {
            return Some(
                "the machine is short of memory: `supervisor status` shows which service uses how much".to_owned(),
            );
        }
        None => {}
    }
    let passed = &report.passed_limit.as_ref()?.note;
    let is_last = passed.generation.is_some() && passed.generation == report.ends.first()?.entry.note.generation;
    (is_last && passed.limit?.key == Some(LimitKey::Pids)).then(|| higher("pids"))
}

/// How it ended says where to look.
fn of_end(report: &Report) -> Option<String> {
    let name = &report.service.name;
    let end = last_end(report)?;
    if end.core_dumped {
        let place = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
        let place = if place.is_empty() { String::new() } else { format!(" (`{}`)", place.trim()) };
        return Some(format!(
            "the kernel wrote a core; where, `/proc/sys/kernel/core_pattern` says{place}; `supervisor logs {name}` shows what \
             it said before"
        ));
    }
    (was_killed(end) && !end.asked).then(|| {
        format!("neither the supervisor nor a want of memory has killed it, as far as can be seen; `supervisor start {name}` tries it at once")
    })
}

fn last_end(report: &Report) -> Option<&Ended> {
    report.ends.first()?.entry.note.exit.as_ref()
}

fn was_killed(end: &Ended) -> bool {
    end.signal.as_deref() == Some("KILL")
}

struct Held {
    port: u16,
    by: String,
}

fn held_by_others(ports: &[Port]) -> Option<Held> {
    ports.iter().find_map(|Port { port, holder }| {
        let by = match holder {
            Holder::Nobody | Holder::Itself { .. } | Holder::Supervisor => return None,
            Holder::Service { name, .. } => format!("service `{name}`"),
            Holder::Stranger { pid, command } => format!("pid {pid} ({command})"),
            Holder::Unknown => "the process of another user that holds it".to_owned(),
        };
        Some(Held { port: *port, by })
    })
}
