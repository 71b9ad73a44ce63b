//! What to do next, when there is something to do.
//! Not here: doing it.

use supervisor_core::State;

use super::ports::{Holder, Port};
use super::report::Report;

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
        State::Running | State::Rolling | State::Completed | State::Starting | State::Stopping | State::Unhealthy => {
            None
        }
        State::Stopped => Some(format!("`supervisor start {name}` starts it")),
        State::Waiting => {
            let blocker = report.dependencies.iter().find(|dependency| !dependency.holds)?;
            Some(format!("`supervisor why {}` says what keeps that one", blocker.name))
        }
        State::Failed | State::Backoff | State::CrashLoop => Some(match held_by_others(&report.held_ports) {
            Some(Held { port, by }) => format!("end {by}, or give `port` another number than {port} in {file}"),
            None if cause.contains("exec ") && cause.contains("ENOENT") => {
                format!("there is no such program: mend `command` of `{name}` in {file}, or build it")
            }
            None if cause.contains("chdir ") => format!("mend `cwd` of `{name}` in {file}"),
            None if service.next_attempt.is_none() => {
                format!("it is not tried again; `supervisor start {name}` tries it")
            }
            None => {
                format!("`supervisor logs {name}` shows all that it said; `supervisor start {name}` tries it at once")
            }
        }),
    }
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
