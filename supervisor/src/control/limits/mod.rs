//! What runs use against what they may: looked at once a second where the kernel does not see to it by itself, and only
//! while there is a limit to look at.
//! Not here: what is too much (`breaches`), what is done about it (the core), limits that the kernel keeps (`keeping`).

mod breaches;
mod ends;
mod hanging;
mod keeping;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use supervisor_core::{Event, ServiceName};
use tokio::sync::watch;

use super::run_loop::{Control, News};
use super::tree;
use crate::config::Limits;
use crate::platform::controllers::{Confines, Controller, Group};
use crate::platform::{self, Environments, groups, tree_memory};

pub(crate) use breaches::Watch;
pub(crate) use keeping::Renewed;

use breaches::Breach;

const LOOK: Duration = Duration::from_secs(1);
/// A look takes milliseconds. One that takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many looks may hang; each keeps one of the threads that may block.
const MOST_HANGING: usize = 3;

/// A run that is looked at.
#[derive(Debug)]
struct Subject {
    run: u64,
    pid: i32,
    limits: Limits,
    confines: Confines,
    /// The group that holds all of it.
    group: Option<PathBuf>,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Finding {
    run: u64,
    /// In bytes.
    memory: Option<u64>,
    /// Where the kernel does not see to it.
    processes: Option<u64>,
    /// Forks that the kernel has refused, where it sees to it.
    refused: Option<u64>,
    /// The kernel killed something of it, at its limit of memory.
    killed: bool,
    /// The most memory that it has used, if something was killed, in bytes.
    peak: Option<u64>,
}

impl Control {
    /// Sees to it that somebody looks, if there is anything to look at.
    pub(crate) fn look_at_limits(&mut self) {
        if self.runs.keys().any(|run| self.subject(*run).is_some()) {
            self.arm();
        }
    }

    /// The same for a run that has just begun.
    pub(crate) fn look_at_limits_of(&mut self, run: u64) {
        if self.subject(run).is_some() {
            self.arm();
        }
    }

    fn arm(&mut self) {
        if self.watch.hanging >= MOST_HANGING || std::mem::replace(&mut self.watch.armed, true) {
            return;
        }
        let news = self.news.0.clone();
        self.tasks.spawn(async move {
            tokio::time::sleep(LOOK).await;
            let _ = news.send(News::LookDue).await;
            Ok(())
        });
    }

    /// On a blocking thread: the kernel may let a reader wait for a process that hangs.
    pub(crate) fn look(&mut self) {
        let subjects: Vec<Subject> = self.runs.keys().filter_map(|run| self.subject(*run)).collect();
        let (prefix, keeper) = (self.places.cookie.clone(), self.keeper_pid);
        let (at, seen) = watch::channel(BTreeSet::new());
        let look = tokio::task::spawn_blocking(move || findings(&subjects, &prefix, keeper, &at));
        self.tasks.spawn(hanging::await_look(look, seen, PATIENCE, self.news.0.clone()));
    }

    pub(crate) fn looked(&mut self, findings: &[Finding]) {
        let of = |control: &Self, run: u64| {
            // What was found before it had other limits says nothing about these.
            let known = control.of_run(run).filter(|_| !control.watch.renewing.contains(&run));
            known.map(|service| (service.spec.name.clone(), service.launch.limits))
        };
        let services = findings.iter().filter_map(|finding| Some(of(self, finding.run)?.0)).collect();
        self.watch.begin(&findings.iter().map(|finding| finding.run).collect(), &services);
        for finding in findings {
            let Some((service, limits)) = of(self, finding.run) else { continue };
            for breach in self.watch.judge(finding, &limits) {
                self.note_breach(&service, finding.run, breach);
                if let Some(excess) = breach.excess() {
                    self.happen(Event::Overran { run: finding.run, excess });
                }
            }
        }
        self.note_calm();
        self.look_at_limits();
    }

    fn note_breach(&mut self, service: &ServiceName, run: u64, breach: Breach) {
        let generation = self.runs.get(&run).map_or(0, |run| run.record.generation);
        if self.watch.is_news(service, run, breach) {
            self.history.limit_passed(service, generation, breach.passed(), &breach.in_words());
        }
    }

    fn note_calm(&mut self) {
        let limited = |service: &ServiceName| {
            self.catalogue.current(service).is_some_and(|known| looked_at(&known.launch.limits))
        };
        for service in self.watch.calmed(limited) {
            self.history.within_limits(&service);
        }
    }

    fn subject(&self, number: u64) -> Option<Subject> {
        let limits = self.of_run(number)?.launch.limits;
        let run = self.runs.get(&number)?;
        let (confines, group) = (run.record.confines.clone(), run.record.group.clone());
        let sees =
            looked_at(&limits) && !self.watch.left_out.contains(&number) && !self.watch.renewing.contains(&number);
        run.pid.filter(|_| sees).map(|pid| Subject { run: number, pid, limits, confines, group })
    }
}

/// Is there anything that can be passed?
fn looked_at(limits: &Limits) -> bool {
    limits.memory.or(limits.memory_soft).or(limits.pids).is_some()
}

/// `at` tells of which runs processes are being looked at.
fn findings(subjects: &[Subject], prefix: &str, keeper: i32, at: &watch::Sender<BTreeSet<u64>>) -> Vec<Finding> {
    // Most runs have a group that tells who is in it; all processes are looked at only for those that have none.
    let fenced = |subject: &Subject| {
        let holds = |dir: &std::path::Path| groups::members(dir).contains(&subject.pid);
        !subject.confines.is_empty() || subject.group.as_deref().is_some_and(holds)
    };
    let mains: BTreeMap<i32, u64> =
        subjects.iter().filter(|one| !fenced(one)).map(|subject| (subject.pid, subject.run)).collect();
    at.send_replace(mains.values().copied().collect());
    let scattered = if mains.is_empty() { BTreeMap::new() } else { trees(&mains, prefix, keeper) };
    let found = subjects.iter().map(|subject| {
        at.send_replace([subject.run].into());
        let memory = subject.confines.get(&Controller::Memory);
        let members = || match (subject.confines.values().next(), &subject.group) {
            (Some(group), _) => group.members(),
            (None, Some(dir)) if fenced(subject) => groups::members(dir),
            (None, _) => scattered.get(&subject.run).cloned().unwrap_or_default(),
        };
        let least = [subject.limits.memory, subject.limits.memory_soft].into_iter().flatten().min();
        let used = |most: u64| memory.and_then(|group| group.memory()).unwrap_or_else(|| tree_memory(&members(), most));
        let counted = subject.limits.pids.filter(|_| !subject.confines.contains_key(&Controller::Pids));
        // What the machine killed is not held against it: it may help itself.
        let at_limit = |group: &&Group| group.oom_kills().is_some_and(|kills| kills > 0) && group.was_at_memory_limit();
        let killed = memory.filter(at_limit).is_some();
        Finding {
            run: subject.run,
            memory: least.map(used),
            processes: counted.map(|_| members().len() as u64),
            refused: subject.confines.get(&Controller::Pids).and_then(Group::forks_refused),
            killed,
            peak: memory.filter(|_| killed).and_then(Group::peak),
        }
    });
    found.collect()
}

/// The processes of each run: its main process, those of its session, those below them, and what lost its parent and
/// bears the cookie of the run.
fn trees(mains: &BTreeMap<i32, u64>, prefix: &str, keeper: i32) -> BTreeMap<u64, Vec<i32>> {
    let all = platform::processes();
    let parents: BTreeMap<i32, i32> = all.iter().map(|process| (process.pid, process.parent)).collect();
    let mut owners: BTreeMap<i32, Option<u64>> = BTreeMap::new();
    let mut trees: BTreeMap<u64, Vec<i32>> = BTreeMap::new();
    let mut environments = Environments::default();
    for process in &all {
        let mut chain = Vec::new();
        let (mut at, mut session) = (process.pid, process.session);
        let owner = loop {
            if let Some(known) = owners.get(&at) {
                break *known;
            }
            if let Some(run) = mains.get(&at).or_else(|| mains.get(&session)) {
                break Some(*run);
            }
            chain.push(at);
            match parents.get(&at) {
                // It lost its parent, and may be anybody's.
                Some(parent) if *parent == keeper => {
                    break tree::cookie_of(at, &mut environments)
                        .and_then(|cookie| tree::run_of_cookie(&cookie, prefix));
                }
                Some(parent) if chain.len() <= parents.len() => (at, session) = (*parent, 0),
                Some(_) | None => break None,
            }
        };
        owners.extend(chain.into_iter().chain([process.pid]).map(|pid| (pid, owner)));
        if let Some(run) = owner {
            trees.entry(run).or_default().push(process.pid);
        }
    }
    trees
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::controllers::Version;

    #[test]
    fn a_kill_far_below_the_limit_of_memory_is_not_held_against_the_run() {
        let dir = tempfile::tempdir().unwrap();
        let group = Group { dir: dir.path().to_owned(), version: Version::One };
        std::fs::write(dir.path().join("memory.oom_control"), "oom_kill 1").unwrap();
        std::fs::write(dir.path().join("memory.limit_in_bytes"), "1000").unwrap();
        let confines = Confines::from([(Controller::Memory, group)]);
        let subject = Subject { run: 1, pid: 0, limits: Limits::default(), confines, group: None };
        for (peak, killed) in [("500", false), ("990", true)] {
            std::fs::write(dir.path().join("memory.max_usage_in_bytes"), peak).unwrap();
            let found = findings(std::slice::from_ref(&subject), "", 0, &watch::Sender::new(BTreeSet::new()));
            assert_eq!(found[0].killed, killed, "at most {peak}");
        }
    }
}
