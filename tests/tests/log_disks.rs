//! Disks that are slow, full or refuse, and a control that hangs: each line of a service is in its log, in order, or
//! counted.
//! Not here: the pump by itself; the logs package shows that, on dead disks, too.

use std::fs;
use std::process::Command;

use e2e::{Setup, Signal, Stack, Tracer, cpu_ticks, eventually, is_root, send, skip};

/// Lines of 100 bytes that begin with their numbers, from 1 on, one after the other, but for as many as each marker
/// between them tells; returns the last number and how many were dropped. Of a line whose end was dropped, the beginning
/// may be there.
#[track_caller]
fn account(text: &str) -> (u64, u64) {
    let (mut last, mut missing, mut dropped) = (0, 0, 0);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(told) = line.strip_prefix("[supervisor] dropped ") {
            let lines: u64 = told.split(' ').nth(2).and_then(|lines| lines.parse().ok()).expect("a number of lines");
            dropped += lines;
            missing += lines;
            continue;
        }
        if line.len() < 99 {
            assert!(lines.peek().is_some_and(|next| next.starts_with("[supervisor]")), "torn: {line:?}");
            continue;
        }
        let number: u64 = line.trim_end_matches('.').parse().expect("a number");
        assert_eq!(number, last + 1 + missing, "after {last}, and {missing} that are counted");
        (last, missing) = (number, 0);
    }
    (last + missing, dropped)
}

/// Of the whole log, once nothing is written any more.
#[track_caller]
fn account_of(stack: &Stack, name: &str) -> (u64, u64) {
    account(&String::from_utf8_lossy(&stack.log(name)))
}

fn dropped(stack: &Stack, name: &str) -> u64 {
    stack.service(name).0["log_dropped_lines"].as_u64().expect("a number")
}

fn error(stack: &Stack, name: &str) -> Option<String> {
    stack.service(name).0["log_error"].as_str().map(str::to_owned)
}

#[test]
fn a_disk_that_refuses_for_a_while_costs_counted_lines_and_heals_by_itself() {
    if !(is_root() && Tracer::works()) {
        let name = "a_disk_that_refuses_for_a_while_costs_counted_lines_and_heals_by_itself";
        return skip(name, "system calls can be made to fail by root with strace only");
    }
    let stack = Setup::of("[services.t]\ncommand = './puppet seq --rate 4000 --size 100'").start();
    let (control, pid) = (stack.control(), stack.pid("t"));
    for (refused, told) in [
        ("EIO", "I/O error"),
        ("EROFS", "Read-only file system"),
        ("EDQUOT", "Quota exceeded"),
        ("EACCES", "Permission denied"),
    ] {
        let before = dropped(&stack, "t");
        // A splice that strace lets go of in the middle fails as if there were none, and bytes are copied from then on.
        let refuses = Tracer::of(control, &format!("splice,pwrite64:error={refused}"));
        eventually(&format!("{refused} to be told, and lines to be dropped"), || {
            (error(&stack, "t").as_deref() == Some(told) && dropped(&stack, "t") > before).then_some(())
        });
        drop(refuses);
        eventually(&format!("it to be well again after {refused}"), || error(&stack, "t").is_none().then_some(()));
    }
    assert_eq!((stack.pid("t"), stack.service("t").restarts()), (pid, 0));
    stack.cli(&["stop", "t"]).succeeded();
    let (last, lost) = account_of(&stack, "t");
    assert!(last > lost && lost > 0, "{lost} of {last}");
    assert_eq!(dropped(&stack, "t"), lost);
}

#[test]
fn a_slow_disk_slows_nobody_until_the_pipe_is_full_and_loses_nothing_then() {
    if !(is_root() && Tracer::works()) {
        let name = "a_slow_disk_slows_nobody_until_the_pipe_is_full_and_loses_nothing_then";
        return skip(name, "system calls can be made slow by root with strace only");
    }
    // First less than a pipe holds, then more.
    let script = "sh -c 'until [ -e go ]; do sleep 0.02; done; ./puppet seq --count 1500 --size 100 --exit 0; touch first; \
         ./puppet seq --from 1501 --count 8000 --size 100 --exit 0; touch second; exec ./puppet wait'";
    let stack =
        Setup::of(&format!("[services.t]\ncommand = \"{script}\"\n[services.other]\ncommand = './puppet wait'"))
            .start();
    let control = stack.control();
    let slow = Tracer::of(control, "splice:delay_enter=3000000");
    fs::write(stack.path("go"), "").expect("ours");
    eventually("the first part to be written", || stack.path("first").exists().then_some(()));
    assert!(stack.log("t").len() < 150_000, "the service did not wait for the disk");
    stack.cli(&["restart", "other"]).succeeded();
    drop(slow);
    let slow = Tracer::of(control, "splice:delay_enter=300000");
    let ticks = cpu_ticks(control);
    eventually("the second part to be written", || stack.path("second").exists().then_some(()));
    assert!(cpu_ticks(control) < ticks + 100, "a slow disk costs no CPU");
    assert!(stack.log("t").len() > 950_000 - (512 << 10), "what no pipe and no stage holds waited for the disk");
    drop(slow);
    eventually("the last line", || (stack.log("t").len() == 950_000).then_some(()));
    assert_eq!(account_of(&stack, "t"), (9500, 0));
    assert_eq!((dropped(&stack, "t"), error(&stack, "t")), (0, None));
}

#[test]
fn a_control_that_hangs_is_replaced_and_costs_no_line() {
    let stack = Setup::of(
        "[services.t]\ncommand = './puppet seq --rate 4000 --size 100'\n[services.victim]\ncommand = './puppet wait'",
    )
    .logs("max_size = '100KiB'\nkeep = 0\ncompress = 'none'")
    .start();
    let (control, pid, victim) = (stack.control(), stack.pid("t"), stack.pid("victim"));
    eventually("a rotation", || stack.path("logs/t.log.1").exists().then_some(()));
    send(control, Signal::SIGSTOP);
    // A control that has nothing to hear of is not missed.
    send(victim, Signal::SIGKILL);
    eventually("another control", || (stack.control() != control).then_some(()));
    stack.wait_until("victim", "up again", |service| service.state() == "running" && service.generation() == 2);
    let before = stack.log("t");
    eventually("the log to grow again", || (stack.log("t") != before).then_some(()));
    assert_eq!((stack.pid("t"), stack.service("t").restarts()), (pid, 0));
    stack.cli(&["stop", "t"]).succeeded();
    let all = stack.cli(&["logs", "t", "-n", "100000000"]).succeeded().stdout;
    let (last, lost) = account(&all);
    assert!(last > 4000, "{last} lines");
    assert_eq!(lost, 0);
}

#[test]
fn a_flood_on_a_small_disk_costs_its_own_oldest_lines_alone() {
    let name = "a_flood_on_a_small_disk_costs_its_own_oldest_lines_alone";
    if !is_root() {
        return skip(name, "only root may mount");
    }
    let mount = "mkdir small && mount -t tmpfs -o size=4m tmpfs small && exec \"$@\"";
    let stack = Setup::of(
        "[services.flood]\ncommand = './puppet seq --size 100'\nlog = { dir = 'small' }\n\
         [services.other]\ncommand = './puppet seq --rate 100 --size 100'\nlog = { dir = 'small' }",
    )
    .before(&["unshare", "-m", "sh", "-c", mount, "sh"])
    .start();
    let written = |service: &str| -> Option<u64> {
        let metrics = stack.get("/metrics").text();
        let bytes = metrics.lines().find(|line| line.contains("log_bytes") && line.contains(service))?;
        bytes.rsplit(' ').next()?.parse().ok()
    };
    eventually("five times the disk to be written", || written("flood").filter(|bytes| *bytes > 20 << 20));
    eventually("lines of the other", || written("other").filter(|bytes| *bytes > 5000));
    stack.cli(&["stop", "flood", "other"]).succeeded();
    assert_eq!((dropped(&stack, "other"), error(&stack, "other"), error(&stack, "flood")), (0, None, None));
    let log = fs::read_to_string(format!("/proc/{}/root{}", stack.keeper(), stack.path("small/other.log").display()));
    let (last, lost) = account(&log.expect("a log"));
    assert!(last > 50 && lost == 0, "{lost} of {last}");
}

#[test]
fn a_full_disk_costs_exactly_what_is_told_though_control_is_killed_meanwhile() {
    let name = "a_full_disk_costs_exactly_what_is_told_though_control_is_killed_meanwhile";
    if !is_root() {
        return skip(name, "only root may mount");
    }
    // In a mount namespace of its own, which ends with the stack.
    let mount = "mkdir small && mount -t tmpfs -o size=400k tmpfs small && exec \"$@\"";
    let stack = Setup::of("[services.t]\ncommand = './puppet seq --rate 4000 --size 100'\nlog = { dir = 'small' }")
        .logs("min_free = '0'\ntotal = '0'\nmax_size = '0'")
        .before(&["unshare", "-m", "sh", "-c", mount, "sh"])
        .start();
    let (keeper, pid) = (stack.keeper().to_string(), stack.pid("t"));
    eventually("lines to be dropped", || (dropped(&stack, "t") > 0).then_some(()));
    stack.kill_control();
    assert!(dropped(&stack, "t") > 0, "the next control knows");
    eventually("it to know what is wrong", || error(&stack, "t").is_some().then_some(()));
    assert_eq!(error(&stack, "t").as_deref(), Some("No space left on device"));
    let mut enter = Command::new("nsenter");
    enter.args(["-t", &keeper, "-m", "mount", "-o", "remount,size=400m"]).arg(stack.path("small"));
    assert!(enter.status().expect("nsenter runs").success());
    eventually("it to be well again", || error(&stack, "t").is_none().then_some(()));
    assert_eq!((stack.pid("t"), stack.service("t").restarts()), (pid, 0));
    stack.cli(&["stop", "t"]).succeeded();
    let log = fs::read_to_string(format!("/proc/{keeper}/root{}", stack.path("small/t.log").display()));
    let (last, lost) = account(&log.expect("a log"));
    assert!(last > lost && lost > 0, "{lost} of {last}");
    assert_eq!(dropped(&stack, "t"), lost);
    let metrics = stack.get("/metrics").text();
    let metric = metrics.lines().find(|line| line.contains("log_dropped_lines") && line.contains("\"t\""));
    assert!(metric.is_some_and(|metric| metric.ends_with(&format!(" {lost}"))), "{metric:?}, and {lost}");
}
