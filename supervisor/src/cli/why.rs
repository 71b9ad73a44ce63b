//! `why`: everything about one service on one screen.
//! Not here: what it means; the supervisor says that itself.

use super::args::Global;
use super::failure::{Exit, Failure};
use super::locate;
use super::output::{clean, sanitised};
use super::status::{chosen, span, uses, why as in_short};
use super::terminal::Screen;
use crate::api::{ExitDocument, ServiceDocument};

const LAST_LINES: usize = 10;
const MAX_BYTES: usize = 16 * 1024;

pub(crate) fn why(global: &Global, screen: Screen, name: &str) -> Result<Exit, Failure> {
    let place = locate::place(global)?;
    let document = place.client.status_with_resources()?;
    place.warn_of_broken_file(screen);
    let names = [name.to_owned()];
    let Some(service) = chosen(&document, &names)?.into_iter().next() else { return Ok(Exit::Failed) };
    if screen.json {
        let json = serde_json::to_string_pretty(service).map_err(|error| Failure::of_system("write JSON", &error))?;
        screen.data(&format!("{json}\n"));
    } else {
        screen.data(&explanation(service));
        screen.data(&last_words(service));
    }
    let as_wanted = service.state.is_well() || !service.wanted;
    Ok(if as_wanted { Exit::Done } else { Exit::Failed })
}

fn explanation(service: &ServiceDocument) -> String {
    let wanted = if service.wanted { "up" } else { "down" };
    let mut lines = vec![
        ("service", service.name.to_string()),
        ("wanted", wanted.to_owned()),
        ("state", format!("{} since {}", service.state.as_str(), service.since)),
        ("why", in_short(service)),
        ("generation", service.generation.to_string()),
        ("pid", service.pid.map(|pid| pid.to_string()).unwrap_or_default()),
        ("started", service.started.clone().unwrap_or_default()),
        ("ready since", service.ready_since.clone().unwrap_or_default()),
        ("restarts", format!("{}, failures in a row {}", service.restarts, service.failures)),
        ("next attempt", service.next_attempt.clone().unwrap_or_default()),
        ("address", service.address.clone().unwrap_or_default()),
        ("uses", service.resources.as_ref().map(uses).unwrap_or_default()),
        ("last exit", service.last_exit.as_ref().map(exit).unwrap_or_default()),
    ];
    for failing in &service.failing {
        lines.push(("check", format!("{}: {}", failing.check, failing.answer)));
    }
    for log in &service.logs {
        lines.push(("log", log.display().to_string()));
    }
    let shown = lines.into_iter().filter(|(_, text)| !text.is_empty());
    shown.map(|(label, text)| format!("{label:<13} {}\n", clean(&text))).collect()
}

fn exit(exit: &ExitDocument) -> String {
    let how = match (&exit.code, &exit.signal, &exit.reason) {
        (Some(code), _, _) => format!("code {code}"),
        (None, Some(signal), _) => format!("killed by {signal}"),
        (None, None, _) => "no process came to be".to_owned(),
    };
    let reason = exit.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let asked = if exit.asked { ", as asked" } else { "" };
    let ran = span(i64::try_from(exit.ran_ms).unwrap_or(i64::MAX));
    let mut text =
        format!("{how}{reason}{asked}, generation {}, pid {}, after {ran}, at {}", exit.generation, exit.pid, exit.at);
    if !exit.leftovers.is_empty() {
        text.push_str(&format!("; its leftovers had to be killed: {:?}", exit.leftovers));
    }
    text
}

/// The end of what it printed last.
fn last_words(service: &ServiceDocument) -> String {
    // Split output: what it said on stderr explains more.
    let Some(log) = service.logs.last() else { return String::new() };
    let text = supervisor_logs::tail(log, LAST_LINES, MAX_BYTES).unwrap_or_default();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let shown: String = lines.map(|line| format!("  {}\n", sanitised(line))).collect();
    if shown.is_empty() { shown } else { format!("last words\n{shown}") }
}
