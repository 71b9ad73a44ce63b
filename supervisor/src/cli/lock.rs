//! The lock of a stack: whoever holds it is its supervisor. It decides, not a socket and not a pid.
//! Not here: the socket.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::state::ours;

/// Why the lock was not had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error(
        "already running as pid {pid} (it holds {path}); `supervisor logs -f` follows it, `supervisor stop` ends it"
    )]
    Held { pid: String, path: PathBuf },
    #[error("failed to lock {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// Held until the process ends; children do not inherit it.
#[derive(Debug)]
pub(crate) struct Lock {
    file: Flock<File>,
    before: Before,
}

/// How the last supervisor of the stack ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// There was none, or it said at its end that nothing of it is left.
    Clean,
    /// It was killed, or could not end everything.
    Unclean,
}

impl Lock {
    /// Takes the lock, and writes our pid into it for people.
    pub(crate) fn take(state_dir: &Path) -> Result<Self, LockError> {
        let path = path(state_dir);
        let failed = |source: io::Error| LockError::Io { path: path.clone(), source };
        let file = ours().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                let before = if lock.metadata().map_err(failed)?.len() == 0 { Before::Clean } else { Before::Unclean };
                let write = |lock: &mut File| {
                    lock.set_len(0)?;
                    lock.rewind()?;
                    lock.write_all(format!("{}\n", std::process::id()).as_bytes())
                };
                write(&mut lock).map_err(failed)?;
                Ok(Self { file: lock, before })
            }
            Err((mut file, Errno::EWOULDBLOCK)) => Err(LockError::Held { pid: pid_in(&mut file), path }),
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }

    pub(crate) fn before(&self) -> Before {
        self.before
    }

    /// Nothing of this supervisor is left: the next one need not look.
    pub(crate) fn end_cleanly(self) {
        // If it cannot be written, the next one looks in vain.
        let _ = self.file.set_len(0);
    }
}

/// Does a supervisor hold the lock now? Only looks: takes a shared lock for a moment, which a start that begins in
/// that moment would meet, so it is asked for only while something is waited for.
pub(crate) fn is_held(state_dir: &Path) -> bool {
    let Ok(file) = ours().read(true).open(path(state_dir)) else { return false };
    matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, Errno::EWOULDBLOCK)))
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("lock")
}

/// What its holder wrote; it may be writing right now.
fn pid_in(file: &mut File) -> String {
    let mut text = String::new();
    let _ = file.take(32).read_to_string(&mut text);
    let pid = text.trim();
    if pid.is_empty() { "unknown".to_owned() } else { super::output::clean(pid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_had_once_and_names_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_held(dir.path()));
        let lock = Lock::take(dir.path()).unwrap();
        assert!(is_held(dir.path()));
        let second = Lock::take(dir.path()).unwrap_err().to_string();
        assert!(second.contains(&format!("already running as pid {}", std::process::id())), "{second}");
        drop(lock);
        assert!(!is_held(dir.path()));
        Lock::take(dir.path()).unwrap();
    }

    #[test]
    fn a_supervisor_that_was_killed_is_told_from_one_that_ended() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path()).unwrap();
        assert_eq!(first.before(), Before::Clean);
        drop(first);
        let second = Lock::take(dir.path()).unwrap();
        assert_eq!(second.before(), Before::Unclean);
        second.end_cleanly();
        assert_eq!(Lock::take(dir.path()).unwrap().before(), Before::Clean);
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, path(dir.path())).unwrap();
        assert!(matches!(Lock::take(dir.path()), Err(LockError::Io { .. })));
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    }
}
