//! Control groups of the second version, also beside the first: one for each run, which no process of it can leave.
//! Not here: who begins in one (the keeper makes it so), when a tree is ended.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::abandoned::{Hold, stack_below};
use super::controllers::Controller;

/// Where the groups of one stack are.
#[derive(Debug, Clone)]
pub(crate) struct Groups {
    dir: PathBuf,
    keeper: String,
    _hold: Hold,
}

impl Groups {
    /// Makes the stack's own group, below the one that we are in. `cookie` is the beginning of every cookie: stack
    /// and keeper.
    ///
    /// # Errors
    /// No group can be made here: there is no hierarchy, it is read-only, or it is not ours (as in a login session).
    pub(crate) fn below_ours(cookie: &str) -> io::Result<Self> {
        let (stack, keeper) = cookie.split_once('.').unwrap_or((cookie, ""));
        let (dir, hold) = stack_below(&home()?, stack)?;
        Ok(Self { dir, keeper: keeper.to_owned(), _hold: hold })
    }

    /// The place of a run's group.
    pub(crate) fn of_run(&self, run: u64) -> PathBuf {
        self.dir.join(name_of_run(&self.keeper, run))
    }

    /// The stack's own group.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

/// The name of a run's group. `keeper` is the second part of every cookie.
pub(crate) fn name_of_run(keeper: &str, run: u64) -> String {
    format!("{keeper}.{run}")
}

/// Everything that lives in a group and below it; at most 100,000.
pub(crate) fn members(group: &Path) -> Vec<i32> {
    const MOST: usize = 100_000;
    let mut pids = Vec::new();
    let mut dirs = vec![group.to_owned()];
    while let Some(dir) = dirs.pop().filter(|_| pids.len() < MOST) {
        let procs = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        pids.extend(procs.lines().filter_map(|line| line.parse::<i32>().ok()));
        let below = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        dirs.extend(below.filter(|one| one.file_type().is_ok_and(|kind| kind.is_dir())).map(|one| one.path()));
    }
    pids.truncate(MOST);
    pids
}

/// Moves the supervisor's own processes out of `home`, to a group beside the stack's, if `home` holds nothing else.
///
/// # Errors
/// It holds others, or the kernel does not let us.
pub(crate) fn step_aside(home: &Path, stack: &Path, roles: &[i32]) -> io::Result<()> {
    use std::io::Write;
    let here = std::fs::read_to_string(home.join("cgroup.procs"))?;
    let ours = |line: &str| line.parse().is_ok_and(|pid| roles.contains(&pid));
    if here.is_empty() || !here.lines().all(ours) {
        return Err(io::Error::other("others are there, too"));
    }
    let name = stack.file_name().unwrap_or_default().to_string_lossy();
    let aside = home.join(format!("{name}{ROLES}"));
    let _ = std::fs::create_dir(&aside);
    for pid in here.lines() {
        let mut procs = std::fs::OpenOptions::new().append(true).open(aside.join("cgroup.procs"))?;
        procs.write_all(format!("{pid}\n").as_bytes())?;
    }
    Ok(())
}

/// The end of the name of the group that the supervisor's own processes step aside to.
const ROLES: &str = "-roles";
pub(super) const PREFIX: &str = "supervisor-";

/// The name of a stack's own group.
pub(super) fn group_of_stack(stack: &str) -> String {
    format!("{PREFIX}{stack}")
}

/// The stack's part of a process's place, and what follows: `KEEPER.RUN`, and below that what the run made itself.
fn place_in_stack(pid: i32, stack: &str) -> Option<String> {
    let group = group_of_stack(stack);
    let part = format!("/{group}/");
    places(pid)?.lines().find_map(|place| Some(place.split_once(&part)?.1.split('/').next()?.to_owned()))
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

/// Whether a process is in this group of version 2 or below it, as far as anyone can tell.
pub(crate) fn holds(group: &Path, pid: i32) -> Option<bool> {
    Some(shows(&place_of(&places(pid)?, "")?, group))
}

/// A place begins at the root of the hierarchy as we see it, a group's path at that of the files: they end alike.
fn shows(place: &str, group: &Path) -> bool {
    let own: Vec<_> = group.iter().skip(group.iter().count().saturating_sub(2)).collect();
    let place: Vec<_> = Path::new(place).iter().collect();
    place.windows(2).any(|pair| pair == own)
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

/// Removes all empty groups of a stack, in every hierarchy. Only for its supervisor, or who holds its place.
pub(crate) fn remove_all(stack: &str) {
    homes().for_each(|home| remove_stack(&home, &group_of_stack(stack)));
}

pub(super) fn remove_stack(home: &Path, group: &str) {
    remove(&home.join(format!("{group}{ROLES}")));
    remove(&home.join(group));
}

pub(super) fn homes() -> impl Iterator<Item = PathBuf> {
    let homes = Controller::ALL.into_iter().map(|controller| home_of(controller.as_str()));
    homes.chain([home()]).flatten()
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

/// The same with this controller of version 1.
///
/// # Errors
/// See `Groups::below_ours`.
pub(crate) fn usable_home_of(controller: &str) -> io::Result<PathBuf> {
    let home = home_of(controller)?;
    nix::unistd::access(&home, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK)?;
    Ok(home)
}

/// The directory of our own group of version 2, or the one above it when the supervisor has stepped aside.
#[cfg(target_os = "linux")]
fn home() -> io::Result<PathBuf> {
    let place = places(std::process::id().cast_signed()).and_then(|all| place_of(&all, ""));
    let place = place.ok_or_else(|| io::Error::other("no control groups of version 2"))?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let found = mounts.lines().find_map(|line| in_mount(line, &place, ""));
    let found = found.ok_or_else(|| io::Error::other("control groups of version 2 are not mounted"))?;
    let aside = found.file_name().and_then(|name| name.to_str()).is_some_and(is_aside);
    Ok(found.parent().filter(|_| aside).map(Path::to_owned).unwrap_or(found))
}

/// The directory of our own group of version 1 with this controller.
#[cfg(target_os = "linux")]
pub(crate) fn home_of(controller: &str) -> io::Result<PathBuf> {
    let place = places(std::process::id().cast_signed()).and_then(|all| place_of(&all, controller));
    let place = place.ok_or_else(|| io::Error::other(format!("no control groups of version 1 with {controller}")))?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let found = mounts.lines().find_map(|line| in_mount(line, &place, controller));
    found.ok_or_else(|| io::Error::other(format!("control groups with {controller} are not mounted")))
}

pub(super) fn is_aside(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(ROLES)
}

/// Where a place is seen through a mount, a line of `mountinfo`: if it is a mount of the hierarchy of that controller
/// (none: version 2), and shows it.
#[cfg(target_os = "linux")]
fn in_mount(line: &str, place: &str, controller: &str) -> Option<PathBuf> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut words = filesystem.split(' ');
    let (kind, options) = (words.next()?, words.nth(1)?);
    match controller {
        "" => kind == "cgroup2",
        named => kind == "cgroup" && options.split(',').any(|option| option == named),
    }
    .then_some(())?;
    let mut fields = mount.split(' ').skip(3);
    let (root, point) = (fields.next()?, fields.next()?);
    let below = Path::new(place).strip_prefix(root).ok()?;
    Some(Path::new(point).join(below))
}

/// The place in the hierarchy of a controller, from all places of a process.
fn place_of(places: &str, controller: &str) -> Option<String> {
    places.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (number, controllers, place) = (parts.next()?, parts.next()?, parts.next()?);
        let this = match controller {
            "" => number == "0",
            named => controllers.split(',').any(|one| one == named),
        };
        this.then(|| place.to_owned())
    })
}

/// The places of a process in all hierarchies, as seen from our roots of them.
#[cfg(target_os = "linux")]
fn places(pid: i32) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()
}

/// Elsewhere there are none.
#[cfg(not(target_os = "linux"))]
fn home() -> io::Result<PathBuf> {
    Err(io::Error::other("this system has no control groups"))
}

/// See `home`.
#[cfg(not(target_os = "linux"))]
pub(crate) fn home_of(_controller: &str) -> io::Result<PathBuf> {
    home()
}

/// See `home`.
#[cfg(not(target_os = "linux"))]
fn places(_pid: i32) -> Option<String> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn each_hierarchy_has_its_own_place() {
        let places = "5:cpu,cpuacct:/a\n4:memory:/b:c\n1:name=systemd:/d\n0::/e\n";
        let found = ["cpu", "cpuacct", "memory", "pids", ""].map(|controller| place_of(places, controller));
        assert_eq!(found, [Some("/a"), Some("/a"), Some("/b:c"), None, Some("/e")].map(|one| one.map(str::to_owned)));
    }

    #[test]
    fn a_run_is_in_its_group_or_in_what_it_made_below_it() {
        let group = Path::new("/sys/fs/cgroup/system.slice/supervisor-5/a.7");
        assert!(shows("/system.slice/supervisor-5/a.7", group));
        assert!(shows("/supervisor-5/a.7/inner/most", group), "in a namespace");
        for elsewhere in ["/system.slice", "/supervisor-5/a.77", "/supervisor-6/a.7", "/a.7", "/"] {
            assert!(!shows(elsewhere, group), "{elsewhere}");
        }
    }

    #[test]
    fn a_place_is_found_through_a_mount_of_the_hierarchy_that_shows_it() {
        let whole = "31 23 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(in_mount(whole, "/user.slice/a", ""), Some("/sys/fs/cgroup/user.slice/a".into()));
        assert_eq!(in_mount(whole, "/", ""), Some("/sys/fs/cgroup/".into()));
        let part = "31 23 0:27 /docker/1 /sys/fs/cgroup ro - cgroup2 cgroup2 rw";
        assert_eq!(in_mount(part, "/docker/1/x", ""), Some("/sys/fs/cgroup/x".into()));
        assert_eq!(in_mount(part, "/elsewhere", ""), None);
        let first = "33 32 0:28 / /sys/fs/cgroup/cpu rw shared:10 - cgroup cgroup rw,cpu";
        assert_eq!(in_mount(first, "/", ""), None);
        assert_eq!(in_mount(first, "/a", "cpu"), Some("/sys/fs/cgroup/cpu/a".into()));
        assert_eq!(in_mount(first, "/a", "cpuacct"), None);
        assert_eq!(in_mount("no mount at all", "/", ""), None);
    }
}
