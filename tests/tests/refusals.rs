//! A kernel that refuses: no more processes, no change of user, no more threads. One service is hit, nothing else is.
//! Not here: full disks (`logs`), a full table of descriptors (`processes`).

use std::time::Duration;

use e2e::{Setup, Signal, Stack, Tracer, eventually, holds_for, is_root, send, skip};

/// Every way to make a process.
const FORKS: &str = "clone,clone3,fork,vfork:error=EAGAIN";

fn can_trace(test: &str) -> bool {
    let works = is_root() && Tracer::works();
    if !works {
        skip(test, "system calls can be made to fail by root with strace only");
    }
    works
}

/// The API answers; the harness waits for nothing that takes for ever.
#[track_caller]
fn assert_answers(stack: &Stack) {
    assert_eq!(stack.get("/livez").status, 200);
}

#[test]
fn without_room_for_a_process_a_start_is_tried_again_and_others_go_on() {
    let name = "without_room_for_a_process_a_start_is_tried_again_and_others_go_on";
    if !can_trace(name) {
        return;
    }
    let stack = Setup::of(
        "[services.t]\ncommand = './puppet wait'\nrestart = { delay = '50ms', max_delay = '200ms' }\n\
         [services.other]\ncommand = './puppet watchdog --interval 100'\nlive = { watchdog = '2s' }\n\
         ready = { notify = true }",
    )
    .start();
    let other = stack.pid("other");
    let full = Tracer::of(stack.keeper(), FORKS);
    send(stack.pid("t"), Signal::SIGKILL);
    for tries in [1, 2, 3] {
        let told = stack.wait_until("t", "refused again", |service| {
            service.cause().contains("EAGAIN") && service.generation() > tries
        });
        assert_eq!(told.pid(), None);
        assert!(told.cause().contains("fork"), "{}", told.cause());
        assert_answers(&stack);
    }
    drop(full);
    stack.wait_for("t", "running");
    assert_eq!(stack.pid("other"), other);
    assert_eq!(stack.service("other").restarts(), 0, "its watchdog was heard all the time");
}

#[test]
fn a_step_to_another_user_that_fails_is_named_and_nothing_runs() {
    let name = "a_step_to_another_user_that_fails_is_named_and_nothing_runs";
    if !can_trace(name) {
        return;
    }
    let stack = Setup::of(
        "[services.t]\ncommand = ['sh', '-c', 'echo ran as $(id -u); exec sleep 100']\nuser = '65534'\ngroup = '65534'\n\
         autostart = false\nrestart = { delay = '50ms', max_delay = '100ms' }",
    )
    .start();
    for (call, step) in [("setgroups", "setgroups"), ("setresgid", "setgid"), ("setresuid", "setuid")] {
        let refusing = Tracer::of(stack.keeper(), &format!("{call}:error=EPERM"));
        stack.post("/api/v1/services/t/start");
        let told = stack.wait_until("t", "refused", |service| service.cause().contains("EPERM"));
        assert!(told.cause().contains(&format!("{step}: ")), "{}", told.cause());
        assert_eq!(told.pid(), None);
        stack.cli(&["stop", "t"]).succeeded();
        drop(refusing);
        assert_eq!(String::from_utf8_lossy(&stack.log("t")), "", "{step} failed, and yet it ran");
    }
    stack.cli(&["start", "t"]).succeeded();
    assert_eq!(stack.wait_log("t", "\n"), "ran as 65534\n");
}

#[test]
fn without_room_for_a_thread_control_goes_on_and_does_its_work_later() {
    let name = "without_room_for_a_thread_control_goes_on_and_does_its_work_later";
    if !can_trace(name) {
        return;
    }
    let stack = Setup::of("[services.u]\ncommand = './puppet wait'").start();
    let (pid, control) = (stack.pid("u"), stack.control());
    let full = Tracer::of(control, "clone,clone3:error=EAGAIN");
    // Only the one that is kept for this moment.
    eventually("its idle threads to end", || (runtime_threads(control) <= 1).then_some(()));
    stack.post("/api/v1/services/u/restart");
    stack.wait_until("u", "without a process", |service| service.pid() != Some(pid));
    holds_for(Duration::from_secs(1), "control is up and answers", || {
        assert_answers(&stack);
        stack.control() == control
    });
    drop(full);
    let service = stack.wait_for("u", "running");
    assert_ne!(service.pid(), Some(pid));
    assert_eq!(stack.control(), control);
}

#[test]
fn a_panic_of_control_costs_no_service_anything() {
    let name = "a_panic_of_control_costs_no_service_anything";
    if !can_trace(name) {
        return;
    }
    let stack = Setup::of("[services.t]\ncommand = './puppet seq --rate 200'").start();
    let (pid, old) = (stack.pid("t"), stack.control());
    // Its runtime panics when it cannot wait.
    let broken = Tracer::of(old, "epoll_wait,epoll_pwait,epoll_pwait2:error=EBADF");
    eventually("control to panic and to be replaced", || (stack.control() != old).then_some(()));
    drop(broken);
    assert_eq!(stack.get("/livez").status, 200);
    assert_eq!(stack.pid("t"), pid);
    assert_eq!(stack.service("t").restarts(), 0);
    stack.cli(&["stop", "t"]).succeeded();
    let log = String::from_utf8_lossy(&stack.log("t")).into_owned();
    let numbers: Vec<u64> = log.lines().map(|line| line.parse().expect("a number")).collect();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "a line is lost or doubled");
}

/// Threads that its runtime keeps for work that blocks.
fn runtime_threads(pid: i32) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let names = tasks.map(|task| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default());
    names.filter(|name| name.starts_with("tokio")).count()
}
