//! Clocks that jump: nothing but what is shown as a time of day depends on them.
//! Not here: time that is lost (`stalls`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::{Cell, Setup, Signal, Stack, eventually, send, skip};

/// The library that shifts the wall clock of a program, wherever the system has put it.
fn shifting_library() -> Option<PathBuf> {
    let places = ["/usr/lib", "/usr/lib64"].map(PathBuf::from).into_iter();
    let deeper = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    places.chain(deeper).map(|dir| dir.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists())
}

/// The supervisor's own wall clock is what the file `clock` says, from the start and whenever it is changed.
fn with_own_clock(setup: Setup, library: &Path) -> Stack {
    let stack = setup
        .env("LD_PRELOAD", &library.display().to_string())
        .env("FAKETIME_TIMESTAMP_FILE", "@root/clock")
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1")
        .prepare();
    set(&stack, "+0");
    stack
}

/// Replaced whole, so that nobody reads half of it.
fn set(stack: &Stack, clock: &str) {
    fs::write(stack.path("clock.new"), format!("{clock}\n")).expect("ours");
    fs::rename(stack.path("clock.new"), stack.path("clock")).expect("ours");
}

/// What is shown as the start of the service now.
fn year_of_start(stack: &Stack, name: &str) -> String {
    let text = stack.service(name).0["started"].as_str().expect("it was started").to_owned();
    text[..4].to_owned()
}

/// The whole log of a service that counts, the oldest piece first, without compression.
fn counted(stack: &Stack, name: &str) -> Vec<u64> {
    let number = |path: &PathBuf| path.extension().and_then(|last| last.to_str()?.parse::<u64>().ok());
    let files = fs::read_dir(stack.path("logs")).expect("there are logs").flatten().map(|entry| entry.path());
    let mut pieces: Vec<PathBuf> = files
        .filter(|path| path.display().to_string().contains(&format!("/{name}.log")) && number(path).is_some())
        .collect();
    pieces.sort_by_key(|path| std::cmp::Reverse(number(path)));
    pieces.push(stack.path(&format!("logs/{name}.log")));
    let text: String = pieces.iter().map(|piece| fs::read_to_string(piece).expect("there")).collect();
    text.lines().map(|line| line.parse().expect("a number")).collect()
}

/// Times between the starts that `puppet stamp` wrote, in milliseconds of the monotonic clock.
fn gaps(stack: &Stack) -> Vec<u64> {
    let text = fs::read_to_string(stack.path("stamps")).unwrap_or_default();
    let at: Vec<u64> =
        text.lines().filter_map(|line| line.split(' ').next()?.parse::<u64>().ok()).map(|ns| ns / 1_000_000).collect();
    at.windows(2).map(|two| two[1] - two[0]).collect()
}

#[test]
fn a_wall_clock_that_jumps_moves_no_restart_and_no_uptime_and_loses_no_log() {
    let name = "a_wall_clock_that_jumps_moves_no_restart_and_no_uptime_and_loses_no_log";
    let Some(library) = shifting_library() else {
        return skip(name, "libfaketime is not installed");
    };
    let services = "[services.t]\ncommand = './puppet wait'\n\
         [services.looping]\ncommand = './puppet stamp stamps --exit 1'\n\
         restart = { delay = '300ms', max_delay = '300ms', jitter = 0.0, crash_loop = 1000 }\n\
         [services.talking]\ncommand = './puppet seq --rate 300'\n\
         log = { max_size = '2KiB', keep = 0, compress = 'none' }";
    let mut stack = with_own_clock(Setup::of(services), &library);
    stack.cli(&["start", "--no-wait"]).succeeded();
    stack.wait_for("t", "running");
    for (clock, year) in
        [("-1h", None), ("+2h", None), ("@2038-01-19 03:14:05", Some("2038")), ("@1970-01-01 12:00:00", Some("1970"))]
    {
        let before = gaps(&stack).len();
        let (pid, generation) = (stack.pid("t"), stack.service("t").generation());
        set(&stack, clock);
        eventually("the next tries", || (gaps(&stack).len() >= before + 4).then_some(()));
        assert_eq!(stack.service("t").generation(), generation, "{clock}: it was restarted");
        if let Some(year) = year {
            assert_eq!(year_of_start(&stack, "t"), year);
        }
        let table = stack.cli(&["status"]).stdout;
        let row =
            table.lines().find(|line| line.trim_start().starts_with("t ")).expect("it is in the table").to_owned();
        let uptime = row.split_whitespace().nth(3).expect("the column is there").to_owned();
        let seconds: u64 = uptime.trim_end_matches('s').parse().unwrap_or_else(|_| panic!("{clock}: {row}"));
        assert!(seconds < 60, "{clock}: {row}");
        send(pid, Signal::SIGKILL);
        stack.wait_until("t", "running again", |service| service.pid().is_some_and(|new| new != pid));
    }
    let gaps = gaps(&stack);
    assert!(gaps.iter().all(|gap| (300..5_000).contains(gap)), "{gaps:?}");
    stack.stop();
    let counted = counted(&stack, "talking");
    assert!(counted.len() > 1_000 && counted.iter().copied().eq(1..=counted.len() as u64), "lines are lost or doubled");
    assert!(fs::read_dir(stack.path("logs")).expect("there").count() > 4, "it was rotated");
}

#[test]
fn a_change_of_the_time_zones_offset_does_not_disturb_the_order_of_rotated_logs() {
    let name = "a_change_of_the_time_zones_offset_does_not_disturb_the_order_of_rotated_logs";
    let Some(library) = shifting_library() else {
        return skip(name, "libfaketime is not installed");
    };
    // A zone in words of its own needs no database: summer time ends on the last Sunday of October at three.
    let setup = Setup::of(
        "[services.t]\ncommand = './puppet seq --rate 300'\nlog = { max_size = '1KiB', keep = 0, compress = 'none' }",
    )
    .env("TZ", "CET-1CEST,M3.5.0,M10.5.0/3");
    let mut stack = with_own_clock(setup, &library);
    // The hour between two and three is there twice.
    for clock in ["@2026-10-25 02:59:58", "@2026-10-25 02:00:01", "@2026-03-29 01:59:58", "@2026-03-29 03:00:01"] {
        set(&stack, clock);
        stack.cli(&["start"]).succeeded();
        let before = stack.status()["services"][0]["generation"].clone();
        let pieces = || fs::read_dir(stack.path("logs")).map_or(0, Iterator::count);
        let at_first = pieces();
        eventually("some rotations", || (pieces() >= at_first + 3).then_some(()));
        assert_eq!(stack.status()["services"][0]["generation"], before);
    }
    stack.stop();
    let counted = counted(&stack, "t");
    assert!(counted.iter().copied().eq(1..=counted.len() as u64), "lines are lost, doubled or out of order");
}

#[test]
fn a_monotonic_clock_that_began_long_ago_changes_nothing() {
    let name = "a_monotonic_clock_that_began_long_ago_changes_nothing";
    let long_ago = ["--time", "--monotonic", "999999999", "--boottime", "999999999"];
    let Some(cell) = Cell::available() else {
        return skip(name, "no process namespaces here");
    };
    let mut words = cell.words();
    words.splice(1..1, long_ago);
    let mut probe = Command::new(words[0]);
    if !probe.args(&words[1..]).arg("true").status().is_ok_and(|status| status.success()) {
        return skip(name, "no time namespaces here");
    }
    let mut stack = Setup::of(
        "[services.t]\ncommand = './puppet wait'\nready = { command = ['true'] }\n\
         live = { command = ['true'], interval = '100ms' }\n\
         [services.looping]\ncommand = './puppet stamp stamps --exit 1'\n\
         restart = { delay = '200ms', max_delay = '200ms', jitter = 0.0, crash_loop = 1000 }\n\
         [services.deaf]\ncommand = './puppet ignore-term'\nstop = { timeout = '500ms' }",
    )
    .before(&words)
    .run();
    stack.wait_for("t", "running");
    stack.wait_log("deaf", "deaf");
    eventually("some tries", || (gaps(&stack).len() >= 5).then_some(()));
    let began: u64 = fs::read_to_string(stack.path("stamps"))
        .expect("there")
        .split(' ')
        .next()
        .expect("a stamp")
        .parse()
        .expect("a number");
    assert!(began > 999_999_999_000_000_000, "the clock was not moved: {began}");
    assert!(gaps(&stack).iter().all(|gap| (200..5_000).contains(gap)), "{:?}", gaps(&stack));
    assert_eq!(stack.service("t").restarts(), 0);
    assert!(year_of_start(&stack, "t").as_str() >= "2026");
    stack.cli(&["stop", "deaf"]).succeeded();
    assert_eq!(stack.service("deaf").last_exit()["signal"], "KILL");
    send(stack.keeper(), Signal::SIGTERM);
    assert_eq!(stack.foreground_code(), 0);
}
