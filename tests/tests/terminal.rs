//! What a person sees on a terminal, and who reads it elsewhere.
//! Not here: signals to the supervisor (`signals`).

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use e2e::{Setup, Signal, Stack, eventually, send};

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
fn who_interrupts_a_start_is_told_that_it_goes_on() {
    let services =
        "[services.t]\ncommand = './puppet wait'\n[services.u]\ncommand = './puppet wait'\nready = { log = 'x' }";
    let stack = Setup::of(services).prepare();
    let (mut start, _, err) = stack.spawn(&["start"], Stdio::null());
    eventually("it to wait", || text(&err).contains("u starting").then_some(()));
    let pid = i32::try_from(start.id()).expect("a pid");
    send(pid, Signal::SIGINT);
    let status = eventually("it to end", || start.try_wait().expect("it is our child"));
    assert_eq!(status.signal(), Some(Signal::SIGINT as i32), "as a shell expects");
    assert!(text(&err).ends_with("it goes on in the background: `supervisor status` shows how\n"), "{}", text(&err));
    stack.wait_for("t", "running");
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

/// A stack of these services in the foreground on a terminal of its own, and the file of what is shown there.
fn on_a_terminal(services: &str, no_color: &str) -> (Stack, Child, PathBuf) {
    let stack = Setup::of(services).env("NO_COLOR", no_color).prepare();
    let (terminal, out, _) = stack.spawn_in_terminal(&["run"]);
    (stack, terminal, out)
}

fn press(terminal: &mut Child, keys: &[u8]) {
    terminal.stdin.as_mut().expect("it was asked for").write_all(keys).expect("the terminal is there");
}

#[test]
fn in_the_foreground_each_service_has_its_colour_and_cannot_command_the_terminal() {
    let services = "[services.one]\ncommand = ['sh', '-c', 'printf \"\\033[31mred\\033[0m \\033[2J \\007 end\\n\"; sleep 1000']\n\
                    [services.two]\ncommand = ['sh', '-c', 'echo plain; sleep 1000']\n";
    let (mut stack, mut terminal, out) = on_a_terminal(services, "");
    let seen = eventually("both to be shown", || {
        Some(text(&out)).filter(|seen| seen.contains(" end") && seen.contains("plain"))
    });
    assert!(seen.contains("\x1b[31mred\x1b[0m \\x1b[2J \\x07 end"), "{seen:?}");
    let colour = |name: &str| {
        let (before, _) =
            seen.split_once(&format!("{name}        |")).unwrap_or_else(|| panic!("no {name} in {seen:?}"));
        before.rsplit('\x1b').next().expect("a split has a last part").to_owned()
    };
    assert_ne!(colour("one"), colour("two"));
    press(&mut terminal, b"\x03");
    assert_eq!(code(&mut terminal), Some(0));
    stack.assert_nothing_left();

    let (mut stack, mut terminal, out) = on_a_terminal(services, "1");
    let seen = eventually("both to be shown", || {
        Some(text(&out)).filter(|seen| seen.contains(" end") && seen.contains("plain"))
    });
    assert!(seen.contains("two        | plain"), "{seen:?}");
    let ours = seen.replace("\x1b[31mred\x1b[0m", "").replace("\x1b[0m", "");
    assert!(!ours.contains('\x1b'), "no colour of ours: {seen:?}");
    press(&mut terminal, b"\x03");
    code(&mut terminal);
    stack.assert_nothing_left();
}

#[test]
fn a_question_without_a_line_end_is_shown_and_so_are_the_last_words() {
    let (mut stack, mut terminal, out) = on_a_terminal(
        "[services.asks]\ncommand = ['sh', '-c', 'trap \"echo farewell; exit 0\" TERM; printf \"name? \"; while :; do sleep 0.05; done']",
        "1",
    );
    eventually("the question", || text(&out).contains("asks       | name? ").then_some(()));
    press(&mut terminal, b"\x03");
    assert_eq!(code(&mut terminal), Some(0));
    let seen = text(&out);
    assert!(seen.contains("asks       | farewell"), "{seen:?}");
    assert!(seen.contains("supervisor | stopping everything; ^C again kills"), "{seen:?}");
    assert!(seen.contains("supervisor | asks is stopped"), "{seen:?}");
    stack.assert_nothing_left();
}

#[test]
fn a_second_interrupt_kills_what_would_not_end() {
    let (mut stack, mut terminal, out) =
        on_a_terminal("[services.t]\ncommand = './puppet ignore-term'\nstop = { timeout = '1h' }", "");
    stack.wait_log("t", "deaf");
    press(&mut terminal, b"\x03");
    eventually("the first to be taken", || text(&out).contains("t is stopping").then_some(()));
    press(&mut terminal, b"\x03");
    code(&mut terminal);
    stack.assert_nothing_left();
}

#[test]
fn a_service_that_a_reload_adds_is_shown_from_its_first_word() {
    let mut stack = Setup::of("[services.old]\ncommand = './puppet wait'").prepare();
    let (mut child, out, _) = stack.spawn(&["run"], Stdio::null());
    stack.wait_for("old", "running");
    let more = "\n[services.new]\ncommand = ['sh', '-c', 'echo first; sleep 1000']\n";
    stack.save(&(stack.text() + more));
    stack.cli(&["reload"]).succeeded();
    eventually("its first word", || text(&out).contains("new        | first").then_some(()));
    send(stack.keeper(), Signal::SIGTERM);
    assert_eq!(code(&mut child), Some(0));
    stack.assert_nothing_left();
}

#[test]
fn a_service_that_a_reload_takes_away_is_shown_to_its_end_and_again_when_it_comes_back() {
    let talks = "trap \\\"echo farewell; exit 3\\\" TERM; echo here; while :; do sleep 0.05; done";
    let old = format!("[services.old]\ncommand = [\"sh\", \"-c\", \"{talks}\"]\n");
    let mut stack = Setup::of(&format!("[services.stays]\ncommand = './puppet wait'\n{old}")).prepare();
    let (mut child, out, _) = stack.spawn(&["run"], Stdio::null());
    eventually("its first word", || text(&out).contains("old        | here").then_some(()));
    let with = stack.text();
    stack.save(&with.replace(&old, ""));
    stack.cli(&["reload"]).succeeded();
    eventually("its last word", || text(&out).contains("old        | farewell").then_some(()));
    eventually("its end", || text(&out).contains("supervisor | old is stopped: exited with code 3").then_some(()));
    stack.save(&with);
    stack.cli(&["reload"]).succeeded();
    eventually("its next first word", || (text(&out).matches("old        | here").count() == 2).then_some(()));
    send(stack.keeper(), Signal::SIGTERM);
    assert_eq!(code(&mut child), Some(0));
    assert_eq!(text(&out).matches("old        | farewell").count(), 2, "{}", text(&out));
    stack.assert_nothing_left();
}

#[test]
fn one_service_in_the_foreground_stays_the_only_one_and_its_removal_is_the_end() {
    let mut stack = Setup::of("[services.one]\ncommand = './puppet wait'\n").prepare();
    let (mut child, _, _) = stack.spawn(&["run", "one"], Stdio::null());
    stack.wait_for("one", "running");
    let other = "[services.other]\ncommand = './puppet wait'\n";
    stack.save(&(stack.text() + other));
    stack.cli(&["reload"]).succeeded();
    assert_eq!(stack.service("other").state(), "stopped");
    stack.edit("[services.one]\ncommand = './puppet wait'\n", "");
    stack.cli(&["reload", "--no-wait"]);
    assert_eq!(code(&mut child), Some(0));
    stack.assert_nothing_left();
}

#[test]
fn quiet_in_the_foreground_is_only_what_services_print() {
    let mut stack = Setup::of("[services.t]\ncommand = ['sh', '-c', 'echo hello; sleep 1000']").prepare();
    let (mut child, out, _) = stack.spawn(&["run", "--quiet"], Stdio::null());
    eventually("its output", || text(&out).contains("hello").then_some(()));
    send(stack.keeper(), Signal::SIGTERM);
    assert_eq!(code(&mut child), Some(0));
    assert_eq!(text(&out), "t          | hello\n");
    stack.assert_nothing_left();
}

#[test]
fn a_reader_who_does_not_read_slows_no_service_and_no_stop() {
    let mut stack = Setup::of("[services.t]\ncommand = './puppet seq --count 300000'").prepare();
    // A pipe that nobody empties.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut child = std::process::Command::new(e2e::supervisor())
        .arg("run")
        .current_dir(stack.root())
        .env_clear()
        .envs([("HOME", stack.root()), ("TMPDIR", stack.root()), ("PATH", Path::new("/usr/bin:/bin"))])
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    stack.wait_log("t", "\n300000\n");
    let began = std::time::Instant::now();
    send(stack.keeper(), Signal::SIGTERM);
    assert_eq!(code(&mut child), Some(0));
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "it took {:?}", began.elapsed());
    drop(reader);
    stack.assert_nothing_left();
}
