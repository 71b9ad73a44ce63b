//! Control groups that keep a run within its limits: of version 2 where it has the controllers, else of version 1.
//! Not here: what the limits are, and what is done about a run that passes one without such a group.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::abandoned::{Hold, stack_below};
use super::groups;

/// What a kernel can keep a run within.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Controller {
    Memory,
    Pids,
    Cpu,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Version {
    One,
    Two,
}

/// A group with a controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) dir: PathBuf,
    pub(crate) version: Version,
}

/// The groups of one run, by what they limit.
pub(crate) type Confines = BTreeMap<Controller, Group>;

/// What a run may use at most; `None`: whatever there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Most {
    /// In bytes.
    pub(crate) memory: Option<u64>,
    /// Processes and threads.
    pub(crate) pids: Option<u64>,
    /// In thousandths of a core.
    pub(crate) cpu_milli: Option<u64>,
}

/// The period over which the kernel counts CPU time, in microseconds: its own default.
const CPU_PERIOD: u64 = 100_000;
/// The shortest quota that it takes (`sched/core.c`).
const CPU_LEAST: u64 = 1_000;

impl Controller {
    pub(crate) const ALL: [Self; 3] = [Self::Memory, Self::Pids, Self::Cpu];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
        }
    }

    /// What becomes of the limit without a group.
    fn otherwise(self) -> &'static str {
        match self {
            Self::Memory | Self::Pids => "looking every second",
            Self::Cpu => "nothing",
        }
    }

    fn is_limited(self, most: &Most) -> bool {
        match self {
            Self::Memory => most.memory.is_some(),
            Self::Pids => most.pids.is_some(),
            Self::Cpu => most.cpu_milli.is_some(),
        }
    }
}

/// Where groups with controllers are made: the stack's own group of each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Controllers {
    groups: BTreeMap<Controller, Group>,
    _holds: Vec<Hold>,
}

impl Controllers {
    /// Those that can be had. `two` is the stack's group of version 2, `roles` the processes of the supervisor itself.
    pub(crate) fn found(two: Option<&Path>, roles: &[i32], stack: &str) -> Self {
        let (mut found, mut holds) = (BTreeMap::new(), Vec::new());
        for controller in two.map(|dir| enable(dir, roles)).unwrap_or_default() {
            let dir = two.map(Path::to_owned).unwrap_or_default();
            found.insert(controller, Group { dir, version: Version::Two });
        }
        for controller in Controller::ALL {
            if !found.contains_key(&controller)
                && let Ok(home) = groups::home_of(controller.as_str())
                && let Ok((dir, hold)) = stack_below(&home, stack)
            {
                holds.push(hold);
                found.insert(controller, Group { dir, version: Version::One });
            }
        }
        Self { groups: found, _holds: holds }
    }

    /// Those that a supervisor could have here. Makes nothing, so it may hope for too much: whether a kernel hands a
    /// controller of version 2 down shows only when it is asked to.
    pub(crate) fn expected() -> Self {
        let two = groups::usable().map(|home| (handed_down(&home, "cgroup.controllers"), home));
        let (known, home) = two.unwrap_or_default();
        let two = |controller: Controller| {
            let group = Group { dir: home.clone(), version: Version::Two };
            known.contains(&controller).then_some((controller, group))
        };
        let one = |controller: Controller| {
            let dir = groups::usable_home_of(controller.as_str()).ok()?;
            Some((controller, Group { dir, version: Version::One }))
        };
        let found = Controller::ALL.into_iter().filter_map(|controller| two(controller).or_else(|| one(controller)));
        Self { groups: found.collect(), _holds: Vec::new() }
    }

    /// By what each limit is kept, in words.
    pub(crate) fn in_words(&self) -> String {
        let words = Controller::ALL.map(|controller| {
            let how = self.groups.get(&controller).map_or(controller.otherwise(), |group| match group.version {
                Version::One => "control groups of version 1",
                Version::Two => "control groups of version 2",
            });
            format!("{} by {how}", controller.as_str())
        });
        words.join(", ")
    }

    /// Makes the groups of version 1 that a run named `name` needs. It is to join each before it is another program:
    /// `join` are their `cgroup.procs`.
    ///
    /// # Errors
    /// A group cannot be made, or does not take its limit. Nothing is left then.
    pub(crate) fn confine(&self, name: &str, most: &Most) -> io::Result<(Confines, Vec<OwnedFd>)> {
        let (mut confines, mut join) = (Confines::new(), Vec::new());
        for (controller, home) in self.groups.iter().filter(|(controller, _)| controller.is_limited(most)) {
            let group = Group { dir: home.dir.join(name), version: home.version };
            if group.version == Version::Two {
                // The run's own group, which is made last; see `set`.
                confines.insert(*controller, group);
                continue;
            }
            let made = std::fs::create_dir(&group.dir)
                .and_then(|()| group.set(*controller, most))
                .and_then(|()| std::fs::OpenOptions::new().write(true).open(group.dir.join("cgroup.procs")));
            confines.insert(*controller, group);
            match made {
                Ok(procs) => join.push(procs.into()),
                Err(error) => {
                    confines.values().for_each(Group::remove);
                    return Err(error);
                }
            }
        }
        Ok((confines, join))
    }
}

impl Group {
    /// Writes the limit of one controller.
    pub(crate) fn set(&self, controller: Controller, most: &Most) -> io::Result<()> {
        match (controller, self.version) {
            (Controller::Memory, Version::Two) => {
                // One process gone would leave a service that is half there.
                let _ = self.write("memory.oom.group", "1");
                let _ = self.write("memory.swap.max", if most.memory.is_some() { "0" } else { "max" });
                self.write("memory.max", &or(most.memory, "max"))
            }
            (Controller::Memory, Version::One) => {
                let limit = or(most.memory, "-1");
                // Memory with swap must not be less than memory: one of the two orders works. Not everywhere there.
                let early = self.write("memory.limit_in_bytes", &limit);
                let _ = self.write("memory.memsw.limit_in_bytes", &limit);
                early.or_else(|_| self.write("memory.limit_in_bytes", &limit))
            }
            (Controller::Pids, Version::One | Version::Two) => self.write("pids.max", &or(most.pids, "max")),
            (Controller::Cpu, Version::Two) => {
                self.write("cpu.max", &format!("{} {CPU_PERIOD}", or(quota(most.cpu_milli), "max")))
            }
            (Controller::Cpu, Version::One) => {
                self.write("cpu.cfs_period_us", &CPU_PERIOD.to_string())?;
                self.write("cpu.cfs_quota_us", &or(quota(most.cpu_milli), "-1"))
            }
        }
    }

    /// What its processes use, without what the kernel would give up at once (file pages that were not used lately), in
    /// bytes.
    pub(crate) fn memory(&self) -> Option<u64> {
        let (used, idle) = match self.version {
            Version::One => ("memory.usage_in_bytes", "total_inactive_file"),
            Version::Two => ("memory.current", "inactive_file"),
        };
        let used: u64 = self.read(used)?.trim().parse().ok()?;
        Some(used.saturating_sub(self.entry("memory.stat", idle).unwrap_or(0)))
    }

    /// The most that its processes have used, file pages included, in bytes.
    pub(crate) fn peak(&self) -> Option<u64> {
        let file = match self.version {
            Version::One => "memory.max_usage_in_bytes",
            Version::Two => "memory.peak",
        };
        self.read(file)?.trim().parse().ok()
    }

    /// How many forks were refused because there were too many processes.
    pub(crate) fn forks_refused(&self) -> Option<u64> {
        self.entry("pids.events", "max")
    }

    /// How many of its processes were killed because memory was short.
    pub(crate) fn oom_kills(&self) -> Option<u64> {
        let file = match self.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        self.entry(file, "oom_kill")
    }

    /// It came up against its own limit of memory. Version 1 counts failures no more (seen with Linux 6.18); there, whoever
    /// came close to the limit, as far as one charge for each processor can be off, did.
    pub(crate) fn was_at_memory_limit(&self) -> bool {
        let number = |file: &str| self.read(file)?.trim().parse::<u64>().ok();
        match self.version {
            Version::One => {
                let peak = number("memory.max_usage_in_bytes").unwrap_or(0);
                number("memory.limit_in_bytes").is_some_and(|limit| peak >= limit - limit / 16)
            }
            // Not `max`: file pages that are given up again count there, too.
            Version::Two => self.entry("memory.events", "oom").is_some_and(|hits| hits > 0),
        }
    }

    /// Everything that lives in it. Bounded: a group can hold more than anyone wants to look at.
    pub(crate) fn members(&self) -> Vec<i32> {
        groups::members(&self.dir)
    }

    pub(crate) fn remove(&self) {
        groups::remove(&self.dir);
    }

    /// Nothing is created: a controller that is not there has no file.
    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        write(&self.dir.join(file), text)
    }

    fn read(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(self.dir.join(file)).ok()
    }

    /// A line `KEY NUMBER`.
    fn entry(&self, file: &str, key: &str) -> Option<u64> {
        let text = self.read(file)?;
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
    }
}

fn or(number: Option<u64>, none: &str) -> String {
    number.map_or_else(|| none.to_owned(), |number| number.to_string())
}

fn quota(cpu_milli: Option<u64>) -> Option<u64> {
    cpu_milli.map(|milli| milli.saturating_mul(CPU_PERIOD / 1000).max(CPU_LEAST))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write;
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut file = std::fs::OpenOptions::new().write(true).open(path).map_err(named)?;
    file.write_all(text.as_bytes()).map_err(named)
}

/// Hands controllers down to the groups of runs, below the stack's, as far as that is possible. A group that holds
/// processes cannot hand any down; where these are the supervisor's own alone, they move to a group beside the stack's.
fn enable(stack: &Path, roles: &[i32]) -> Vec<Controller> {
    let Some(home) = stack.parent() else { return Vec::new() };
    let hand_down = |dir: &Path, which: &[Controller]| {
        // One by one: one that is refused must not keep the others back.
        let write = |one: &Controller| write(&dir.join("cgroup.subtree_control"), &format!("+{}", one.as_str()));
        which.iter().map(write).fold(Ok(()), io::Result::and)
    };
    let wanted = handed_down(home, "cgroup.controllers");
    if handed_down(stack, "cgroup.controllers") != wanted
        && hand_down(home, &wanted).is_err()
        && groups::step_aside(home, stack, roles).is_ok()
    {
        let _ = hand_down(home, &wanted);
    }
    let here = handed_down(stack, "cgroup.controllers");
    let _ = hand_down(stack, &here);
    here
}

/// The controllers that such a file names.
fn handed_down(dir: &Path, file: &str) -> Vec<Controller> {
    let words = std::fs::read_to_string(dir.join(file)).unwrap_or_default();
    let words: Vec<&str> = words.split_whitespace().collect();
    Controller::ALL.into_iter().filter(|one| words.contains(&one.as_str())).collect()
}

#[cfg(all(test, target_os = "linux"))]
#[path = "controllers_tests.rs"]
mod tests;
