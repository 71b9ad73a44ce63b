//! What runs use against what they may: looked at once a second where the kernel does not see to it by itself, and only
//! while there is a limit to look at.
//! Not here: what is done about too much (the core), and the kernel's own limits (`platform::controllers`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use supervisor_core::{Event, Excess, OutOfMemory};
use supervisor_keeper::Exited;

use super::run_loop::{Control, News};
use super::tree;
use crate::config::Limits;
use crate::platform::controllers::{Confines, Controller};
use crate::platform::{self, groups, tree_memory};

const LOOK: Duration = Duration::from_secs(1);
/// So many looks in a row must find more than the soft limit: a short peak is no reason to replace anything.
const SOFT_LOOKS: u32 = 3;
const SIGKILL: i32 = 9;

/// What is needed from one look to the next.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// A look is under way, or due.
    armed: bool,
    /// Looks in a row that found more than the soft limit, by run.
    over: BTreeMap<u64, u32>,
}

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
    processes: Option<u64>,
    /// The kernel killed something of it.
    killed: bool,
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
        if std::mem::replace(&mut self.watch.armed, true) {
            return;
        }
        let news = self.news.0.clone();
        self.tasks.spawn(async move {
            tokio::time::sleep(LOOK).await;
            let _ = news.send(News::LookDue).await;
            Ok(())
        });
    }

    /// On a blocking thread, and never on two: the kernel may let a reader wait for a process that hangs.
    pub(crate) fn look(&mut self) {
        let subjects: Vec<Subject> = self.runs.keys().filter_map(|run| self.subject(*run)).collect();
        let (news, prefix, keeper) = (self.news.0.clone(), self.places.cookie.clone(), self.keeper_pid);
        self.tasks.spawn_blocking(move || {
            let _ = news.blocking_send(News::Looked(findings(&subjects, &prefix, keeper)));
            Ok(())
        });
    }

    pub(crate) fn looked(&mut self, findings: &[Finding]) {
        self.watch.armed = false;
        self.watch.over.retain(|run, _| findings.iter().any(|finding| finding.run == *run));
        for finding in findings {
            let Some(limits) = self.of_run(finding.run).map(|service| service.launch.limits) else { continue };
            if let Some(excess) = self.watch.judge(finding, &limits) {
                self.happen(Event::Overran { run: finding.run, excess });
            }
        }
        self.look_at_limits();
    }

    fn subject(&self, number: u64) -> Option<Subject> {
        let limits = self.of_run(number)?.launch.limits;
        let run = self.runs.get(&number)?;
        let by_kernel = run.record.confines.contains_key(&Controller::Pids);
        let looked_at = limits.memory.or(limits.memory_soft).or(limits.pids.filter(|_| !by_kernel));
        let (confines, group) = (&run.record.confines, &run.record.group);
        looked_at.and(run.pid).map(|pid| Subject {
            run: number,
            pid,
            limits,
            confines: confines.clone(),
            group: group.clone(),
        })
    }

    /// What the configuration says now counts for what runs, too.
    pub(crate) fn renew_limits(&mut self) {
        for (number, run) in &self.runs {
            let Some(service) = self.of_run(*number).filter(|_| run.pid.is_some()) else { continue };
            for (controller, group) in &run.record.confines {
                if let Err(error) = group.set(*controller, &service.launch.limits.most()) {
                    let (service, limit) = (&run.record.service, controller.as_str());
                    tracing::warn!(%service, limit, %error, "a limit cannot be changed while it runs");
                }
            }
        }
        self.look_at_limits();
    }

    /// Whether the end of a main process looks like one for want of memory.
    pub(crate) fn out_of_memory(&self, exited: &Exited) -> Option<OutOfMemory> {
        let run = self.runs.get(&exited.run)?;
        let counted = run.record.confines.get(&Controller::Memory);
        if let Some(group) = counted.filter(|group| group.oom_kills().is_some_and(|kills| kills > 0)) {
            return Some(if group.was_at_memory_limit() { OutOfMemory::Limit } else { OutOfMemory::Machine });
        }
        if exited.signal != Some(SIGKILL) || counted.is_some_and(|group| group.oom_kills().is_some()) {
            return None;
        }
        // What the machine as a whole has not done, it has not done to this one.
        let (before, now) = (run.record.oom_kills?, platform::machine_oom_kills()?);
        if now == before {
            return None;
        }
        let view = self.view.load();
        let runs = || view.services.iter().flat_map(|service| &service.generations).map(|one| &one.run);
        let began = runs().find(|one| one.run == exited.run).map_or(0, |one| one.started.0);
        match platform::was_oom_killed(exited.pid, began.saturating_mul(1000)) {
            Some(true) => Some(OutOfMemory::Machine),
            Some(false) => None,
            None => Some(OutOfMemory::Unknown),
        }
    }
}

impl Watch {
    fn judge(&mut self, finding: &Finding, limits: &Limits) -> Option<Excess> {
        let more = |used: Option<u64>, most: Option<u64>| used.zip(most).filter(|(used, most)| used > most);
        if let Some((used, most)) = more(finding.memory, limits.memory) {
            return Some(Excess::Hard(words("limits.memory", used, most)));
        }
        if finding.killed {
            let most = limits.memory.map(size).unwrap_or_default();
            return Some(Excess::Hard(format!("one of its processes was killed at `limits.memory` ({most})")));
        }
        if let Some((count, most)) = more(finding.processes, limits.pids) {
            return Some(Excess::Hard(format!("has {count} processes, more than `limits.pids` ({most})")));
        }
        let Some((used, most)) = more(finding.memory, limits.memory_soft) else {
            self.over.remove(&finding.run);
            return None;
        };
        let looks = self.over.entry(finding.run).or_default();
        *looks = looks.saturating_add(1);
        (*looks >= SOFT_LOOKS).then(|| Excess::Soft(words("limits.memory_soft", used, most)))
    }
}

fn words(key: &str, used: u64, most: u64) -> String {
    format!("uses {} of memory, more than `{key}` ({})", size(used), size(most))
}

/// As the file says sizes: `80MiB`, `1536KiB`; what is measured, rounded up.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{}KiB", bytes.div_ceil(1 << 10)),
        exact if exact % (1 << 30) == 0 => format!("{}GiB", exact >> 30),
        bytes => format!("{}MiB", bytes.div_ceil(1 << 20)),
    }
}

fn findings(subjects: &[Subject], prefix: &str, keeper: i32) -> Vec<Finding> {
    // Most runs have a group that tells who is in it; all processes are looked at only for those that have none.
    let fenced = |subject: &Subject| {
        let holds = |dir: &std::path::Path| groups::members(dir).contains(&subject.pid);
        !subject.confines.is_empty() || subject.group.as_deref().is_some_and(holds)
    };
    let mains: BTreeMap<i32, u64> =
        subjects.iter().filter(|one| !fenced(one)).map(|subject| (subject.pid, subject.run)).collect();
    let scattered = if mains.is_empty() { BTreeMap::new() } else { trees(&mains, prefix, keeper) };
    let found = subjects.iter().map(|subject| {
        let memory = subject.confines.get(&Controller::Memory);
        let members = || match (subject.confines.values().next(), &subject.group) {
            (Some(group), _) => group.members(),
            (None, Some(dir)) if fenced(subject) => groups::members(dir),
            (None, _) => scattered.get(&subject.run).cloned().unwrap_or_default(),
        };
        let least = [subject.limits.memory, subject.limits.memory_soft].into_iter().flatten().min();
        let used = |most: u64| memory.and_then(|group| group.memory()).unwrap_or_else(|| tree_memory(&members(), most));
        let counted = subject.limits.pids.filter(|_| !subject.confines.contains_key(&Controller::Pids));
        Finding {
            run: subject.run,
            memory: least.map(used),
            processes: counted.map(|_| members().len() as u64),
            killed: memory.and_then(|group| group.oom_kills()).is_some_and(|kills| kills > 0),
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
                    break tree::cookie_of(at).and_then(|cookie| tree::run_of_cookie(&cookie, prefix));
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
#[path = "limits_tests.rs"]
mod tests;
