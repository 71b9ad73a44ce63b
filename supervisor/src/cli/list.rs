//! Every stack of this user that runs.
//! Not here: stacks whose `runtime_dir` and `state_dir` were chosen by hand; nobody but their file knows where these are.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::failure::{Exit, Failure};
use super::output::clean;
use super::table::{Cell, render};
use super::terminal::Screen;
use crate::api::StatusDocument;
use crate::client::Client;
use crate::config::Surroundings;
use crate::state;

/// A stack that answers.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) runtime_dir: PathBuf,
    pub(crate) status: StatusDocument,
}

/// All that answer, by their directories.
pub(crate) fn running(surroundings: &Surroundings) -> Vec<Running> {
    let within = |base: &PathBuf| {
        let entries = std::fs::read_dir(base).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path())).collect::<Vec<_>>()
    };
    // Those of other sessions are known by their state.
    let noted = surroundings.state_base.iter().flat_map(within).filter_map(|dir| state::noted_runtime_dir(&dir));
    let dirs = surroundings.runtime_bases.iter().flat_map(within).chain(noted);
    let dirs: BTreeSet<PathBuf> = dirs.filter(|dir| dir.join("api.sock").exists()).collect();
    let answers = dirs.into_iter().filter_map(|runtime_dir| {
        let status = Client::prober(&runtime_dir).ok()?.status().ok()?;
        Some(Running { runtime_dir, status })
    });
    answers.collect()
}

pub(crate) fn list(screen: Screen) -> Result<Exit, Failure> {
    let running = running(&Surroundings::of_process());
    if screen.json {
        let all: Vec<_> = running.iter().map(|stack| &stack.status.supervisor).collect();
        let document = serde_json::json!({ "schema_version": crate::api::SCHEMA_VERSION, "stacks": all });
        screen.data(&format!("{document:#}\n"));
        return Ok(Exit::Done);
    }
    if running.is_empty() {
        screen.tell("no stack of this user runs\n");
        return Ok(Exit::Done);
    }
    let rows: Vec<_> = running.iter().map(|stack| row(&stack.status)).collect();
    screen.show(&render(["NAME", "PID", "SERVICES", "FILE"], &rows, screen.width, screen.colour));
    Ok(Exit::Done)
}

fn row(status: &StatusDocument) -> [Cell; 4] {
    let well = status.services.iter().filter(|service| service.state.is_well());
    [
        Cell::plain(clean(&status.supervisor.name)),
        Cell::plain(status.supervisor.keeper_pid.to_string()),
        Cell::plain(format!("{}/{} well", well.count(), status.services.len())),
        Cell::plain(clean(&status.supervisor.file.display().to_string())),
    ]
}
