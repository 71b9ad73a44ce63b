//! What others do to the ground that a supervisor stands on, and what its own services do to it: it goes on.
//! Not here: full disks (`logs`), dead roles (`crash_of_control`).

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
    let ports: Vec<String> = (0..40).map(|number| format!("p{number} = {}", free_port())).collect();
    let ports = ports.join(", ");
    let mut stack = Setup::of(&format!(
        "[services.t]\ncommand = './puppet wait'\n[services.many]\ncommand = './puppet wait'\n\
         rollout.handoff = 'socket'\nport = {}\nports = {{ {ports} }}",
        free_port()
    ))
    .start_no_wait();
    let control = stack.control();
    let many = stack.wait_until("many", "tried twice", |service| service.generation() > 1);
    assert!(many.0["cause"].as_str().is_some_and(|cause| cause.contains("too many ports")), "{:#}", many.0);
    stack.wait_for("t", "running");
    assert_eq!(stack.control(), control, "it never died");
    stack.stop();
}
