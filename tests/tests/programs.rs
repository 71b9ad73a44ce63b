//! Which file a service is started from, when another one lies at its path meanwhile.
//! Not here: what a reload makes of it (`reload`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use e2e::{Setup, Signal, Stack, User, eventually, exemplar, free_port, send, variable};

/// Puts a copy of the service at `./program`, by a rename, as builds and package managers do; gives its inode.
fn install(stack: &Stack) -> u64 {
    let new = stack.path("program.new");
    std::fs::copy(exemplar(), &new).unwrap();
    std::fs::rename(&new, stack.path("program")).unwrap();
    stack.path("program").metadata().unwrap().ino()
}

/// The file that a process runs.
fn runs(pid: i32) -> u64 {
    Path::new(&format!("/proc/{pid}/exe")).metadata().unwrap().ino()
}

fn stack(user: User) -> (Stack, u64) {
    let port = free_port();
    let stack = Setup::of(&format!(
        "[services.t]\ncommand = ['./program']\nport = {port}\nautostart = false\nready = {{ notify = true }}\n\
         env = {{ ROUND = '1' }}\nrollout = {{ handoff = 'socket', drain_signal = 'USR2', bake = '0s' }}\n"
    ))
    .as_user(user)
    .start();
    let file = install(&stack);
    stack.cli(&["start", "t"]).succeeded();
    (stack, file)
}

/// Kills what serves, and gives its successor's process when that is ready.
fn crash(stack: &Stack) -> i32 {
    let (pid, generation) = (stack.pid("t"), stack.service("t").generation());
    send(pid, Signal::SIGKILL);
    stack.wait_until("t", "the next one", |t| t.state() == "running" && t.generation() > generation);
    stack.pid("t")
}

#[test]
fn a_crash_is_followed_by_the_same_file_and_a_restart_by_the_one_at_the_path() {
    for user in [User::Current, User::Ordinary] {
        let (stack, first) = stack(user);
        assert_eq!(runs(crash(&stack)), first);
        let second = install(&stack);
        assert_ne!(first, second);
        let pid = crash(&stack);
        assert_eq!(runs(pid), first, "nobody asked for the other file");
        let inherited = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let inherited = inherited.filter_map(|fd| fd.ok()?.path().metadata().ok());
        assert!(inherited.into_iter().all(|file| file.ino() != first), "it does not inherit its own file");
        stack.kill_control();
        assert_eq!(runs(crash(&stack)), first, "the next control knows it, too");
        stack.cli(&["restart", "t"]).succeeded();
        assert_eq!(runs(stack.pid("t")), second);
        stack.cli(&["stop", "t"]).succeeded();
        let third = install(&stack);
        stack.cli(&["start", "t"]).succeeded();
        assert_eq!(runs(stack.pid("t")), third, "a start after a stop is a new beginning");
        std::fs::remove_file(stack.path("program")).unwrap();
        assert_eq!(runs(crash(&stack)), third, "it lies nowhere any more");
    }
}

#[test]
fn a_restart_that_fails_before_its_program_is_reached_is_followed_by_one_of_the_same_file() {
    let port = free_port();
    let stack = Setup::of(&format!(
        "[services.t]\ncommand = ['./program']\ncwd = 'work'\nport = {port}\nautostart = false\n\
         ready = {{ notify = true }}\nrollout = {{ handoff = 'socket', drain_signal = 'USR2' }}\n"
    ))
    .start();
    let work = stack.path("work");
    std::fs::create_dir(&work).unwrap();
    let first = install(&stack);
    stack.cli(&["start", "t"]).succeeded();
    std::fs::remove_dir(&work).unwrap();
    send(stack.pid("t"), Signal::SIGKILL);
    stack.wait_until("t", "a start that failed", |t| t.cause().contains("chdir"));
    assert_ne!(install(&stack), first);
    std::fs::create_dir(&work).unwrap();
    stack.wait_until("t", "the next one", |t| t.state() == "running");
    assert_eq!(runs(stack.pid("t")), first, "nobody asked for the other file");
}

#[test]
fn case_25_a_new_file_that_fails_soon_is_followed_by_the_one_before_even_when_control_was_killed() {
    for killed in ["nobody", "control"] {
        let (stack, good) = stack(User::Current);
        let bad = install(&stack);
        stack.cli(&["restart", "t"]).succeeded();
        assert_eq!(runs(stack.pid("t")), bad);
        if killed == "control" {
            stack.kill_control();
        }
        assert_eq!(runs(crash(&stack)), good, "{killed} was killed");
        assert_eq!(stack.service("t").0["rollout"]["result"], "rolled-back");
        if killed == "control" {
            stack.kill_control();
        }
        assert_eq!(runs(crash(&stack)), good, "and so it stays");
        stack.cli(&["restart", "t"]).succeeded();
        assert_eq!(runs(stack.pid("t")), bad, "unless somebody asks for it again");
    }
}

#[test]
fn a_configuration_that_fails_soon_is_followed_by_the_one_before_though_control_was_killed_and_two_came_since() {
    let (stack, _) = stack(User::Current);
    let file = stack.path("supervisor.toml");
    let toml = std::fs::read_to_string(&file).unwrap();
    let round = |pid: i32| variable(pid, "ROUND");
    std::fs::write(&file, toml.replace("ROUND = '1'", "ROUND = '2'")).unwrap();
    stack.cli(&["reload"]).succeeded();
    // It changes something else, so what is to be gone back to is older than the configuration before.
    std::fs::write(
        &file,
        toml.replace("ROUND = '1'", "ROUND = '2'") + "[services.other]\ncommand = ['sleep', '1000']\n",
    )
    .unwrap();
    stack.cli(&["reload"]).succeeded();
    assert_eq!(round(stack.pid("t")).as_deref(), Some("2"));
    stack.kill_control();
    assert_eq!(round(crash(&stack)).as_deref(), Some("1"), "the one before");
    stack.kill_control();
    assert_eq!(round(crash(&stack)).as_deref(), Some("1"), "it is known however often control is killed");
    let left = eventually("the state", || Some(stack.service("t")));
    assert_eq!(left.0["rollout"]["result"], "rolled-back");
}
