//! When a service is started again, and when it is not.
//! Not here: the arithmetic of delays; the core's own tests show that.

use std::time::{Duration, Instant};

use e2e::{Setup, Signal, eventually, holds_for, send};

#[test]
fn a_killed_service_comes_back_at_once_with_a_new_pid() {
    // A wait would be longer than any test's patience.
    let stack = Setup::of(
        "[services.t]\ncommand = './puppet stamp stamps'\n\
         restart = { delay = '60s', max_delay = '60s', jitter = 0.0, reset_after = '1ms' }",
    )
    .start();
    let old = stack.pid("t");
    eventually("the first stamp", || {
        std::fs::read_to_string(stack.path("stamps")).ok().filter(|text| !text.is_empty())
    });
    send(old, Signal::SIGKILL);
    eventually("a second run", || {
        std::fs::read_to_string(stack.path("stamps")).ok().filter(|text| text.lines().count() == 2)
    });
    let service = stack.wait_for("t", "running");
    assert_ne!(service.pid(), Some(old));
    assert_eq!(service.restarts(), 1);
    assert_eq!(service.generation(), 2);
    assert_eq!(service.last_exit()["signal"], "KILL");
    assert_eq!(service.last_exit()["asked"], false);
}

#[test]
fn a_service_that_always_fails_is_tried_ever_more_rarely_and_named_a_crash_loop() {
    let stack = Setup::of(
        "[services.t]\ncommand = './puppet stamp stamps --exit 1'\n\
         restart = { delay = '200ms', factor = 2.0, max_delay = '1s', jitter = 0.0, crash_loop = 4 }\n\
         ready = { delay = '10s' }",
    )
    .start_no_wait();
    let began = Instant::now();
    let service = stack.wait_for("t", "crash-loop");
    assert!(service.restarts() >= 3, "{:#}", service.0);
    holds_for(Duration::from_secs(2), "retries go on, rarely", || {
        let starts = std::fs::read_to_string(stack.path("stamps")).map_or(0, |text| text.lines().count());
        // At once, then after 0.2, 0.4, 0.8, 1, 1 … seconds; the first may be immediate.
        let seconds = usize::try_from(began.elapsed().as_secs()).expect("a test is short");
        starts <= 6 + seconds
    });
    assert_eq!(stack.get("/health").status, 503);
}

#[test]
fn a_service_that_is_given_up_stays_down_until_someone_starts_it() {
    let stack = Setup::of(
        "[services.t]\ncommand = './puppet stamp stamps --exit 1'\n\
         restart = { delay = '50ms', max_delay = '50ms', max_restarts = 2 }",
    )
    .start_no_wait();
    let service = stack.wait_for("t", "failed");
    let generation = service.generation();
    assert_eq!(generation, 3, "one start and two restarts");
    holds_for(Duration::from_millis(500), "it stays down", || stack.service("t").generation() == generation);
    stack.cli(&["start", "t", "--no-wait"]).succeeded();
    let again =
        stack.wait_until("t", "given up again", |service| service.generation() == 6 && service.state() == "failed");
    assert_eq!(again.restarts(), 2, "a start by hand counts anew");
}

#[test]
fn a_stop_while_waiting_for_the_next_try_is_final() {
    let stack = Setup::of(
        "[services.t]\ncommand = './puppet exit-code 1'\nrestart = { delay = '1s', max_delay = '1s', jitter = 0.0 }\n\
         [services.slow]\ncommand = './puppet exit-code 1'\nrestart = { delay = '60s', max_delay = '60s', jitter = 0.0 }",
    )
    .start_no_wait();
    for name in ["t", "slow"] {
        stack.wait_until(name, "waiting for its next try", |service| service.state() == "backoff");
        stack.cli(&["stop", name]).succeeded();
    }
    assert_eq!(stack.service("slow").state(), "stopped", "nobody waited for its next try");
    let service = stack.service("t");
    assert_eq!(service.state(), "stopped");
    holds_for(Duration::from_millis(1500), "no later start", || {
        let now = stack.service("t");
        now.state() == "stopped" && now.generation() == service.generation()
    });
}

#[test]
fn the_end_of_a_service_is_judged_by_its_policy() {
    let stack = Setup::of(
        "[services.no]\ncommand = './puppet exit-code 3'\nrestart = { policy = 'no' }\n\
         [services.well]\ncommand = './puppet exit-code 0'\nrestart = { policy = 'on-failure' }\n\
         [services.ill]\ncommand = './puppet exit-code 3'\nrestart = { policy = 'on-failure', delay = '10ms', max_delay = '10ms' }\n\
         [services.allowed]\ncommand = './puppet exit-code 3'\nrestart = { policy = 'on-failure', success_exit_codes = [0, 3] }\n\
         [services.killed]\ncommand = './puppet signal-self 9'\nrestart = { policy = 'on-failure', delay = '10ms', max_delay = '10ms' }\n\
         [services.always]\ncommand = './puppet exit-code 0'\nrestart = { delay = '10ms', max_delay = '10ms' }",
    )
    .start_no_wait();
    for name in ["ill", "killed", "always"] {
        stack.wait_until(name, "started again", |service| service.restarts() >= 2);
    }
    for name in ["no", "well", "allowed"] {
        let service =
            stack.wait_until(name, "down", |service| ["failed", "completed", "stopped"].contains(&service.state()));
        assert_eq!(service.generation(), 1, "{:#}", service.0);
    }
    assert_eq!(stack.service("no").state(), "failed");
    assert_eq!(stack.service("no").last_exit()["code"], 3);
    assert_eq!(stack.service("killed").last_exit()["signal"], "KILL");
}

#[test]
fn a_oneshot_runs_once_and_its_dependents_wait_for_it() {
    let stack = Setup::of(
        "[services.prepare]\ntype = 'oneshot'\ncommand = ['sh', '-c', 'sleep 0.4; echo done > prepared']\n\
         [services.t]\ncommand = ['sh', '-c', 'cat prepared; exec ./puppet wait']\ndepends_on = { prepare = 'completed' }",
    )
    .start();
    assert_eq!(stack.service("prepare").state(), "completed");
    assert_eq!(stack.service("prepare").generation(), 1);
    stack.wait_log("t", "done");
    assert_eq!(stack.get("/health").status, 200);
}

#[test]
fn a_restart_by_hand_gives_a_new_generation_and_counts_no_failure() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").start();
    let old = stack.service("t");
    stack.cli(&["restart", "t"]).succeeded();
    let new = stack.wait_for("t", "running");
    assert_ne!(new.pid(), old.pid());
    assert_eq!(new.generation(), old.generation() + 1);
    assert_eq!(new.0["failures"], 0);
    assert!(!e2e::alive(old.pid().expect("it ran")));
}

#[test]
fn a_dependent_starts_when_what_it_needs_is_ready_and_not_before() {
    let stack = Setup::of(
        "[services.base]\ncommand = './puppet ready-after 600'\nready = { notify = true }\n\
         [services.user]\ncommand = './puppet stamp stamps'\ndepends_on = ['base']",
    )
    .start_no_wait();
    stack.wait_for("user", "waiting");
    assert!(!stack.path("stamps").exists());
    stack.wait_for("base", "running");
    stack.wait_for("user", "running");
}

#[test]
fn another_services_death_disturbs_nobody() {
    let stack = Setup::of(
        "[services.bad]\ncommand = './puppet crash 1 --after 20'\nrestart = { delay = '0s' }\n\
         [services.good]\ncommand = './puppet wait'",
    )
    .start_no_wait();
    let good = stack.pid("good");
    stack.wait_until("bad", "restarted ten times", |service| service.restarts() >= 10);
    assert_eq!(stack.service("good").pid(), Some(good));
    assert_eq!(stack.service("good").restarts(), 0);
}

#[test]
fn forty_services_killed_in_the_same_instant_all_come_back_once() {
    let services: String = (0..40).map(|number| format!("[services.s{number}]\ncommand = 'sleep 1000'\n")).collect();
    let stack = Setup::of(&services).start();
    let sleeping = || -> Vec<i32> {
        let all = stack.processes();
        all.iter().filter(|one| one.command == "sleep 1000" && one.state != 'Z').map(|one| one.pid).collect()
    };
    let before = sleeping();
    assert_eq!(before.len(), 40);
    e2e::kill_together(&before);
    eventually("all to be up again", || {
        let now = sleeping();
        (now.len() == 40 && now.iter().all(|pid| !before.contains(pid))).then_some(())
    });
    for number in 0..40 {
        let service = stack.wait_for(&format!("s{number}"), "running");
        assert_eq!(service.restarts(), 1, "s{number}");
        assert_eq!(service.last_exit()["signal"], "KILL", "s{number}");
    }
    let zombies = stack.processes().iter().filter(|one| one.state == 'Z').count();
    assert_eq!(zombies, 0);
}
