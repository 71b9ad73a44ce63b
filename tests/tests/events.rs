//! The journal of events: what happened is told once, in order, whoever dies and however slowly it is read.
//! Not here: what an event says to a person (`why`).

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use e2e::{Setup, Signal, Stack, User, alive, eventually, send};
use serde_json::Value;

const TWO: &str = "[services.a]\ncommand = './puppet wait'\n[services.b]\ncommand = './puppet wait'";

fn events(stack: &Stack, query: &str) -> Vec<Value> {
    let answer = stack.get(&format!("/api/v1/events?{query}")).json();
    answer["events"].as_array().unwrap_or_else(|| panic!("{answer}")).clone()
}

/// The ends of a service that were told, by pid.
fn ends(stack: &Stack, name: &str) -> Vec<i64> {
    let ends = events(stack, &format!("limit=1000&kind=exit&service={name}"));
    ends.iter().filter_map(|event| event["exit"]["pid"].as_i64()).collect()
}

fn numbers(text: &str) -> Vec<u64> {
    let seq = |line: &str| serde_json::from_str::<Value>(line).ok()?["seq"].as_u64();
    text.lines().map(|line| seq(line).unwrap_or_else(|| panic!("no event: {line:?}"))).collect()
}

/// `events -f --json` from the first event on.
struct Follower {
    child: Child,
    out: std::path::PathBuf,
}

impl Follower {
    fn new(stack: &Stack) -> Self {
        let (child, out, _) = stack.spawn(&["events", "-f", "--json", "--since", "0"], Stdio::null());
        Self { child, out }
    }

    fn text(&self) -> String {
        let text = std::fs::read_to_string(&self.out).unwrap_or_default();
        // The last line may be being written.
        text.rsplit_once('\n').map(|(whole, _)| whole.to_owned()).unwrap_or_default()
    }

    #[track_caller]
    fn wait_for(&self, part: &str) -> String {
        eventually(&format!("events that hold {part:?}"), || Some(self.text()).filter(|text| text.contains(part)))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn the_death_of_a_service_is_told_once_with_its_end_and_what_followed() {
    let stack = Setup::of(TWO).start();
    let pid = stack.pid("a");
    send(pid, Signal::SIGKILL);
    stack.wait_until("a", "running again", |service| service.state() == "running" && service.pid() != Some(pid));
    let told = events(&stack, "service=a");
    let at = told.iter().position(|event| event["kind"] == "exit").expect("the end is told");
    assert_eq!((&told[at]["exit"]["pid"], &told[at]["exit"]["signal"]), (&pid.into(), &"KILL".into()));
    assert_eq!((&told[at]["generation"], &told[at]["exit"]["asked"]), (&1.into(), &false.into()));
    let states: Vec<&str> = told[at..].iter().filter_map(|event| event["to"].as_str()).collect();
    assert_eq!(states, ["backoff", "starting", "running"]);
    assert_eq!(ends(&stack, "a"), [i64::from(pid)]);
    assert!(ends(&stack, "b").is_empty());
}

fn each_end_is_told_once_through_deaths_of_control(user: User) {
    let stack = Setup::of(TWO).as_user(user).start();
    let follower = Follower::new(&stack);
    let mut dead = Vec::new();
    for round in 0_u64..6 {
        let (pid, control) = (stack.pid("a"), stack.control());
        dead.push(i64::from(pid));
        send(pid, Signal::SIGKILL);
        std::thread::sleep(Duration::from_millis(round * 3));
        send(control, Signal::SIGKILL);
        eventually("the service to end", || (!alive(pid)).then_some(()));
        stack.wait_until("a", "running again", |service| service.state() == "running" && service.pid() != Some(pid));
    }
    assert_eq!(ends(&stack, "a"), dead);
    stack.cli(&["signal", "b", "CONT"]).succeeded();
    let seen = numbers(&follower.wait_for("signal CONT"));
    let kept: Vec<u64> =
        events(&stack, "since=0&limit=1000").iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert!(seen.windows(2).all(|two| two[0] < two[1]), "in order, none twice: {seen:?}");
    assert!(kept.starts_with(&seen), "all of them: {seen:?} of {kept:?}");
    let took_over = events(&stack, "kind=control")
        .iter()
        .filter(|one| one["cause"].as_str().is_some_and(|cause| cause.starts_with("took over")))
        .count();
    assert!(took_over >= 1, "controls say that they took over");
}

#[test]
fn each_end_is_told_once_whenever_control_dies_and_a_follower_sees_all() {
    each_end_is_told_once_through_deaths_of_control(User::Current);
}

#[test]
fn an_ordinary_user_has_the_same_journal() {
    each_end_is_told_once_through_deaths_of_control(User::Ordinary);
}

#[test]
fn the_journal_outlives_the_supervisor_and_is_read_while_none_runs() {
    let stack = Setup::of(TWO).start();
    let mut follower = Follower::new(&stack);
    follower.wait_for("\"to\":\"running\"");
    stack.cli(&["stop"]).succeeded();
    let code = eventually("the follower to end", || follower.child.try_wait().expect("it is our child"));
    assert!(code.success(), "{code}");
    let first = follower.text();
    assert!(first.contains("everything is down"), "{first}");
    let shown = stack.cli(&["events", "--json", "--since", "0"]).succeeded().stdout;
    assert_eq!(numbers(&shown), numbers(&first));
    let text = stack.cli(&["events", "a", "-n", "3"]).succeeded().stdout;
    assert!(text.lines().count() == 3 && text.lines().all(|line| line.contains("  a  ")), "{text}");
    assert!(!text.contains('\x1b'), "colours are for terminals");
    stack.cli(&["start"]).succeeded();
    let again = numbers(&stack.cli(&["events", "--json", "--since", "0"]).succeeded().stdout);
    assert!(again.len() > numbers(&first).len() && again.starts_with(&numbers(&first)), "{again:?}");
    assert!(again.windows(2).all(|two| two[0] < two[1]), "{again:?}");
}

#[test]
fn a_reader_that_does_not_read_slows_no_restart() {
    let stack = Setup::of(
        "[services.a]\ncommand = './puppet wait'\nrestart = { delay = '0s' }\n\
         [services.loud]\ncommand = './puppet exit-code 1'\nrestart = { delay = '0s', crash_loop = 0 }",
    )
    .start_no_wait();
    stack.wait_for("a", "running");
    let mut idle: Vec<UnixStream> = Vec::new();
    for _ in 0..32 {
        let mut stream = UnixStream::connect(stack.socket()).expect("it answers");
        stream.write_all(b"GET /api/v1/events?follow=true&since=0 HTTP/1.1\r\nHost: x\r\n\r\n").expect("it listens");
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("it answers");
        idle.push(stream);
    }
    let refused = stack.get("/api/v1/events?follow=true");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    for _ in 0..5 {
        let pid = stack.pid("a");
        let began = Instant::now();
        send(pid, Signal::SIGKILL);
        stack.wait_until("a", "running again", |service| service.state() == "running" && service.pid() != Some(pid));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    drop(idle);
}

#[test]
fn what_a_service_says_stays_within_its_event() {
    let forged = "2026-11-23T00:00:00.000Z  supervisor  stopped";
    let stack = Setup::of(&format!(
        "[services.t]\ncommand = [\"./puppet\", \"notify\", \"STATUS=one\\n{forged}\", \"STATUS=\\u001b[2J{forged}\"]\n\
         ready = {{ command = [\"sh\", \"-c\", \"printf 'no\\\\n{forged}\\\\n\\\\033[2J'; exit 1\"], deadline = '1s' }}\n\
         restart = {{ delay = '100ms' }}",
    ))
    .start_no_wait();
    eventually("a failed start", || (!ends(&stack, "t").is_empty()).then_some(()));
    let kept = std::fs::read_to_string(stack.path("state/events.jsonl")).expect("it is there");
    let lines = numbers(&kept);
    assert!(lines.windows(2).all(|two| two[0] < two[1]), "{lines:?}");
    let shown = stack.cli(&["events", "-n", "1000"]).succeeded().stdout;
    assert!(!shown.lines().any(|line| line.starts_with(forged)), "{shown}");
    assert!(!shown.contains('\x1b'), "{shown}");
}

#[test]
fn a_damaged_journal_is_said_put_aside_and_gone_on_with() {
    let mut stack = Setup::of(TWO).start();
    stack.stop();
    let path = stack.path("state/events.jsonl");
    let mut kept = std::fs::read(&path).expect("it is there");
    let last = numbers(&String::from_utf8_lossy(&kept)).pop().expect("there are events");
    let middle = kept.len() / 2;
    kept[middle..middle + 20].fill(0);
    kept.extend_from_slice(b"{\"seq\":99999,\"to");
    std::fs::write(&path, kept).expect("it is ours");
    stack.cli(&["start"]).succeeded();
    let told = events(&stack, &format!("since={last}"));
    assert_eq!(told[0]["kind"], "gap", "{told:?}");
    assert_eq!(told[0]["seq"].as_u64(), Some(last + 1), "a number that nobody saw is given");
    assert!(stack.path("state/events.damaged").exists());
    assert!(String::from_utf8_lossy(&stack.log("supervisor")).contains("journal of events was damaged"));
    stack.wait_for("a", "running");
}

#[test]
fn services_are_looked_after_while_the_journal_cannot_be_written() {
    let stack = Setup::of(TWO).start();
    let path = stack.path("state/events.jsonl");
    std::fs::remove_file(&path).expect("it is there");
    std::fs::create_dir(&path).expect("its place is free");
    let pid = stack.pid("a");
    send(pid, Signal::SIGKILL);
    stack.wait_until("a", "running again", |service| service.state() == "running" && service.pid() != Some(pid));
    stack.wait_log("supervisor", "journal of events cannot be written");
    stack.kill_control();
    let pid = stack.pid("b");
    send(pid, Signal::SIGKILL);
    stack.wait_until("b", "running again", |service| service.state() == "running" && service.pid() != Some(pid));
    std::fs::remove_dir_all(&path).ok();
    stack.cli(&["signal", "a", "CONT"]).succeeded();
    eventually("events to be kept again", || path.is_file().then_some(()));
}

#[test]
fn on_a_full_disk_events_are_seen_numbers_never_come_again_and_later_ones_are_kept() {
    let name = "on_a_full_disk_events_are_seen_numbers_never_come_again_and_later_ones_are_kept";
    if !e2e::is_root() {
        return e2e::skip(name, "only root may mount");
    }
    // In a mount namespace of its own, which ends with the stack.
    let mount = "mkdir state && mount -t tmpfs -o size=128k,mode=700 tmpfs state && exec \"$@\"";
    let stack = Setup::of("[services.a]\ncommand = './puppet wait'\nrestart = { delay = '0s', crash_loop = 0 }")
        .before(&["unshare", "-m", "sh", "-c", mount, "sh"])
        .start();
    let filler = format!("/proc/{}/root{}", stack.keeper(), stack.path("state/filler").display());
    let mut file = std::fs::File::create(&filler).expect("there is room for a name");
    while file.write(&[0; 512]).is_ok_and(|count| count > 0) {}
    let trouble = || stack.get("/api/v1/events?limit=1").json()["trouble"].is_string();
    let kill = || {
        let pid = stack.pid("a");
        send(pid, Signal::SIGKILL);
        stack.wait_until("a", "running again", |service| service.state() == "running" && service.pid() != Some(pid));
        i64::from(pid)
    };
    let mut dead = Vec::new();
    while !trouble() {
        assert!(dead.len() < 100, "the disk is never full");
        dead.push(kill());
    }
    dead.push(kill());
    assert!(ends(&stack, "a").ends_with(&dead), "what cannot be written is seen all the same");
    let shown = events(&stack, "limit=1")[0]["seq"].as_u64().expect("a number");
    stack.kill_control();
    kill();
    drop(file);
    std::fs::remove_file(&filler).expect("it is there");
    let last = kill();
    let after = events(&stack, "limit=1000&since=0");
    let numbers: Vec<u64> = after.iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert!(numbers.windows(2).all(|two| two[0] < two[1]), "{numbers:?}");
    let took_over =
        after.iter().rfind(|event| event["cause"].as_str().is_some_and(|cause| cause.starts_with("took over")));
    if let Some(event) = took_over {
        assert!(event["seq"].as_u64() > Some(shown), "{event} after {shown}");
    }
    assert!(after.iter().any(|event| event["kind"] == "gap"), "what is missing is told: {after:?}");
    assert_eq!(ends(&stack, "a").last(), Some(&last));
    assert!(!trouble());
    // Out here the lock that `stop` waits for is not to be seen.
    let keeper = stack.keeper();
    stack.cli(&["stop"]).succeeded();
    eventually("the keeper to end", || (!alive(keeper)).then_some(()));
}
