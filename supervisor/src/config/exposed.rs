//! Files with secrets that other users of this machine can read.
//! Not here: who may write them (`ownership`).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::alert::{Alert, Hidden};
use super::model::{Launch, SecretSource, Stack};

const READ: u32 = 0o004;
const SEARCH: u32 = 0o001;

/// Env files and files of secrets that everyone can read. Asks the disk.
pub(crate) fn exposed(stack: &Stack) -> BTreeSet<PathBuf> {
    let files = stack.services.iter().flat_map(|service| private_files(&service.launch));
    let of_alerts = stack.alerts.iter().flat_map(Alert::hidden).filter_map(Hidden::file);
    files.chain(of_alerts).filter(|file| is_readable_by_all(file)).map(Path::to_owned).collect()
}

fn private_files(launch: &Launch) -> impl Iterator<Item = &Path> {
    let secrets = launch.secrets.values().filter_map(|source| match source {
        SecretSource::File { path, mark: _ } => Some(path.as_path()),
        SecretSource::Command(_) | SecretSource::Env(_) => None,
    });
    launch.env_files.iter().map(PathBuf::as_path).chain(secrets)
}

/// Itself, and every directory on the way: one that is closed protects all below it.
fn is_readable_by_all(file: &Path) -> bool {
    let Ok(real) = file.canonicalize() else { return false };
    let allows = |path: &Path, bit| fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & bit != 0);
    allows(&real, READ) && real.ancestors().skip(1).all(|dir| allows(dir, SEARCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_exposed_when_it_and_all_directories_above_it_are_open() {
        let dir = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
        let open = fs::metadata(dir.path().parent().unwrap()).unwrap().permissions().mode() & SEARCH != 0;
        let file = dir.path().join(".env");
        fs::write(&file, "").unwrap();
        let chmod = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        chmod(&file, 0o644);
        assert_eq!(is_readable_by_all(&file), open);
        chmod(&file, 0o640);
        assert!(!is_readable_by_all(&file));
        chmod(&file, 0o644);
        chmod(dir.path(), 0o750);
        assert!(!is_readable_by_all(&file));
        assert!(!is_readable_by_all(&dir.path().join("none")));
    }
}
