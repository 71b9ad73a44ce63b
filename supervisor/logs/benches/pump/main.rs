//! How fast the pump is, what it costs and what memory it takes, beside the program that writes to the file itself, `cat`
//! between pipe and file, one that rotates its file, and a bare loop of `splice`; and how fast a pattern is found in archives, beside `zgrep`.
//! Not here: correctness.
//!
//! Writers are processes of their own, and so is each reader; for the pump one reads all pipes, as control does. Wall
//! time ends when the last byte is in a file. CPU is user and system time: of the readers, and of readers and writers.
//! The medians count; of memory the greatest that any run came to. May be set: `MIB` (1024), `REPEATS` (5), `BENCH_DIR`
//! (on which disk), `CASES` (of `1x65536,1x100,8x65536,8x100,1xendless,find`; `endless` is one line), `WAYS` (of those in
//! the table).

#![expect(clippy::print_stdout, reason = "printing is what a bench is for")]

mod find;
mod measure;
mod reader;
mod run;

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use measure::Run;

/// Bytes of a line, with its end.
const LINE: usize = 100;
const WAYS: [&str; 7] = ["itself", "cat", "cat+mv", "splice", "pump", "rotated", "gzipped"];
/// How many services, and the bytes of each write; or one line, in large writes.
const CASES: [(usize, &str); 5] = [(1, "65536"), (1, "100"), (8, "65536"), (8, "100"), (1, ENDLESS)];
const ENDLESS: &str = "endless";

fn main() -> io::Result<()> {
    let args: Vec<String> = env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, "write", ENDLESS, bytes] => return reader::write_line(number(bytes)?),
        [_, "write", chunk, bytes] => return reader::write(number(chunk)?, number(bytes)?),
        [_, "drain", way, services, path] => return reader::drain(way, number(services)?, Path::new(path)),
        [_, "search", path] => return find::search(Path::new(path)),
        _ => {}
    }
    let directory = tempfile::tempdir_in(env::var_os("BENCH_DIR").map_or_else(env::temp_dir, PathBuf::from))?;
    let bytes = setting("MIB", 1024) << 20;
    println!(
        "{:>8} {:>7} {:>8} {:>8} {:>10} {:>13} {:>18}",
        "services", "writes", "way", "s", "CPU s/GiB", "with writers", "MiB before/most"
    );
    for (services, writes) in CASES {
        if wanted("CASES", &format!("{services}x{writes}")) {
            compare(services, writes, bytes, directory.path())?;
        }
    }
    if wanted("CASES", "find") { find::compare(directory.path(), bytes) } else { Ok(()) }
}

fn compare(services: usize, writes: &str, bytes: usize, directory: &Path) -> io::Result<()> {
    let ways = WAYS.iter().filter(|way| wanted("WAYS", way));
    let mut runs: Vec<(&str, Vec<Run>)> = ways.map(|way| (*way, Vec::new())).collect();
    // In turns, so that a noisy moment hits all alike.
    for _ in 0..setting("REPEATS", 5) {
        for (way, runs) in &mut runs {
            runs.push(run::run(way, writes, services, bytes, directory)?);
            assert!(writes != ENDLESS || later_line(directory)?, "{way}: what comes after the long line is missing");
            for entry in fs::read_dir(directory)? {
                fs::remove_file(entry?.path())?;
            }
            // What one way left to write to the disk is not the next one's.
            nix::unistd::sync();
        }
    }
    for (way, runs) in runs {
        let gib = bytes as f64 / (1 << 30) as f64;
        let wall = measure::median(runs.iter().map(|run| run.wall));
        let own = measure::median(runs.iter().map(|run| run.own)) / gib;
        let whole = measure::median(runs.iter().map(|run| run.whole)) / gib;
        let most = runs.iter().map(|run| run.memory).max_by_key(|(before, most)| most.saturating_sub(*before));
        let memory = most.filter(|(before, _)| *before > 0).map_or_else(String::new, |(before, most)| {
            format!("{:.1} / {:.1}", before as f64 / 1048576.0, most as f64 / 1048576.0)
        });
        println!("{services:>8} {writes:>7} {way:>8} {wall:>8.2} {own:>10.2} {whole:>13.2} {memory:>18}");
    }
    Ok(())
}

/// Does a file end with the line that comes after a long one?
fn later_line(directory: &Path) -> io::Result<bool> {
    let mut end = reader::LATER.to_vec();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let found = entry.metadata()?;
        // Pipes are there as well.
        if !found.is_file() {
            continue;
        }
        let from = found.len().saturating_sub(reader::LATER.len() as u64);
        if fs::File::open(entry.path())?.read_exact_at(&mut end, from).is_ok() && end == reader::LATER {
            return Ok(true);
        }
    }
    Ok(false)
}

fn setting(name: &str, default: usize) -> usize {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Whether the list of that name has this; one that is not set has everything.
fn wanted(list: &str, item: &str) -> bool {
    env::var(list).map_or(true, |list| list.split(',').any(|each| each == item))
}

fn number(text: &str) -> io::Result<usize> {
    text.parse().map_err(io::Error::other)
}
