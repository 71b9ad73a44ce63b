//! What the processes of a run do: write lines, or read them in one of the ways.
//! Not here: starting them (`run`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;

use nix::fcntl::{FcntlArg, SpliceFFlags, fcntl, splice};
use nix::sys::resource::UsageWho;
use supervisor_logs::{Compression, Feed, Pump, Settings, stage};

use crate::LINE;
use crate::measure::cpu;

/// The end of a line without one, and the line after it.
pub(crate) const LATER: &[u8] = b"\nlater\n";
/// Bytes after which a log is rotated.
const ROTATED: u64 = 10 << 20;
/// Archives of a log.
const KEPT: u32 = 5;

/// Writes lines to its standard output, in pieces of `chunk` bytes.
pub(crate) fn write(chunk: usize, bytes: usize) -> io::Result<()> {
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

/// Writes one line of so many bytes to its standard output, and a short one.
pub(crate) fn write_line(bytes: usize) -> io::Result<()> {
    let mut out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let piece = [b'x'; 64 << 10];
    let mut left = bytes;
    while left > 0 {
        let size = piece.len().min(left);
        out.write_all(&piece[..size])?;
        left -= size;
    }
    out.write_all(LATER)
}

/// Moves its pipes to logs, then prints the CPU seconds that it took.
pub(crate) fn drain(way: &str, services: usize, path: &Path) -> io::Result<()> {
    let before = cpu(UsageWho::RUSAGE_SELF)?;
    match way {
        "cat" => cat(path, u64::MAX)?,
        "cat+mv" => cat(path, ROTATED)?,
        "splice" => bare(path)?,
        "rotated" => pump(services, path, ROTATED, Compression::None)?,
        "gzipped" => pump(services, path, ROTATED, Compression::Gzip)?,
        _ => pump(services, path, 0, Compression::None)?,
    }
    println!("{}", cpu(UsageWho::RUSAGE_SELF)? - before);
    Ok(())
}

/// From here on bytes are taken.
fn is_up() -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(b" ")?;
    out.flush()
}

/// Beyond `limit`, files are rotated at a line end.
fn cat(path: &Path, limit: u64) -> io::Result<()> {
    let mut input = PipeReader::from(io::stdin().as_fd().try_clone_to_owned()?);
    let open = || OpenOptions::new().create(true).append(true).open(path);
    let (mut file, mut size) = (open()?, 0);
    let mut buffer = vec![0; 128 << 10];
    is_up()?;
    loop {
        let count = input.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..count];
        if size + count as u64 > limit {
            let (old, new) = rest.split_at(rest.iter().rposition(|&byte| byte == b'\n').map_or(count, |last| last + 1));
            file.write_all(old)?;
            // Some are not there yet. Deleted first: some systems write out a file that replaces another.
            let _ = fs::remove_file(archive(path, KEPT));
            for number in (1..KEPT).rev() {
                let _ = fs::rename(archive(path, number), archive(path, number + 1));
            }
            fs::rename(path, archive(path, 1))?;
            (file, size, rest) = (open()?, 0, new);
        }
        file.write_all(rest)?;
        size += rest.len() as u64;
    }
}

fn archive(path: &Path, number: u32) -> PathBuf {
    path.with_extension(format!("log.{number}"))
}

fn bare(path: &Path) -> io::Result<()> {
    let file = File::create(path)?;
    is_up()?;
    while splice(io::stdin(), None, &file, None, 128 << 10, SpliceFFlags::empty())? > 0 {}
    Ok(())
}

/// Until its standard input ends.
fn pump(services: usize, path: &Path, max_size: u64, compression: Compression) -> io::Result<()> {
    let pump = Pump::new();
    let settings = Settings { max_size, keep: KEPT, compression, ..Settings::default() };
    for (service, id) in (0..services).zip(1..) {
        let path: PathBuf = path.with_extension(format!("{service}.log"));
        pump.attach(Feed {
            id,
            pipe: pipe(&path, service)?,
            stage: stage().ok(),
            path,
            generation: id,
            settings: settings.clone(),
        });
    }
    is_up()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    for id in (1..).take(services) {
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

fn pipe(path: &Path, service: usize) -> io::Result<OwnedFd> {
    let pipe = OpenOptions::new().read(true).open(path.with_file_name(format!("{service}.pipe")))?;
    fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(256 << 10))?;
    Ok(pipe.into())
}
