//! What a service prints is in its log: every byte, in order, whatever happens around it.
//! Not here: the pump, rotation and index by themselves; the logs package shows those.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;
use std::time::Duration;

use e2e::{Setup, Signal, Stack, alive, eventually, holds_for, is_root, resident, send, skip, within};

/// All pieces of a log, oldest first, unpacked, as one.
fn whole_log(stack: &Stack, name: &str) -> Vec<u8> {
    let mut pieces: Vec<_> = fs::read_dir(stack.path("logs"))
        .expect("there is a log directory")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let file = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
            file.starts_with(&format!("{name}.")) && !file.ends_with(".idx") && file != format!("{name}.log")
        })
        .collect();
    // The higher the number, the older.
    pieces.sort_by_key(|path| std::cmp::Reverse(number(path)));
    pieces.push(stack.path(&format!("logs/{name}.log")));
    let mut all = Vec::new();
    for piece in pieces {
        if piece.extension().is_some_and(|extension| extension == "gz") {
            all.extend(Command::new("gzip").args(["-dc"]).arg(&piece).output().expect("gzip runs").stdout);
        } else {
            all.extend(fs::read(&piece).expect("there"));
        }
    }
    all
}

fn number(piece: &std::path::Path) -> u32 {
    let name = piece.display().to_string();
    name.split('.').rev().find_map(|part| part.parse().ok()).expect("a rotated log has a number")
}

#[test]
fn bytes_that_break_readers_are_kept_as_they_are() {
    let stack = Setup::of("[services.t]\ncommand = './puppet bytes'").start();
    let expected = Command::new(e2e::puppet()).args(["bytes", "--exit", "0"]).output().expect("the puppet runs").stdout;
    eventually("the whole output", || (stack.log("t").len() >= expected.len()).then_some(()));
    assert!(stack.log("t") == expected);
    let lines = stack.get("/api/v1/services/t/logs?tail=10");
    assert_eq!(lines.status, 200);
}

#[test]
fn both_streams_are_in_one_log_unless_they_are_split() {
    let script = "['sh', '-c', 'echo out; echo err >&2; exec ./puppet wait']";
    let stack = Setup::of(&format!(
        "[services.one]\ncommand = {script}\n[services.two]\ncommand = {script}\nlog = {{ streams = 'split' }}"
    ))
    .start();
    let text = stack.wait_log("one", "err\n");
    assert_eq!(text, "out\nerr\n");
    stack.wait_log("two.out", "out\n");
    stack.wait_log("two.err", "err\n");
}

#[test]
fn a_line_of_ten_megabytes_does_not_stop_what_follows() {
    let stack = Setup::of("[services.t]\ncommand = './puppet longline 10000000'").start();
    let control = stack.control();
    eventually("what follows", || {
        let all = whole_log(&stack, "t");
        all.ends_with(b"after\n").then_some(())
    });
    let memory = resident(control);
    assert!(memory < 150 << 20, "control grew to {memory} bytes");
    assert_eq!(whole_log(&stack, "t").len(), 10_000_000 + "\nafter\n".len());
}

#[test]
fn a_last_line_without_its_end_is_kept() {
    let stack = Setup::of("[services.t]\ncommand = './puppet partial'\nrestart = { policy = 'no' }").start_no_wait();
    let text = stack.wait_log("t", "whole\nx");
    assert!(text.starts_with("whole\nx"));
}

#[test]
fn an_exit_is_known_at_once_although_a_grandchild_keeps_the_output_and_its_late_words_are_kept() {
    let stack = Setup::of(
        "[services.t]\ncommand = './puppet holdpipe --after 1500 --exit 7'\nrestart = { policy = 'no' }\nstop = { timeout = '10s' }",
    )
    .start_no_wait();
    within(Duration::from_secs(10), "the exit to be known", || {
        (stack.service("t").last_exit()["code"] == 7).then_some(()).filter(|()| !stack.log("t").ends_with(b"late\n"))
    });
    stack.wait_log("t", "late\n");
}

#[test]
fn a_service_that_closes_its_output_lives_on() {
    let stack = Setup::of("[services.t]\ncommand = './puppet closeout'").start();
    stack.wait_log("t", "last words");
    let pid = stack.pid("t");
    holds_for(Duration::from_millis(700), "it lives", || alive(pid));
    assert_eq!(stack.service("t").restarts(), 0);
}

#[test]
fn rotation_under_load_loses_and_doubles_nothing() {
    let stack = Setup::of("[services.t]\ncommand = './puppet seq --count 300000'")
        .logs("max_size = '100KiB'\nkeep = 0\ncompress = 'none'")
        .start();
    let expected: String = (1..=300_000).map(|number| format!("{number}\n")).collect();
    eventually("the last line", || stack.log("t").ends_with(b"300000\n").then_some(()));
    let all = whole_log(&stack, "t");
    assert!(all == expected.as_bytes(), "{} bytes instead of {}", all.len(), expected.len());
    let pieces = fs::read_dir(stack.path("logs")).expect("there").count();
    assert!(pieces > 5, "it was rotated: {pieces}");
}

#[test]
fn old_pieces_are_packed_and_only_so_many_are_kept() {
    let stack = Setup::of("[services.t]\ncommand = './puppet seq --count 300000'")
        .logs("max_size = '100KiB'\nkeep = 3")
        .start();
    eventually("the last line", || stack.log("t").ends_with(b"300000\n").then_some(()));
    let packed = eventually("three packed pieces", || {
        let names: Vec<String> = fs::read_dir(stack.path("logs"))
            .expect("there")
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with("t."))
            .collect();
        let packed = names.iter().filter(|name| name.ends_with(".gz")).count();
        let plain =
            names.iter().filter(|name| !name.ends_with(".gz") && !name.ends_with(".idx") && *name != "t.log").count();
        (packed == 3 && plain == 0).then_some(names)
    });
    assert!(!packed.iter().any(|name| name.ends_with(".tmp")), "{packed:?}");
}

#[test]
fn a_full_disk_stops_no_service_and_is_written_to_again_when_there_is_room() {
    let name = "a_full_disk_stops_no_service_and_is_written_to_again_when_there_is_room";
    if !is_root() {
        return skip(name, "only root may mount");
    }
    // In a mount namespace of its own, which ends with the stack.
    let mount = "mkdir small && mount -t tmpfs -o size=400k tmpfs small && exec \"$@\"";
    let stack = Setup::of(
        "[services.t]\ncommand = './puppet seq --rate 4000 --size 100'\nlog = { dir = 'small' }\n\
         [services.other]\ncommand = './puppet seq --rate 50'",
    )
    .logs("total = '0'\nmax_size = '0'")
    .before(&["unshare", "-m", "sh", "-c", mount, "sh"])
    .start();
    let pid = stack.pid("t");
    let keeper = stack.keeper().to_string();
    let log = format!("/proc/{keeper}/root{}", stack.path("small/t.log").display());
    let size = || fs::metadata(&log).map_or(0, |meta| meta.len());
    eventually("the disk to be full", || (size() > 300_000).then_some(()));
    holds_for(Duration::from_secs(2), "the service lives", || alive(pid));
    assert_eq!(stack.service("t").restarts(), 0);
    let before = stack.log("other").len();
    eventually("the other log to grow", || (stack.log("other").len() > before).then_some(()));
    let mut enter = Command::new("nsenter");
    enter.args(["-t", &keeper, "-m", "mount", "-o", "remount,size=40m"]).arg(stack.path("small"));
    assert!(enter.status().expect("nsenter runs").success());
    within(Duration::from_secs(15), "the log to grow again", || (size() > 500_000).then_some(()));
}

#[test]
fn what_is_no_file_at_the_place_of_a_log_is_refused_and_nothing_hangs() {
    let stack = Setup::of(
        "[services.pipe]\ncommand = './puppet wait'\n[services.folder]\ncommand = './puppet wait'\n\
         [services.link]\ncommand = './puppet seq --rate 100'\n[services.well]\ncommand = './puppet wait'",
    )
    .prepare();
    let logs = stack.path("logs");
    fs::create_dir_all(logs.join("folder.log")).expect("ours");
    let made = Command::new("mkfifo").arg(logs.join("pipe.log")).status().expect("mkfifo runs");
    assert!(made.success());
    fs::write(stack.path("victim"), "precious").expect("ours");
    std::os::unix::fs::symlink(stack.path("victim"), logs.join("link.log")).expect("ours");
    stack.cli(&["start", "--timeout", "5s"]);
    stack.wait_for("well", "running");
    holds_for(Duration::from_millis(500), "a link is not followed", || {
        fs::read_to_string(stack.path("victim")).is_ok_and(|text| text == "precious")
    });
    assert!(logs.join("folder.log").is_dir());
    assert_eq!(stack.get("/livez").status, 200);
}

#[test]
fn a_log_is_readable_by_its_owner_and_not_by_everyone() {
    let stack = Setup::of("[services.t]\ncommand = './puppet seq --count 3'").start();
    stack.wait_log("t", "3\n");
    let mode = fs::metadata(stack.path("logs/t.log")).expect("there").permissions().mode();
    assert_eq!(mode & 0o007, 0, "mode {mode:o}");
}

#[test]
fn the_log_command_shows_what_was_printed_and_follows_through_a_restart() {
    let stack = Setup::of(
        "[services.t]\ncommand = ['sh', '-c', 'echo I am generation $SUPERVISOR_GENERATION; exec ./puppet wait']",
    )
    .start();
    stack.wait_log("t", "generation 1\n");
    let shown = stack.cli(&["logs", "t", "-n", "10"]).succeeded();
    assert!(shown.stdout.contains("I am generation 1"), "{}", shown.stdout);
    let (mut follower, out, _) = stack.spawn(&["logs", "-f", "t"], std::process::Stdio::null());
    eventually("the follower to show the first", || {
        fs::read_to_string(&out).ok()?.contains("generation 1").then_some(())
    });
    stack.cli(&["restart", "t"]).succeeded();
    eventually("the follower to show the second", || {
        fs::read_to_string(&out).ok()?.contains("generation 2").then_some(())
    });
    assert!(follower.try_wait().expect("our child").is_none(), "it still follows");
    send(i32::try_from(follower.id()).expect("a pid"), Signal::SIGINT);
    follower.wait().expect("our child");
}

#[test]
fn several_logs_merge_and_each_line_says_whose_it_is() {
    let stack = Setup::of(
        "[services.one]\ncommand = ['sh', '-c', 'echo first; exec ./puppet wait']\n\
         [services.two]\ncommand = ['sh', '-c', 'echo second; exec ./puppet wait']\ndepends_on = ['one']",
    )
    .start();
    stack.wait_log("two", "second");
    let shown = stack.cli(&["logs", "-n", "10"]).succeeded().stdout;
    let first = shown.lines().position(|line| line.contains("first") && line.contains("one"));
    let second = shown.lines().position(|line| line.contains("second") && line.contains("two"));
    assert!(first.is_some() && second.is_some(), "{shown}");
}

#[test]
fn control_sequences_do_not_reach_a_terminal() {
    let stack = Setup::of("[services.t]\ncommand = './puppet bytes'").start();
    stack.wait_log("t", "red");
    let (mut terminal, out, _) = stack.spawn_in_terminal(&["logs", "t", "-n", "20"]);
    terminal.wait().expect("our child");
    let shown = fs::read(out).expect("there");
    assert!(shown.windows(3).any(|part| part == b"red"));
    assert!(!shown.windows(4).any(|part| part == b"\x1b]0;"), "the title of the terminal was changed");
}

#[test]
fn a_flood_does_not_grow_the_supervisor_and_delays_no_other_log() {
    let stack =
        Setup::of("[services.flood]\ncommand = './puppet seq'\n[services.calm]\ncommand = './puppet seq --rate 20'")
            .logs("max_size = '1MiB'\nkeep = 2\ncompress = 'none'")
            .start();
    let control = stack.control();
    let base = resident(control);
    let before = stack.log("calm").len();
    holds_for(Duration::from_secs(3), "bounded", || resident(control) < base + (64 << 20));
    assert!(stack.log("calm").len() > before);
    let size: u64 = fs::read_dir(stack.path("logs"))
        .expect("there")
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        .map(|meta| meta.size())
        .sum();
    assert!(size < 8 << 20, "the logs take {size} bytes");
    stack.cli(&["stop", "flood"]).succeeded();
}
