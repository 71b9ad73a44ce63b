//! Control groups that keep a run within its limits: of version 2 where it has the controllers, else of version 1.
//! Not here: what the limits are, and what is done about a run that passes one without such a group.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

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

    fn is_limited(self, most: &Most) -> bool {
        match self {
            Self::Memory => most.memory.is_some(),
            Self::Pids => most.pids.is_some(),
            Self::Cpu => most.cpu_milli.is_some(),
        }
    }
}

/// Where groups with controllers are made: the stack's own group of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Controllers(BTreeMap<Controller, Group>);

impl Controllers {
    /// Those that can be had. `two` is the stack's group of version 2, `roles` the processes of the supervisor itself.
    pub(crate) fn found(two: Option<&Path>, roles: &[i32], stack: &str) -> Self {
        let mut found = BTreeMap::new();
        for controller in two.map(|dir| enable(dir, roles)).unwrap_or_default() {
            let dir = two.map(Path::to_owned).unwrap_or_default();
            found.insert(controller, Group { dir, version: Version::Two });
        }
        for controller in Controller::ALL {
            if !found.contains_key(&controller)
                && let Ok(home) = groups::home_of(controller.as_str())
                && let Ok(dir) = groups::stack_below(&home, stack)
            {
                found.insert(controller, Group { dir, version: Version::One });
            }
        }
        Self(found)
    }

    /// By what each limit is kept, in words.
    pub(crate) fn in_words(&self) -> String {
        let words = Controller::ALL.map(|controller| {
            let how = self.0.get(&controller).map_or("by looking", |group| match group.version {
                Version::One => "control groups of version 1",
                Version::Two => "control groups of version 2",
            });
            format!("{} {how}", controller.as_str())
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
        for (controller, home) in self.0.iter().filter(|(controller, _)| controller.is_limited(most)) {
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

    /// How many of its processes were killed because memory was short.
    pub(crate) fn oom_kills(&self) -> Option<u64> {
        let file = match self.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        self.entry(file, "oom_kill")
    }

    /// How often it came up against its own limit of memory.
    pub(crate) fn memory_limit_hits(&self) -> u64 {
        match self.version {
            Version::One => self.read("memory.failcnt").and_then(|text| text.trim().parse().ok()).unwrap_or(0),
            Version::Two => self.entry("memory.events", "max").unwrap_or(0),
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
    let has = |dir: &Path, file: &str| {
        let words = std::fs::read_to_string(dir.join(file)).unwrap_or_default();
        let words: Vec<&str> = words.split_whitespace().map(|word| word.trim_start_matches('+')).collect();
        Controller::ALL.into_iter().filter(|one| words.contains(&one.as_str())).collect::<Vec<_>>()
    };
    let hand_down = |dir: &Path, which: &[Controller]| {
        // One by one: one that is refused must not keep the others back.
        let refused = which.iter().filter_map(|one| {
            let word = format!("+{}", one.as_str());
            write(&dir.join("cgroup.subtree_control"), &word).err()
        });
        refused.last().map_or(Ok(()), Err)
    };
    let wanted = has(home, "cgroup.controllers");
    if has(stack, "cgroup.controllers") != wanted
        && hand_down(home, &wanted).is_err()
        && groups::step_aside(home, stack, roles).is_ok()
    {
        let _ = hand_down(home, &wanted);
    }
    let here = has(stack, "cgroup.controllers");
    let _ = hand_down(stack, &here);
    here
}

#[cfg(all(test, target_os = "linux"))]
#[path = "controllers_tests.rs"]
mod tests;
