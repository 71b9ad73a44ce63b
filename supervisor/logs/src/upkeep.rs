//! How much the logs of one file system take, and which archives go: the oldest, when there is too much, too little is
//! free, or they are too old. The workers of each file system keep house for it, so that a dead one stalls no other.
//! Not here: the files that are written to; how large those get is decided by their share (`registry`).

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::statvfs::fstatvfs;

use crate::registry::{Registry, Shared, for_archives, lock, part};

/// How often the free space is looked at while logs are written.
const LOOK_AT_SPACE: Duration = Duration::from_millis(250);
/// Archives that grow too old are looked for after a tenth of that age, within these bounds.
const EXPIRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));
/// Once there are too many archives, a little more than needed goes, so that not each rotation has to look.
const SPARE: u64 = 20;

/// The house-keeping of one file system.
pub(crate) struct Upkeep {
    registry: Arc<Registry>,
    directories: BTreeSet<PathBuf>,
    /// What the archives and indices took when they were last counted, and what was added since.
    held: u64,
    /// Bytes that all logs here may take; 0: any number.
    whole: u64,
    /// Of how much, and for how many logs and directories, parts were made.
    divided: (u64, usize, usize),
    next_expiry: Option<Instant>,
    next_look_at_space: Option<Instant>,
}

/// Less is free than has to be, though every archive is gone.
pub(crate) struct Shortage(pub(crate) String);

struct Archived {
    written: SystemTime,
    path: PathBuf,
    inode: u64,
    len: u64,
    log: Arc<Shared>,
}

impl Upkeep {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self {
            registry,
            directories: BTreeSet::new(),
            held: 0,
            whole: 0,
            divided: (0, 0, 0),
            next_expiry: None,
            next_look_at_space: None,
        }
    }

    /// A log is in `directory`, which is looked at soon if it was not known.
    pub(crate) fn knows(&mut self, directory: PathBuf, now: Instant) {
        if self.directories.insert(directory) {
            self.look_soon(now);
        }
    }

    /// Settings have changed.
    pub(crate) fn look_soon(&mut self, now: Instant) {
        self.next_expiry = Some(now);
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.next_expiry
    }

    /// Counts, and deletes what is too old or too much.
    pub(crate) fn look(&mut self, now: Instant) {
        let mut archives = self.survey();
        let clock = SystemTime::now();
        archives.retain(|archive| {
            let most = archive.log.settings().max_age;
            let age = clock.duration_since(archive.written).unwrap_or_default();
            let goes = !most.is_zero() && age > most && archive.delete();
            if goes {
                self.change(0, archive.len);
            }
            !goes
        });
        self.enforce(archives, 0);
        let ages = self.logs().into_iter().map(|log| log.settings().max_age).filter(|age| !age.is_zero());
        self.next_expiry = ages.min().map(|age| now + (age / 10).clamp(EXPIRY.0, EXPIRY.1));
    }

    /// A file of `len` bytes became an archive.
    pub(crate) fn rotated(&mut self, len: u64) {
        self.change(len, 0);
        if self.held > self.allowance() {
            let archives = self.survey();
            self.enforce(archives, SPARE);
        }
    }

    /// Deletes the archive that is oldest among all logs of this file system; false: there is none. Logs of which this
    /// pump was never told are not ours to delete.
    pub(crate) fn delete_oldest(&mut self) -> bool {
        let archives = self.survey();
        let gone = archives.iter().find(|archive| archive.delete());
        if let Some(gone) = gone {
            self.change(0, gone.len);
        }
        gone.is_some()
    }

    /// Is as much free as has to be? `file` is on the file system.
    pub(crate) fn room(&mut self, file: &File, now: Instant) -> Result<(), Shortage> {
        if self.next_look_at_space.is_some_and(|next| now < next) {
            return Ok(());
        }
        let least = self.registry.budget().min_free;
        let look = || free_space(file, least);
        let mut found = look();
        self.divide(found);
        while let Some(Space { least, .. }) = found.filter(|space| space.free < space.least) {
            if self.delete_oldest() {
                found = look();
            } else {
                // The same words each time: whoever hears of it again tells it once.
                let (least, unit) = if least < 1 << 20 { (least >> 10, "KiB") } else { (least >> 20, "MiB") };
                return Err(Shortage(format!("less than {least} {unit} is free on its disk (`min_free`)")));
            }
        }
        self.next_look_at_space = Some(now + LOOK_AT_SPACE);
        Ok(())
    }

    /// The logs of a file system that holds less than all logs may take have equal parts of that.
    fn divide(&mut self, space: Option<Space>) {
        let total = self.registry.budget().total;
        self.whole = space.map_or(total, |space| total.min(space.all - space.least));
        let divided = (self.whole, self.registry.count(), self.directories.len());
        if std::mem::replace(&mut self.divided, divided) == divided {
            return;
        }
        let logs = self.logs();
        let part = part(self.whole, logs.len());
        logs.iter().for_each(|log| log.keep_to(part));
    }

    /// Bytes of archives that may be here.
    fn allowance(&self) -> u64 {
        let of_all = self.registry.allowance(self.held);
        if self.whole == 0 { of_all } else { of_all.min(for_archives(self.whole, self.logs().iter())) }
    }

    fn logs(&self) -> Vec<Arc<Shared>> {
        self.directories.iter().flat_map(|directory| self.registry.in_directory(directory)).collect()
    }

    /// The oldest archives go until the rest has room, and 1/`spare` of it more.
    fn enforce(&mut self, archives: Vec<Archived>, spare: u64) {
        let allowed = self.allowance();
        if self.held <= allowed {
            return;
        }
        let target = allowed - allowed.checked_div(spare).unwrap_or(0);
        for archive in archives {
            if self.held <= target {
                break;
            }
            if archive.delete() {
                self.change(0, archive.len);
            }
        }
    }

    /// All archives of the logs, the oldest first; and counts anew.
    fn survey(&mut self) -> Vec<Archived> {
        let (mut archives, mut indices) = (Vec::new(), 0);
        for directory in &self.directories {
            let logs = self.registry.in_directory(directory);
            let logs: HashMap<&OsStr, &Arc<Shared>> = logs.iter().map(|log| (log.place.name(), log)).collect();
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let Some((log, kind)) = owner(&name, &logs) else { continue };
                let Ok(found) = entry.metadata() else { continue };
                match kind {
                    Kind::Index => indices += found.len(),
                    Kind::Archive => archives.push(Archived {
                        written: found.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                        path: entry.path(),
                        inode: found.ino(),
                        len: found.len(),
                        log: Arc::clone(log),
                    }),
                }
            }
        }
        archives.sort_by(|left, right| (left.written, &right.path).cmp(&(right.written, &left.path)));
        let counted = indices + archives.iter().map(|archive| archive.len).sum::<u64>();
        self.change(counted, self.held);
        archives
    }

    fn change(&mut self, more: u64, less: u64) {
        let held = (self.held + more).saturating_sub(less);
        self.registry.held_changed(self.held, held);
        self.held = held;
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.registry.held_changed(self.held, 0);
    }
}

impl Archived {
    /// False: it could not be, or has another name by now.
    fn delete(&self) -> bool {
        let _names = lock(&self.log.names);
        let same = fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode);
        same && fs::remove_file(&self.path).is_ok()
    }
}

enum Kind {
    Archive,
    Index,
}

/// Whose file is it?
fn owner<'l>(name: &OsString, logs: &HashMap<&OsStr, &'l Arc<Shared>>) -> Option<(&'l Arc<Shared>, Kind)> {
    let of = |log: &[u8]| logs.get(OsStr::from_bytes(log)).copied();
    let bytes = name.as_bytes();
    if let Some(log) = bytes.strip_suffix(b".idx").and_then(of) {
        return Some((log, Kind::Index));
    }
    let number = bytes.strip_suffix(b".gz").unwrap_or(bytes);
    let dot = number.iter().rposition(|byte| *byte == b'.')?;
    let log = of(&number[..dot])?;
    log.place.is_archive(name).then_some((log, Kind::Archive))
}

/// Bytes of a file system.
#[derive(Clone, Copy)]
struct Space {
    all: u64,
    /// For who is not root.
    free: u64,
    /// That have to be: at most a tenth of all.
    least: u64,
}

fn free_space(file: &File, least: u64) -> Option<Space> {
    let found = fstatvfs(file).ok()?;
    #[allow(clippy::useless_conversion, reason = "these are narrower on other systems")]
    let [free, all, fragment] =
        [u64::from(found.blocks_available()), u64::from(found.blocks()), u64::from(found.fragment_size())];
    Some(Space { all: all * fragment, free: free * fragment, least: least.min(all * fragment / 10) })
}
