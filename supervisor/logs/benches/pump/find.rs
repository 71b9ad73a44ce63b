//! A pattern that is rare, in archives of 10 MiB: our search beside `zgrep`.
//! Not here: the pump.

use std::env;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use supervisor_logs::{Filter, Query, Search, Unfinished};

use crate::measure::{median, watched};

const REPEATS: usize = 3;

pub(crate) fn compare(directory: &Path, bytes: usize) -> io::Result<()> {
    let path = directory.join("web.log");
    let (archives, needles) = make(&path, bytes)?;
    println!("{:>8} {:>8} {:>10}", "find", "s", "MiB most");
    for way in ["zgrep", "logs"] {
        let (mut walls, mut most) = (Vec::new(), 0);
        for _ in 0..REPEATS {
            let begin = Instant::now();
            let (found, memory) = if way == "zgrep" {
                by(Command::new("zgrep").args(["-h", "needle"]).args(&archives))?
            } else {
                by(Command::new(env::current_exe()?).arg("search").arg(&path))?
            };
            walls.push(begin.elapsed().as_secs_f64());
            most = most.max(memory);
            assert_eq!(found, needles, "{way}");
        }
        // Those of zgrep are many short processes.
        let most = if way == "zgrep" { String::new() } else { format!("{:.1}", most as f64 / 1048576.0) };
        println!("{way:>8} {:>8.2} {most:>10}", median(walls.into_iter()));
    }
    Ok(())
}

/// Archives, and how many lines are looked for.
fn make(path: &Path, bytes: usize) -> io::Result<(Vec<PathBuf>, usize)> {
    let (mut archives, mut line) = (Vec::new(), 0_usize);
    for number in (1..=bytes.div_ceil(10 << 20)).rev() {
        let mut text = Vec::new();
        while text.len() < 10 << 20 {
            let level = if line.is_multiple_of(10_000) { "needle" } else { "info" };
            let (took, from) = (line % 977, line % 251);
            writeln!(text, "2026-11-23T00:21:01Z {level} request {line} took {took} ms from 10.0.0.{from}")?;
            line += 1;
        }
        let archive = path.with_extension(format!("log.{number}.gz"));
        let mut encoder = flate2::write::GzEncoder::new(File::create(&archive)?, flate2::Compression::new(4));
        encoder.write_all(&text)?;
        encoder.finish()?;
        archives.push(archive);
    }
    Ok((archives, line.div_ceil(10_000)))
}

/// How many lines it prints, and the most memory that it took.
fn by(command: &mut Command) -> io::Result<(usize, u64)> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let (text, most) = watched(&[child.id()], || {
        let mut text = Vec::new();
        output.read_to_end(&mut text).map(|_| text)
    });
    child.wait()?;
    Ok((text?.iter().filter(|byte| **byte == b'\n').count(), most))
}

/// Prints the lines that are found.
pub(crate) fn search(path: &Path) -> io::Result<()> {
    let filter = Filter::default().grep("needle").map_err(io::Error::other)?;
    let mut search = Search::new(path, Query { filter, ..Query::default() }, Unfinished::Shown)?;
    let (mut lines, mut more) = (Vec::new(), true);
    while more {
        more = search.read(&mut lines)?;
        for line in lines.drain(..) {
            io::stdout().write_all(&[&line.text, b"\n".as_slice()].concat())?;
        }
    }
    Ok(())
}
