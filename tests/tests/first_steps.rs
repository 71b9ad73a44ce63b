//! What somebody sees who has only just begun: no file yet, nothing in it, nothing printed, things missing.
//! Not here: what goes wrong later (`why`).

use e2e::{Setup, User, eventually};

#[test]
fn without_a_file_one_is_shown() {
    let stack = Setup::of("").prepare();
    std::fs::remove_file(stack.path("supervisor.toml")).expect("it is ours");
    let told = stack.cli(&["start"]).ended_with(2).stderr;
    assert!(told.contains("there is no supervisor.toml in ") && told.contains("\n  [services.web]\n"), "{told}");
}

#[test]
fn a_file_without_services_is_said_to_have_none() {
    let stack = Setup::of("").start();
    for command in ["start", "status", "check"] {
        let done = stack.cli(&[command]).succeeded();
        assert!(format!("{}{}", done.stdout, done.stderr).contains("there are no services in "), "{command}: {done:?}");
    }
}

#[test]
fn a_log_with_nothing_in_it_is_said_to_be_empty() {
    let stack = Setup::of("[services.t]\ncommand = 'sh -c \"read x < go; echo said; exec ./puppet wait\"'").prepare();
    nix::unistd::mkfifo(&stack.path("go"), nix::sys::stat::Mode::S_IRWXU).expect("the directory is ours");
    stack.cli(&["start"]).succeeded();
    for words in [&["logs", "t"][..], &["logs"]] {
        let done = stack.cli(words).succeeded();
        assert!(done.stdout.is_empty() && done.stderr.contains("PYTHONUNBUFFERED"), "{done:?}");
    }
    std::fs::write(stack.path("go"), "now\n").expect("somebody reads it");
    stack.wait_log("t", "said");
    let done = stack.cli(&["logs", "t"]).succeeded();
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("said\n", ""));
}

#[test]
fn logs_are_shown_while_the_file_has_an_error() {
    let stack = Setup::of("[services.t]\ncommand = ['sh', '-c', 'echo said; exec ./puppet wait']").start();
    stack.wait_log("t", "said");
    stack.save(&format!("{}\n[services.t", stack.text()));
    let done = stack.cli(&["logs", "t"]).succeeded();
    assert_eq!(done.stdout, "said\n");
    assert!(done.stderr.contains("warning: ") && done.stderr.contains("supervisor.toml"), "{}", done.stderr);
    assert!(stack.cli(&["logs", "supervisor"]).succeeded().stdout.contains(" t is running "), "its own, too");
    assert!(stack.cli(&["logs", "x"]).ended_with(2).stderr.contains("there is no service `x`; there are: t"));
}

#[test]
fn check_names_secrets_that_cannot_be_had() {
    let stack = Setup::of(
        "[services.t]\ncommand = './puppet wait'\n[services.t.secrets]\nA = { file = 'nowhere' }\n\
         B = { command = ['no-such-program'] }\nC = { env = 'NOT_SET' }\nD = { command = ['cat', 'nowhere'] }",
    )
    .prepare();
    let told = stack.cli(&["check"]).ended_with(1).stdout;
    for why in ["secret A: ", "secret B: `no-such-program` is not in PATH", "secret C: variable NOT_SET is not set"] {
        assert!(told.contains(why), "{why} is missing:\n{told}");
    }
    assert!(!told.contains("secret D"), "nothing is run to find out: {told}");
}

#[test]
fn logs_that_cannot_be_written_are_no_obstacle_to_a_start_and_told_as_what_they_are() {
    let says = "[services.t]\ncommand = ['sh', '-c', 'echo said; exec ./puppet wait']";
    let stack = Setup::of(says).logs("dir = '/proc/logs'").as_user(User::Ordinary).prepare();
    let told = stack.cli(&["check"]).ended_with(1);
    assert!(told.stderr.contains("error: logs /proc/logs: ") && !told.stderr.contains("cannot be started"), "{told:?}");
    stack.cli(&["start"]).succeeded();
    eventually("the loss to be told", || {
        Some(stack.cli(&["status"]).succeeded().stdout).filter(|status| status.contains("its log "))
    });
}
