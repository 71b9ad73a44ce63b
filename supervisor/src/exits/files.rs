//! Reports as files: `exits/NAME.NUMBER.json` in the state directory, private. A name says which are the newest.
//! Not here: who writes them (`writer`), and those of which many are in one file (`together`).

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use supervisor_core::ServiceName;

use super::{BYTES, KEPT, Kept, Report, together};
use crate::state::{self, UNFINISHED, ours};

/// A report is never longer: of one byte of its output at most six are made (`\u001b`), and all the rest is small. What is
/// longer is not ours.
pub(super) const LONGEST: u64 = 8 * BYTES as u64;

/// Where they are.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(super) dir: PathBuf,
}

impl Files {
    /// In the state directory.
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self { dir: state_dir.join("exits") }
    }

    /// Those of one service, the newest first. What cannot be read is left out.
    pub(crate) fn reports(&self, service: &ServiceName) -> Vec<Report> {
        let numbers = self.numbers().remove(service.as_str()).unwrap_or_default();
        let newest = numbers.into_iter().rev().take(KEPT);
        let alone = newest.filter_map(|number| self.read(service.as_str(), number));
        let files = together::numbers(&self.dir);
        let together = files.into_iter().flat_map(|file| together::read(&self.dir, file, Some(service)));
        let all: BTreeMap<u64, Report> = alone.chain(together).map(|kept| (kept.report.number, kept.report)).collect();
        all.into_values().rev().take(KEPT).collect()
    }

    /// The numbers of the files that each service has, in order.
    pub(super) fn numbers(&self) -> BTreeMap<String, Vec<u64>> {
        let mut numbers: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let parts = name.to_str().and_then(|name| name.strip_suffix(".json")?.split_once('.'));
            if let Some((service, number)) = parts.and_then(|(service, number)| Some((service, number.parse().ok()?))) {
                numbers.entry(service.to_owned()).or_default().push(number);
            }
        }
        numbers.values_mut().for_each(|numbers| numbers.sort_unstable());
        numbers
    }

    /// Makes the directory, or sees to it that nobody else may write it.
    pub(super) fn make_dir(&self) -> io::Result<()> {
        state::private_dir(&self.dir).map_err(io::Error::other)
    }

    /// Whole or not at all. The directory is there.
    pub(super) fn write(&self, kept: &Kept) -> io::Result<()> {
        let path = self.path(kept.report.facts.service.as_str(), kept.report.number);
        let text = serde_json::to_vec(kept)?;
        state::write_whole(&path, |file| file.write_all(&text))
    }

    pub(super) fn remove(&self, service: &str, number: u64) {
        let _ = fs::remove_file(self.path(service, number));
    }

    /// What a writer that died left behind.
    pub(super) fn clean(&self) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|ending| ending == UNFINISHED) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    pub(super) fn read(&self, service: &str, number: u64) -> Option<Kept> {
        let file = ours().read(true).open(self.path(service, number)).ok()?;
        let mut text = Vec::new();
        file.take(LONGEST).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn path(&self, service: &str, number: u64) -> PathBuf {
        self.dir.join(format!("{service}.{number}.json"))
    }
}
