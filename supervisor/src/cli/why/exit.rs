//! `why NAME --exit N`: one end of a service, whole; also when nothing runs.
//! Not here: what is told of a service now (`page`).

use supervisor_core::ServiceName;

use super::super::clock::local;
use super::super::ends::details;
use super::super::failure::{Exit, Failure};
use super::super::locate::{self, Place};
use super::super::output::{clean, sanitised};
use super::super::table::{Tone, painted};
use super::super::terminal::Screen;
use crate::client::ClientError;
use crate::exits::{Facts, Files, Report};
use crate::spans::short;

pub(super) fn one(place: &Place, screen: Screen, name: &str, number: u64) -> Result<Exit, Failure> {
    let reports = reports(place, name)?;
    let Some(report) = reports.iter().find(|report| report.number == number) else {
        let known: Vec<String> = reports.iter().map(|report| report.number.to_string()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let message = format!("there is no report {number} of an end of `{name}`; there are: {known}");
        return Err(Failure::new(Exit::Usage, message));
    };
    if screen.json {
        let json = serde_json::to_string_pretty(report).map_err(|error| Failure::of_system("write JSON", &error))?;
        screen.data(&format!("{json}\n"));
    } else if !screen.quiet {
        screen.data(&page(report, screen.colour));
    }
    Ok(Exit::Done)
}

/// Of the supervisor that runs, else of what it left.
pub(super) fn reports(place: &Place, name: &str) -> Result<Vec<Report>, Failure> {
    let service = ServiceName::new(name).map_err(|error| Failure::new(Exit::Usage, format!("`{name}`: {error}")))?;
    match place.client.exits(&service) {
        Ok(document) => Ok(document.exits),
        Err(error @ ClientError::NotRunning(_)) => {
            let Ok(stack) = &place.stack else { return Err(error.into()) };
            Ok(Files::new(&stack.state_dir).reports(&locate::one_named(stack, name)?.spec.name))
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) fn page(report: &Report, colour: bool) -> String {
    let Report { number, facts: Facts { service, generation, at, cause, exit, restarts }, last_output } = report;
    let mut text = format!("{service}: end {number}, of generation {generation}\n{}\n\n", clean(cause));
    let ran = format!("{}, until {}", short(exit.ran_ms), local(at));
    for (label, value) in [
        ("ran", ran),
        ("process", details(exit)),
        ("restarts", format!("{restarts} since it was last started by hand")),
    ] {
        text.push_str(&format!("  {} {}\n", painted(&format!("{label:<12}"), Tone::Faint, colour), clean(&value)));
    }
    let title = if last_output.is_empty() { "it wrote nothing that is still there" } else { "its last output" };
    text.push_str(&format!("\n{}\n", painted(title, Tone::Faint, colour)));
    last_output.iter().for_each(|line| text.push_str(&format!("  {}\n", sanitised(line.as_bytes()))));
    text
}
