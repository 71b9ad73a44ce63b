//! Reads the files again, on a thread that may block, and finds out whether what they say can be done.
//! Not here: doing it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use supervisor_core::ServiceName;

use super::opening::{Bound, Ground};
use super::plan::{Changes, Newcomers, Plan, asks_for_restart};
use crate::config::{
    self, Changed, Diagnostic, Diagnostics, Disk, Effect, Launch, Recorded, Recorder, Service, Stack, Surroundings,
    service_changes,
};
use crate::control::api::view::Executable;
use crate::control::launch;

/// What is to be read, and what it is compared with.
#[derive(Debug)]
pub(crate) struct Errand {
    pub(crate) file: PathBuf,
    pub(crate) surroundings: Arc<Surroundings>,
    /// What is in force.
    pub(crate) said: Arc<Stack>,
    /// What was read last, in force or not.
    pub(crate) last: Arc<Recorded>,
    /// What runs, as it was when it was started.
    pub(crate) running: Vec<(ServiceName, Executable)>,
    /// Those that should run now.
    pub(crate) wanted: BTreeSet<ServiceName>,
    pub(crate) newcomers: Newcomers,
    pub(crate) ground: Ground,
    pub(crate) reason: Reason,
}

/// Why files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// They may have changed. What nobody has asked for is done with more care.
    Touched,
    /// Somebody asked.
    Asked,
}

/// What they say.
#[derive(Debug)]
pub(crate) enum Loaded {
    /// What they said before.
    Untouched,
    Rejected {
        recorded: Recorded,
        diagnostics: Diagnostics,
    },
    Accepted {
        recorded: Recorded,
        stack: Box<Stack>,
        changes: Changes,
        bound: Vec<Bound>,
    },
}

impl Errand {
    pub(crate) fn run(self) -> Loaded {
        if self.reason == Reason::Touched && self.last.holds(&mut Disk) {
            return Loaded::Untouched;
        }
        let mut recorder = Recorder::new(Disk);
        let loaded = config::load(&self.file, &self.surroundings, &mut recorder);
        let recorded = recorder.into_recorded();
        let accepted = loaded.and_then(|stack| {
            let changes = self.judge(&stack, &recorded)?;
            let bound = self.bind(&stack, &changes)?;
            Ok((stack, changes, bound))
        });
        match accepted {
            Ok((stack, changes, bound)) => Loaded::Accepted { recorded, stack: Box::new(stack), changes, bound },
            Err(diagnostics) => Loaded::Rejected { recorded, diagnostics },
        }
    }

    fn bind(&self, stack: &Stack, changes: &Changes) -> Result<Vec<Bound>, Diagnostics> {
        let plan = Plan::new(&self.said, stack, changes.clone(), &self.wanted, self.newcomers);
        self.ground.bind(&self.said, stack, &plan)
    }

    /// What is valid may still be unwise, or impossible on this machine.
    fn judge(&self, stack: &Stack, recorded: &Recorded) -> Result<Changes, Diagnostics> {
        if self.surroundings.uid == 0 {
            config::check_ownership(recorded.files(), 0).map_err(|error| {
                self.refusal(Diagnostic::of_file(&self.file, &format!("root refuses this configuration: {error}")))
            })?;
        }
        if self.reason == Reason::Touched && stack.services.is_empty() && !self.said.services.is_empty() {
            let message = "no service is left; if that is meant, `supervisor reload` does it";
            return Err(self.refusal(Diagnostic::of_file(&self.file, message)));
        }
        let old = by_name(&self.said);
        let mut changes = changes(&old, stack);
        let troubles: Vec<Diagnostic> = new_launches(&old, stack, &changes).filter_map(trouble).collect();
        if !troubles.is_empty() {
            return Err(Diagnostics { list: troubles, more: 0 });
        }
        if self.reason == Reason::Asked {
            self.add_rebuilt(stack, &mut changes);
        }
        Ok(changes)
    }

    fn refusal(&self, diagnostic: Diagnostic) -> Diagnostics {
        Diagnostics { list: vec![diagnostic], more: 0 }
    }

    /// A program that is another file than the one that runs. One that is gone does not count: a build may be under way.
    fn add_rebuilt(&self, stack: &Stack, changes: &mut Changes) {
        for (name, started) in &self.running {
            let rebuilt = launch::executable(&started.path).is_some_and(|now| now != *started);
            if rebuilt && stack.services.iter().any(|service| service.spec.name == *name) {
                let changed = Changed { key: "executable".to_owned(), effect: Effect::Restart };
                changes.entry(name.clone()).or_default().push(changed);
            }
        }
    }
}

fn by_name(stack: &Stack) -> BTreeMap<&ServiceName, &Service> {
    stack.services.iter().map(|service| (&service.spec.name, service)).collect()
}

#[cfg(test)]
pub(super) fn changes_of(old: &Stack, new: &Stack) -> Changes {
    changes(&by_name(old), new)
}

fn changes(old: &BTreeMap<&ServiceName, &Service>, stack: &Stack) -> Changes {
    let of = |new: &Service| {
        let keys = service_changes(old.get(&new.spec.name)?, new);
        (!keys.is_empty()).then(|| (new.spec.name.clone(), keys))
    };
    stack.services.iter().filter_map(of).collect()
}

/// Services that are launched for the first time, or in another way than before.
fn new_launches<'a>(
    old: &'a BTreeMap<&ServiceName, &Service>,
    stack: &'a Stack,
    changes: &'a Changes,
) -> impl Iterator<Item = &'a Service> {
    stack.services.iter().filter(move |service| {
        let name = &service.spec.name;
        changes.get(name).map_or_else(|| !old.contains_key(name), |keys| asks_for_restart(keys))
    })
}

/// Why a service could not be started here.
fn trouble(service: &Service) -> Option<Diagnostic> {
    let name = &service.spec.name;
    let why = unlaunchable(&service.launch)?;
    Some(Diagnostic::at(&service.at, &format!("service `{name}` could not be started: {why}")))
}

fn unlaunchable(launch: &Launch) -> Option<String> {
    if !launch.cwd.is_dir() {
        return Some(format!("cwd: there is no directory `{}`", launch.cwd.display()));
    }
    if let Err(error) = launch::identity(launch) {
        return Some(error.to_string());
    }
    let argv0 = launch.command.first()?.render(1);
    match launch::program(launch, &argv0, &launch::path_of(launch)) {
        Ok(program) if program.is_file() => None,
        Ok(program) => Some(format!("there is no program `{}`", program.display())),
        Err(error) => Some(error.to_string()),
    }
}
