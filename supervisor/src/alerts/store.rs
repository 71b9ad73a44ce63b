//! The ledger in the state directory: written whole or not at all, put aside when it is damaged.
//! Not here: what is in it.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ledger::Ledger;
use crate::state;

/// Grows when an older version could not read it.
const VERSION: u32 = 1;
/// All that can wait is less.
const MOST: u64 = 64 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    ledger: Ledger,
}

/// There is nobody to tell: whoever is added later hears of what happens then.
///
/// # Errors
/// What was kept cannot be removed.
pub(crate) fn forget(state_dir: &Path) -> io::Result<()> {
    match fs::remove_file(Store::new(state_dir).file()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Where it is.
#[derive(Debug, Clone)]
pub(super) struct Store {
    dir: PathBuf,
}

impl Store {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    fn file(&self) -> PathBuf {
        self.dir.join("alerts.json")
    }

    /// What was kept; empty where nothing was. What cannot be read is put aside, and told.
    pub(super) fn load(&self) -> Ledger {
        match self.read() {
            Ok(ledger) => ledger,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ledger::default(),
            Err(error) => {
                let aside = self.dir.join("alerts.damaged");
                let moved = fs::rename(self.file(), &aside);
                tracing::warn!(%error, ?aside, moved = moved.is_ok(), "alerts that waited cannot be read");
                Ledger::default()
            }
        }
    }

    fn read(&self) -> io::Result<Ledger> {
        let file = state::ours().read(true).open(self.file())?;
        let mut text = Vec::new();
        file.take(MOST).read_to_end(&mut text)?;
        let kept: Kept = serde_json::from_slice(&text)?;
        if kept.version == VERSION { Ok(kept.ledger) } else { Err(io::Error::other("it is of another version")) }
    }

    pub(super) fn save(&self, ledger: &Ledger) -> io::Result<()> {
        let text = serde_json::to_vec(&Kept { version: VERSION, ledger: ledger.clone() })?;
        state::write_whole(&self.file(), |file| file.write_all(&text).and_then(|()| file.sync_data()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_there_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        assert_eq!(store.load(), Ledger::default());
        let ledger = Ledger::at(42);
        store.save(&ledger).unwrap();
        store.save(&ledger).unwrap();
        assert_eq!(store.load(), ledger);
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(store.file()).unwrap());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn damage_is_put_aside_and_nothing_is_lost_by_it() {
        for damage in [&b"{\"version\":1,\"led"[..], b"", b"\xff", b"{\"version\":9,\"ledger\":{}}"] {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::new(dir.path());
            fs::write(store.file(), damage).unwrap();
            assert_eq!(store.load(), Ledger::default());
            assert_eq!(fs::read(dir.path().join("alerts.damaged")).unwrap(), damage);
            assert!(!store.file().exists());
            store.save(&Ledger::default()).unwrap();
        }
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        fs::write(&target, "precious").unwrap();
        let store = Store::new(dir.path());
        std::os::unix::fs::symlink(&target, store.file()).unwrap();
        assert_eq!(store.load(), Ledger::default());
        std::os::unix::fs::symlink(&target, dir.path().join("alerts.new")).unwrap();
        store.save(&Ledger::default()).unwrap();
        assert_eq!(fs::read(target).unwrap(), b"precious");
    }
}
