//! Which stack a command is about: its file, its directories, and the supervisor that may run it.
//! Not here: what is asked of it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use supervisor_core::ServiceName;

use super::args::Global;
use super::clock::local;
use super::failure::{Exit, Failure};
use super::list;
use super::output::clean;
use super::terminal::Screen;
use crate::api::StatusDocument;
use crate::client::Client;
use crate::config::{self, Diagnostic, Diagnostics, Disk, Recorded, Recorder, Service, Stack, Surroundings};
use crate::state;

/// The file that `--config` or the current directory leads to, absolute.
pub(crate) fn file(global: &Global) -> Result<PathBuf, Failure> {
    let here = std::env::current_dir().map_err(|error| Failure::of_system("find the current directory", &error))?;
    if let Some(given) = &global.config {
        return Ok(config::located(&here.join(given)));
    }
    config::find(&here).ok_or_else(|| {
        let mut message = format!(
            "there is no supervisor.toml in {} or above; name one with --config, or write it:\n\n  [services.web]\n  \
             command = [\"node\", \"server.js\"]\n",
            here.display()
        );
        let running = list::running(&Surroundings::of_process());
        if !running.is_empty() {
            message.push_str("\nstacks that run:");
        }
        for stack in running {
            message.push_str(&format!(
                "\n  {}  {}",
                stack.status.supervisor.name,
                stack.status.supervisor.file.display()
            ));
        }
        Failure::new(Exit::Usage, message)
    })
}

/// The whole configuration, for commands that need it.
pub(crate) fn stack(global: &Global) -> Result<Stack, Failure> {
    load(&file(global)?).map_err(|diagnostics| Failure::new(Exit::Usage, diagnostics))
}

/// As `stack`, for commands that are about to run what it says: as root, nobody else may have a say in it.
pub(crate) fn trusted_stack(global: &Global) -> Result<Stack, Failure> {
    trusted(global).map(|(stack, ..)| stack)
}

/// The same, with what it was made of.
pub(crate) fn trusted(global: &Global) -> Result<(Stack, Recorded, Surroundings), Failure> {
    let file = file(global)?;
    let surroundings = Surroundings::of_process();
    let mut recorder = Recorder::new(Disk);
    let stack = config::load(&file, &surroundings, &mut recorder);
    let recorded = recorder.into_recorded();
    if surroundings.uid == 0 {
        config::check_ownership(recorded.files(), 0)
            .map_err(|error| Failure::new(Exit::Usage, format!("root refuses this configuration: {error}")))?;
    }
    let stack = stack.map_err(|diagnostics| Failure::new(Exit::Usage, diagnostics))?;
    Ok((stack, recorded, surroundings))
}

fn load(file: &Path) -> Result<Stack, Diagnostics> {
    config::load(file, &Surroundings::of_process(), &mut Disk)
}

/// A stack to ask something of. Its file may have been broken since it was started.
pub(crate) struct Place {
    pub(crate) client: Client,
    pub(crate) stack: Result<Stack, Diagnostics>,
}

/// Where the supervisor of this stack answers, if it runs.
pub(crate) fn place(global: &Global) -> Result<Place, Failure> {
    let file = file(global)?;
    let stack = load(&file);
    let runtime_dir = match &stack {
        Ok(stack) => Some(running_dir(stack)),
        Err(_) => runtime_dir_of(&file),
    };
    match (runtime_dir, stack) {
        (Some(runtime_dir), stack) => Ok(Place { client: client(&runtime_dir)?, stack }),
        (None, Err(diagnostics)) => Err(Failure::new(Exit::Usage, diagnostics)),
        (None, Ok(stack)) => Ok(Place { client: client(&stack.runtime_dir)?, stack: Ok(stack) }),
    }
}

/// Where the supervisor of this file answers: another place than the file says now, if its name was changed since, or
/// if it was started in a session with another runtime directory.
pub(crate) fn running_dir(stack: &Stack) -> PathBuf {
    let said = &stack.runtime_dir;
    let noted = || state::noted_runtime_dir(&stack.state_dir);
    let answering = |dir: &PathBuf| dir.join("api.sock").exists();
    if let Some(dir) = Some(said.clone()).filter(answering).or_else(|| noted().filter(answering)) {
        return dir;
    }
    runs(&stack.file).unwrap_or_else(|| said.clone())
}

/// Where one answers that says that it runs this file. Root is told by the file's owner's, too.
fn runs(file: &Path) -> Option<PathBuf> {
    let us = Surroundings::of_process();
    let owner = std::fs::metadata(file).map_or(us.uid, |meta| meta.uid());
    let theirs = (us.uid == 0 && owner != 0).then(|| Surroundings::of_user(owner));
    let all = [us].into_iter().chain(theirs).flat_map(|surroundings| list::running(&surroundings));
    all.into_iter().find(|stack| stack.status.supervisor.file == file).map(|stack| stack.runtime_dir)
}

pub(crate) fn client(runtime_dir: &Path) -> Result<Client, Failure> {
    Client::new(runtime_dir).map_err(|error| Failure::of_system("prepare a connection", &error))
}

/// Of a file that does not load: what it says all the same, else who says that it runs this file.
fn runtime_dir_of(file: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    // The line that says it is mostly as it was.
    let said = text.lines().find_map(|line| {
        let line = line.trim_start().strip_prefix("supervisor.").unwrap_or(line).trim_start();
        let table = line.starts_with("runtime_dir").then(|| line.parse::<toml::Table>().ok())??;
        let dir = table.get("runtime_dir")?.as_str()?.to_owned();
        (dir != "auto" && !dir.contains('$')).then(|| file.parent().unwrap_or(Path::new("/")).join(dir))
    });
    said.or_else(|| runs(file))
}

impl Place {
    /// Heads the output while the files say what cannot be.
    pub(crate) fn warn_of_rejection(&self, status: &StatusDocument, screen: Screen) {
        if let Some(rejection) = rejection(status) {
            screen.complain(&format!("warning: {rejection}"));
        } else if let Err(diagnostics) = &self.stack {
            let text = diagnostics.to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            screen.complain(&format!("warning: the file has an error; what runs is older: {text}"));
        }
    }
}

/// What the files say is not in force, and why.
pub(crate) fn rejection(status: &StatusDocument) -> Option<String> {
    let config = &status.config;
    let rejected = config.rejected.as_ref()?;
    let first = rejected.errors.first().map(Diagnostic::in_short).unwrap_or_default();
    let more = match rejected.errors.len().saturating_sub(1) + rejected.more {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    let (at, loaded_at, first) = (local(&rejected.at), local(&config.loaded_at), clean(&first));
    Some(format!("the configuration was rejected at {at}; what is in force was loaded at {loaded_at}\n  {first}{more}"))
}

/// Names from the command line, as services of this stack.
pub(crate) fn named<'a>(stack: &'a Stack, names: &[String]) -> Result<Vec<&'a Service>, Failure> {
    names.iter().map(|name| one_named(stack, name)).collect()
}

pub(crate) fn one_named<'a>(stack: &'a Stack, name: &str) -> Result<&'a Service, Failure> {
    let found = stack.services.iter().find(|service| service.spec.name.as_str() == name);
    found.ok_or_else(|| unknown(name, stack.services.iter().map(|service| service.spec.name.as_str())))
}

/// There is no service of this name, but there are `all` of these.
pub(crate) fn unknown<'a>(name: &str, all: impl Iterator<Item = &'a str>) -> Failure {
    let shown = all.take(20).collect::<Vec<_>>().join(", ");
    Failure::new(Exit::Usage, format!("there is no service `{}`; there are: {shown}", clean(name)))
}

/// Names from the command line, for the API, which knows what runs.
pub(crate) fn names(names: &[String]) -> Result<Vec<ServiceName>, Failure> {
    let parsed = names.iter().map(|name| {
        ServiceName::new(name).map_err(|error| Failure::new(Exit::Usage, format!("`{}`: {error}", clean(name))))
    });
    parsed.collect()
}
