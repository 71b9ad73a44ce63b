//! May what configures a root supervisor be changed by anyone but root?
//! Not here: reading the files.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// As many symbolic links as the kernel follows.
pub(crate) const MAX_LINKS: usize = 40;

/// Whom the kernel shows as the owner of what belongs to nobody within a user namespace, such as the root directory of
/// a rootless container (`/proc/sys/kernel/overflowuid`).
const OVERFLOW_UID: u32 = 65534;

/// Why a file is not to be trusted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnershipError {
    #[error(
        "`{path}` belongs to user {uid}, who could change what is run; `chown root` it, or run the supervisor as that user"
    )]
    Owner { path: PathBuf, uid: u32 },
    #[error("`{path}` can be written by others ({mode:04o}), who could change what is run; `chmod go-w` it")]
    Writable { path: PathBuf, mode: u32 },
    #[error("`{path}` cannot be examined: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// Every file, every directory on the way to it and every link on that way must belong to root or to `uid` (0 for a
/// root supervisor) and be writable by nobody else. The group whose number is the user's is the user's alone, where user
/// and group are made together (useradd(8), `USERGROUPS_ENAB`). A sticky directory may be writable: names in it cannot be taken
/// over.
pub(crate) fn check_ownership<'a>(files: impl IntoIterator<Item = &'a Path>, uid: u32) -> Result<(), OwnershipError> {
    files.into_iter().try_for_each(|file| check_way(file, uid))
}

fn check_way(file: &Path, uid: u32) -> Result<(), OwnershipError> {
    let mut at = PathBuf::from("/");
    let root = examine(&at)?;
    if root.uid() != OVERFLOW_UID {
        check_one(&at, &root, uid)?;
    }
    let mut links = 0;
    let mut ahead: Vec<OsString> = steps(file);
    while let Some(name) = ahead.pop() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        let meta = examine(&next)?;
        check_one(&next, &meta, uid)?;
        if !meta.is_symlink() {
            at = next;
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(OwnershipError::Io { path: next, source: io::Error::other("too many symbolic links") });
        }
        let target = fs::read_link(&next).map_err(|source| OwnershipError::Io { path: next.clone(), source })?;
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        ahead.extend(steps(&target));
    }
    Ok(())
}

/// The steps of a path from the root or from where one is, the last first: to be popped while links are followed.
pub(crate) fn steps(path: &Path) -> Vec<OsString> {
    let steps = path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    steps.collect()
}

fn examine(path: &Path) -> Result<Metadata, OwnershipError> {
    fs::symlink_metadata(path).map_err(|source| OwnershipError::Io { path: path.to_owned(), source })
}

fn check_one(path: &Path, meta: &Metadata, uid: u32) -> Result<(), OwnershipError> {
    if meta.uid() != 0 && meta.uid() != uid {
        return Err(OwnershipError::Owner { path: path.to_owned(), uid: meta.uid() });
    }
    let mode = meta.mode() & 0o7777;
    let sticky_dir = meta.is_dir() && mode & 0o1000 != 0;
    let by_others = mode & 0o002 != 0 || (mode & 0o020 != 0 && meta.gid() != 0 && meta.gid() != uid);
    if by_others && !sticky_dir && !meta.is_symlink() {
        return Err(OwnershipError::Writable { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    struct Place {
        dir: tempfile::TempDir,
        uid: u32,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("conf")).unwrap();
            fs::write(dir.path().join("conf/supervisor.toml"), "").unwrap();
            let place = Self { uid: nix::unistd::geteuid().as_raw(), dir };
            place.chmod("conf/supervisor.toml", 0o644);
            place.chmod("conf", 0o755);
            place
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().canonicalize().unwrap().join(name)
        }

        fn chmod(&self, name: &str, mode: u32) {
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
        }

        fn check(&self, name: &str) -> Result<(), String> {
            check_ownership([self.path(name).as_path()], self.uid).map_err(|error| error.to_string())
        }
    }

    #[test]
    fn a_file_that_others_can_write_is_refused_by_name() {
        let place = Place::new();
        assert_eq!(place.check("conf/supervisor.toml"), Ok(()));
        place.chmod("conf/supervisor.toml", 0o666);
        let path = place.path("conf/supervisor.toml");
        let message = format!(
            "`{}` can be written by others (0666), who could change what is run; `chmod go-w` it",
            path.display()
        );
        assert_eq!(place.check("conf/supervisor.toml"), Err(message));
    }

    #[test]
    fn a_directory_on_the_way_that_others_can_write_is_refused_unless_it_is_sticky() {
        let place = Place::new();
        place.chmod("conf", 0o777);
        assert!(place.check("conf/supervisor.toml").unwrap_err().contains("conf` can be written"));
        place.chmod("conf", 0o1777);
        assert_eq!(place.check("conf/supervisor.toml"), Ok(()));
    }

    #[test]
    fn the_way_behind_a_link_counts_too() {
        let place = Place::new();
        symlink(place.path("conf"), place.path("first")).unwrap();
        symlink("first", place.path("second")).unwrap();
        assert_eq!(place.check("second/supervisor.toml"), Ok(()));
        place.chmod("conf", 0o777);
        assert!(place.check("second/supervisor.toml").unwrap_err().contains("conf` can be written"));
        symlink("loop", place.path("loop")).unwrap();
        assert!(place.check("loop").unwrap_err().contains("too many symbolic links"));
        assert!(place.check("none").unwrap_err().contains("cannot be examined"));
    }

    #[test]
    fn a_stranger_as_owner_is_refused() {
        let place = Place::new();
        let stranger = if place.uid == 0 {
            nix::unistd::chown(&place.path("conf/supervisor.toml"), Some(65534.into()), None).unwrap();
            place.uid
        } else {
            // Without the right to give files away: our own file, seen by someone else.
            place.uid + 1
        };
        let error = check_ownership([place.path("conf/supervisor.toml").as_path()], stranger).unwrap_err();
        assert!(matches!(error, OwnershipError::Owner { .. }), "{error}");
    }
}
