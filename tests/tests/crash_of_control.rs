//! The supervisor's own death: services, their output and what is known of them survive it.
//! Not here: the keeper's own rules; its package shows those.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use e2e::{Setup, Signal, Stack, User, alive, eventually, kill_together, send};

fn five(command: &str) -> String {
    (1..=5).map(|number| format!("[services.s{number}]\ncommand = '{command}'\n")).collect()
}

fn pids(stack: &Stack) -> Vec<i32> {
    (1..=5).map(|number| stack.pid(&format!("s{number}"))).collect()
}

fn control_may_die_again_and_again(user: User) {
    let stack = Setup::of(&five("./puppet wait")).as_user(user).start();
    let before = pids(&stack);
    let keeper = stack.keeper();
    for round in 0_u64..12 {
        let old = stack.control();
        send(old, Signal::SIGKILL);
        // Sometimes at once, sometimes a little later: the new one is met in every phase of its start.
        std::thread::sleep(Duration::from_millis(round * 7));
    }
    eventually("another control to answer", || (stack.get("/livez").status == 200).then_some(()));
    for number in 1..=5 {
        stack.wait_for(&format!("s{number}"), "running");
    }
    assert_eq!(pids(&stack), before);
    assert_eq!(stack.keeper(), keeper);
    let puppets = stack.processes().iter().filter(|one| one.command.contains("puppet wait")).count();
    assert_eq!(puppets, 5, "one instance of each");
    for number in 1..=5 {
        assert_eq!(stack.service(&format!("s{number}")).restarts(), 0);
    }
}

#[test]
fn services_keep_their_processes_through_twelve_deaths_of_control() {
    control_may_die_again_and_again(User::Current);
}

#[test]
fn an_ordinary_users_services_keep_their_processes_too() {
    control_may_die_again_and_again(User::Ordinary);
}

fn control_comes_back_as_it_was(user: User) {
    let own = ["sh", "-c", r#"exec ./own "$@""#];
    let stack = Setup::of(&five("./puppet wait")).before(&own).as_user(user).prepare();
    let program = stack.path("own");
    // By a program of its own: a copy that is open for writing, if only in a child of another test, cannot be run.
    let copied = Command::new("cp").arg(e2e::supervisor()).arg(&program).status();
    assert!(copied.is_ok_and(|status| status.success()), "there is room for it");
    stack.cli(&["start"]).succeeded();
    let before = pids(&stack);

    std::fs::rename(&program, stack.path("moved")).expect("it is ours");
    stack.kill_control();
    std::fs::write(&program, "#!/bin/false\n").expect("it is ours");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    std::fs::remove_file(stack.path("moved")).expect("it is ours");
    stack.kill_control();

    assert_eq!(pids(&stack), before);
    let name = std::fs::read_to_string(format!("/proc/{}/comm", stack.control())).expect("it lives");
    assert_eq!(name.trim(), "supervisor");
}

#[test]
fn control_comes_back_though_its_program_was_moved_replaced_or_deleted() {
    control_comes_back_as_it_was(User::Current);
}

#[test]
fn an_ordinary_users_control_comes_back_too() {
    control_comes_back_as_it_was(User::Ordinary);
}

#[test]
fn an_exit_while_control_is_dead_is_known_afterwards_and_judged_once() {
    let stack = Setup::of("[services.t]\ncommand = './puppet tell-signals --until SIGUSR1 --exit 3'").start();
    stack.wait_log("t", "listening");
    let pid = stack.pid("t");
    let keeper = stack.keeper();
    send(keeper, Signal::SIGSTOP);
    send(stack.control(), Signal::SIGKILL);
    send(pid, Signal::SIGUSR1);
    eventually("the service to end", || (!alive(pid)).then_some(()));
    send(keeper, Signal::SIGCONT);
    let service =
        stack.wait_until("t", "running again", |service| service.state() == "running" && service.pid() != Some(pid));
    assert_eq!(service.last_exit()["code"], 3);
    assert_eq!(service.last_exit()["pid"], pid);
    assert_eq!(service.restarts(), 1);
    assert_eq!(service.generation(), 2);
}

#[test]
fn output_written_while_control_dies_is_neither_lost_nor_doubled() {
    let stack = Setup::of("[services.t]\ncommand = './puppet seq --rate 3000 --count 12000'").start();
    eventually("some lines", || (stack.log("t").len() > 1000).then_some(()));
    for _ in 0..8 {
        stack.kill_control();
    }
    stack.wait_log("t", "\n12000\n");
    let log = stack.log("t");
    let expected: String = (1..=12000).map(|number| format!("{number}\n")).collect();
    assert!(log == expected.as_bytes(), "{} bytes instead of {}", log.len(), expected.len());
    assert_eq!(stack.service("t").restarts(), 0, "the service never noticed");
}

/// A flood goes by a second pipe, which must survive, too.
#[test]
fn a_flood_while_control_dies_is_neither_lost_nor_doubled() {
    let directory = tempfile::tempdir().expect("a directory");
    let source = directory.path().join("lines");
    let lines: String = (1..=1_000_000).map(|number| format!("{number:.<99}\n")).collect();
    std::fs::write(&source, &lines).expect("a file");
    let command = format!("[services.t]\ncommand = 'cat {}'\nrestart = {{ policy = 'no' }}", source.display());
    let stack = Setup::of(&command).logs("max_size = '1GiB'").start();
    let log = stack.path("logs/t.log");
    let length = || std::fs::metadata(&log).map_or(0, |found| found.len());
    let all = lines.len() as u64;
    for _ in 0..5 {
        let begin = length();
        eventually("the log to grow", || (length() > (begin + 1_000_000).min(all - 1)).then_some(()));
        send(stack.control(), Signal::SIGKILL);
    }
    eventually("the last line", || (length() >= all).then_some(()));
    let log = stack.log("t");
    let differs = log.iter().zip(lines.as_bytes()).position(|(found, wanted)| found != wanted);
    assert_eq!((differs, log.len()), (None, lines.len()));
}

#[test]
fn a_stop_straight_after_a_death_of_control_is_carried_out() {
    let mut stack = Setup::of(&five("./puppet wait")).start();
    send(stack.control(), Signal::SIGKILL);
    stack.stop();
}

#[test]
fn a_stop_from_where_the_lock_is_not_seen_returns_when_all_is_down_although_control_dies() {
    const NAME: &str = "a_stop_from_where_the_lock_is_not_seen_returns_when_all_is_down_although_control_dies";
    let namespace = ["unshare", "--user", "--map-root-user", "--mount"];
    let works = Command::new(namespace[0]).args(&namespace[1..]).arg("true").status();
    if !works.is_ok_and(|status| status.success()) {
        return e2e::skip(NAME, "this machine grants no namespaces");
    }
    let command = "command = ['/bin/sh', '-c', \"trap 'sleep 5; exit 0' TERM; while :; do sleep 0.1; done\"]";
    let stack = Setup::of(&format!("[services.t]\n{command}\n")).start();
    let (service, keeper) = (stack.pid("t"), stack.keeper());
    let hidden = "mount -t tmpfs none state && exec \"$0\" stop";
    let stop = Command::new(namespace[0])
        .args(&namespace[1..])
        .args(["sh", "-c", hidden])
        .arg(e2e::program("supervisor"))
        .current_dir(stack.root())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut stop = stop.expect("unshare has just worked");
    stack.wait_for("t", "stopping");
    let (began, mut deaths) = (Instant::now(), 0);
    while alive(service) {
        if began.elapsed() < Duration::from_secs(2) {
            send(stack.control(), Signal::SIGKILL);
            deaths += 1;
        }
        std::thread::sleep(Duration::from_millis(80));
        let early = stop.try_wait().expect("it is our child").is_some() && alive(service);
        assert!(!early, "it returned after {deaths} deaths of control, and the service lives");
    }
    assert!(deaths > 3);
    let status = eventually("the stop to return", || stop.try_wait().expect("it is our child"));
    assert!(status.success() && !stack.processes().iter().any(|one| one.pid == service && one.state != 'Z'));
    eventually("the keeper to be gone", || {
        stack.processes().iter().all(|one| one.pid != keeper || one.state == 'Z').then_some(())
    });
}

#[test]
fn term_to_the_keeper_stops_everything_although_control_cannot_answer() {
    let mut stack = Setup::of(&five("./puppet wait")).start();
    let control = stack.control();
    let keeper = stack.keeper();
    send(control, Signal::SIGSTOP);
    send(keeper, Signal::SIGTERM);
    eventually("everything to end", || stack.processes().iter().all(|one| one.state == 'Z').then_some(()));
    stack.assert_nothing_left();
}

#[test]
fn what_was_stopped_by_hand_stays_stopped_after_a_death_of_control() {
    let stack = Setup::of(&five("./puppet wait")).start();
    stack.cli(&["stop", "s3"]).succeeded();
    stack.kill_control();
    stack.wait_for("s3", "stopped");
    assert_eq!(stack.service("s3").generation(), 1);
    stack.wait_for("s1", "running");
}

#[test]
fn a_wait_for_the_next_try_goes_on_after_a_death_of_control() {
    let stack = Setup::of(
        "[services.t]\ncommand = './puppet exit-code 4'\nrestart = { delay = '2s', max_delay = '2s', jitter = 0.0 }",
    )
    .start_no_wait();
    stack.wait_for("t", "backoff");
    let before = stack.service("t");
    stack.kill_control();
    let after = stack.wait_until("t", "tried again", |service| service.generation() > before.generation());
    assert_eq!(after.generation(), before.generation() + 1);
    assert!(after.0["failures"].as_u64() >= before.0["failures"].as_u64(), "failures are not forgotten");
}

#[test]
fn a_held_listener_refuses_nobody_while_control_dies() {
    let port = e2e::free_port();
    let stack = Setup::of(&format!(
        "[services.t]\ncommand = './puppet listen --inherited'\nport = {port}\nrollout = {{ handoff = 'socket' }}"
    ))
    .start();
    let pid = stack.pid("t").to_string();
    for _ in 0..3 {
        let old = stack.control();
        send(old, Signal::SIGKILL);
        for _ in 0..50 {
            let answer =
                e2e::over_tcp(("127.0.0.1", port), "GET", "/slow/2", &["Connection: close"]).expect("no request fails");
            assert_eq!(answer.text(), pid);
        }
    }
}

#[test]
fn a_second_supervisor_in_the_same_place_is_refused_and_harms_nothing() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").start();
    let pid = stack.pid("t");
    let keeper = stack.keeper();
    let done = stack.cli(&["start", "--foreground"]);
    assert_ne!(done.code, 0, "{}{}", done.stdout, done.stderr);
    assert!(done.stderr.contains(&keeper.to_string()), "it names who runs: {}", done.stderr);
    assert_eq!(stack.service("t").pid(), Some(pid));
    assert_eq!(stack.keeper(), keeper);
    stack.cli(&["start"]).succeeded();
    assert_eq!(stack.service("t").pid(), Some(pid), "in the background it only starts what is not up");
}

#[test]
fn a_socket_left_by_a_crash_does_not_hinder_the_next_start() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").start();
    let all: Vec<i32> = stack.processes().iter().map(|one| one.pid).collect();
    kill_together(&all);
    eventually("all to be dead", || stack.processes().iter().all(|one| one.state == 'Z').then_some(()));
    assert!(stack.socket().exists(), "the crash left it");
    stack.cli(&["start"]).succeeded();
    stack.wait_for("t", "running");
}

#[test]
fn what_lies_at_the_place_of_the_socket_and_is_none_is_not_removed() {
    let mut stack = Setup::of("[services.t]\ncommand = './puppet wait'").prepare();
    std::fs::create_dir_all(stack.path("run")).expect("ours");
    std::fs::write(stack.socket(), "precious").expect("ours");
    let done = stack.cli(&["start"]);
    assert_ne!(done.code, 0);
    assert_eq!(std::fs::read_to_string(stack.socket()).expect("still there"), "precious");
    std::fs::remove_file(stack.socket()).expect("ours");
    stack.assert_nothing_left();
}

#[test]
fn a_socket_that_somebody_else_serves_is_not_taken_away() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").start();
    let inode = |stack: &Stack| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(stack.socket()).expect("there"));
    let before = inode(&stack);
    stack.cli(&["start", "--foreground"]);
    assert_eq!(inode(&stack), before);
    assert!(UnixListener::bind(stack.socket()).is_err());
    assert_eq!(stack.get("/livez").status, 200);
}

#[test]
fn a_killed_keeper_leaves_no_service_running_twice() {
    let stack = Setup::of(&five("./puppet wait")).start();
    let keeper = stack.keeper();
    send(keeper, Signal::SIGKILL);
    eventually("the keeper to be dead", || (!alive(keeper)).then_some(()));
    // Whether another keeper takes over or someone has to start it again: never two of one.
    stack.cli(&["start", "--timeout", "20s"]);
    let puppets =
        stack.processes().iter().filter(|one| one.command.contains("puppet wait") && one.state != 'Z').count();
    assert!(puppets <= 5, "{puppets} instances of five services");
    for number in 1..=5 {
        stack.wait_for(&format!("s{number}"), "running");
    }
}

#[test]
fn a_control_that_hangs_is_replaced_and_what_happened_meanwhile_is_dealt_with() {
    let stack = Setup::of(&five("./puppet wait")).start();
    let before = pids(&stack);
    let control = stack.control();
    send(control, Signal::SIGSTOP);
    send(before[0], Signal::SIGKILL);
    eventually("another control", || (stack.control() != control).then_some(()));
    let service =
        stack.wait_until("s1", "up again", |service| service.state() == "running" && service.generation() == 2);
    assert_eq!(service.last_exit()["signal"], "KILL");
    assert_eq!(pids(&stack)[1..], before[1..]);
    assert!(!alive(control), "two deciding at once");
}

#[test]
fn a_removed_socket_is_made_again() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").start();
    let pid = stack.pid("t");
    std::fs::remove_file(stack.socket()).expect("ours");
    eventually("the socket to be there again", || stack.socket().exists().then_some(()));
    assert_eq!(stack.service("t").pid(), Some(pid));
}

#[test]
fn a_secrets_command_ends_with_the_control_that_waits_for_it() {
    let command = "command = ['/bin/sh', '-c', 'echo $$$$ >> pids; exec sleep 1000']";
    let stack = Setup::of(&format!("[services.t]\ncommand = './puppet wait'\nsecrets = {{ T = {{ {command} }} }}"));
    let stack = stack.start_no_wait();
    let pids = || std::fs::read_to_string(stack.path("pids")).unwrap_or_default();
    let first = eventually("the command to run", || pids().lines().next().and_then(|line| line.parse().ok()));
    assert!(alive(first));
    stack.kill_control();
    eventually("it to be gone", || (!alive(first)).then_some(()));
    eventually("another control to ask again", || (pids().lines().count() > 1).then_some(()));
}
