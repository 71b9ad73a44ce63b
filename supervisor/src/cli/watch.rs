//! `status --watch`: the table, drawn again every second on a terminal; elsewhere printed when something changed.
//! Not here: the table (`status`), the terminal (`live`).

use std::time::Duration;

use supervisor_core::HealthStatus;

use super::args::{Global, Status};
use super::failure::{Exit, Failure};
use super::live::{self, Live, Wake};
use super::locate;
use super::output::clean;
use super::status::{chosen, page};
use super::table::{Tone, painted};
use super::terminal::Screen;
use crate::api::StatusDocument;
use crate::client::{Client, ClientError};

const PAUSE: Duration = Duration::from_secs(1);

pub(crate) fn watch(global: &Global, screen: Screen, status: &Status) -> Result<Exit, Failure> {
    if screen.quiet {
        return Err(Failure::new(Exit::Usage, "`--watch` shows and `--quiet` hides: use one of them"));
    }
    let place = locate::place(global)?;
    let client = place.client;
    let first = client.status_with_resources()?;
    chosen(&first, &status.services)?;
    // ^C must not wait for one that hangs.
    let client = client.hasty();
    if screen.json || !live::possible() {
        return print_changes(&client, screen, status, &first);
    }
    let mut last = frame(&first, status, screen);
    let mut live = Live::enter().map_err(|error| Failure::of_system("take the terminal", &error))?;
    let mut next: Result<_, ClientError> = Ok(first);
    loop {
        let screen = Screen::new(screen.quiet, screen.json);
        match &next {
            Ok(document) => {
                last = frame(document, status, screen);
                live.draw(&last);
            }
            // What is known stays; why it is old stands above it.
            Err(error) => {
                let why = painted(&clean(&error.to_string()), Tone::Bad, screen.colour);
                live.draw(&format!("{why}\n{last}"));
            }
        }
        if live.wait(PAUSE) == Wake::End {
            drop(live);
            screen.data(&last);
            return Ok(Exit::Done);
        }
        next = client.status_with_resources();
    }
}

/// Until nobody reads it.
fn print_changes(client: &Client, screen: Screen, status: &Status, first: &StatusDocument) -> Result<Exit, Failure> {
    let mut shown: Option<(i32, u64)> = None;
    let mut next = Ok(first.clone());
    loop {
        match next {
            Ok(document) => {
                let version = Some((document.supervisor.keeper_pid, document.supervisor.view));
                if version != shown {
                    if screen.json {
                        let json = serde_json::to_string(&document);
                        screen.data(&format!("{}\n", json.map_err(|error| Failure::of_system("write JSON", &error))?));
                    } else {
                        let gap = if shown.is_some() { "\n" } else { "" };
                        screen.data(&format!("{gap}{}", frame(&document, status, screen)));
                    }
                    shown = version;
                }
            }
            // Control may be about to be replaced.
            Err(ClientError::Broken(..) | ClientError::Timeout(_)) => {}
            Err(error) => return Err(error.into()),
        }
        std::thread::sleep(PAUSE);
        next = client.status_with_resources();
    }
}

fn frame(document: &StatusDocument, status: &Status, screen: Screen) -> String {
    // One that was there at first may be gone: then all of what is left is shown.
    let services = chosen(document, &status.services).unwrap_or_else(|_| document.services.iter().collect());
    let tone = match document.supervisor.health {
        HealthStatus::Healthy => Tone::Good,
        HealthStatus::Degraded => Tone::Busy,
        HealthStatus::Unhealthy => Tone::Bad,
    };
    let health = match document.supervisor.health {
        HealthStatus::Healthy => "healthy",
        HealthStatus::Degraded => "degraded",
        HealthStatus::Unhealthy => "unhealthy",
    };
    let health = painted(health, tone, screen.colour);
    let name = clean(&document.supervisor.name);
    let rejection = locate::rejection(document).map(|why| painted(&why, Tone::Bad, screen.colour) + "\n");
    let rejection = rejection.unwrap_or_default();
    format!("{name}: {health}\n{rejection}\n{}", page(document, &services, screen))
}
