//! The files that services were started from, held with the keeper: whatever lies at the path of a program meanwhile, a
//! crash is followed by the same bytes, and a rollback by those before. Only who asks for it gets another file.
//! Not here: finding a program (`launch`), running it (the keeper).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use supervisor_core::{Event, ServiceName};
use supervisor_keeper::Request;
use tokio::task::JoinSet;

use crate::control::api::view::Executable;
use crate::control::launch::{executable, executable_of};
use crate::control::run_loop::{Control, News};

/// A look at programs takes no longer; a dead disk does not keep a restart from being begun.
const PATIENCE: Duration = Duration::from_secs(2);
const HELD: &str = "program/";

/// By service, and the revision in which its launch last changed.
#[derive(Debug, Default)]
pub(crate) struct Programs(BTreeMap<(ServiceName, u64), Arc<OwnedFd>>);

impl Programs {
    /// Those that an earlier control left.
    pub(crate) fn recovered(held: &mut BTreeMap<String, OwnedFd>) -> Self {
        let ours: Vec<String> = held.keys().filter(|name| name.starts_with(HELD)).cloned().collect();
        let of = |name: &str| {
            let (service, revision) = name.strip_prefix(HELD)?.split_once('/')?;
            Some((ServiceName::new(service).ok()?, revision.parse().ok()?))
        };
        Self(ours.iter().filter_map(|name| Some((of(name)?, Arc::new(held.remove(name)?)))).collect())
    }

    pub(crate) fn of(&self, service: &ServiceName, revision: u64) -> Option<&Arc<OwnedFd>> {
        self.0.get(&(service.clone(), revision))
    }

    pub(crate) fn add(&mut self, service: &ServiceName, revision: u64, program: Arc<OwnedFd>) {
        self.0.insert((service.clone(), revision), program);
    }

    /// Lets go of those that are not meant, and gives their names with the keeper.
    fn remove(&mut self, meant: impl Fn(&ServiceName, u64) -> bool) -> Vec<String> {
        let gone = self.0.extract_if(.., |(service, revision), _| meant(service, *revision));
        gone.map(|((service, revision), _)| held_name(&service, revision)).collect()
    }
}

/// The name under which the keeper holds the program of a revision.
pub(crate) fn held_name(service: &ServiceName, revision: u64) -> String {
    format!("{HELD}{service}/{revision}")
}

/// Whatever it is: it is not read, and its opening waits for nothing.
pub(crate) fn open(path: &Path) -> io::Result<OwnedFd> {
    use nix::fcntl::{OFlag, open};
    #[cfg(target_os = "linux")]
    let how = OFlag::O_PATH | OFlag::O_CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let how = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    Ok(open(path, how, nix::sys::stat::Mode::empty())?)
}

/// It is to be run by its descriptor: another file lies at its path, or none. A script is left to its path, which its
/// interpreter opens.
pub(crate) fn has_moved(program: &OwnedFd, path: &Path) -> bool {
    let there = executable(path).is_some_and(|there| is_at(program, &there));
    cfg!(target_os = "linux") && !there && !is_script(program)
}

fn is_at(program: &OwnedFd, there: &Executable) -> bool {
    executable_of(program, &there.path).is_none_or(|own| (own.device, own.inode) == (there.device, there.inode))
}

fn is_script(program: &OwnedFd) -> bool {
    let mut start = [0; 2];
    // One that may be run, but not read, is no script.
    let read =
        File::open(format!("/proc/self/fd/{}", program.as_raw_fd())).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == *b"#!"
}

/// What is to be looked at before a restart.
struct Look {
    service: ServiceName,
    running: Executable,
    /// What the newest plan would start.
    planned: Option<Arc<OwnedFd>>,
}

impl Look {
    /// A program that is gone does not count: a build may be under way.
    fn is_rebuilt(&self) -> bool {
        executable(&self.running.path).is_some_and(|there| {
            there != self.running || self.planned.as_ref().is_some_and(|planned| !is_at(planned, &there))
        })
    }
}

impl Control {
    /// Somebody asks for it, so each of them gets the program that lies at its path now.
    pub(crate) fn restart(&mut self, services: Vec<ServiceName>) {
        let (mut looks, mut at_once) = (Vec::new(), Vec::new());
        for service in services {
            match self.running_program(&service) {
                Some(running) => {
                    let revision = self.catalogue.current(&service).map_or(0, |current| current.spec.revision);
                    let planned = self.programs.of(&service, revision).cloned();
                    looks.push(Look { service, running, planned });
                }
                None => {
                    self.forget_programs(&service);
                    at_once.push(service);
                }
            }
        }
        if !at_once.is_empty() {
            self.happen(Event::RestartRequested(at_once));
        }
        if looks.is_empty() {
            return;
        }
        let news = self.news.0.clone();
        let services: Vec<ServiceName> = looks.iter().map(|look| look.service.clone()).collect();
        let mut looking = JoinSet::new();
        for look in looks {
            let service = look.service.clone();
            let is_rebuilt = self.threads.run(&service, PATIENCE, move || look.is_rebuilt());
            looking.spawn(async move { (service, is_rebuilt.await.unwrap_or(false)) });
        }
        self.tasks.spawn(async move {
            let seen = looking.join_all().await;
            let rebuilt = seen.into_iter().filter(|(_, is_rebuilt)| *is_rebuilt).map(|(service, _)| service).collect();
            let _ = news.send(News::ProgramsSeen { services, rebuilt }).await;
            Ok(())
        });
    }

    /// Somebody wants these started. What runs goes on, and the others get the program that lies at their path now.
    pub(crate) fn start_anew(&mut self, services: &[ServiceName]) {
        for service in services {
            if self.running_program(service).is_none() {
                self.forget_programs(service);
            }
        }
    }

    /// Of a service that should run and does.
    fn running_program(&mut self, service: &ServiceName) -> Option<Executable> {
        let snapshots = self.fleet.snapshot();
        let run = snapshots.iter().find(|one| one.name == *service && one.wanted)?.run.as_ref()?.run;
        self.runs.get(&run)?.record.executable.clone()
    }

    /// The programs have been looked at. Who has stopped a service meanwhile does not want it restarted.
    pub(crate) fn programs_seen(&mut self, services: Vec<ServiceName>, rebuilt: &BTreeSet<ServiceName>) {
        let wanted = self.wanted();
        if !rebuilt.is_empty() {
            self.renew_programs(rebuilt);
        }
        let services: Vec<ServiceName> = services.into_iter().filter(|service| wanted.contains(service)).collect();
        if !services.is_empty() {
            self.happen(Event::RestartRequested(services));
        }
    }

    /// The next start of this service is a new beginning.
    pub(crate) fn forget_programs(&mut self, service: &ServiceName) {
        let names = self.programs.remove(|of, _| of == service);
        self.drop_programs(names);
    }

    /// It was opened for a start that no process came of: nobody has seen it, and the next try looks at its path again.
    pub(crate) fn forget_unborn_program(&mut self, service: &ServiceName, revision: u64) {
        let of_it = |run: &crate::control::run::Run| run.record.service == *service && run.record.revision == revision;
        if !self.runs.values().any(|run| run.pid.is_some() && of_it(run)) {
            let names = self.programs.remove(|of, number| of == service && number == revision);
            self.drop_programs(names);
        }
    }

    /// Lets go of those of configurations that are not known any more.
    pub(crate) fn prune_programs(&mut self) {
        let catalogue = &self.catalogue;
        let names = self.programs.remove(|service, revision| catalogue.of(service, revision).is_none());
        self.drop_programs(names);
    }

    fn drop_programs(&mut self, names: Vec<String>) {
        if !names.is_empty() && !self.fleet.shutting_down() {
            self.ask_keeper("let go of programs", &Request::Drop { names });
        }
    }
}
