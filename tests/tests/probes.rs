//! Readiness and liveness: what makes a service ready, and what makes it be replaced.
//! Not here: when a check is due; the core's own tests show that.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use e2e::{Setup, Signal, Stack, User, alive, eventually, free_port, holds_for, is_root, send, skip};

fn web(more: &str) -> Setup {
    let port = free_port();
    Setup::of(&format!(
        "[services.t]\ncommand = './puppet listen --inherited --health health'\nport = {port}\n\
         rollout = {{ handoff = 'socket' }}\n{more}"
    ))
}

fn health(stack: &Stack, word: &str) {
    // Renamed into place, as the puppet may read at any moment.
    fs::write(stack.path("health.new"), word).expect("ours");
    fs::rename(stack.path("health.new"), stack.path("health")).expect("ours");
}

#[test]
fn a_service_is_ready_when_it_says_so_and_start_waits_for_it() {
    let stack = Setup::of("[services.t]\ncommand = './puppet ready-after 700'\nready = { notify = true }").prepare();
    let done = stack.cli(&["start"]).succeeded();
    assert!(done.took >= Duration::from_millis(650), "it took only {:?}", done.took);
    assert_eq!(stack.service("t").state(), "running");
}

#[test]
fn a_start_that_is_never_ready_is_ended_with_its_tree_and_counts_as_a_failure() {
    let stack = Setup::of(
        "[services.t]\ncommand = ['sh', '-c', './puppet ignore-term & exec ./puppet ready-after never']\n\
         ready = { notify = true, deadline = '1s' }\nstop = { timeout = '500ms' }\nrestart = { policy = 'no' }",
    )
    .start_no_wait();
    let first = stack.pid("t");
    let service = stack.wait_for("t", "failed");
    assert!(!alive(first));
    let reason = service.last_exit()["reason"].as_str().unwrap_or("").to_owned();
    assert!(reason.contains("deadline") || reason.contains("ready"), "{:#}", service.0);
    eventually("its child to be gone", || {
        let deaf = stack.processes().iter().any(|one| one.command.contains("ignore-term") && one.state != 'Z');
        (!deaf).then_some(())
    });
}

#[test]
fn start_gives_up_waiting_with_a_code_of_its_own() {
    let stack = Setup::of("[services.t]\ncommand = './puppet ready-after never'\nready = { notify = true }").prepare();
    stack.cli(&["start", "--timeout", "1s"]).ended_with(4);
    assert_eq!(stack.service("t").state(), "starting");
}

#[test]
fn an_http_check_on_the_inherited_probe_listener_makes_ready() {
    let stack = web("ready = { http = '/health' }").prepare();
    health(&stack, "503");
    stack.cli(&["start", "--no-wait"]).succeeded();
    stack.wait_until("t", "starting, with the failed check", |service| service.0.to_string().contains("503"));
    assert_eq!(stack.get("/health").status, 503);
    health(&stack, "200");
    stack.wait_for("t", "running");
    assert_eq!(stack.get("/health").status, 200);
}

#[test]
fn an_http_check_on_a_services_own_port_makes_ready() {
    let port = free_port();
    let stack = Setup::of(&format!(
        "[services.t]\ncommand = './puppet listen --after 300'\nport = {port}\nrollout = {{ handoff = 'own' }}\nready = {{ http = '/health' }}"
    ))
    .start();
    assert_eq!(stack.service("t").state(), "running");
}

#[test]
fn a_tcp_check_waits_until_someone_listens() {
    let port = free_port();
    let stack = Setup::of(&format!(
        "[services.t]\ncommand = './puppet listen --after 500'\nport = {port}\nrollout = {{ handoff = 'own' }}\nready = {{ tcp = true }}"
    ))
    .start();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    assert_eq!(stack.service("t").state(), "running");
}

#[test]
fn liveness_replaces_a_service_that_stays_ill_and_readiness_never_does() {
    let stack =
        web("ready = { http = '/health' }\nlive = { http = '/health', interval = '100ms', failures = 3 }").start();
    let first = stack.service("t");
    health(&stack, "500");
    stack.wait_until("t", "replaced", |service| service.generation() > first.generation());
    // The new one is never ready, so liveness does not begin, and nothing replaces it again.
    let second = stack.service("t").generation();
    holds_for(Duration::from_millis(1200), "no third one", || stack.service("t").generation() == second);
    health(&stack, "200");
    stack.wait_for("t", "running");
    assert_eq!(stack.service("t").generation(), second);
}

#[test]
fn one_failed_check_replaces_nothing() {
    let stack = web("live = { http = '/health', interval = '300ms', failures = 3 }").start();
    let pid = stack.pid("t");
    health(&stack, "500");
    eventually("the failure to be seen", || stack.service("t").0.to_string().contains("500").then_some(()));
    health(&stack, "200");
    holds_for(Duration::from_millis(1500), "the same process", || stack.service("t").pid() == Some(pid));
}

fn an_answer_that_is_none_fails_in_time(word: &str) {
    let stack = web("live = { http = '/health', interval = '200ms', timeout = '400ms', failures = 2 }").start();
    let first = stack.service("t");
    let control = stack.control();
    health(&stack, word);
    stack.wait_until("t", "replaced", |service| service.generation() > first.generation());
    assert_eq!(stack.control(), control, "control lived through it");
    assert_eq!(stack.get("/livez").status, 200);
}

#[test]
fn an_http_check_that_hangs_fails_in_time() {
    an_answer_that_is_none_fails_in_time("hang");
}

#[test]
fn an_http_check_whose_answer_drips_fails_in_time() {
    an_answer_that_is_none_fails_in_time("drip");
}

#[test]
fn an_http_check_whose_answer_never_ends_fails_in_time() {
    an_answer_that_is_none_fails_in_time("endless");
}

#[test]
fn an_http_check_that_is_sent_elsewhere_fails() {
    an_answer_that_is_none_fails_in_time("redirect");
}

#[test]
fn an_http_check_with_a_head_of_a_megabyte_fails() {
    an_answer_that_is_none_fails_in_time("bighead");
}

#[test]
fn an_http_check_that_is_answered_with_garbage_fails() {
    an_answer_that_is_none_fails_in_time("garbage");
}

#[test]
fn an_http_check_whose_connection_is_closed_fails() {
    an_answer_that_is_none_fails_in_time("reset");
}

#[test]
fn a_command_check_that_hangs_is_ended_with_its_tree_and_never_runs_twice_at_once() {
    let stack = Setup::of(
        "[services.t]\ncommand = './puppet wait'\n\
         live = { command = ['sh', '-c', 'sleep 1007 & wait'], interval = '100ms', timeout = '500ms', failures = 1000 }",
    )
    .start();
    eventually("a check to run", || stack.processes().iter().any(|one| one.command == "sleep 1007").then_some(()));
    holds_for(Duration::from_secs(3), "at most one check at a time", || {
        stack.processes().iter().filter(|one| one.command == "sleep 1007" && one.state != 'Z').count() <= 1
    });
    assert_eq!(stack.service("t").restarts(), 0);
}

#[test]
fn a_command_check_tells_by_its_exit_code() {
    let stack = Setup::of(
        "[services.t]\ncommand = './puppet wait'\nready = { command = ['test', '-e', 'go'], interval = '50ms' }",
    )
    .start_no_wait();
    holds_for(Duration::from_millis(500), "not ready", || stack.service("t").state() == "starting");
    fs::write(stack.path("go"), "").expect("ours");
    stack.wait_for("t", "running");
}

#[test]
fn a_watchdog_that_falls_silent_means_a_new_run() {
    let stack = Setup::of(
        "[services.t]\ncommand = './puppet watchdog --interval 100 --stop-after 1500'\nready = { notify = true }\nlive = { watchdog = '800ms' }",
    )
    .start();
    let first = stack.service("t");
    let second = stack.wait_until("t", "replaced", |service| service.generation() > first.generation());
    let reason = second.last_exit()["reason"].as_str().unwrap_or("").to_owned();
    assert!(reason.contains("watchdog") || reason.contains("WATCHDOG"), "{:#}", second.0);
}

#[test]
fn what_a_service_throws_at_the_notify_socket_is_survived() {
    let stack = Setup::of(
        "[services.t]\ncommand = './puppet notify garbage empty big fds mainpid=1 mainpid=0 mainpid=99999999999 STATUS=fine ready'\n\
         ready = { notify = true }",
    )
    .start();
    let pid = stack.pid("t");
    stack.wait_log("t", "ready\n");
    let service = stack.wait_until("t", "running, with its words", |service| service.0.to_string().contains("fine"));
    assert_eq!(service.state(), "running");
    assert_eq!(service.pid(), Some(pid), "nobody else became its main process");
    if !is_root() {
        return skip("what_a_service_throws_at_the_notify_socket_is_survived", "only root may look into the roles");
    }
    let control = stack.control();
    eventually("no descriptor to be kept", || {
        let open = fs::read_dir(format!("/proc/{control}/fd")).expect("root may").flatten();
        let null = open.filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| to.ends_with("null"))).count();
        (null < 10).then_some(())
    });
}

#[test]
fn another_process_cannot_say_that_a_service_is_ready() {
    let name = "another_process_cannot_say_that_a_service_is_ready";
    if !is_root() {
        return skip(name, "only root can be two users");
    }
    let stack = Setup::of(
        "[services.t]\ncommand = ['sh', '-c', 'echo $NOTIFY_SOCKET; exec ./puppet ready-after never']\nready = { notify = true }",
    )
    .as_user(User::Ordinary)
    .start_no_wait();
    let socket = stack.wait_log("t", "\n").trim().to_owned();
    // Every door is opened, so that it is the sender who is refused and not his way there.
    for place in [stack.root(), &stack.path("run"), &stack.path("run/notify"), std::path::Path::new(&socket)] {
        fs::set_permissions(place, fs::Permissions::from_mode(0o777)).expect("root may");
    }
    let said = stack.path("said");
    let mut stranger = std::process::Command::new("setpriv")
        .args(["--reuid", "65533", "--clear-groups"])
        .arg(stack.path("puppet"))
        .args(["notify", "--socket", &socket, "ready"])
        .stdout(fs::File::create(&said).expect("root may"))
        .spawn()
        .expect("setpriv runs");
    eventually("it to be sent", || fs::read_to_string(&said).ok().filter(|text| text.contains("\n")));
    assert_eq!(fs::read_to_string(&said).expect("ours"), "sent ready\n");
    holds_for(Duration::from_secs(1), "not ready", || stack.service("t").state() == "starting");
    send(i32::try_from(stranger.id()).expect("a pid"), Signal::SIGKILL);
    stranger.wait().expect("our child");
}

#[test]
fn another_service_cannot_say_it_either() {
    let stack = Setup::of(
        "[services.victim]\ncommand = ['sh', '-c', 'echo $NOTIFY_SOCKET; exec ./puppet ready-after never']\nready = { notify = true }\n\
         [services.liar]\ncommand = ['sh', '-c', 'until test -e socket; do sleep 0.05; done; exec ./puppet notify --socket $(cat socket) ready']",
    )
    .start_no_wait();
    let socket = stack.wait_log("victim", "\n");
    fs::write(stack.path("socket.new"), socket.trim()).expect("ours");
    fs::rename(stack.path("socket.new"), stack.path("socket")).expect("ours");
    stack.wait_log("liar", "sent ready");
    holds_for(Duration::from_secs(1), "not ready", || stack.service("victim").state() == "starting");
}

#[test]
fn a_stall_of_the_supervisor_is_no_failure_of_a_service() {
    let port = free_port();
    let stack = Setup::of(&format!(
        "[services.web]\ncommand = './puppet listen --inherited'\nport = {port}\nrollout = {{ handoff = 'socket' }}\n\
         live = {{ http = '/health', interval = '200ms', timeout = '300ms', failures = 1 }}\n\
         [services.dog]\ncommand = './puppet watchdog --interval 100'\nready = {{ notify = true }}\nlive = {{ watchdog = '1s' }}"
    ))
    .start();
    let before = (stack.pid("web"), stack.pid("dog"));
    let control = stack.control();
    for _ in 0..2 {
        send(control, Signal::SIGSTOP);
        std::thread::sleep(Duration::from_secs(4));
        send(control, Signal::SIGCONT);
        holds_for(Duration::from_millis(600), "nobody is replaced", || {
            stack.service("web").restarts() == 0 && stack.service("dog").restarts() == 0
        });
    }
    assert_eq!((stack.pid("web"), stack.pid("dog")), before);
    assert_eq!(stack.control(), control, "a control that answers again is kept");
}
