//! `why`: everything about one service on one screen, for someone who was woken up by it.
//! Not here: finding it out (`report`), the screen (`page`).

mod advice;
mod exit;
mod next;
mod page;
mod ports;
mod report;

use super::args::Global;
use super::events::Printer;
use super::failure::{Exit, Failure};
use super::locate;
use super::terminal::Screen;
use crate::client::ClientError;
use crate::journal::{Files, Filter, Since};

pub(crate) fn why(global: &Global, screen: Screen, name: &str, end: Option<u64>) -> Result<Exit, Failure> {
    let place = locate::place(global)?;
    if let Some(number) = end {
        return exit::one(&place, screen, name, number);
    }
    let status = match place.client.status_with_resources() {
        Ok(status) => status,
        Err(error @ ClientError::NotRunning(_)) => return past(&place, screen, name, error.into()),
        Err(error) => return Err(error.into()),
    };
    place.warn_of_rejection(&status, screen);
    let report = report::gather(&place, &status, name)?;
    if screen.json {
        let json = serde_json::to_string_pretty(&report).map_err(|error| Failure::of_system("write JSON", &error))?;
        screen.data(&format!("{json}\n"));
    } else if !screen.quiet {
        screen.data(&page::page(&report, screen));
    }
    let service = &report.service;
    Ok(if service.state.is_well() || !service.wanted { Exit::Done } else { Exit::Failed })
}

/// No supervisor runs: what the journal holds of the service may still say why.
fn past(place: &locate::Place, screen: Screen, name: &str, failure: Failure) -> Result<Exit, Failure> {
    const LAST: usize = 10;
    let Ok(stack) = &place.stack else { return Err(failure) };
    let service = locate::one_named(stack, name)?.spec.name.clone();
    let filter = Filter { services: vec![service], kinds: Vec::new() };
    let page = Files::new(&stack.state_dir).page(Since::Newest, &filter, LAST, []).unwrap_or_default();
    if screen.json || screen.quiet {
        return Err(failure);
    }
    if !page.events.is_empty() {
        screen.data(&format!("what happened to {name} last\n"));
        Printer::new(place, &filter, screen).print(&page.events);
    }
    if let Some(report) = exit::reports(place, name)?.first() {
        screen.data(&format!("\n{}", exit::page(report, screen.colour)));
    }
    Err(failure)
}
