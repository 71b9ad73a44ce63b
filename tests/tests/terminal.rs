//! What a person sees on a terminal, and who reads it elsewhere.
//! Not here: signals to the supervisor (`signals`).

use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};

use e2e::{Setup, Signal, eventually, send};

const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

#[track_caller]
fn code(child: &mut Child) -> Option<i32> {
    eventually("it to end", || child.try_wait().expect("it is our child")).code()
}

#[test]
fn a_watched_status_is_drawn_again_and_gives_the_terminal_back_when_it_ends() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").start();
    for key in [b"q", b"\x03"] {
        let old = stack.pid("t").to_string();
        let (mut terminal, out, _) = stack.spawn_in_terminal(&["status", "--watch"]);
        eventually("the first picture", || text(&out).contains(&old).then_some(()));
        send(stack.pid("t"), Signal::SIGKILL);
        let new = stack.wait_until("t", "up again", |one| one.pid().is_some_and(|pid| pid.to_string() != old));
        let new = new.pid().expect("it runs").to_string();
        eventually("a newer picture", || text(&out).contains(&new).then_some(()));
        terminal.stdin.as_mut().expect("it was asked for").write_all(key).expect("the terminal is there");
        assert_eq!(code(&mut terminal), Some(0));
        let seen = text(&out);
        assert_eq!((seen.matches(ENTER).count(), seen.matches(LEAVE).count()), (1, 1), "{seen:?}");
        let (_, after) = seen.split_once(LEAVE).expect("it was just counted");
        assert!(after.contains(&new), "the last table stays: {after:?}");
    }
}

#[test]
fn a_watched_status_elsewhere_is_a_table_for_each_change_and_nothing_else() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").start();
    let (mut table, out, _) = stack.spawn(&["status", "--watch"], Stdio::null());
    let (mut lines, json, _) = stack.spawn(&["status", "--watch", "--json"], Stdio::null());
    eventually("the first table", || text(&out).contains("running").then_some(()));
    stack.cli(&["stop", "t"]).succeeded();
    eventually("the next table", || text(&out).contains("stopped").then_some(()));
    eventually("the next line", || text(&json).contains("\"stopped\"").then_some(()));
    stack.cli(&["stop"]).succeeded();
    assert_eq!((code(&mut table), code(&mut lines)), (Some(3), Some(3)), "nobody is left to ask");
    assert!(!text(&out).contains('\x1b'), "{:?}", text(&out));
    assert!(text(&out).matches("NAME").count() <= 6, "only changes: {}", text(&out));
    for line in text(&json).lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("each line is a document");
    }
}

#[test]
fn quiet_commands_say_nothing_that_their_exit_code_says() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").prepare();
    for words in [
        &["check", "-q"][..],
        &["start", "-q"],
        &["status", "-q"],
        &["why", "t", "-q"],
        &["restart", "-q"],
        &["stop", "-q"],
    ] {
        let done = stack.cli(words).succeeded();
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("", ""), "{words:?}");
    }
    let done = stack.cli(&["status", "-q"]).ended_with(3);
    assert!(done.stdout.is_empty() && done.stderr.starts_with("error: "), "errors are told all the same");
}
