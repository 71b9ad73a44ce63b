//! Restarts under load: clients that never retry lose nothing, whatever they speak and whatever fails meanwhile.
//! Not here: what a restart prints, and services that drain badly.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::time::Duration;

use e2e::{DEADLINE, Setup, Signal, Stack, User, address, eventually, free_port, send};
use load::{Crowd, Kind, Load};

/// The exemplary service on a held port, with the rest of its table.
fn exemplar(port: u16, more: &str) -> String {
    format!(
        "[services.web]\ncommand = [\"./exemplar\"]\nport = {port}\n{more}\n\
         [services.web.ready]\nnotify = true\n\
         [services.web.stop]\ntimeout = \"5s\"\n\
         [services.web.rollout]\nhandoff = \"socket\"\ndrain_signal = \"USR2\"\nbake = \"0s\"\ndrain = \"5s\"\n\
         long_lived = {{ close_after = \"200ms\", spread = \"200ms\" }}\n"
    )
}

/// A few clients of each kind, so that their sum is bearable for a small machine.
fn crowds(kinds: &[Kind]) -> Vec<Crowd> {
    let crowd = |kind: &Kind| {
        let (clients, pause) = match kind {
            Kind::Fresh | Kind::KeepAlive | Kind::Pool => (4, 10),
            Kind::Http2 => (3, 10),
            Kind::Pipeline | Kind::Upload | Kind::Slow => (2, 10),
            Kind::Events | Kind::WebSocket => (4, 20),
        };
        Crowd { kind: *kind, clients, pause: Duration::from_millis(pause) }
    };
    kinds.iter().map(crowd).collect()
}

/// Restarts so often while `kinds` ask, and demands that nothing was lost.
#[track_caller]
fn restarts_lose_nothing(stack: &Stack, port: u16, kinds: &[Kind], rounds: u32) {
    let load = Load::start(address(port), &crowds(kinds));
    assert!(load.await_answers(kinds.len(), DEADLINE), "nobody is answered");
    for _ in 0..rounds {
        stack.cli(&["restart", "web"]).succeeded();
        assert!(load.await_answers(kinds.len() * 2, DEADLINE), "nobody is answered any more");
    }
    let report = load.stop();
    assert_eq!(report.failed(), 0, "\n{report}");
    for kind in kinds {
        assert!(report.kinds.get(kind).is_some_and(|tally| !tally.took.is_empty()), "no {kind} was answered\n{report}");
    }
}

#[test]
fn twenty_restarts_under_load_lose_no_request_on_new_and_on_kept_connections() {
    for user in [User::Current, User::Ordinary] {
        let port = free_port();
        let stack = Setup::of(&exemplar(port, "")).as_user(user).start();
        restarts_lose_nothing(&stack, port, &[Kind::Fresh, Kind::KeepAlive, Kind::Pool], 10);
        assert_eq!(stack.service("web").generation(), 11);
    }
}

#[test]
fn restarts_under_load_lose_no_upload_and_no_slow_answer() {
    let port = free_port();
    let stack = Setup::of(&exemplar(port, "")).start();
    restarts_lose_nothing(&stack, port, &[Kind::Upload, Kind::Slow, Kind::Pipeline], 8);
}

#[test]
fn restarts_under_load_lose_no_stream_of_http2() {
    let port = free_port();
    let stack = Setup::of(&exemplar(port, "")).start();
    restarts_lose_nothing(&stack, port, &[Kind::Http2], 8);
}

#[test]
fn restarts_under_load_end_what_has_no_end_in_good_order() {
    let port = free_port();
    let stack = Setup::of(&exemplar(port, "")).start();
    restarts_lose_nothing(&stack, port, &[Kind::Events, Kind::WebSocket], 5);
}

#[test]
fn a_restart_while_control_is_killed_loses_nothing_and_ends_with_one_generation() {
    let port = free_port();
    let stack = Setup::of(&exemplar(port, "")).start();
    let load = Load::start(address(port), &crowds(&[Kind::Fresh, Kind::KeepAlive]));
    assert!(load.await_answers(50, DEADLINE));
    for _ in 0..5 {
        assert_eq!(stack.post("/api/v1/services/web/restart").status, 202);
        stack.kill_control();
        stack.wait_for("web", "running");
        assert!(load.await_answers(20, DEADLINE));
    }
    let report = load.stop();
    assert_eq!(report.failed(), 0, "\n{report}");
    eventually("one process of the service to be left", || {
        let exemplars = stack.processes().iter().filter(|one| one.command.contains("exemplar")).count();
        (exemplars == 1).then_some(())
    });
}

#[test]
fn a_new_version_that_ends_at_once_or_never_gets_ready_is_rolled_back_and_nobody_notices() {
    for fault in ["exit", "hang"] {
        let port = free_port();
        let env = "env = { EXEMPLAR_FAULT = \"${FAULT:-}\" }\nenv_file = [\"fault.env?\"]";
        let toml = exemplar(port, env).replace("notify = true", "notify = true\ndeadline = \"2s\"");
        // The one who saves and the one who reloads are the same, and only the second is to be answered.
        let stack = Setup::of(&toml).supervisor("auto_reload = false").start();
        let before = stack.pid("web");
        let load = Load::start(address(port), &crowds(&[Kind::Fresh, Kind::KeepAlive, Kind::Http2]));
        assert!(load.await_answers(20, DEADLINE));
        std::fs::write(stack.path("fault.env"), format!("FAULT={fault}\n")).unwrap();
        let done = stack.cli(&["reload"]).ended_with(1);
        assert!(done.stdout.contains("rolled back") || done.stderr.contains("rolled back"), "{fault}: {done:?}");
        assert!(load.await_answers(20, DEADLINE));
        let report = load.stop();
        assert_eq!(report.failed(), 0, "{fault}\n{report}");
        assert_eq!(stack.pid("web"), before, "{fault}: the old one serves on");
        assert_eq!(stack.service("web").state(), "running");
    }
}

#[test]
fn an_old_generation_that_is_stopped_by_a_signal_does_not_hold_up_a_restart() {
    let port = free_port();
    let toml = exemplar(port, "").replace("drain = \"5s\"", "drain = \"1s\"").replace("\"5s\"", "\"1s\"");
    let stack = Setup::of(&toml).start();
    send(stack.pid("web"), Signal::SIGSTOP);
    stack.cli(&["restart", "web"]).succeeded();
    let load = Load::start(address(port), &crowds(&[Kind::Fresh]));
    assert!(load.await_answers(20, DEADLINE));
    assert_eq!(load.stop().failed(), 0);
}
