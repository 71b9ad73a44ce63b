//! Reports that are written together, a file for all: `exits/together.NUMBER.jsonl`. Where everything stops, hundreds of runs
//! end within a moment, and a file system takes longer to make a file than to fill it.
//! Not here: when reports are written together (`writer`).

use std::fs;
use std::io::{self, BufRead, Read, Write};
use std::path::{Path, PathBuf};

use supervisor_core::ServiceName;

use super::Kept;
use super::files::LONGEST;
use crate::state::{self, ours};

/// So many bytes go into one file, and one report more.
pub(super) const MOST: usize = 4 << 20;

/// The numbers of all such files, in order.
pub(super) fn numbers(dir: &Path) -> Vec<u64> {
    let names = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let number = |name: &str| name.strip_prefix("together.")?.strip_suffix(".jsonl")?.parse().ok();
    let mut numbers: Vec<u64> = names.filter_map(|name| number(name.to_str()?)).collect();
    numbers.sort_unstable();
    numbers
}

/// Whole or not at all. The directory is there.
pub(super) fn write(dir: &Path, number: u64, reports: &[Kept]) -> io::Result<()> {
    let mut text = Vec::new();
    for kept in reports {
        serde_json::to_writer(&mut text, kept)?;
        text.push(b'\n');
    }
    state::write_whole(&path(dir, number), |file| file.write_all(&text))
}

/// Those of one service, or all. What cannot be read is left out.
pub(super) fn read(dir: &Path, number: u64, service: Option<&ServiceName>) -> Vec<Kept> {
    let Ok(file) = ours().read(true).open(path(dir, number)) else { return Vec::new() };
    let lines = io::BufReader::new(file.take(MOST as u64 + LONGEST)).split(b'\n').map_while(Result::ok);
    let reports = lines.filter_map(|line| serde_json::from_slice::<Kept>(&line).ok());
    reports.filter(|kept| service.is_none_or(|service| kept.report.facts.service == *service)).collect()
}

pub(super) fn remove(dir: &Path, number: u64) {
    let _ = fs::remove_file(path(dir, number));
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("together.{number}.jsonl"))
}
