//! The process that copies is killed, again and again; not a byte is lost or doubled.
//! Not here: other ways to end.

use std::fs;
use std::io::{PipeReader, Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use supervisor_logs::{Compression, Feed, Pump, Settings, stage};
use tempfile::tempdir;

use crate::{assert_same, child, child_directory, content, eventually, finish, inherited_pipe, keep_all, settled};

const KILLS: u32 = 60;

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
        stage: stage().ok(),
        path: directory.join("logs/a.log"),
        generation: 0,
        settings: Settings { compression, ..keep_all(50_000) },
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

pub(crate) fn start(directory: &Path, pipe: &PipeReader) -> Child {
    let mut command = child("survival::copier", directory);
    command.stdin(pipe.try_clone().expect("a duplicate")).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().expect("it starts")
}

/// Starts one, and waits until it moves bytes.
fn start_moving(directory: &Path, pipe: &PipeReader) -> Child {
    let mut copier = start(directory, pipe);
    let mut sign = [0];
    copier.stderr.as_mut().expect("it is piped").read_exact(&mut sign).expect("it moves bytes");
    assert_eq!(sign, *b"!");
    copier
}

fn kill(mut copier: Child) {
    copier.kill().expect("it lives");
    copier.wait().expect("it is gone");
}

/// Kills copiers under a flood, then compares.
fn survives(directory: &Path) {
    let path = directory.join("logs/a.log");
    let (output, mut input) = std::io::pipe().expect("a pipe");
    let over = AtomicBool::new(false);
    let mut chance = Chance(SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| u64::from(since.subsec_nanos()) | 1));
    println!("seed {}", chance.0);
    let mut sizes = Chance(chance.0);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let begin = written.len();
                for _ in 0..=sizes.below(400) {
                    writeln!(written, "line {} {}", written.len(), "x".repeat(sizes.below(90))).expect("memory");
                }
                input.write_all(&written[begin..]).expect("someone holds the pipe");
                std::thread::sleep(Duration::from_micros(500));
            }
            written
        });
        for _ in 0..KILLS {
            let copier = start_moving(directory, &output);
            std::thread::sleep(Duration::from_micros(chance.below(10_000) as u64));
            kill(copier);
        }
        over.store(true, Ordering::Relaxed);
        let copier = start(directory, &output);
        let written = writer.join().expect("it wrote");
        kill(copier);
        written
    });
    fs::write(directory.join("last"), "").expect("a file");
    let last = start(directory, &output).wait_with_output().expect("it ends");
    assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
    assert_same(&content(&path), &written);
}

/// Marsaglia's xorshift.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
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
    survives(directory.path());
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "needs splice and tee")]
fn kills_while_archives_are_compressed_lose_and_double_nothing() {
    let directory = tempdir().expect("a directory");
    fs::write(directory.path().join("gzip"), "").expect("a file");
    survives(directory.path());
}
