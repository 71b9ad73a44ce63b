//! Groups of stacks that are held, and those that nobody holds any more, as their supervisors were killed.
//! Not here: the groups themselves (`groups`).

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::groups::{PREFIX, group_of_stack, homes, is_aside, remove_stack};

/// So long is waited for somebody who takes a group of ours for abandoned, all in all …
const TRIES: u32 = 25;
const PAUSE: Duration = Duration::from_millis(10);
/// What was made less long ago is not abandoned: it may be of a supervisor that does not hold its groups.
const YOUNG: Duration = Duration::from_secs(60);

/// As long as it lives, the group of a stack is not removed as abandoned. It is a lock, so it ends with the process;
/// what is not empty then stays, and what is empty the next control makes again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hold {
    _lock: Option<Arc<Flock<File>>>,
}

/// Makes the group of a stack, in whatever hierarchy `home` is.
pub(crate) fn stack_below(home: &Path, stack: &str) -> io::Result<(PathBuf, Hold)> {
    let dir = home.join(group_of_stack(stack));
    for _ in 0..TRIES {
        match std::fs::create_dir(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        match File::open(&dir).map(|file| Flock::lock(file, FlockArg::LockSharedNonblock)) {
            // It may have been removed before it was ours.
            Ok(Ok(lock)) if !is_at(&lock, &dir) => {}
            Ok(Ok(lock)) => return Ok((dir, Hold { _lock: Some(Arc::new(lock)) })),
            Ok(Err((_, Errno::EWOULDBLOCK))) => std::thread::sleep(PAUSE),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(Err(_)) | Err(_) => break,
        }
    }
    // Whoever keeps the lock to himself does not remove anything either.
    Ok((dir, Hold::default()))
}

fn is_at(file: &File, path: &Path) -> bool {
    let same = |one: std::fs::Metadata, other: std::fs::Metadata| (one.dev(), one.ino()) == (other.dev(), other.ino());
    file.metadata().ok().zip(path.symlink_metadata().ok()).is_some_and(|(one, other)| same(one, other))
}

/// Removes what supervisors that were killed have left, of whatever stack: groups that are empty and that nobody holds.
pub(crate) fn remove_abandoned() {
    homes().for_each(|home| remove_abandoned_in(&home));
}

fn remove_abandoned_in(home: &Path) {
    for entry in std::fs::read_dir(home).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX) && !is_aside(name)) else { continue };
        let made = entry.metadata().and_then(|known| known.modified());
        if made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > YOUNG))
            && let Ok(file) = File::open(entry.path())
            && let Ok(_ours) = Flock::lock(file, FlockArg::LockExclusiveNonblock)
        {
            remove_stack(home, name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_empty_old_and_held_by_nobody_is_taken_for_abandoned() {
        let home = tempfile::tempdir().unwrap();
        let (_, hold) = stack_below(home.path(), "held").unwrap();
        for name in ["supervisor-dead/k.1", "supervisor-dead-roles", "supervisor-lives/k.1", "supervisor-new", "other"]
        {
            std::fs::create_dir_all(home.path().join(name)).unwrap();
        }
        // Stands for a process.
        std::fs::write(home.path().join("supervisor-lives/k.1/cgroup.procs"), "").unwrap();
        for name in ["held", "dead", "lives"] {
            let old = std::time::SystemTime::now() - YOUNG * 2;
            File::open(home.path().join(group_of_stack(name))).unwrap().set_modified(old).unwrap();
        }
        remove_abandoned_in(home.path());
        let is_there = |name: &str| home.path().join(name).exists();
        assert!(!is_there("supervisor-dead") && !is_there("supervisor-dead-roles"));
        assert!(["supervisor-held", "supervisor-lives/k.1", "supervisor-new", "other"].into_iter().all(is_there));
        drop(hold);
        remove_abandoned_in(home.path());
        assert!(!is_there("supervisor-held"), "its supervisor is gone");
    }

    #[test]
    fn a_group_that_is_just_being_removed_is_made_again() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join(group_of_stack("s"));
        std::fs::create_dir(&dir).unwrap();
        let removing = Flock::lock(File::open(&dir).unwrap(), FlockArg::LockExclusiveNonblock).unwrap();
        std::thread::scope(|scope| {
            let held = scope.spawn(|| stack_below(home.path(), "s").unwrap());
            std::fs::remove_dir(&dir).unwrap();
            drop(removing);
            let (dir, _hold) = held.join().unwrap();
            let again = Flock::lock(File::open(&dir).unwrap(), FlockArg::LockExclusiveNonblock);
            assert!(again.is_err(), "it is there, and held");
        });
    }
}
