//! A machine that is short of something: descriptors, processes, memory. What fails is tried again, and nothing leaks.
//! Not here: refusals that concern one step of a launch (`refusals`), a full disk (`logs`).

use std::fs;
use std::time::Duration;

use e2e::{Setup, Signal, Tracer, eventually, holds_for, is_root, open_files, send, skip};

/// Which role is refused what, and with which error.
const SHORTAGES: [(Role, &str, &str); 9] = [
    (Role::Keeper, "pipe2", "ENFILE"),
    (Role::Keeper, "clone,clone3", "ENOMEM"),
    (Role::Keeper, "clone,clone3", "EAGAIN"),
    (Role::Control, "pipe2", "ENFILE"),
    (Role::Control, "pipe2", "ENOMEM"),
    (Role::Control, "socket", "ENFILE"),
    (Role::Control, "socket", "ENOMEM"),
    (Role::Control, "mkdir,mkdirat", "ENOSPC"),
    (Role::Control, "openat", "ENFILE"),
];

#[derive(Debug, Clone, Copy)]
enum Role {
    Keeper,
    Control,
}

#[test]
fn whatever_the_machine_is_short_of_is_asked_for_again_and_nothing_leaks() {
    if !(is_root() && Tracer::works()) {
        let name = "whatever_the_machine_is_short_of_is_asked_for_again_and_nothing_leaks";
        return skip(name, "system calls can be made to fail by root with strace only");
    }
    let port = e2e::free_port();
    let stack = Setup::of(&format!(
        "[services.t]\ncommand = './puppet ready-after 0'\nready = {{ notify = true }}\nport = {port}\n\
         rollout.handoff = 'socket'\nrestart = {{ delay = '20ms', max_delay = '50ms' }}\n\
         [services.other]\ncommand = './puppet wait'"
    ))
    .start();
    let (keeper, control, other) = (stack.keeper(), stack.control(), stack.pid("other"));
    let again = |what: &str| {
        let old = stack.pid("t");
        send(old, Signal::SIGKILL);
        stack.wait_until("t", what, |service| service.state() == "running" && service.pid() != Some(old))
    };
    // What is made once, and kept, is there then.
    again("up again");
    let (of_keeper, of_control) = (open_files(keeper), open_files(control));
    for (role, call, error) in SHORTAGES {
        let pid = match role {
            Role::Keeper => keeper,
            Role::Control => control,
        };
        let short = Tracer::of(pid, &format!("{call}:error={error}:when=1..20"));
        let service = again(&format!("up again although {role:?} met {error} from {call}"));
        drop(short);
        stack.note(&format!("{role:?} {call} {error}: {} restarts", service.restarts()));
        assert_eq!((stack.keeper(), stack.control()), (keeper, control), "{role:?} {call} {error}");
        assert_eq!(stack.service("other").pid(), Some(other), "{role:?} {call} {error}");
        eventually(&format!("{role:?} to have no more open than before {error} from {call}"), || {
            (open_files(keeper) <= of_keeper && open_files(control) <= of_control).then_some(())
        });
    }
    let log = fs::read_to_string(stack.path("logs/supervisor.log")).expect("it is there");
    assert!(!log.contains("panicked"), "{log}");
    let told = stack.cli(&["events", "t", "--kind", "exit", "-n", "1000"]).stdout;
    for part in ["ENFILE", "ENOMEM", "EAGAIN"] {
        assert!(told.contains(part), "{part} was never met:\n{told}");
    }
}

#[test]
fn a_check_that_cannot_be_tried_is_held_against_nobody() {
    if !(is_root() && Tracer::works()) {
        let name = "a_check_that_cannot_be_tried_is_held_against_nobody";
        return skip(name, "system calls can be made to fail by root with strace only");
    }
    let port = e2e::free_port();
    // More than one: a call that strace lets go of in the middle fails as none ever does.
    let live = "interval = '50ms', failures = 3";
    let stack = Setup::of(&format!(
        "[services.command]\ncommand = './puppet wait'\nlive = {{ command = ['true'], {live} }}\n\
         [services.tcp]\ncommand = './puppet listen'\nport = {port}\nlive = {{ tcp = true, {live} }}\nready.tcp = true"
    ))
    .start();
    let told = |service: &str| stack.cli(&["events", service, "--kind", "probe", "-n", "500"]).stdout;
    for (service, pid, inject) in [
        ("command", stack.keeper(), "clone,clone3:error=EAGAIN"),
        ("command", stack.control(), "pipe2:error=EMFILE"),
        ("tcp", stack.control(), "socket:error=ENFILE"),
    ] {
        let before = told(service).lines().count();
        let short = Tracer::of(pid, inject);
        let bad = |told: &str| told.lines().skip(before).any(|line| line.contains("probe bad"));
        eventually(&format!("{service} to be untried: {inject}"), || bad(&told(service)).then_some(()));
        holds_for(Duration::from_millis(500), "nobody is replaced", || stack.service(service).restarts() == 0);
        drop(short);
        let good = |told: &str| told.lines().last().is_some_and(|line| line.contains("probe ok"));
        eventually(&format!("{service} to be tried again after {inject}"), || good(&told(service)).then_some(()));
    }
    for service in ["command", "tcp"] {
        assert_eq!(stack.service(service).restarts(), 0, "{}", told(service));
    }
}
