//! `logs`: the last lines of log files, read directly, so that it works when nothing runs.
//! Not here: following them (`follow`).

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use super::args::{Global, Logs};
use super::failure::{Exit, Failure};
use super::follow;
use super::locate;
use super::output::{Paper, Prefixer};
use super::terminal::{Screen, write};
use crate::config::Stack;
use crate::control::log_paths;

/// Of one log; a terminal shows no more.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// The name of the supervisor's own log.
pub(super) const OWN: &str = "supervisor";

/// A log, and how it is shown.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// `None`: the bytes as they are.
    pub(crate) prefixer: Option<Prefixer>,
}

pub(crate) fn logs(global: &Global, screen: Screen, logs: &Logs) -> Result<Exit, Failure> {
    let stack = locate::stack(global)?;
    let files = chosen(&stack, &logs.services)?;
    let paper = if io::stdout().is_terminal() && !logs.raw { Paper::Terminal } else { Paper::File };
    let several = files.len() > 1;
    let width = files.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut sources: Vec<Source> = files
        .into_iter()
        .map(|(name, path)| {
            let place = stack.services.iter().position(|service| service.spec.name.as_str() == name);
            let prefixer = match (several, place, paper) {
                (true, Some(place), _) => Some(Prefixer::new(&name, place, width, paper)),
                (true, None, _) => Some(Prefixer::own(width, paper)),
                (false, _, Paper::Terminal) => Some(Prefixer::nameless()),
                (false, _, Paper::File) => None,
            };
            Source { name, path, prefixer }
        })
        .collect();
    if logs.follow {
        return follow::follow(sources, logs.lines);
    }
    let mut exit = Exit::Done;
    for source in &mut sources {
        match supervisor_logs::tail(&source.path, logs.lines, MAX_BYTES) {
            Ok(text) => source.show(&text),
            Err(error) => {
                screen.complain(&format!("error: failed to read {}: {error}", source.path.display()));
                exit = Exit::Failed;
            }
        }
    }
    Ok(exit)
}

impl Source {
    fn show(&mut self, text: &[u8]) {
        match &mut self.prefixer {
            None => write(io::stdout().lock(), text),
            Some(prefixer) => {
                let mut lines = prefixer.lines(text);
                lines.extend(prefixer.finish());
                write(io::stdout().lock(), &lines);
            }
        }
    }
}

/// Name and path of each log that is meant.
fn chosen(stack: &Stack, names: &[String]) -> Result<Vec<(String, PathBuf)>, Failure> {
    let mut files = Vec::new();
    if names.is_empty() {
        for service in &stack.services {
            files.extend(log_paths(&service.launch).into_iter().map(|path| (service.spec.name.to_string(), path)));
        }
    }
    for name in names {
        match locate::one_named(stack, name) {
            Ok(service) => files.extend(log_paths(&service.launch).into_iter().map(|path| (name.clone(), path))),
            Err(_) if name == OWN => files.push((name.clone(), stack.logs_dir.join("supervisor.log"))),
            Err(unknown) => return Err(unknown),
        }
    }
    Ok(files)
}
