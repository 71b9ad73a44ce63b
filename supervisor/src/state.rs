//! Files that outlive a supervisor: the token of the API and the cookie of the stack. 0600, ours, no symlinks.
//! Not here: the lock (the keeper's role holds it), configuration.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// Why a file or directory of ours cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("cannot use {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("refusing to use {path}: {why}; remove it, or set its owner and mode right")]
    Unsafe { path: PathBuf, why: String },
}

/// Makes `path` with mode 0700, or checks that it is a directory of ours that nobody else may write.
pub(crate) fn private_dir(path: &Path) -> Result<(), StateError> {
    let failed = |source| StateError::Io { path: path.to_owned(), source };
    if let Some(parent) = path.parent() {
        // Others pass through a parent such as /tmp/supervisor-UID or /run/supervisor, but do not write it.
        DirBuilder::new().recursive(true).mode(0o755).create(parent).map_err(failed)?;
        let meta = parent.metadata().map_err(failed)?;
        let ours = meta.uid() == 0 || meta.uid() == nix::unistd::Uid::effective().as_raw();
        let sticky = meta.mode() & 0o1000 != 0;
        if !ours || (meta.mode() & 0o022 != 0 && !sticky) {
            let why =
                format!("others may rename what is in it (uid {}, mode {:04o})", meta.uid(), meta.mode() & 0o7777);
            return Err(StateError::Unsafe { path: parent.to_owned(), why });
        }
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let meta = path.symlink_metadata().map_err(failed)?;
    let unsafe_because = |why: String| Err(StateError::Unsafe { path: path.to_owned(), why });
    if !meta.is_dir() {
        return unsafe_because("it is not a directory".to_owned());
    }
    if meta.uid() != nix::unistd::Uid::effective().as_raw() {
        return unsafe_because(format!("it belongs to uid {}", meta.uid()));
    }
    if meta.mode() & 0o022 != 0 {
        return unsafe_because(format!("others may write it (mode {:03o})", meta.mode() & 0o777));
    }
    Ok(())
}

/// The bearer token of the API: 256 random bits in hex, made on first use.
pub(crate) fn token(runtime_dir: &Path) -> Result<String, StateError> {
    secret_file::<32>(&runtime_dir.join("token"))
}

/// This stack's part of every cookie, made on first use.
pub(crate) fn stack_cookie(state_dir: &Path) -> Result<String, StateError> {
    secret_file::<8>(&state_dir.join("cookie"))
}

/// A link in the state directory, which is the same for every session, to the runtime directory, which need not be.
const RUNTIME: &str = "runtime";

/// Notes where the supervisor answers. Without it, it is found less easily; nothing else is lost.
pub(crate) fn note_runtime_dir(state_dir: &Path, runtime_dir: &Path) {
    let link = state_dir.join(RUNTIME);
    if std::fs::read_link(&link).is_ok_and(|noted| noted == runtime_dir) {
        return;
    }
    if link.is_symlink() {
        let _ = std::fs::remove_file(&link);
    }
    let _ = symlink(runtime_dir, &link);
}

/// Where the supervisor answered that used this state directory last.
pub(crate) fn noted_runtime_dir(state_dir: &Path) -> Option<PathBuf> {
    let link = state_dir.join(RUNTIME);
    let ours = link.symlink_metadata().ok()?.uid() == nix::unistd::Uid::effective().as_raw();
    if ours { std::fs::read_link(link).ok() } else { None }
}

/// `N` random bytes, in hex.
pub(crate) fn random_hex<const N: usize>() -> io::Result<String> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn secret_file<const N: usize>(path: &Path) -> Result<String, StateError> {
    let failed = |source| StateError::Io { path: path.to_owned(), source };
    match ours().read(true).open(path) {
        Ok(file) => read_secret::<N>(path, file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = random_hex::<N>().map_err(failed)?;
            write_whole(path, |file| file.write_all(secret.as_bytes())).map_err(failed)?;
            Ok(secret)
        }
        Err(error) => Err(failed(error)),
    }
}

/// For a file that is ours alone: no link is followed, and nothing is waited for.
pub(crate) fn ours() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    options
}

/// What a file is called before it is whole: with this for its ending.
pub(crate) const UNFINISHED: &str = "new";

/// Whole or not at all: what a full disk or a kill leaves half written could not be used.
pub(crate) fn write_whole(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let new = path.with_extension(UNFINISHED);
    let make = || ours().write(true).create_new(true).open(&new);
    let mut file = match make() {
        // Of one who was killed.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::remove_file(&new)?;
            make()
        }
        made => made,
    }?;
    let written = write(&mut file).and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}

fn read_secret<const N: usize>(path: &Path, file: File) -> Result<String, StateError> {
    let failed = |source| StateError::Io { path: path.to_owned(), source };
    let refused = |why: String| Err(StateError::Unsafe { path: path.to_owned(), why });
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() || meta.uid() != nix::unistd::Uid::effective().as_raw() {
        return refused("it is not a file of ours".to_owned());
    }
    if meta.mode() & 0o077 != 0 {
        return refused(format!("others may read it (mode {:03o})", meta.mode() & 0o777));
    }
    let mut secret = String::new();
    file.take(N as u64 * 2 + 1).read_to_string(&mut secret).map_err(failed)?;
    if secret.len() != N * 2 || !secret.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return refused("it does not hold what we wrote".to_owned());
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_last_runtime_directory_is_noted_and_nothing_else_gives_way_for_it() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(noted_runtime_dir(dir.path()), None);
        for place in ["/run/a", "/run/a", "/tmp/b"] {
            note_runtime_dir(dir.path(), Path::new(place));
            assert_eq!(noted_runtime_dir(dir.path()), Some(PathBuf::from(place)));
        }
        std::fs::remove_file(dir.path().join(RUNTIME)).unwrap();
        std::fs::create_dir(dir.path().join(RUNTIME)).unwrap();
        note_runtime_dir(dir.path(), Path::new("/run/a"));
        assert!(dir.path().join(RUNTIME).is_dir());
        assert_eq!(noted_runtime_dir(dir.path()), None);
    }

    #[test]
    fn a_secret_is_made_once_with_mode_0600_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let first = token(dir.path()).unwrap();
        assert_eq!(first.len(), 64);
        assert_eq!(token(dir.path()).unwrap(), first);
        assert_eq!(dir.path().join("token").metadata().unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_secret_half_written_by_one_who_was_killed_does_not_stand_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token.new"), "abc").unwrap();
        let secret = token(dir.path()).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("token")).unwrap(), secret);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_secret_that_cannot_be_put_in_its_place_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::create_dir(&path).unwrap();
        assert!(write_whole(&path, |file| file.write_all(b"abc")).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_secret_that_others_may_read_or_that_is_a_link_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        token(dir.path()).unwrap();
        let path = dir.path().join("token");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(token(dir.path()), Err(StateError::Unsafe { .. })));
        symlink(&path, dir.path().join("cookie")).unwrap();
        assert!(stack_cookie(dir.path()).is_err());
    }

    #[test]
    fn a_directory_that_others_may_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        private_dir(&path).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o700);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(private_dir(&path), Err(StateError::Unsafe { .. })));
    }
}
