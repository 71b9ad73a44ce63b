//! What others do to the ground that a supervisor stands on, and what its own services do to it: it goes on.
//! Not here: full disks (`logs`), dead roles (`crash_of_control`).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;

use e2e::{Setup, Stack, eventually, free_port};

fn answers(stack: &Stack) {
    eventually("the API to answer", || stack.socket().exists().then_some(()));
    stack.get("/livez");
}

#[test]
fn a_removed_runtime_directory_is_made_again_and_services_go_on() {
    let mut stack = Setup::of("[services.t]\ncommand = './puppet wait'").start();
    let pid = stack.pid("t");
    // Twice, as the new one must be watched, too.
    for _ in 0..2 {
        eventually("the directory to go", || fs::remove_dir_all(stack.path("run")).is_ok().then_some(()));
        answers(&stack);
        assert_eq!(fs::metadata(stack.path("run")).expect("it was made again").mode() & 0o777, 0o700);
    }
    assert_eq!(stack.pid("t"), pid);
    stack.stop();
}

#[test]
fn control_comes_up_again_although_its_directories_are_gone() {
    let mut stack = Setup::of("[services.t]\ncommand = './puppet wait'").start();
    let (pid, old) = (stack.pid("t"), stack.control());
    let keeper = stack.keeper();
    e2e::send(keeper, e2e::Signal::SIGSTOP);
    e2e::send(old, e2e::Signal::SIGKILL);
    fs::remove_dir_all(stack.path("run")).expect("nobody makes it again now");
    fs::remove_file(stack.path("state/cookie")).expect("it is there");
    e2e::send(keeper, e2e::Signal::SIGCONT);
    answers(&stack);
    stack.cli(&["restart", "t"]).succeeded();
    assert_ne!(stack.pid("t"), pid);
    stack.stop();
}

#[test]
fn control_comes_up_again_although_its_token_cannot_be_trusted() {
    let mut stack = Setup::of("[services.t]\ncommand = './puppet wait'").start();
    let token = stack.path("run/token");
    fs::remove_file(&token).expect("it is there");
    fs::create_dir(&token).expect("its place is free");
    stack.kill_control();
    stack.cli(&["restart", "t"]).succeeded();
    fs::remove_dir(&token).expect("it is there");
    stack.stop();
}

#[test]
fn a_service_with_more_ports_than_can_be_handed_over_is_no_trouble_for_others() {
    let mut free = BTreeSet::new();
    while free.len() < 40 {
        free.insert(free_port());
    }
    let ports: Vec<String> = free.iter().map(|port| format!("p{port} = {port}")).collect();
    let ports = ports.join(", ");
    let mut stack = Setup::of(&format!(
        "[services.t]\ncommand = './puppet wait'\n[services.many]\ncommand = './puppet wait'\n\
         rollout.handoff = 'socket'\nports = {{ {ports} }}"
    ))
    .start_no_wait();
    let control = stack.control();
    stack.wait_until("many", "refused twice", |service| {
        let why = service.last_exit()["reason"].as_str().unwrap_or_default().to_owned();
        service.generation() > 1 && why.contains("too many ports")
    });
    stack.wait_for("t", "running");
    assert_eq!(stack.control(), control, "it never died");
    stack.stop();
}

#[test]
fn a_stop_of_everything_goes_on_after_a_death_of_control() {
    // Each takes a second to end, one after the other.
    let stubborn = "command = ['sh', '-c', 'trap \"\" TERM; while :; do sleep 0.1; done']\nstop.timeout = '1s'";
    let mut stack =
        Setup::of(&format!("[services.a]\n{stubborn}\n[services.b]\n{stubborn}\ndepends_on = ['a']")).start();
    let (mut stop, ..) = stack.spawn(&["stop"], std::process::Stdio::null());
    stack.wait_for("b", "stopping");
    e2e::send(stack.control(), e2e::Signal::SIGKILL);
    let status = eventually("`stop` to end", || stop.try_wait().expect("it is our child"));
    assert!(status.success(), "{status}");
    stack.assert_nothing_left();
}
