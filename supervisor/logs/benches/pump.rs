//! How fast the pump is, and what it costs, beside the program that writes to the file itself, `cat` between pipe and
//! file, and a bare loop of `splice`; and how fast a pattern is found in archives, beside `zgrep`.
//! Not here: correctness.
//!
//! Writers are processes of their own, and so is each reader; for the pump one reads all pipes, as control does. Wall
//! time ends when the last byte is in a file. CPU is user and system time: of the readers, and of readers and writers.
//! `MIB` (1024) and `REPEATS` (5) may be set; the median counts. `BENCH_DIR` says on which disk.

#![expect(clippy::print_stdout, reason = "printing is what a bench is for")]

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, SpliceFFlags, fcntl, splice};
use nix::sys::resource::{UsageWho, getrusage};
use supervisor_logs::{Compression, Feed, Filter, Pump, Query, Search, Settings, Unfinished};

const LINE: usize = 100;
const WAYS: [&str; 5] = ["itself", "cat", "splice", "pump", "rotated"];

fn main() -> io::Result<()> {
    let args: Vec<String> = env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, "write", chunk, bytes] => return write(number(chunk)?, number(bytes)?),
        [_, "drain", way, services, bytes, path] => {
            return drain(way, number(services)?, number(bytes)?, Path::new(path));
        }
        _ => {}
    }
    let directory = tempfile::tempdir_in(env::var_os("BENCH_DIR").map_or_else(env::temp_dir, PathBuf::from))?;
    let bytes = setting("MIB", 1024) << 20;
    println!("{:>8} {:>7} {:>8} {:>8} {:>12} {:>14}", "services", "writes", "way", "s", "CPU s/GiB", "with writers");
    for (services, chunk) in [(1, 64 << 10), (1, LINE), (8, 64 << 10), (8, LINE)] {
        let mut runs: Vec<(&str, Vec<Run>)> = WAYS.map(|way| (way, Vec::new())).into();
        // In turns, so that a noisy moment hits all alike.
        for _ in 0..setting("REPEATS", 5) {
            for (way, runs) in &mut runs {
                runs.push(run(way, chunk, services, bytes, directory.path())?);
                for entry in fs::read_dir(directory.path())? {
                    fs::remove_file(entry?.path())?;
                }
            }
        }
        for (way, runs) in runs {
            let median = |of: fn(&Run) -> f64| {
                let mut all: Vec<f64> = runs.iter().map(of).collect();
                all.sort_by(f64::total_cmp);
                all[all.len() / 2]
            };
            let gib = bytes as f64 / (1 << 30) as f64;
            let (wall, own, whole) =
                (median(|run| run.wall), median(|run| run.own) / gib, median(|run| run.whole) / gib);
            println!("{services:>8} {chunk:>7} {way:>8} {wall:>8.2} {own:>12.2} {whole:>14.2}");
        }
    }
    find(directory.path(), bytes)
}

fn setting(name: &str, default: usize) -> usize {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn number(text: &str) -> io::Result<usize> {
    text.parse().map_err(io::Error::other)
}

/// In seconds.
struct Run {
    wall: f64,
    /// CPU of the readers.
    own: f64,
    /// CPU of readers and writers.
    whole: f64,
}

fn run(way: &str, chunk: usize, services: usize, bytes: usize, directory: &Path) -> io::Result<Run> {
    let this = env::current_exe()?;
    let before = cpu(UsageWho::RUSAGE_CHILDREN)?;
    let mut inputs: Vec<Stdio> = Vec::new();
    let mut drains: Vec<Child> = Vec::new();
    let share = bytes / services;
    let reader = |services: usize, number: usize| {
        let mut command = Command::new(&this);
        command.args(["drain", way, &services.to_string(), &share.to_string()]);
        command.arg(directory.join(format!("{way}{number}.log"))).stdout(Stdio::piped());
        command
    };
    if way == "itself" {
        for service in 0..services {
            inputs.push(File::create(directory.join(format!("{service}.log")))?.into());
        }
    } else if matches!(way, "cat" | "splice") {
        for service in 0..services {
            let (output, input) = pipe()?;
            inputs.push(input.into());
            drains.push(reader(1, service).stdin(output).spawn()?);
        }
    } else {
        // Each service opens its pipe by a name: only standard input is inherited without unsafe code.
        let names: Vec<PathBuf> = (0..services).map(|service| directory.join(format!("{service}.pipe"))).collect();
        for name in &names {
            nix::unistd::mkfifo(name, nix::sys::stat::Mode::S_IRWXU)?;
        }
        drains.push(reader(services, 0).stdin(Stdio::null()).spawn()?);
        for name in &names {
            inputs.push(OpenOptions::new().write(true).open(name)?.into());
        }
    }
    // All are up before the clock starts.
    for drain in &mut drains {
        drain.stdout.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.read_exact(&mut [0])?;
    }
    let begin = Instant::now();
    let writer =
        |input| Command::new(&this).args(["write", &chunk.to_string(), &share.to_string()]).stdout(input).spawn();
    let writers: Vec<Child> = inputs.into_iter().map(writer).collect::<io::Result<_>>()?;
    let mut own = 0.0;
    for drain in &mut drains {
        let mut used = String::new();
        drain.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?.read_to_string(&mut used)?;
        own += used.trim().parse::<f64>().map_err(io::Error::other)?;
    }
    for mut child in writers {
        child.wait()?;
    }
    let wall = begin.elapsed().as_secs_f64();
    for mut child in drains {
        child.wait()?;
    }
    Ok(Run { wall, own, whole: cpu(UsageWho::RUSAGE_CHILDREN)? - before })
}

/// As large as those that control makes.
fn pipe() -> io::Result<(PipeReader, io::PipeWriter)> {
    let (output, input) = io::pipe()?;
    fcntl(&input, FcntlArg::F_SETPIPE_SZ(256 << 10))?;
    Ok((output, input))
}

/// Writes lines to its standard output, in pieces of `chunk` bytes.
fn write(chunk: usize, bytes: usize) -> io::Result<()> {
    let line = [[b'x'; LINE - 1].as_slice(), b"\n"].concat();
    let text = line.repeat(chunk.div_ceil(LINE) + 1);
    let mut out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let (mut at, mut left) = (0, bytes);
    while left > 0 {
        let size = chunk.min(left);
        out.write_all(&text[at..at + size])?;
        at = (at + size) % LINE;
        left -= size;
    }
    Ok(())
}

/// Moves its pipes to logs, then prints the CPU seconds that it took.
fn drain(way: &str, services: usize, bytes: usize, path: &Path) -> io::Result<()> {
    let mut pipes = Vec::new();
    for service in 0..services {
        let name = path.with_file_name(format!("{service}.pipe"));
        if name.exists() {
            let pipe = OpenOptions::new().read(true).open(&name)?;
            fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(256 << 10))?;
            pipes.push(pipe.into());
        }
    }
    let before = cpu(UsageWho::RUSAGE_SELF)?;
    let mut out = io::stdout();
    out.write_all(b" ")?;
    out.flush()?;
    match way {
        "cat" => cat(path)?,
        "splice" => bare(path)?,
        _ => pump(pipes, bytes, path, if way == "rotated" { 10 << 20 } else { 0 })?,
    }
    println!("{}", cpu(UsageWho::RUSAGE_SELF)? - before);
    Ok(())
}

fn cat(path: &Path) -> io::Result<()> {
    let mut input = PipeReader::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let mut buffer = vec![0; 128 << 10];
    loop {
        match input.read(&mut buffer)? {
            0 => return Ok(()),
            count => file.write_all(&buffer[..count])?,
        }
    }
}

fn bare(path: &Path) -> io::Result<()> {
    let file = File::create(path)?;
    while splice(io::stdin(), None, &file, None, 128 << 10, SpliceFFlags::empty())? > 0 {}
    Ok(())
}

fn pump(pipes: Vec<std::os::fd::OwnedFd>, bytes: usize, path: &Path, max_size: u64) -> io::Result<()> {
    let pump = Pump::new();
    let settings = Settings { max_size, keep: 5, compression: Compression::None, ..Settings::default() };
    let logs: Vec<PathBuf> = (0..pipes.len()).map(|service| path.with_extension(format!("{service}.log"))).collect();
    for ((pipe, path), id) in pipes.into_iter().zip(&logs).zip(1..) {
        pump.attach(Feed { id, pipe, path: path.clone(), generation: id, settings: settings.clone() });
    }
    while !logs.iter().all(|path| pump.stats(path).is_some_and(|stats| stats.bytes >= bytes as u64)) {
        std::thread::sleep(Duration::from_millis(1));
    }
    for (_, id) in logs.iter().zip(1..) {
        let (done, over) = sync_channel(1);
        pump.finish(
            id,
            Box::new(move || {
                let _ = done.send(());
            }),
        );
        over.recv().map_err(io::Error::other)?;
    }
    pump.shutdown();
    Ok(())
}

/// A pattern that is rare, in archives of 10 MiB.
fn find(directory: &Path, bytes: usize) -> io::Result<()> {
    let path = directory.join("web.log");
    let (mut archives, mut line) = (Vec::new(), 0_usize);
    for number in (1..=bytes.div_ceil(10 << 20)).rev() {
        let mut text = Vec::new();
        while text.len() < 10 << 20 {
            let level = if line % 10_000 == 0 { "needle" } else { "info" };
            writeln!(
                text,
                "2026-11-23T00:21:01Z {level} request {line} took {} ms from 10.0.0.{}",
                line % 977,
                line % 251
            )?;
            line += 1;
        }
        let archive = directory.join(format!("web.log.{number}.gz"));
        let mut encoder = flate2::write::GzEncoder::new(File::create(&archive)?, flate2::Compression::new(4));
        encoder.write_all(&text)?;
        encoder.finish()?;
        archives.push(archive);
    }
    println!("{:>8} {:>8}", "find", "s");
    for way in ["zgrep", "logs"] {
        let mut walls: Vec<f64> = Vec::new();
        for _ in 0..3 {
            let begin = Instant::now();
            let found = if way == "zgrep" { by_zgrep(&archives)? } else { by_search(&path)? };
            walls.push(begin.elapsed().as_secs_f64());
            assert_eq!(found, line.div_ceil(10_000), "{way}");
        }
        walls.sort_by(f64::total_cmp);
        println!("{way:>8} {:>8.2}", walls[1]);
    }
    Ok(())
}

fn by_zgrep(archives: &[PathBuf]) -> io::Result<usize> {
    let output = Command::new("zgrep").args(["-h", "needle"]).args(archives).output()?;
    Ok(output.stdout.iter().filter(|byte| **byte == b'\n').count())
}

fn by_search(path: &Path) -> io::Result<usize> {
    let filter = Filter::default().grep("needle").map_err(io::Error::other)?;
    let mut search = Search::new(path, Query { filter, ..Query::default() }, Unfinished::Shown)?;
    let (mut lines, mut found) = (Vec::new(), 0);
    while search.read(&mut lines)? {
        found += lines.len();
        lines.clear();
    }
    Ok(found + lines.len())
}

/// User and system time so far.
fn cpu(who: UsageWho) -> io::Result<f64> {
    let used = getrusage(who)?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(used.user_time()) + seconds(used.system_time()))
}
