//! `completions`: a script for the shell, and the words that it asks this program for at each Tab.
//! Not here: the command line itself (`args`).

use std::ffi::OsString;
use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{Bash, CompleteEnv, EnvCompleter, Fish, Zsh};

use super::args::{Global, Line, Shell};
use super::failure::{Exit, Failure};
use super::terminal::Screen;
use super::{locate, logs};

/// Set by the script, with the name of the shell.
const VARIABLE: &str = "SUPERVISOR_COMPLETE";

pub(crate) fn completions(screen: Screen, shell: Shell) -> Result<Exit, Failure> {
    let shell: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    let failed = |error: std::io::Error| Failure::of_system("make the script", &error);
    let program = std::env::current_exe().map_err(failed)?;
    let mut script = Vec::new();
    let program = program.to_string_lossy();
    shell.write_registration(VARIABLE, "supervisor", "supervisor", &program, &mut script).map_err(failed)?;
    screen.data(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}

/// Answers the script and ends, when it was the script that started us.
pub(crate) fn answer() {
    CompleteEnv::with_factory(Line::command).var(VARIABLE).complete();
}

/// The services of the file that the line is about.
pub(super) fn services() -> Vec<CompletionCandidate> {
    names().into_iter().map(CompletionCandidate::new).collect()
}

/// Those, and the supervisor's own log.
pub(super) fn sources() -> Vec<CompletionCandidate> {
    names().into_iter().chain([logs::OWN.to_owned()]).map(CompletionCandidate::new).collect()
}

pub(super) fn signals() -> Vec<CompletionCandidate> {
    let names = nix::sys::signal::Signal::iterator().map(|signal| signal.as_str().trim_start_matches("SIG"));
    names.map(CompletionCandidate::new).collect()
}

/// A file with errors still has names.
fn names() -> Vec<String> {
    let global = Global { config: config(std::env::args_os()), quiet: true, json: false };
    if let Ok(stack) = locate::stack(&global) {
        return stack.services.iter().map(|service| service.spec.name.to_string()).collect();
    }
    let Ok(file) = locate::file(&global) else { return Vec::new() };
    let table = std::fs::read_to_string(file).ok().and_then(|text| text.parse::<toml::Table>().ok());
    let services = table.as_ref().and_then(|table| table.get("services")?.as_table());
    services.into_iter().flat_map(toml::Table::keys).cloned().collect()
}

/// The words of the line that is being completed are not parsed for us.
fn config(words: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let mut words = words.skip_while(|word| word != "--").skip(1);
    while let Some(word) = words.next() {
        if word == "--config" {
            return words.next().map(PathBuf::from);
        }
        if let Some(file) = word.to_str().and_then(|word| word.strip_prefix("--config=")) {
            return Some(PathBuf::from(file));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_the_line_counts() {
        let of = |line: &str| config(line.split_whitespace().map(OsString::from));
        assert_eq!(of("/bin/supervisor -- supervisor status --config a/b.toml ma"), Some("a/b.toml".into()));
        assert_eq!(of("/bin/supervisor -- supervisor --config=c.toml logs"), Some("c.toml".into()));
        assert_eq!(of("/bin/supervisor --config x -- supervisor logs"), None);
    }
}
