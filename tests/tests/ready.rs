//! Services that say by themselves that they are ready: by a line of their output, or a newline on a descriptor.
//! Not here: `sd_notify` and what we ask of them (`probes`); which bytes are a line (`control/lines`).

use std::fs;
use std::time::Duration;

use e2e::{Setup, Signal, Stack, User, eventually, free_port, is_root, send, skip};

/// Runs `before`, waits for the file `go`, runs `after`, and stays.
fn told(before: &str, after: &str) -> String {
    format!("sh -c \"{before}; while [ ! -e go ]; do sleep 0.02; done; {after}; exec ./puppet wait\"")
}

fn service(command: &str, more: &str) -> Setup {
    Setup::of(&format!("[services.t]\ncommand = '''{command}'''\n{more}"))
}

fn go(stack: &Stack) {
    fs::write(stack.path("go"), "").expect("ours");
}

fn waits_for(stack: &Stack, what: &str) {
    stack.wait_until("t", what, |service| service.state() == "starting" && service.cause().ends_with(what));
    let why = stack.cli(&["why", "t"]);
    assert!(why.stdout.contains(what), "{}", why.stdout);
}

fn a_line_makes_ready(user: User) {
    let command = told("echo not yet listening", r"printf '\\033[32mlistening\\033[0m on 80\\r\\n'");
    let stack = service(&command, r"ready = { log = '^listening on \d+$' }").as_user(user).start_no_wait();
    stack.wait_log("t", "not yet listening\n");
    waits_for(&stack, r"no line of its output matches `^listening on \d+$`");
    go(&stack);
    assert_eq!(stack.wait_for("t", "running").generation(), 1);
    stack.wait_log("t", "\u{1b}[32mlistening\u{1b}[0m on 80\r\n");
}

#[test]
fn a_line_of_its_output_that_matches_makes_it_ready() {
    a_line_makes_ready(User::Current);
}

#[test]
fn a_line_of_an_ordinary_users_service_makes_it_ready_too() {
    a_line_makes_ready(User::Ordinary);
}

#[test]
fn a_line_may_come_on_either_stream_after_a_flood_that_is_in_the_log_whole() {
    let command = "sh -c \"./puppet seq --count 200000 --exit 0; echo up >&2; exec ./puppet wait\"";
    let stack = service(command, "log.streams = 'split'\nready = { log = '^up$' }").start();
    assert_eq!(stack.service("t").state(), "running");
    let expected: String = (1..=200_000).map(|number| format!("{number}\n")).collect();
    eventually("the flood in its log", || {
        (stack.log("t.out").len() >= expected.len()).then(|| assert!(stack.log("t.out") == expected.as_bytes()))
    });
}

fn a_newline_makes_ready(user: User) {
    let stack = service(&told("printf '...' >&3", "echo >&3"), "ready = { fd = 3 }").as_user(user).start_no_wait();
    waits_for(&stack, "no newline on descriptor 3");
    go(&stack);
    assert_eq!(stack.wait_for("t", "running").generation(), 1);
}

#[test]
fn a_newline_on_its_descriptor_makes_it_ready() {
    a_newline_makes_ready(User::Current);
}

#[test]
fn a_newline_of_an_ordinary_users_service_makes_it_ready_too() {
    a_newline_makes_ready(User::Ordinary);
}

#[test]
fn a_service_of_another_user_may_open_its_descriptor_again() {
    if !is_root() {
        return skip("a_service_of_another_user_may_open_its_descriptor_again", "only root may be two users");
    }
    let command = "sh -c \"echo > /proc/self/fd/7; exec sleep 1000\"";
    let stack = service(command, "user = '65534'\ncwd = '/'\nready = { fd = 7, deadline = '30s' }").start();
    assert_eq!(stack.service("t").state(), "running");
}

#[test]
fn a_descriptor_closed_without_a_newline_is_a_failed_start() {
    let more = "ready = { fd = 3 }\nrestart = { policy = 'no' }";
    let stack = service("sh -c \"printf almost >&3; exec 3>&-; exec ./puppet wait\"", more).start_no_wait();
    let service = stack.wait_for("t", "failed");
    let reason = service.last_exit()["reason"].as_str().map(str::to_owned);
    assert_eq!(reason.as_deref(), Some("never ready: descriptor 3 was closed without a newline"), "{:#}", service.0);
}

#[test]
fn a_start_that_ends_by_itself_failed_by_that_and_not_by_what_it_left_unsaid() {
    let more = "ready = { fd = 3, log = 'never' }\nrestart = { policy = 'no' }";
    let stack = service("./puppet exit-code 7", more).start_no_wait();
    let service = stack.wait_for("t", "failed");
    assert_eq!((service.last_exit()["code"].as_i64(), service.last_exit()["reason"].as_str()), (Some(7), None));
}

#[test]
fn whoever_writes_on_after_it_is_ready_is_not_held_up() {
    // More than a pipe holds.
    let command = "sh -c \"yes | head -c 200000 >&3; echo survived; exec ./puppet wait\"";
    let stack = service(command, "ready = { fd = 3 }").start();
    stack.wait_log("t", "survived");
}

#[test]
fn every_sign_and_every_check_must_pass_within_the_deadline() {
    let ready = "ready = { log = 'up', fd = 4, command = ['test', '-e', 'go'], deadline = '2s' }";
    let more = format!("{ready}\nrestart = {{ policy = 'no' }}");
    let stack = service("sh -c \"echo up; exec ./puppet wait\"", &more).start_no_wait();
    let service = stack.wait_for("t", "failed");
    let reason = service.last_exit()["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.starts_with("not ready within 2s (no newline on descriptor 4; command test: "), "{reason}");
}

#[test]
fn each_generation_is_judged_by_its_own_output() {
    let port = free_port();
    let command = "sh -c \"if [ $SUPERVISOR_GENERATION = 1 ]; then while :; do echo up; sleep 0.02; done & fi; \
                   exec ./puppet listen --inherited\"";
    let more = format!(
        "port = {port}\nrollout = {{ handoff = 'socket', bake = '50ms' }}\nready = {{ log = '^up$', deadline = '1s' }}"
    );
    let stack = service(command, &more).start();
    let done = stack.cli(&["restart", "t"]).ended_with(1);
    assert!(done.stderr.contains("no line of its output") || done.stdout.contains("no line of its output"), "{done:?}");
    let service = stack.wait_for("t", "running");
    assert_eq!(service.0["generations"][0]["generation"], 1, "{:#}", service.0);
    assert_eq!(service.0["rollout"]["result"], "rolled-back");
}

#[test]
fn what_is_said_while_control_is_dead_is_heard_by_the_next_one() {
    let command = told("echo begin", "echo up; echo >&3; touch said");
    let stack = service(&command, "ready = { log = '^up$', fd = 3 }").start_no_wait();
    stack.wait_log("t", "begin\n");
    let keeper = stack.keeper();
    send(keeper, Signal::SIGSTOP);
    send(stack.control(), Signal::SIGKILL);
    go(&stack);
    eventually("it has said so", || stack.path("said").exists().then_some(()));
    send(keeper, Signal::SIGCONT);
    assert_eq!(stack.wait_for("t", "running").generation(), 1);
}

#[test]
fn what_was_said_before_control_died_need_not_be_said_again() {
    let command = "sh -c \"echo up; echo >&3; exec ./puppet notify ready\"";
    let ready = "ready = { log = '^up$', fd = 3, notify = true, command = ['test', '-e', 'go'] }";
    let stack = service(command, ready).start_no_wait();
    let only_the_check = |service: &e2e::Service| service.cause().starts_with("not ready yet: command test: ");
    stack.wait_until("t", "everything is said", only_the_check);
    stack.kill_control();
    stack.wait_until("t", "nothing was forgotten", only_the_check);
    go(&stack);
    assert_eq!(stack.wait_for("t", "running").generation(), 1);
}

#[test]
fn services_that_speak_once_are_heard_whenever_control_dies() {
    let services: String = (0..8)
        .map(|number| {
            let (first, second) = (number * 40, 320 - number * 40);
            format!(
                "[services.s{number}]\ncommand = '''sh -c \"while [ ! -e go ]; do sleep 0.01; done; sleep 0.{first:03}; echo up; sleep 0.{second:03}; echo >&3; \
                 exec ./puppet wait\"'''\nready = {{ log = '^up$', fd = 3 }}\n"
            )
        })
        .collect();
    let stack = Setup::of(&services).start_no_wait();
    // A start that control dies over before it asks for a process is made again; that is another promise.
    assert!((0..8).all(|number| stack.pid(&format!("s{number}")) > 0));
    go(&stack);
    for round in 0_u64..8 {
        std::thread::sleep(Duration::from_millis(round * 13));
        send(stack.control(), Signal::SIGKILL);
    }
    for number in 0..8 {
        let service = stack.wait_for(&format!("s{number}"), "running");
        assert_eq!((service.generation(), service.restarts()), (1, 0), "{:#}", service.0);
    }
}

#[test]
fn a_configuration_that_asks_for_no_line_any_more_lets_the_start_be_ready() {
    let stack = service("./puppet seq --rate 100", "ready = { log = 'never' }\n").start_no_wait();
    waits_for(&stack, "no line of its output matches `never`");
    stack.edit("ready = { log = 'never' }\n", "");
    stack.cli(&["reload"]).succeeded();
    assert_eq!(stack.wait_for("t", "running").generation(), 1);
}
