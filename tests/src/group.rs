//! Control groups: those of a test, and those that a stack has made.
//! Not here: what the supervisor does with them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Stack;

/// A control group of the test's own; removed when this is dropped.
#[derive(Debug)]
pub struct Group(PathBuf);

impl Group {
    /// In the hierarchy of version 2, wherever that is.
    #[must_use]
    pub fn unified() -> Option<Self> {
        Self::within(&mounts(&["cgroup2"]).into_iter().next()?)
    }

    /// With so much memory, and no swap.
    #[must_use]
    pub fn of_memory(megabytes: u64) -> Option<Self> {
        let bytes = (megabytes << 20).to_string();
        let places = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        places.into_iter().find_map(|(place, limit)| {
            let group = Self::within(Path::new(place))?;
            // A file that is not there is not made: the kernel's alone are here.
            fs::OpenOptions::new().write(true).open(group.0.join(limit)).ok()?;
            fs::write(group.0.join(limit), &bytes).ok()?;
            let _no_swap_here = fs::write(group.0.join("memory.memsw.limit_in_bytes"), &bytes);
            let _no_swap_here = fs::write(group.0.join("memory.swap.max"), "0");
            Some(group)
        })
    }

    fn within(place: &Path) -> Option<Self> {
        let dir = place.join(format!("e2e-{}", std::process::id()));
        fs::create_dir(&dir).ok()?;
        Some(Self(dir))
    }

    /// One of its files.
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// No process is left in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        fs::read_to_string(self.path("cgroup.procs")).is_ok_and(|text| text.is_empty())
    }

    /// Words that put what they are put before into it.
    #[must_use]
    pub fn words(&self) -> [String; 4] {
        let script = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.0.display());
        ["sh".to_owned(), "-c".to_owned(), script, "sh".to_owned()]
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

impl Stack {
    /// Of its control groups that are there now, those of its runs.
    #[must_use]
    pub fn groups_of_runs(&self) -> Vec<PathBuf> {
        let own = |dir: &PathBuf| dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with("supervisor-"));
        self.groups().into_iter().filter(|dir| !own(dir)).collect()
    }

    /// Its control groups that are there now, in every hierarchy: its own, and those of its runs.
    #[must_use]
    pub fn groups(&self) -> Vec<PathBuf> {
        let cookie = fs::read_to_string(self.path("state/cookie")).expect("it was started");
        let mut found = Vec::new();
        mounts(&["cgroup", "cgroup2"]).iter().for_each(|mount| find(mount, cookie.trim(), &mut found));
        found
    }
}

/// Where file systems of these kinds are.
fn mounts(kinds: &[&str]) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let place = words.next()?;
        words.next().filter(|kind| kinds.contains(kind)).map(|_| PathBuf::from(place))
    });
    mounts.collect()
}

fn find(dir: &Path, part: &str, found: &mut Vec<PathBuf>) {
    if dir.to_string_lossy().contains(part) {
        found.push(dir.to_owned());
    }
    below(dir).iter().for_each(|dir| find(dir, part, found));
}

/// With what a supervisor that was killed has left in it.
fn remove(dir: &Path) {
    below(dir).iter().for_each(|dir| remove(dir));
    let _gone = fs::remove_dir(dir);
}

fn below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}
