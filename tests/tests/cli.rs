//! The commands as a person or a script meets them.
//! Not here: what they make the supervisor do.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use e2e::{Setup, Signal, Stack, User, alive, eventually, send};
use serde_json::{Value, json};

#[test]
fn without_a_supervisor_each_command_says_so_with_code_3() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").prepare();
    for words in [&["status"][..], &["stop"], &["restart", "t"], &["why", "t"], &["signal", "t", "HUP"]] {
        let done = stack.cli(words).ended_with(3);
        assert!(!done.stderr.is_empty(), "{words:?}");
        assert!(done.stdout.is_empty(), "{words:?} {}", done.stdout);
    }
}

/// A command whose streams are not files.
fn command(stack: &Stack, words: &[&str]) -> Command {
    let mut command = Command::new(e2e::supervisor());
    command.args(words).current_dir(stack.root()).env_clear().stdin(Stdio::null());
    command.env("HOME", stack.root()).env("TMPDIR", stack.root()).env("PATH", "/usr/bin:/bin");
    command
}

#[test]
fn whoever_stops_reading_progress_ends_no_command_half_way() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").start();
    let old = stack.pid("t");
    let restart = ["restart", "--hard", "t"];
    let mut child = command(&stack, &restart).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it runs");
    drop(child.stderr.take());
    assert_eq!(child.wait().expect("our child").code(), Some(0));
    assert_ne!(stack.pid("t"), old);
}

#[test]
fn data_that_cannot_be_written_is_a_failure() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").start();
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has one");
    let done = command(&stack, &["status", "--json"]).stdout(full).output().expect("it runs");
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.code() == Some(1) && told.contains("failed to write to stdout"), "{told}");
}

#[test]
fn a_name_that_cannot_be_one_is_wrong_usage() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").start();
    let done = stack.cli(&["why", "a b", "--exit", "1"]).ended_with(2);
    assert!(done.stderr.contains("a b"), "{}", done.stderr);
}

#[test]
fn a_word_that_is_no_command_ends_with_code_2() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").prepare();
    stack.cli(&["strat"]).ended_with(2);
    stack.cli(&["status", "--nothing"]).ended_with(2);
}

#[test]
fn where_there_is_no_file_it_says_where_it_looked() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let done = Command::new(e2e::supervisor()).arg("status").current_dir(dir.path()).output().expect("it runs");
    assert_eq!(done.status.code(), Some(2), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(String::from_utf8_lossy(&done.stderr).contains("supervisor.toml"));
}

#[test]
fn status_shows_each_service_and_its_json_is_that_of_the_api() {
    let stack = Setup::of(
        "[services.alpha]\ncommand = './puppet wait'\n[services.beta]\ncommand = './puppet wait'\nautostart = false",
    )
    .start();
    let table = stack.cli(&["status"]).succeeded().stdout;
    let line =
        |name: &str| table.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{table}")).to_owned();
    assert!(line("alpha").contains("running") && line("alpha").contains(&stack.pid("alpha").to_string()), "{table}");
    assert!(line("beta").contains("stopped"), "{table}");
    assert!(!table.contains('\x1b'), "no colours into a file");
    let json: Value = serde_json::from_str(&stack.cli(&["status", "--json"]).succeeded().stdout).expect("JSON");
    assert_eq!(json["services"][0]["pid"], stack.status()["services"][0]["pid"]);
    for alias in ["ps", "ls"] {
        stack.cli(&[alias]).succeeded();
    }
}

#[test]
fn status_says_by_its_code_when_something_is_wrong() {
    let stack =
        Setup::of("[services.t]\ncommand = './puppet exit-code 1'\nrestart = { policy = 'no' }").start_no_wait();
    stack.wait_for("t", "failed");
    let done = stack.cli(&["status"]).ended_with(1);
    assert!(done.stdout.contains("failed"), "{}", done.stdout);
}

#[test]
fn a_service_that_fails_makes_start_fail_and_say_why() {
    let stack = Setup::of(
        "[services.t]\ncommand = ['sh', '-c', 'echo out of cheese >&2; exit 9']\nrestart = { policy = 'no' }\nready = { delay = '5s' }",
    )
    .prepare();
    let done = stack.cli(&["start"]).ended_with(1);
    let told = done.stdout + &done.stderr;
    assert!(told.contains("t failed: exited with code 9"), "{told}");
}

#[test]
fn a_restart_that_waits_for_what_nobody_starts_fails_and_says_why() {
    let stack = Setup::of(
        "[services.once]\ncommand = 'true'\ntype = 'oneshot'\n\
         [services.t]\ncommand = './puppet wait'\ndepends_on = { once = 'completed' }",
    )
    .start();
    stack.cli(&["stop", "once"]).succeeded();
    let done = stack.cli(&["restart", "t"]).ended_with(1);
    assert!(done.stderr.contains("error: t: waiting for once to be completed"), "{}", done.stderr);
}

#[test]
fn a_name_that_no_service_has_is_refused() {
    let stack = Setup::of("[services.mail]\ncommand = './puppet wait'").start();
    for command in ["start", "stop", "restart", "status", "why", "logs", "events", "signal", "exec"] {
        let rest = match command {
            "signal" => &["mial", "HUP"][..],
            "exec" => &["mial", "--", "true"],
            _ => &["mial"],
        };
        let done = stack.cli(&[&[command], rest].concat()).ended_with(2);
        assert!(done.stderr.contains("there is no service `mial`; there are: mail"), "{command}: {}", done.stderr);
    }
    assert_eq!(stack.service("mail").restarts(), 0);
}

#[test]
fn start_with_names_starts_those_and_what_they_need() {
    let stack = Setup::of(
        "[services.base]\ncommand = './puppet wait'\n[services.app]\ncommand = './puppet wait'\ndepends_on = ['base']\n\
         [services.other]\ncommand = './puppet wait'",
    )
    .prepare();
    let told = stack.cli(&["start", "app"]).succeeded();
    let named: Vec<&str> = told.stdout.lines().skip(1).map_while(|line| line.split_whitespace().next()).collect();
    assert_eq!(named, ["base", "app"], "{}", told.stdout);
    assert_eq!(stack.service("app").state(), "running");
    assert_eq!(stack.service("base").state(), "running");
    assert_eq!(stack.service("other").state(), "stopped");
}

#[test]
fn times_are_told_and_taken_by_the_clock_of_who_asks() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").env("TZ", "HERE-5:30").start();
    stack.cli(&["stop", "t"]).succeeded();
    let told = |words: &[&str]| stack.cli(&[&["events", "-n", "1"], words].concat()).succeeded().stdout;
    let json: Value = serde_json::from_str(&told(&["--json"])).expect("JSON");
    assert!(json["at"].as_str().is_some_and(|at| at.ends_with('Z')), "programs get UTC: {json}");
    let line = told(&[]);
    let at = line.split_whitespace().next().unwrap_or_default();
    let clock = at.strip_suffix("+05:30").unwrap_or_else(|| panic!("{line}"));
    for since in [at, clock, &clock.replace('T', " "), &clock[..16], &clock[11..19]] {
        assert_eq!(told(&["--since", since]).lines().last(), line.lines().last(), "{since}");
    }
    assert_eq!(told(&["--since", &format!("{clock}Z")]), "", "that is five and a half hours ahead");
    // It is filed once the log is at its end.
    let why = eventually("the report of the end", || {
        let told = stack.cli(&["why", "t", "--exit", "1"]);
        (told.code == 0).then_some(told.stdout)
    });
    assert!(why.contains("+05:30"), "{why}");
}

#[test]
fn stop_now_does_not_wait_for_those_who_will_not() {
    let mut stack = Setup::of("[services.t]\ncommand = './puppet ignore-term'\nstop = { timeout = '60s' }").start();
    stack.wait_log("t", "deaf");
    let done = stack.cli(&["stop", "--now"]).succeeded();
    assert!(done.took < std::time::Duration::from_secs(8), "it took {:?}", done.took);
    stack.assert_nothing_left();
}

#[test]
fn a_signal_reaches_the_main_process() {
    let stack = Setup::of("[services.t]\ncommand = './puppet tell-signals --until SIGTERM'").start();
    stack.wait_log("t", "listening");
    stack.cli(&["signal", "t", "USR1"]).succeeded();
    stack.wait_log("t", "SIGUSR1");
    stack.cli(&["signal", "t", "SIGHUP"]).succeeded();
    stack.wait_log("t", "SIGHUP");
    assert_ne!(stack.cli(&["signal", "t", "NOSUCH"]).code, 0);
}

#[test]
fn why_tells_the_last_exit_and_the_last_words() {
    let stack = Setup::of(
        "[services.t]\ncommand = ['sh', '-c', 'echo out of cheese >&2; exit 9']\nrestart = { policy = 'no' }",
    )
    .start_no_wait();
    stack.wait_for("t", "failed");
    let told = stack.cli(&["why", "t"]).stdout;
    assert!(told.contains("failed") && told.contains("exited with code 9") && told.contains("out of cheese"), "{told}");
}

#[test]
fn in_the_foreground_every_output_is_shown_with_its_name_and_term_ends_it_well() {
    let mut stack = Setup::of(
        "[services.one]\ncommand = './puppet seq --rate 20'\n[services.two]\ncommand = ['sh', '-c', 'while :; do echo second; sleep 0.1; done']",
    )
    .prepare();
    let (mut child, out, _) = stack.spawn(&["start", "--foreground"], Stdio::null());
    eventually("both to be shown", || {
        let text = std::fs::read_to_string(&out).ok()?;
        let line = |name: &str, part: &str| text.lines().any(|line| line.contains(name) && line.contains(part));
        (line("one", "1") && line("two", "second")).then_some(())
    });
    send(stack.keeper(), Signal::SIGTERM);
    let status = eventually("the foreground to end", || child.try_wait().expect("our child"));
    assert_eq!(status.code(), Some(0));
    stack.assert_nothing_left();
}

/// All that ends a process: SIGCHLD, SIGCONT, SIGURG and SIGWINCH do nothing; SIGSTOP, SIGTSTP, SIGTTIN and SIGTTOU stop it.
fn ending_signals() -> impl Iterator<Item = i32> {
    (1..=64).filter(|signal| ![17, 18, 23, 28, 19, 20, 21, 22].contains(signal))
}

/// By a shell, because Rust's runtime has changed some of them in every program of its own.
fn dies_of(signal: i32) -> String {
    format!("['sh', '-c', 'kill -{signal} $$$$; sleep 100']")
}

#[test]
fn run_with_a_name_ends_as_that_service_does() {
    let codes = [0, 1, 2, 3, 4, 127, 128, 129, 254, 255].map(|code| (format!("'./puppet exit-code {code}'"), code));
    let signals = [1, 2, 9, 13, 15, 31, 34, 64].map(|signal| (dies_of(signal), 128 + signal));
    for (command, code) in codes.into_iter().chain(signals) {
        let toml = format!("[services.t]\ncommand = {command}\nrestart = {{ policy = 'no' }}");
        let mut stack = Setup::of(&toml).prepare();
        stack.run_words(&["run", "t"]);
        assert_eq!(stack.foreground_code(), code, "{command}");
        stack.assert_nothing_left();
    }
}

#[test]
fn each_of_all_codes_and_signals_is_told_as_what_ended_its_service() {
    let service = |name: &str, number: i32, command: &str| {
        format!("[services.{name}-{number}]\ncommand = {command}\nrestart = {{ policy = 'no' }}\n")
    };
    let codes = (0..=255).map(|code| service("code", code, &format!("'./puppet exit-code {code}'")));
    let signals = ending_signals().map(|signal| service("signal", signal, &dies_of(signal)));
    let stack = Setup::of(&codes.chain(signals).collect::<String>()).start_no_wait();
    let ended = eventually("all to have ended", || {
        let all = stack.status()["services"].as_array()?.clone();
        all.iter().all(|one| !one["last_exit"].is_null()).then_some(all)
    });
    let told: BTreeMap<&str, (&Value, &Value)> = ended
        .iter()
        .map(|one| {
            (one["name"].as_str().expect("it has one"), (&one["last_exit"]["code"], &one["last_exit"]["signal"]))
        })
        .collect();
    for code in 0..=255 {
        assert_eq!(told[format!("code-{code}").as_str()], (&json!(code), &Value::Null));
    }
    for signal in ending_signals() {
        let name = Signal::try_from(signal).map_or(signal.to_string(), |known| known.as_str()[3..].to_owned());
        assert_eq!(told[format!("signal-{signal}").as_str()], (&Value::Null, &json!(name)));
    }
}

#[test]
fn start_twice_starts_nothing_twice() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").start();
    let pid = stack.pid("t");
    stack.cli(&["start"]).succeeded();
    stack.cli(&["start", "t"]).succeeded();
    assert_eq!(stack.pid("t"), pid);
    assert!(alive(pid));
}

#[test]
fn two_starts_at_once_make_one_stack() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").prepare();
    let starts: Vec<_> = (0..4).map(|_| stack.spawn(&["start"], Stdio::null())).collect();
    for (mut child, _, err) in starts {
        let status = eventually("`start` to end", || child.try_wait().expect("our child"));
        assert_eq!(status.code(), Some(0), "{}", std::fs::read_to_string(err).unwrap_or_default());
    }
    let puppets = stack.processes().iter().filter(|one| one.command.contains("puppet wait")).count();
    assert_eq!(puppets, 1);
}

#[test]
fn help_names_commands_and_the_version_is_told() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").prepare();
    assert!(stack.cli(&["--version"]).succeeded().stdout.starts_with("supervisor "));
    let help = stack.cli(&["--help"]).succeeded().stdout;
    for command in ["start", "stop", "restart", "status", "why", "logs", "check"] {
        assert!(help.contains(command), "{command} is not in {help}");
    }
}

#[test]
fn exec_runs_a_command_in_the_environment_and_directory_of_a_service() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'\nenv = { OWN = 'mine' }\ncwd = 'deep'").prepare();
    std::fs::create_dir(stack.path("deep")).expect("ours");
    let done = stack.cli(&["exec", "t", "--", "sh", "-c", "echo $OWN; pwd; exit 5"]).ended_with(5);
    assert_eq!(done.stdout, format!("mine\n{}\n", stack.path("deep").display()));
}

#[test]
fn list_names_the_stacks_that_run_with_their_files() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'")
        .as_user(User::Ordinary)
        .env("XDG_RUNTIME_DIR", "@root")
        .prepare();
    // The only place where `list` looks that is not shared with other tests.
    stack.edit("/run\"", "/supervisor/t\"");
    stack.cli(&["start"]).succeeded();
    let listed = stack.cli(&["list"]).succeeded().stdout;
    assert!(listed.contains(&stack.file().display().to_string()), "{listed}");
    stack.cli(&["stop"]).succeeded();
    assert!(!stack.cli(&["list"]).succeeded().stdout.contains("supervisor.toml"));
}
