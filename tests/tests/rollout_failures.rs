//! Generations that lie about themselves, leave trees behind or let go of their socket, seen over a rollout.
//! Not here: the same of a single start (`probes`, `ready`, `processes`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use e2e::{DEADLINE, Setup, Signal, Stack, address, alive, eventually, free_port, is_root, over_tcp, send, skip};
use load::{Crowd, Kind, Load};

/// `first` is what generation 1 runs, `next` all others; both are words for `sh`.
fn two(port: u16, first: &str, next: &str, more: &str) -> Setup {
    Setup::of(&format!(
        "[services.t]\ncommand = '''if test $SUPERVISOR_GENERATION = 1; then {first}; fi; {next}'''\nshell = true\n\
         port = {port}\nstop = {{ timeout = '500ms' }}\n\
         rollout = {{ handoff = 'socket', bake = '0s', drain = '1s' }}\n{more}"
    ))
}

#[track_caller]
fn is_rolled_back(stack: &Stack, why: &str) {
    let old = stack.pid("t");
    let done = stack.cli(&["restart", "t"]).ended_with(1);
    assert!(done.stderr.contains("rolled back: generation 2") && done.stderr.contains(why), "{why}: {}", done.stderr);
    assert_eq!((stack.pid("t"), stack.service("t").state()), (old, "running"), "the old one serves on");
}

/// The processes of a `puppet tree`, by what it printed.
fn tree(stack: &Stack, deaf: &str) -> Vec<i32> {
    let of_tree =
        |command: &str| command.contains(&format!("tree --ignore-term {deaf}")) || command.contains("tree-part");
    stack.processes().iter().filter(|one| one.state != 'Z' && of_tree(&one.command)).map(|one| one.pid).collect()
}

#[test]
fn case_20_a_new_generation_that_asks_for_more_time_again_and_again_has_its_deadline_all_the_same() {
    let begs = "while :; do timeout 0.2 ./puppet notify EXTEND_TIMEOUT_USEC=60000000; done";
    let first = "exec ./puppet notify ready";
    let stack = two(free_port(), first, begs, "ready = { notify = true, deadline = '2s' }\n").start();
    is_rolled_back(&stack, "not ready within 2s");
}

#[test]
fn case_27_a_stranger_on_the_port_who_answers_well_is_not_taken_for_the_service() {
    let port = free_port();
    let stack = Setup::of(&format!(
        "[services.t]\ncommand = './puppet listen'\nport = {port}\nautostart = false\n\
         ready = {{ http = '/', deadline = '5s' }}\nrestart = {{ delay = '100ms' }}\n"
    ))
    .start();
    let mut stranger =
        std::process::Command::new(e2e::puppet()).args(["listen", "--port", &port.to_string()]).spawn().unwrap();
    eventually("the stranger to answer", || over_tcp(address(port), "GET", "/", &[]).ok());
    stack.cli(&["start", "t"]).ended_with(1);
    let service = stack.wait_for("t", "failed");
    assert!(service.0["cause"].as_str().unwrap().contains(&format!("held by pid {}", stranger.id())), "{}", service.0);
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    stack.wait_for("t", "running");
}

#[test]
fn case_28_what_the_old_generation_answers_does_not_make_the_next_one_ready() {
    let port = free_port();
    let listen = |health: &str| format!("exec ./puppet listen --inherited --health {health}");
    let stack = two(port, &listen("well"), &listen("ill"), "ready = { http = '/health', deadline = '2s' }\n").prepare();
    fs::write(stack.path("well"), "200").unwrap();
    fs::write(stack.path("ill"), "503").unwrap();
    stack.cli(&["start"]).succeeded();
    is_rolled_back(&stack, "503");
    fs::write(stack.path("ill"), "200").unwrap();
    stack.cli(&["restart", "t"]).succeeded();
}

#[test]
fn case_29_a_new_version_that_puts_itself_into_the_background_is_rolled_back_with_all_it_left() {
    let port = free_port();
    let first = "exec ./puppet listen --inherited --notify";
    let deaf = "child,grandchild,daemon";
    let next = format!("exec ./puppet tree --ignore-term {deaf} --exit 0");
    let stack = two(port, first, &next, "ready = { notify = true, deadline = '5s' }\n").start();
    is_rolled_back(&stack, "exited");
    eventually("nothing of it to be left", || tree(&stack, deaf).is_empty().then_some(()));
    assert_eq!(over_tcp(address(port), "GET", "/", &[]).unwrap().status, 200);
}

#[test]
fn case_30_an_old_generation_that_is_deaf_is_killed_with_its_sessions_and_daemons() {
    let port = free_port();
    let deaf = "main,child,grandchild,daemon";
    let first = format!("exec ./puppet tree --ignore-term {deaf}");
    let stack = two(port, &first, "exec ./puppet listen --inherited", "").start();
    stack.wait_log("t", "}\n");
    let old = tree(&stack, deaf);
    assert_eq!(old.len(), 4, "{:?}", stack.processes());
    stack.cli(&["restart", "t"]).succeeded();
    assert!(old.iter().all(|pid| !alive(*pid)), "when the restart returns, it is gone");
    assert_eq!(over_tcp(address(port), "GET", "/", &[]).unwrap().status, 200);
}

#[test]
fn case_33_the_old_generation_cannot_say_that_the_next_one_is_ready() {
    let first = "echo $NOTIFY_SOCKET >socket.1; (until test -s socket.2; do sleep 0.05; done; \
                 exec ./puppet notify --socket $(cat socket.2) ready) & exec ./puppet notify ready";
    let next = "echo $NOTIFY_SOCKET >socket.2; exec ./puppet wait";
    let stack = two(free_port(), first, next, "ready = { notify = true, deadline = '2s' }\n").start();
    is_rolled_back(&stack, "ready");
    assert!(fs::read_to_string(stack.path("socket.2")).unwrap().len() > 1);
    stack.wait_log("t", "sent ready\nsent ready\n");
}

#[test]
fn case_34_a_helper_of_the_next_generation_may_say_that_it_is_ready() {
    let next = "timeout 1 ./puppet notify ready & exec ./puppet wait";
    let stack = two(free_port(), next, next, "ready = { notify = true, deadline = '5s' }\n").start();
    stack.cli(&["restart", "t"]).succeeded();
    assert_eq!(stack.service("t").generation(), 2);
}

#[test]
fn case_35_rubbish_on_the_notify_socket_holds_up_no_rollout() {
    let next = "exec ./puppet notify garbage empty big fds mainpid=1 ready";
    let stack = two(free_port(), next, next, "ready = { notify = true, deadline = '5s' }\n").start();
    stack.cli(&["restart", "t"]).succeeded();
    stack.wait_log("t", "sent ready\n");
    assert_eq!(stack.service("t").generation(), 2);
}

#[test]
fn case_36_the_descriptor_of_a_barrier_is_closed_when_what_was_said_before_is_heard() {
    let next = "exec ./puppet notify STATUS=warm barrier ready barrier";
    let stack = two(free_port(), next, next, "ready = { notify = true, deadline = '5s' }\n").start();
    stack.cli(&["restart", "t"]).succeeded();
    stack.wait_log("t", "sent STATUS=warm\nsent barrier\nsent ready\nsent barrier\n");
    assert_eq!(stack.service("t").generation(), 2);
}

#[test]
fn case_37_descriptors_that_are_to_be_stored_are_closed_and_hold_nothing_up() {
    let name = "case_37_descriptors_that_are_to_be_stored_are_closed_and_hold_nothing_up";
    if !is_root() {
        return skip(name, "only root may see what control has open");
    }
    let next = "exec ./puppet notify fds ready";
    let stack = two(free_port(), next, next, "ready = { notify = true, deadline = '5s' }\n").start();
    let control = format!("/proc/{}/fd", stack.control());
    let nulls = || {
        let links = fs::read_dir(&control).unwrap().flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        links.filter(|target| target.as_os_str() == "/dev/null").count()
    };
    let before = nulls();
    stack.cli(&["restart", "t"]).succeeded();
    stack.wait_log("t", "sent fds\nsent ready\n");
    assert!(nulls() <= before, "of 5,000 none is kept");
}

#[test]
fn case_39_generations_that_want_the_shared_socket_blocking_and_not_serve_beside_each_other() {
    let port = free_port();
    // The first one waits in `accept`, the next one makes the socket non-blocking, for both.
    let (first, next) = ("exec ./puppet listen --inherited --notify", "exec ./exemplar");
    let stack = two(port, first, next, "ready = { notify = true }\n").prepare();
    stack.edit("bake = '0s'", "bake = '5s'");
    stack.cli(&["start"]).succeeded();
    let old = stack.pid("t");
    stack.cli(&["restart", "t", "--no-wait"]).succeeded();
    stack.wait_until("t", "its bake", |t| t.0["rollout"]["phase"] == "baking");
    for _ in 0..30 {
        assert_eq!(over_tcp(address(port), "GET", "/", &[]).expect("nobody is refused").status, 200);
    }
    assert!(alive(old), "both were there");
    assert_eq!(stack.wait_for("t", "running").generation(), 2);
}

#[test]
fn case_41_a_socket_that_a_daemon_took_along_is_closed_with_its_tree_and_ours_goes_on() {
    let port = free_port();
    let first = "setsid sleep 1000 & exec ./puppet listen --inherited";
    let mut stack = two(port, first, "exec ./puppet listen --inherited", "").start();
    let sleeps = || stack.processes().iter().filter(|one| one.command == "sleep 1000" && one.state != 'Z').count();
    eventually("the daemon", || (sleeps() == 1).then_some(()));
    stack.cli(&["restart", "t"]).succeeded();
    assert_eq!(sleeps(), 0, "when the restart returns, it is gone");
    assert_eq!(over_tcp(address(port), "GET", "/", &[]).unwrap().status, 200);
    stack.cli(&["stop", "t"]).succeeded();
    assert!(TcpStream::connect(address(port)).is_err(), "nobody has it any more");
    stack.stop();
}

#[test]
fn case_40_a_service_that_closes_its_socket_and_ends_refuses_nobody() {
    let port = free_port();
    let first = "sleep 0.3; exec 3<&-; exit 0";
    let stack = two(port, first, "exec ./puppet listen --inherited", "").start_no_wait();
    stack.wait_until("t", "its beginning", |t| t.generation() > 0);
    eventually("the second generation", || {
        // Queued while nobody accepts; a refusal would fail here.
        drop(TcpStream::connect(address(port)).expect("it is held"));
        (stack.service("t").generation() == 2).then_some(())
    });
    assert_eq!(over_tcp(address(port), "GET", "/", &[]).unwrap().status, 200);
}

#[test]
fn case_42_a_generation_that_stays_stopped_is_gone_after_its_drain_while_others_are_served() {
    let port = free_port();
    let stack = Setup::of(&format!(
        "[services.t]\ncommand = './exemplar'\nport = {port}\nready = {{ notify = true }}\nstop = {{ timeout = '1s' }}\n\
         rollout = {{ handoff = 'socket', drain_signal = 'USR2', bake = '0s', drain = '2s' }}\n"
    ))
    .start();
    let old = stack.pid("t");
    // It has something to finish, so a moment awake is not enough for it.
    let mut client = TcpStream::connect(address(port)).unwrap();
    client.write_all(b"POST /length HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\n\r\nab").unwrap();
    assert_eq!(over_tcp(address(port), "GET", "/generation", &[]).unwrap().text(), "1");
    let stopped = std::thread::spawn(move || {
        while alive(old) {
            send(old, Signal::SIGSTOP);
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    stack.cli(&["restart", "t", "--no-wait"]).succeeded();
    stack.wait_until("t", "the switch", |t| t.0["rollout"]["phase"] == "draining");
    let crowd = Crowd { kind: Kind::Fresh, clients: 3, pause: Duration::from_millis(10) };
    let load = Load::start(address(port), &[crowd]);
    stack.wait_until("t", "one generation", |t| t.0["generations"].as_array().map(Vec::len) == Some(1));
    stopped.join().unwrap();
    assert!(!alive(old));
    assert!(load.await_answers(20, DEADLINE), "nobody is answered");
    assert_eq!(load.stop().failed(), 0);
}

#[test]
fn f103_a_hundred_answers_without_an_end_are_seen_off_within_the_drain_and_counted() {
    let port = free_port();
    let stack = Setup::of(&format!(
        "[services.t]\ncommand = './exemplar'\nport = {port}\nready = {{ notify = true }}\n\
         rollout = {{ handoff = 'socket', drain_signal = 'USR2', bake = '0s', drain = '10s', \
         long_lived = {{ close_after = '200ms', spread = '500ms' }} }}\n"
    ))
    .start();
    let crowd = |kind| Crowd { kind, clients: 50, pause: Duration::from_millis(100) };
    let load = Load::start(address(port), &[crowd(Kind::Events), crowd(Kind::WebSocket)]);
    assert!(load.await_answers(300, DEADLINE), "nobody is answered");
    let done = stack.cli(&["restart", "t"]).succeeded();
    let row: Vec<&str> = done.stdout.lines().nth(1).unwrap().split_whitespace().collect();
    let (drained, cut): (usize, usize) = (row[8].parse().unwrap(), row[9].parse().unwrap());
    assert!(drained >= 100 && cut == 0, "{}", done.stdout);
    assert!(done.took < Duration::from_secs(10), "{:?}", done.took);
    assert!(load.await_answers(200, DEADLINE), "nobody is answered any more");
    let report = load.stop();
    assert_eq!(report.failed(), 0, "\n{report}");
}
