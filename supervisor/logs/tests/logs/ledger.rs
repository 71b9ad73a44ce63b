//! The process that drops is killed, again and again; what it dropped is told all the same, exactly and once.
//! Not here: how a ledger is kept; that is tested beside it.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use supervisor_logs::{Feed, Ledger, Pump, stage};

use crate::outage::{account, on_a_disk_of};
use crate::steps::{can_be_traced, killed_at};
use crate::survival::{Chance, STAGE, held_stage};
use crate::{child, child_directory, eventually, finish, inherited_pipe, keep_all, write_until};

const KILLS: usize = 60;

/// Moves its standard input to a log until it is killed; the ledger is its standard error. The last one ends by itself.
#[test]
#[ignore = "is a child process of the tests below"]
fn dropper() {
    let Some(directory) = child_directory() else { return };
    let ledger = Ledger::of(std::io::stderr().as_fd().try_clone_to_owned().expect("a duplicate")).expect("a ledger");
    let (pump, path) = (Pump::with(ledger), directory.join("a.log"));
    let (pipe, stage) = (inherited_pipe(), held_stage());
    pump.attach(Feed { id: 1, pipe, stage, path: path.clone(), generation: 0, settings: keep_all(0) });
    if directory.join("last").exists() {
        eventually("all is told", || pump.stats(&path).is_some_and(|stats| stats.error.is_none()));
        finish(&pump, 1);
        let stats = pump.stats(&path).expect("it is known");
        fs::write(directory.join("dropped"), stats.dropped_lines.to_string()).expect("there is room");
        return;
    }
    loop {
        std::thread::park();
    }
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "needs splice and files of memory")]
fn kills_while_a_disk_is_full_cost_no_count() {
    on_a_disk_of("size=40m", "ledger::outages");
}

#[test]
#[ignore = "is a child process of the test above"]
fn outages() {
    let Some(directory) = child_directory() else { return };
    let filler = Filler::new(&directory);
    let mut chance = Chance::now();
    survives(&directory, &filler, |start| {
        for _ in 0..KILLS {
            let mut dropper = start(child("ledger::dropper", &directory));
            // Room for a while, none, and room again.
            for _ in 0..chance.below(4) {
                std::thread::sleep(Duration::from_micros(chance.below(60_000) as u64));
                filler.shrink(64 << 10);
            }
            std::thread::sleep(Duration::from_micros(chance.below(60_000) as u64));
            dropper.kill().expect("it lives");
            dropper.wait().expect("it is gone");
        }
    });
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "needs splice and files of memory")]
fn kills_at_each_step_of_a_drop_and_of_its_telling_cost_no_count() {
    if !can_be_traced() {
        return println!(
            "skipped: kills_at_each_step_of_a_drop_and_of_its_telling_cost_no_count: steps can be counted with strace only"
        );
    }
    on_a_disk_of("size=40m", "ledger::steps");
}

#[test]
#[ignore = "is a child process of the test above"]
fn steps() {
    let Some(directory) = child_directory() else { return };
    let filler = Filler::new(&directory);
    survives(&directory, &filler, |start| {
        for number in 1..=30 {
            // Each count and each marker is one such call.
            let mut traced = start(killed_at("pwrite64", number, child("ledger::dropper", &directory)));
            eventually("it is killed", || {
                std::thread::sleep(Duration::from_millis(3));
                filler.shrink(8 << 10);
                traced.try_wait().expect("our child").is_some()
            });
        }
    });
}

/// Takes all room of a disk.
struct Filler(PathBuf);

impl Filler {
    fn new(directory: &Path) -> Self {
        let path = directory.join("filler");
        let mut file = File::create(&path).expect("there is room");
        while file.write_all(&[0; 4096]).is_ok() {}
        Self(path)
    }

    fn shrink(&self, by: u64) {
        let file = File::options().write(true).open(&self.0).expect("ours");
        let rest = file.metadata().expect("ours").len().saturating_sub(by);
        file.set_len(rest).expect("it can be made smaller");
    }
}

/// Droppers that `kill` starts and kills lose no count of a flood.
fn survives(directory: &Path, filler: &Filler, kill: impl FnOnce(&dyn Fn(Command) -> Child)) {
    let ledger = Ledger::new().expect("a file of memory");
    let (output, mut input) = std::io::pipe().expect("a pipe");
    let stage = stage().expect("a pipe");
    let start = |mut command: Command| -> Child {
        command.env(STAGE, format!("/proc/{}/fd/{}", std::process::id(), stage.as_raw_fd()));
        command.stdin(output.try_clone().expect("a duplicate")).stdout(Stdio::null());
        command.stderr(ledger.fd().expect("a duplicate")).spawn().expect("it starts")
    };
    let over = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            write_until(&over, &mut input, |written| {
                (0..100).for_each(|_| writeln!(written, "line {}.", written.len()).expect("memory"));
                std::thread::sleep(Duration::from_micros(200));
            })
        });
        kill(&start);
        over.store(true, Ordering::Relaxed);
        filler.shrink(u64::MAX);
        let mut dropper = start(child("ledger::dropper", directory));
        let written = writer.join().expect("it wrote");
        dropper.kill().expect("it lives");
        dropper.wait().expect("it is gone");
        written
    });
    drop(input);
    fs::write(directory.join("last"), "").expect("a file");
    assert!(start(child("ledger::dropper", directory)).wait().expect("it ends").success());
    let lost = account(&written, &fs::read(directory.join("a.log")).expect("a log"));
    assert!(lost > 1000, "only {lost} lines were dropped");
    assert_eq!(fs::read_to_string(directory.join("dropped")).expect("it was told"), lost.to_string());
}
