//! How fast the pump is, and what it costs, beside a loop of read and write as `cat` has it.
//! Not here: correctness.
//!
//! The writer is a process of its own; wall time ends when the last byte is in the file, CPU time is that of the
//! reading process alone.

#![expect(clippy::print_stdout, reason = "printing is what a bench is for")]

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, PipeReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use supervisor_logs::{Compression, Feed, Pump, Settings};

const MIB: usize = 512;
const LINE: usize = 100;
const REPEATS: usize = 5;

fn main() -> io::Result<()> {
    let args: Vec<String> = env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, "write", chunk] => return write(chunk.parse().map_err(io::Error::other)?),
        [_, "drain", way, path] => return drain(way, Path::new(path)),
        _ => {}
    }
    let directory = tempfile::tempdir_in(env::var_os("BENCH_DIR").map_or_else(env::temp_dir, PathBuf::from))?;
    println!("{:>8} {:>8} {:>12} {:>12} {:>14}", "writes", "way", "MiB/s", "best", "CPU s/GiB");
    for chunk in [64 << 10, LINE] {
        for way in ["cat", "pump", "rotated"] {
            let mut runs = Vec::new();
            for _ in 0..REPEATS {
                let path = directory.path().join(format!("{way}.log"));
                runs.push(run(way, chunk, &path)?);
                for entry in fs::read_dir(directory.path())? {
                    fs::remove_file(entry?.path())?;
                }
            }
            let mut walls: Vec<f64> = runs.iter().map(|(wall, _)| wall.as_secs_f64()).collect();
            walls.sort_by(f64::total_cmp);
            let mut cpus: Vec<f64> = runs.iter().map(|(_, cpu)| cpu * 1024.0 / MIB as f64).collect();
            cpus.sort_by(f64::total_cmp);
            let rate = |wall: f64| MIB as f64 / wall;
            let (wall, best, cpu) = (rate(walls[REPEATS / 2]), rate(walls[0]), cpus[REPEATS / 2]);
            println!("{chunk:>8} {way:>8} {wall:>12.0} {best:>12.0} {cpu:>14.2}");
        }
    }
    Ok(())
}

/// Wall time and the drain's CPU seconds.
fn run(way: &str, chunk: usize, path: &Path) -> io::Result<(Duration, f64)> {
    let this = env::current_exe()?;
    let (output, input) = io::pipe()?;
    nix::fcntl::fcntl(&input, nix::fcntl::FcntlArg::F_SETPIPE_SZ(256 << 10))?;
    let mut drain = Command::new(&this).args(["drain", way]).arg(path).stdin(output).stdout(Stdio::piped()).spawn()?;
    // Both are up before the clock starts.
    let mut told = drain.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    told.read_exact(&mut [0])?;
    let begin = Instant::now();
    let mut writer = Command::new(&this).args(["write", &chunk.to_string()]).stdout(input).spawn()?;
    let mut cpu = String::new();
    told.read_to_string(&mut cpu)?;
    let wall = begin.elapsed();
    writer.wait()?;
    drain.wait()?;
    Ok((wall, cpu.trim().parse().map_err(io::Error::other)?))
}

/// Writes lines to its standard output, in pieces of `chunk` bytes.
fn write(chunk: usize) -> io::Result<()> {
    let line = [[b'x'; LINE - 1].as_slice(), b"\n"].concat();
    let text = line.repeat(chunk.div_ceil(LINE) + 1);
    let mut out = File::from(std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?);
    let (mut at, mut left) = (0, MIB << 20);
    while left > 0 {
        let size = chunk.min(left);
        out.write_all(&text[at..at + size])?;
        at = (at + size) % LINE;
        left -= size;
    }
    Ok(())
}

/// Moves its standard input to the log, then prints the CPU seconds that it took.
fn drain(way: &str, path: &Path) -> io::Result<()> {
    let mut input = PipeReader::from(std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned()?);
    let before = cpu()?;
    let mut out = io::stdout();
    out.write_all(b" ")?;
    out.flush()?;
    if way == "cat" {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        let mut buffer = vec![0; 128 << 10];
        loop {
            match input.read(&mut buffer)? {
                0 => break,
                count => file.write_all(&buffer[..count])?,
            }
        }
    } else {
        let max_size = if way == "rotated" { 10 << 20 } else { 0 };
        let pump = Pump::new();
        let settings = Settings { max_size, keep: 5, compression: Compression::None, ..Settings::default() };
        pump.attach(Feed { id: 1, pipe: input.into(), path: path.to_owned(), generation: 0, settings });
        while pump.stats(path).is_none_or(|stats| stats.bytes < (MIB << 20) as u64) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let (done, over) = sync_channel(1);
        pump.finish(
            1,
            Box::new(move || {
                let _ = done.send(());
            }),
        );
        over.recv().map_err(io::Error::other)?;
        pump.shutdown();
    }
    println!("{}", cpu()? - before);
    Ok(())
}

/// User and system time of this process so far.
fn cpu() -> io::Result<f64> {
    let used = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF)?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(used.user_time()) + seconds(used.system_time()))
}
