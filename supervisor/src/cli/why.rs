//! `why`: everything about one service on one screen, for someone who was woken up by it.
//! Not here: finding it out (`report`), the screen (`page`).

mod advice;
mod next;
mod page;
mod ports;
mod report;

use super::args::Global;
use super::failure::{Exit, Failure};
use super::locate;
use super::terminal::Screen;

pub(crate) fn why(global: &Global, screen: Screen, name: &str) -> Result<Exit, Failure> {
    let place = locate::place(global)?;
    place.warn_of_rejection(&place.client.status()?, screen);
    let report = report::gather(&place, name)?;
    if screen.json {
        let json = serde_json::to_string_pretty(&report).map_err(|error| Failure::of_system("write JSON", &error))?;
        screen.data(&format!("{json}\n"));
    } else if !screen.quiet {
        screen.data(&page::page(&report, screen.colour));
    }
    let service = &report.service;
    Ok(if service.state.is_well() || !service.wanted { Exit::Done } else { Exit::Failed })
}
