//! What becomes of a service's processes: none is left, none is doubled, none that is not ours is touched.
//! Not here: when a service is started again (`restarts`).

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use e2e::{Setup, Signal, Stack, User, alive, eventually, free_port, holds_for, is_root, send};
use serde_json::Value;

/// The pids that `puppet tree` told of, by name.
fn tree(stack: &Stack, service: &str) -> Vec<(String, i32)> {
    let text = stack.wait_log(service, "}");
    let line = text.lines().find(|line| line.starts_with('{')).expect("the log holds the line");
    let all: Value = serde_json::from_str(line).expect("the puppet prints JSON");
    let pids = all.as_object().expect("an object").iter();
    pids.map(|(name, pid)| (name.clone(), pid.as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid")))
        .collect()
}

fn pid_of(tree: &[(String, i32)], name: &str) -> i32 {
    tree.iter().find(|(one, _)| one == name).map(|(_, pid)| *pid).expect("the tree has it")
}

#[track_caller]
fn assert_all_gone(tree: &[(String, i32)]) {
    let left: Vec<_> = tree.iter().filter(|(_, pid)| alive(*pid)).collect();
    assert!(left.is_empty(), "still alive: {left:?}");
}

fn stop_ends_the_whole_tree(user: User) {
    let stack = Setup::of("[services.t]\ncommand = './puppet tree'").as_user(user).start();
    let tree = tree(&stack, "t");
    assert_eq!(tree.len(), 4, "{tree:?}");
    let done = stack.cli(&["stop", "t"]).succeeded();
    assert_all_gone(&tree);
    assert!(done.took < Duration::from_secs(5), "it took {:?}", done.took);
    assert_eq!(stack.service("t").state(), "stopped");
}

#[test]
fn stop_ends_the_child_the_session_and_the_daemon_of_a_service() {
    stop_ends_the_whole_tree(User::Current);
}

#[test]
fn stop_ends_the_child_the_session_and_the_daemon_of_an_ordinary_users_service() {
    stop_ends_the_whole_tree(User::Ordinary);
}

#[test]
fn a_grandchild_that_ignores_term_is_killed_when_the_time_is_up() {
    let stack =
        Setup::of("[services.t]\ncommand = './puppet tree --ignore-term grandchild'\nstop = { timeout = '1s' }")
            .start();
    let tree = tree(&stack, "t");
    let done = stack.cli(&["stop", "t"]).succeeded();
    assert_all_gone(&tree);
    assert!(done.took >= Duration::from_millis(700), "it had no time to end by itself: {:?}", done.took);
    assert!(done.took < Duration::from_secs(8), "it took {:?}", done.took);
    let leftovers = stack.service("t").last_exit()["leftovers"].clone();
    assert_eq!(leftovers, serde_json::json!([pid_of(&tree, "grandchild")]));
}

#[test]
fn a_main_process_that_ignores_term_is_killed_when_the_time_is_up() {
    let stack = Setup::of("[services.deaf]\ncommand = './puppet ignore-term'\nstop = { timeout = '1s' }").start();
    let pid = stack.pid("deaf");
    stack.wait_log("deaf", "deaf");
    stack.cli(&["stop", "deaf"]).succeeded();
    assert!(!alive(pid));
    assert_eq!(stack.service("deaf").last_exit()["signal"], "KILL");
}

#[test]
fn a_frozen_service_is_thawed_and_ends_cleanly() {
    let stack = Setup::of("[services.t]\ncommand = './puppet tell-signals --until SIGTERM'").start();
    stack.wait_log("t", "listening");
    send(stack.pid("t"), Signal::SIGSTOP);
    let done = stack.cli(&["stop", "t"]).succeeded();
    assert!(done.took < Duration::from_secs(5), "it took {:?}", done.took);
    assert_eq!(stack.service("t").last_exit()["code"], 0);
    assert!(stack.wait_log("t", "SIGTERM").contains("SIGTERM"));
}

#[test]
fn only_the_main_process_gets_the_signal_that_asks() {
    let stack = Setup::of(
        "[services.t]\ncommand = ['sh', '-c', './puppet tell-signals --until SIGTERM & trap \"kill -USR1 $!; sleep 0.3; exit 0\" TERM; wait']\n\
         stop = { timeout = '3s' }",
    )
    .start();
    stack.wait_log("t", "listening");
    stack.cli(&["stop", "t"]).succeeded();
    let log = stack.wait_log("t", "SIGTERM");
    let told: Vec<&str> = log.lines().filter(|line| line.starts_with("SIG")).collect();
    assert_eq!(
        told,
        ["SIGUSR1", "SIGTERM"],
        "the child was to hear of it from its parent, and only at the end from us"
    );
}

#[test]
fn a_command_that_cannot_be_run_says_why_and_harms_nobody() {
    let stack = Setup::of(
        "[services.absent]\ncommand = './nothing-here'\n\
         [services.forbidden]\ncommand = './supervisor.toml'\n\
         [services.noise]\ncommand = './noise'\n\
         [services.circle]\ncommand = './circle'\n\
         [services.directory]\ncommand = './logs'\n\
         [services.well]\ncommand = './puppet wait'",
    )
    .prepare();
    std::fs::write(stack.path("noise"), [0, 1, 2, 3]).expect("ours");
    std::fs::set_permissions(stack.path("noise"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("ours");
    std::os::unix::fs::symlink("circle", stack.path("circle")).expect("ours");
    stack.cli(&["start", "--timeout", "5s"]);
    stack.wait_for("well", "running");
    for (name, why) in [
        ("absent", "ENOENT"),
        ("forbidden", "EACCES"),
        ("noise", "ENOEXEC"),
        ("circle", "ELOOP"),
        ("directory", "EACCES"),
    ] {
        let service = stack.wait_until(name, "failing, with its errno", |service| service.cause().contains(why));
        assert!(["backoff", "crash-loop", "failed"].contains(&service.state()), "{:#}", service.0);
        assert_eq!(service.pid(), None);
    }
}

#[test]
fn a_missing_directory_fails_its_service_only() {
    let stack = Setup::of(
        "[services.lost]\ncommand = './puppet wait'\ncwd = 'no/such/place'\n[services.well]\ncommand = './puppet wait'",
    )
    .start_no_wait();
    stack.wait_for("well", "running");
    let lost = stack.wait_until("lost", "failing", |service| service.cause().contains("ENOENT"));
    assert_ne!(lost.state(), "running");
}

#[test]
fn a_service_still_starts_when_clients_have_eaten_the_file_descriptors() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").before(&["prlimit", "--nofile=256:256"]).start();
    let old = stack.pid("t");
    let clients: Vec<UnixStream> = (0..400).map_while(|_| UnixStream::connect(stack.socket()).ok()).collect();
    assert!(clients.len() > 100, "only {} clients came in", clients.len());
    send(old, Signal::SIGKILL);
    let began = Instant::now();
    eventually("a new run while the clients stay", || {
        let all = stack.processes();
        all.iter().any(|one| one.command.contains("puppet wait") && one.pid != old && one.state != 'Z').then_some(())
    });
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
    drop(clients);
}

#[test]
fn a_service_that_puts_itself_into_the_background_never_runs_twice() {
    let stack = Setup::of(
        "[services.t]\ncommand = './puppet tree --exit 0'\nrestart = { delay = '100ms', max_delay = '200ms' }",
    )
    .start_no_wait();
    stack.wait_until("t", "started again twice", |service| service.restarts() >= 2);
    holds_for(Duration::from_secs(1), "at most one daemon", || {
        let daemons = stack.processes().iter().filter(|one| one.command.contains("tree-part daemon")).count();
        daemons <= 1
    });
}

#[test]
fn a_restart_waits_until_a_grandchild_has_given_back_the_port() {
    let port = free_port();
    let stack = Setup::of(&format!(
        "[services.t]\ncommand = './puppet listen --by-grandchild --crash-after 400'\nport = {port}\n\
         rollout = {{ handoff = 'own' }}\nstop = {{ timeout = '300ms' }}\nrestart = {{ delay = '0s' }}"
    ))
    .start_no_wait();
    stack.wait_until("t", "started again three times", |service| service.restarts() >= 3);
    let log = String::from_utf8_lossy(&stack.log("t")).into_owned();
    assert!(!log.contains("AddrInUse") && !log.contains("in use"), "{log}");
}

#[test]
fn everything_ends_when_the_supervisor_is_stopped_in_reverse_order_of_dependency() {
    let mut stack = Setup::of(
        "[services.first]\ncommand = ['sh', '-c', 'trap \"echo first >> order; exit 0\" TERM; sleep 1000 & wait']\n\
         [services.second]\ncommand = ['sh', '-c', 'trap \"sleep 0.3; echo second >> order; exit 0\" TERM; sleep 1000 & wait']\n\
         depends_on = ['first']",
    )
    .start();
    stack.stop();
    let order = std::fs::read_to_string(stack.path("order")).expect("both wrote");
    assert_eq!(order, "second\nfirst\n");
}

#[test]
fn a_tree_wider_than_any_buffer_is_ended_in_time() {
    let mut stack = Setup::of("[services.t]\ncommand = './puppet forkbomb 150'").start();
    stack.wait_log("t", "150 children");
    let done = stack.stop();
    assert!(done.took < Duration::from_secs(15), "it took {:?}", done.took);
}

#[test]
fn a_service_of_another_user_is_ended_with_its_whole_tree() {
    if !is_root() {
        return e2e::skip("a_service_of_another_user_is_ended_with_its_whole_tree", "only root may change the user");
    }
    let stack = Setup::of("[services.t]\ncommand = './puppet tree'\nuser = '65534'\ngroup = '65534'").start();
    let tree = tree(&stack, "t");
    stack.cli(&["stop", "t"]).succeeded();
    assert_all_gone(&tree);
}
