//! Control groups of the second version, also beside the first: one for each run, which no process of it can leave.
//! Not here: who begins in one (the keeper makes it so), when a tree is ended.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Where the groups of one stack are.
#[derive(Debug, Clone)]
pub(crate) struct Groups {
    dir: PathBuf,
    keeper: String,
}

impl Groups {
    /// Makes the stack's own group, below the one that we are in. `cookie` is the beginning of every cookie: stack
    /// and keeper.
    ///
    /// # Errors
    /// No group can be made here: there is no hierarchy, it is read-only, or it is not ours (as in a login session).
    pub(crate) fn below_ours(cookie: &str) -> io::Result<Self> {
        let (stack, keeper) = cookie.split_once('.').unwrap_or((cookie, ""));
        let dir = home()?.join(group_of_stack(stack));
        match std::fs::create_dir(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => Ok(Self { dir, keeper: keeper.to_owned() }),
        }
    }

    /// The place of a run's group.
    pub(crate) fn of_run(&self, run: u64) -> PathBuf {
        self.dir.join(format!("{}.{run}", self.keeper))
    }

    /// The stack's own group.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

/// The name of a stack's own group.
fn group_of_stack(stack: &str) -> String {
    format!("supervisor-{stack}")
}

/// The stack's part of a process's place, and what follows: `KEEPER.RUN`, and below that what the run made itself.
fn place_in_stack(pid: i32, stack: &str) -> Option<String> {
    let group = group_of_stack(stack);
    let place = place(pid)?;
    let (_, below) = place.split_once(&format!("/{group}/"))?;
    Some(below.split('/').next()?.to_owned())
}

/// A process is in a group of this stack, whichever supervisor made it.
pub(crate) fn is_of_stack(pid: i32, stack: &str) -> bool {
    place_in_stack(pid, stack).is_some()
}

/// The run in whose group a process is. `cookie` as for `Groups::below_ours`.
pub(crate) fn run_of(pid: i32, cookie: &str) -> Option<u64> {
    let (stack, keeper) = cookie.split_once('.')?;
    place_in_stack(pid, stack)?.strip_prefix(keeper)?.strip_prefix('.')?.parse().ok()
}

/// Makes a group, and gives the handle by which a process can begin in it.
pub(crate) fn make(group: &Path) -> io::Result<OwnedFd> {
    std::fs::create_dir(group)?;
    open(group)
}

/// The handle of a group that is there.
pub(crate) fn open(group: &Path) -> io::Result<OwnedFd> {
    use nix::fcntl::{OFlag, open};
    Ok(open(group, OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty())?)
}

/// Sends `SIGKILL` to all that is in a group. Before Linux 5.14 nothing happens.
pub(crate) fn kill(group: &Path) {
    // Not created where it is missing.
    let _ = std::fs::OpenOptions::new().write(true).open(group.join("cgroup.kill")).and_then(|mut file| {
        use std::io::Write;
        file.write_all(b"1")
    });
}

/// Removes a group that is empty, with what was made below it. One that is not empty stays.
pub(crate) fn remove(group: &Path) {
    if std::fs::remove_dir(group).is_ok() {
        return;
    }
    for below in std::fs::read_dir(group).into_iter().flatten().flatten() {
        if below.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&below.path());
        }
    }
    let _ = std::fs::remove_dir(group);
}

/// Removes all empty groups of a stack.
pub(crate) fn remove_all(stack: &str) {
    if let Ok(home) = home() {
        remove(&home.join(group_of_stack(stack)));
    }
}

/// Where groups could be made, if they can.
///
/// # Errors
/// See `Groups::below_ours`.
pub(crate) fn usable() -> io::Result<PathBuf> {
    let home = home()?;
    nix::unistd::access(&home, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK)?;
    Ok(home)
}

/// The directory of our own group.
#[cfg(target_os = "linux")]
fn home() -> io::Result<PathBuf> {
    let pid = std::process::id().cast_signed();
    let place = place(pid).ok_or_else(|| io::Error::other("no control groups of version 2"))?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let found = mounts.lines().find_map(|line| in_mount(line, &place));
    found.ok_or_else(|| io::Error::other("control groups of version 2 are not mounted"))
}

/// Where a place is seen through a mount, a line of `mountinfo`: if it is a mount of that hierarchy, and shows it.
#[cfg(target_os = "linux")]
fn in_mount(line: &str, place: &str) -> Option<PathBuf> {
    let (mount, filesystem) = line.split_once(" - ")?;
    filesystem.starts_with("cgroup2 ").then_some(())?;
    let mut fields = mount.split(' ').skip(3);
    let (root, point) = (fields.next()?, fields.next()?);
    let below = Path::new(place).strip_prefix(root).ok()?;
    Some(Path::new(point).join(below))
}

/// The place of a process in the hierarchy, as seen from our root of it.
#[cfg(target_os = "linux")]
fn place(pid: i32) -> Option<String> {
    let all = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    all.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

/// Elsewhere there are none.
#[cfg(not(target_os = "linux"))]
fn home() -> io::Result<PathBuf> {
    Err(io::Error::other("this system has no control groups"))
}

/// See `home`.
#[cfg(not(target_os = "linux"))]
fn place(_pid: i32) -> Option<String> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_through_a_mount_of_the_hierarchy_that_shows_it() {
        let whole = "31 23 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(in_mount(whole, "/user.slice/a"), Some("/sys/fs/cgroup/user.slice/a".into()));
        assert_eq!(in_mount(whole, "/"), Some("/sys/fs/cgroup/".into()));
        let part = "31 23 0:27 /docker/1 /sys/fs/cgroup ro - cgroup2 cgroup2 rw";
        assert_eq!(in_mount(part, "/docker/1/x"), Some("/sys/fs/cgroup/x".into()));
        assert_eq!(in_mount(part, "/elsewhere"), None);
        let first = "33 32 0:28 / /sys/fs/cgroup/cpu rw shared:10 - cgroup cgroup rw,cpu";
        assert_eq!(in_mount(first, "/"), None);
        assert_eq!(in_mount("no mount at all", "/"), None);
    }
}
