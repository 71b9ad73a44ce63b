//! The process that copies is killed, again and again; not a byte is lost or doubled.
//! Not here: other ways to end.

use std::fs::{self, OpenOptions};
use std::io::{PipeReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use supervisor_logs::{Compression, Feed, Pump, Settings, stage};
use tempfile::tempdir;

use crate::{
    assert_same, child, child_directory, content, eventually, finish, inherited_pipe, keep_all, settled, write_until,
};

const KILLS: u32 = 60;
/// Where a copier finds the stage that its parent holds.
pub(crate) const STAGE: &str = "LOGS_TEST_STAGE";

/// Moves its standard input to a log until it is killed. Tells by a byte that it does. The last one
/// ends by itself.
#[test]
#[ignore = "is a child process of the tests below"]
fn copier() {
    let Some(directory) = child_directory() else { return };
    let compression = if directory.join("gzip").exists() { Compression::Gzip } else { Compression::None };
    let pump = Pump::new();
    pump.attach(Feed {
        id: 1,
        pipe: inherited_pipe(),
        stage: held_stage(),
        path: directory.join("logs/a.log"),
        generation: 0,
        settings: Settings {
            compression,
            ..keep_all(if directory.join("large").exists() { 10_000_000 } else { 50_000 })
        },
    });
    if directory.join("last").exists() {
        finish(&pump, 1);
        if compression == Compression::Gzip {
            settled(&directory.join("logs/a.log"));
        }
        return;
    }
    let moves = || pump.stats(&directory.join("logs/a.log")).is_some_and(|stats| stats.bytes > 0);
    eventually("it moves bytes", moves);
    std::io::stderr().write_all(b"!").expect("the parent waits");
    loop {
        std::thread::park();
    }
}

pub(crate) fn held_stage() -> Option<OwnedFd> {
    let path = std::env::var_os(STAGE)?;
    let flags = OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let stage = OpenOptions::new().read(true).write(true).custom_flags(flags.bits()).open(path);
    Some(stage.expect("the parent holds it").into())
}

pub(crate) fn start(directory: &Path, (pipe, stage): (&PipeReader, Option<&OwnedFd>)) -> Child {
    let mut command = child("survival::copier", directory);
    if let Some(stage) = stage {
        command.env(STAGE, format!("/proc/{}/fd/{}", std::process::id(), stage.as_raw_fd()));
    }
    command.stdin(pipe.try_clone().expect("a duplicate")).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().expect("it starts")
}

/// Starts one, and waits until it moves bytes.
fn start_moving(directory: &Path, ends: (&PipeReader, Option<&OwnedFd>)) -> Child {
    let mut copier = start(directory, ends);
    let mut sign = [0];
    copier.stderr.as_mut().expect("it is piped").read_exact(&mut sign).expect("it moves bytes");
    assert_eq!(sign, *b"!");
    copier
}

fn kill(mut copier: Child) {
    copier.kill().expect("it lives");
    copier.wait().expect("it is gone");
}

/// Kills copiers under a flood, then compares. Returns how often something was left in the stage.
fn survives(directory: &Path, flood: Flood) -> usize {
    let path = directory.join("logs/a.log");
    let (output, mut input) = std::io::pipe().expect("a pipe");
    let stage = stage().ok();
    let ends = (&output, stage.as_ref());
    let over = AtomicBool::new(false);
    let mut staged = 0;
    let mut chance = Chance::now();
    let mut lines = Lines { sizes: Chance(chance.0), flood, block: Vec::new() };
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_until(&over, &mut input, |written| lines.write(written)));
        for _ in 0..KILLS {
            let copier = start_moving(directory, ends);
            std::thread::sleep(Duration::from_micros(chance.below(flood.longest_life()) as u64));
            kill(copier);
            staged += usize::from(stage.as_ref().is_some_and(|stage| holds_something(stage.as_fd())));
        }
        over.store(true, Ordering::Relaxed);
        let copier = start(directory, ends);
        let written = writer.join().expect("it wrote");
        kill(copier);
        written
    });
    fs::write(directory.join("last"), "").expect("a file");
    let last = start(directory, ends).wait_with_output().expect("it ends");
    assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
    assert_same(&content(&path), &written);
    staged
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flood {
    /// Lines as they come, some thousand in a millisecond.
    OfLines,
    /// As fast as a pipe takes it.
    OfBlocks,
}

impl Flood {
    /// Of a copier, in microseconds.
    fn longest_life(self) -> usize {
        match self {
            Self::OfLines => 10_000,
            Self::OfBlocks => 4_000,
        }
    }
}

struct Lines {
    sizes: Chance,
    flood: Flood,
    block: Vec<u8>,
}

impl Lines {
    /// The next ones.
    fn write(&mut self, to: &mut Vec<u8>) {
        match self.flood {
            Flood::OfLines => {
                let count = self.sizes.below(400) + 1;
                self.make(to, count);
                std::thread::sleep(Duration::from_micros(500));
            }
            Flood::OfBlocks => {
                if self.block.is_empty() {
                    let mut block = Vec::new();
                    self.make(&mut block, 10_000);
                    self.block = block;
                }
                writeln!(to, "block at {}", to.len()).expect("memory");
                to.extend_from_slice(&self.block);
            }
        }
    }

    fn make(&mut self, to: &mut Vec<u8>, count: usize) {
        for _ in 0..count {
            writeln!(to, "line {} {}", to.len(), "x".repeat(self.sizes.below(90))).expect("memory");
        }
    }
}

fn holds_something(pipe: BorrowedFd<'_>) -> bool {
    poll(&mut [PollFd::new(pipe, PollFlags::POLLIN)], PollTimeout::ZERO).expect("it can be asked") > 0
}

/// Marsaglia's xorshift.
pub(crate) struct Chance(u64);

impl Chance {
    /// Of this moment, which is told.
    pub(crate) fn now() -> Self {
        let chance = Self(SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| u64::from(since.subsec_nanos()) | 1));
        println!("seed {}", chance.0);
        chance
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "needs splice and tee")]
fn kills_under_flood_and_rotation_lose_and_double_nothing() {
    let directory = tempdir().expect("a directory");
    survives(directory.path(), Flood::OfLines);
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "needs splice and tee")]
fn kills_between_pipe_and_file_lose_and_double_nothing() {
    let directory = tempdir().expect("a directory");
    fs::write(directory.path().join("large"), "").expect("a file");
    let staged = survives(directory.path(), Flood::OfBlocks);
    println!("{staged} of {KILLS} left something in the stage");
    assert!(staged > 0, "no kill came between pipe and file");
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "needs splice and tee")]
fn kills_while_archives_are_compressed_lose_and_double_nothing() {
    let directory = tempdir().expect("a directory");
    fs::write(directory.path().join("gzip"), "").expect("a file");
    survives(directory.path(), Flood::OfLines);
}
