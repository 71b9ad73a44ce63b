//! Logs that could become larger than the disk they are on.
//! Not here: whether their directories can be written (`check`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::output::clean;
use super::status::bytes;
use crate::config::{Log, Stack};

/// What is promised to logs and cannot be had, in words.
pub(super) fn too_small(stack: &Stack) -> Vec<String> {
    let logs = || stack.services.iter().map(|service| (service.spec.name.as_str(), &service.launch.log));
    let total = stack.log_budget.total;
    if total > 0 {
        let dirs: BTreeSet<&Path> =
            logs().map(|(_, log)| log.dir.as_path()).chain([stack.logs_dir.as_path()]).collect();
        // By their disks.
        let small: BTreeMap<u64, (&Path, u64)> = dirs
            .into_iter()
            .filter_map(|dir| disk(dir).filter(|(_, size)| *size < total).map(|(id, size)| (id, (dir, size))))
            .collect();
        return small.into_values().map(|(dir, size)| beyond("`[logs] total`", total, dir, size)).collect();
    }
    let most = |log: &Log| log.max_size.saturating_mul(u64::from(log.keep).saturating_add(1));
    logs()
        .filter(|(_, log)| log.max_size > 0 && log.keep < u32::MAX)
        .filter_map(|(name, log)| {
            let (_, size) = disk(&log.dir).filter(|(_, size)| *size < most(log))?;
            Some(format!("{name}: {}", beyond("`log`: `max_size`, kept `keep` times,", most(log), &log.dir, size)))
        })
        .collect()
}

fn beyond(what: &str, wanted: u64, dir: &Path, size: u64) -> String {
    let dir = clean(&dir.display().to_string());
    format!("{what} is {}, and the disk of {dir} has {}: less is kept", bytes(wanted), bytes(size))
}

/// Which one a directory is on, or will be, and how many bytes it has.
fn disk(dir: &Path) -> Option<(u64, u64)> {
    let (nearest, found) = dir.ancestors().find_map(|dir| Some((dir, fs::metadata(dir).ok()?)))?;
    let space = statvfs(nearest).ok()?;
    #[allow(clippy::useless_conversion, reason = "these are narrower on other systems")]
    let [blocks, fragment] = [u64::from(space.blocks()), u64::from(space.fragment_size())];
    Some((found.dev(), blocks * fragment))
}
