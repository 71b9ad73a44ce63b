//! Whose files count, and who can read them; a stack whose name has changed.
//! Not here: what a reload does (`reload`).

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use e2e::{Setup, User, is_root};

const ONE: &str = "[services.a]\ncommand = './puppet wait'\nenv.LEVEL = 'one'\n";

#[test]
fn root_takes_no_file_that_others_can_write() {
    if !is_root() {
        return;
    }
    let stack = Setup::of(ONE).supervisor("auto_reload = false").start();
    stack.edit("LEVEL = 'one'", "LEVEL = 'two'");
    fs::set_permissions(stack.path("supervisor.toml"), Permissions::from_mode(0o666)).unwrap();
    let done = stack.cli(&["reload"]).ended_with(2);
    assert!(done.stderr.contains("can be written by others"), "{}", done.stderr);
    assert_eq!(stack.status()["config"]["revision"], 1);
}

#[test]
fn a_file_of_secrets_that_everyone_can_read_is_warned_of() {
    let services =
        "[services.a]\ncommand = './puppet wait'\nenv_file = ['open', 'closed']\nsecrets.S = { file = 's' }\n";
    let stack = Setup::of(services).prepare();
    for (name, mode) in [("open", 0o644), ("closed", 0o600), ("s", 0o604)] {
        fs::write(stack.path(name), "A=canary").unwrap();
        fs::set_permissions(stack.path(name), Permissions::from_mode(mode)).unwrap();
    }
    let warned =
        |text: &str| ["open", "closed", "s"].map(|name| text.contains(&stack.path(name).display().to_string()));
    fs::set_permissions(stack.root(), Permissions::from_mode(0o700)).unwrap();
    let closed = stack.cli(&["check"]).succeeded().stderr;
    assert_eq!(warned(&closed), [false; 3], "nobody else comes into its directory");
    fs::set_permissions(stack.root(), Permissions::from_mode(0o755)).unwrap();
    let reachable = stack
        .root()
        .ancestors()
        .all(|dir: &Path| fs::metadata(dir).is_ok_and(|meta| meta.permissions().mode() & 1 != 0));
    let told = stack.cli(&["check"]).succeeded().stderr;
    assert_eq!(warned(&told), [reachable, false, reachable], "{told}");
    stack.cli(&["start"]).succeeded();
    if reachable {
        let log = stack.wait_log("supervisor", "other users of this machine can read");
        assert!(!log.contains("canary"));
    }
}

#[test]
fn a_stack_whose_name_has_changed_is_found_and_not_started_twice() {
    let file = "[http]\nlisten = 'off'\n[services.a]\ncommand = './puppet wait'\n";
    let mut stack = Setup::of("").env("XDG_RUNTIME_DIR", "@root").env("XDG_STATE_HOME", "@root").prepare();
    stack.save(&format!("[supervisor]\nname = 'before'\n{file}"));
    stack.cli(&["start"]).succeeded();
    stack.save(&format!("[supervisor]\nname = 'after'\n{file}"));
    let done = stack.cli(&["reload"]).succeeded();
    // The watch may have been quicker.
    let told = done.stdout + &done.stderr;
    assert!(told.contains("at its next start") || told.contains("nothing was done"), "{told}");
    let status = stack.cli(&["status", "--json"]).succeeded().stdout;
    let status: serde_json::Value = serde_json::from_str(&status).expect("it is JSON");
    assert_eq!((&status["name"], &status["config"]["pending"][0]), (&"before".into(), &"supervisor.name".into()));
    assert!(stack.cli(&["start"]).succeeded().stderr.contains("already running"));
    stack.cli(&["stop"]).succeeded();
    stack.assert_nothing_left();
}

#[test]
fn a_stack_is_found_from_a_session_with_another_runtime_directory_and_not_started_twice() {
    let login = ["sh", "-c", "XDG_RUNTIME_DIR=$HOME exec \"$0\" \"$@\""];
    let mut stack = Setup::of("").as_user(User::Ordinary).before(&login).prepare();
    stack.save("[http]\nlisten = 'off'\n[services.a]\ncommand = './puppet wait'\n");
    stack.cli(&["start"]).succeeded();
    assert!(stack.path("supervisor").is_dir(), "it answers within the runtime directory of its session");
    assert!(stack.cli(&["status"]).succeeded().stdout.contains("running"));
    assert!(stack.cli(&["list"]).succeeded().stdout.contains(&stack.file().display().to_string()));
    stack.cli(&["restart", "a"]).succeeded();
    stack.cli(&["stop"]).succeeded();
    stack.assert_nothing_left();
    assert!(!stack.cli(&["list"]).succeeded().stdout.contains(&stack.file().display().to_string()));
}
