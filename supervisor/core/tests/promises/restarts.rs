//! Promises about what follows an end that nobody asked for, and about restarts that somebody did.
//! Not here: how runs are ended.

use supervisor_core::{ExitReport, Kind, Policy, State};

use crate::desk::{Desk, code, desk, notifying, on, oneshot, running, service, signal, with};

/// Ends the run after `ran` and gives how long the next start is away; it must be a backoff.
fn crash(desk: &mut Desk, ran: u64) -> u64 {
    desk.pass(ran);
    desk.exited("web", code(1));
    if desk.see("web").next_attempt.is_some() { desk.wait("web") } else { 0 }
}

fn come_back(desk: &mut Desk) {
    let wait = desk.wait("web");
    assert_eq!(desk.pass(wait), ["spawn web"]);
    desk.spawned("web");
}

#[test]
fn a_crash_is_followed_by_a_wait_and_a_new_run() {
    let mut desk = running(vec![service("web")]);
    desk.pass(1_200);
    assert_eq!(desk.exited("web", code(3)), ["release web"]);
    assert_eq!(desk.reports(), ["web: running -> backoff: exited with code 3 after 1.2s"]);
    assert_eq!(desk.pass(499), [""; 0]);
    assert_eq!(desk.pass(1), ["spawn web"]);
    assert_eq!(desk.see("web").generation, 2);
}

#[test]
fn the_first_restart_after_a_good_run_is_immediate() {
    let mut desk = running(vec![service("web")]);
    desk.pass(30_000);
    assert_eq!(desk.exited("web", signal(9)), ["release web", "spawn web"]);
    let told =
        ["web: running -> backoff: killed by SIGKILL after 30s", "web: backoff -> starting: its process is being made"];
    assert_eq!(desk.reports(), told);
    assert_eq!(desk.see("web").failures, 0);
}

#[test]
fn each_further_failure_doubles_the_delay_up_to_the_longest() {
    let mut desk = running(vec![with(service("web"), |spec| spec.restart.crash_loop = 0)]);
    for expected in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
        assert_eq!(crash(&mut desk, 10), expected);
        assert_eq!(desk.state("web"), State::Backoff);
        come_back(&mut desk);
    }
}

#[test]
fn failures_in_a_row_are_a_crash_loop_that_goes_on_at_the_longest_delay() {
    let mut desk = running(vec![service("web")]);
    for expected in [500, 1_000, 2_000, 4_000, 30_000, 30_000] {
        assert_eq!(crash(&mut desk, 10), expected);
        come_back(&mut desk);
    }
    crash(&mut desk, 10);
    assert_eq!(desk.state("web"), State::CrashLoop);
    assert_eq!(desk.cause("web"), "exited with code 1 after 10ms; 7 failures in a row");
}

#[test]
fn the_count_of_failures_halves_for_each_span_of_good_running() {
    let mut desk = running(vec![with(service("web"), |spec| spec.restart.crash_loop = 0)]);
    for _ in 0..8 {
        crash(&mut desk, 10);
        come_back(&mut desk);
    }
    assert_eq!(crash(&mut desk, 60_000), 0);
    assert_eq!(desk.see("web").failures, 2);
    desk.spawned("web");
    assert_eq!(crash(&mut desk, 29_999), 2_000, "a run that is too short halves nothing");
    assert_eq!(desk.see("web").failures, 3);
}

#[test]
fn jitter_spreads_a_delay_over_its_upper_part() {
    let mut delays = Vec::new();
    for seed in 0..200 {
        let spec = with(service("web"), |spec| spec.restart.jitter = 0.5);
        let settings = supervisor_core::Settings { max_parallel_starts: 1, max_parallel_launches: 1, seed };
        let mut desk = crate::desk::desk_with(settings, vec![spec]);
        desk.start(&["web"]);
        desk.spawned("web");
        delays.push(crash(&mut desk, 10));
    }
    delays.sort_unstable();
    assert!(delays[0] >= 250 && delays[199] <= 500);
    assert!(delays[0] < 270 && delays[199] > 480, "the whole range is used");
}

#[test]
fn a_delay_of_zero_is_always_immediate_and_still_counts() {
    let spec = with(service("web"), |spec| {
        spec.restart.delay = 0;
        spec.restart.max_restarts = 9;
    });
    let mut desk = running(vec![spec]);
    for failures in 1..=9 {
        assert_eq!(desk.exited("web", code(1)), ["release web", "spawn web"]);
        assert_eq!(desk.see("web").failures, failures);
        let named = desk.reports().iter().any(|report| report.contains("crash-loop"));
        assert_eq!(named, failures >= 5, "{:?}", desk.reports());
        desk.spawned("web");
    }
    assert_eq!(desk.exited("web", code(1)), ["release web", "close web"]);
    assert_eq!(desk.state("web"), State::Failed);
}

#[test]
fn after_the_limit_of_restarts_it_is_given_up() {
    let mut desk = running(vec![with(service("web"), |spec| spec.restart.max_restarts = 2)]);
    for _ in 0..2 {
        crash(&mut desk, 10);
        come_back(&mut desk);
    }
    desk.pass(10);
    assert_eq!(desk.exited("web", code(1)), ["release web", "close web"]);
    let seen = desk.see("web");
    assert_eq!((seen.state, seen.next_attempt), (State::Failed, None));
    assert_eq!(seen.cause, "given up after 2 restarts in a row: exited with code 1 after 10ms");
    assert_eq!(desk.pass(600_000), [""; 0]);
}

#[test]
fn f29_a_start_by_hand_after_the_limit_is_immediate_and_forgets_the_failures() {
    let mut desk = running(vec![with(service("web"), |spec| spec.restart.max_restarts = 1)]);
    crash(&mut desk, 10);
    come_back(&mut desk);
    crash(&mut desk, 10);
    assert_eq!(desk.state("web"), State::Failed);
    assert_eq!(desk.start(&["web"]), ["spawn web"]);
    let seen = desk.see("web");
    assert_eq!((seen.failures, seen.restarts, seen.generation), (0, 0, 3));
    desk.spawned("web");
    assert_eq!(crash(&mut desk, 10), 500);
}

#[test]
fn a_start_by_hand_ends_a_backoff_and_a_crash_loop() {
    for crashes in [1, 5] {
        let mut desk = running(vec![service("web")]);
        crash(&mut desk, 10);
        for _ in 1..crashes {
            come_back(&mut desk);
            crash(&mut desk, 10);
        }
        assert_eq!(desk.start(&["web"]), ["spawn web"]);
        assert_eq!(desk.see("web").failures, 0);
    }
}

#[test]
fn f25_a_program_that_always_fails_is_started_as_often_as_the_formula_says() {
    let mut desk = running(vec![service("web")]);
    let begin = desk.now;
    let mut starts = 0;
    let mut reports = 0;
    desk.exited("web", code(1));
    while desk.now.since(begin) < 60_000 {
        let next = desk.wait("web");
        starts += desk.pass(next).len();
        reports += desk.reports().len();
        desk.spawned("web");
        reports += desk.reports().len();
        desk.exited("web", code(1));
        reports += desk.reports().len();
    }
    assert_eq!(starts, 6, "after 0.5, 1, 2, 4, 30 and 30 s");
    assert_eq!(reports, 3 * starts, "one line for each change");
}

#[test]
fn a_start_by_hand_of_a_dependent_starts_what_has_failed_below() {
    let mut desk =
        desk(vec![with(notifying("db"), |spec| spec.restart.policy = Policy::No), on(service("web"), &["db"])]);
    desk.start(&["web"]);
    desk.spawned("db");
    desk.exited("db", code(1));
    assert_eq!(desk.cause("db"), "exited with code 1 after 0ms; the restart policy is `no`");
    assert_eq!(desk.cause("web"), "waiting for db to be ready (db is failed)");
    assert_eq!(desk.start(&["web"]), ["spawn db"]);
}

#[test]
fn the_exit_of_a_oneshot_under_always_is_its_completion() {
    let mut desk = running(vec![oneshot("web")]);
    assert_eq!(desk.exited("web", code(0)), ["release web", "close web"]);
    assert_eq!(desk.state("web"), State::Completed);
    assert!(desk.memory("web").unwrap().slots[0].completed);
}

/// What the documented table says.
fn expected(kind: Kind, policy: Policy, success: bool) -> State {
    match (policy, kind, success) {
        (Policy::Always, Kind::Service, _) => State::Backoff,
        (Policy::Always | Policy::OnFailure, _, false) => State::Backoff,
        (Policy::No, _, false) => State::Failed,
        (_, _, true) => State::Completed,
    }
}

#[test]
fn f22_every_way_to_exit_under_every_policy_is_followed_by_what_the_table_says() {
    let exits: Vec<(ExitReport, bool)> = vec![
        (code(0), true),
        (code(1), false),
        (code(2), false),
        (code(125), false),
        (code(42), true),
        (signal(9), false),
        (signal(11), false),
        (signal(6), false),
        (signal(15), false),
    ];
    for kind in [Kind::Service, Kind::Oneshot] {
        for policy in [Policy::Always, Policy::OnFailure, Policy::No] {
            for (exit, success) in &exits {
                let spec = with(service("web"), |spec| {
                    spec.kind = kind;
                    spec.restart.policy = policy;
                    spec.restart.success_exit_codes = vec![0, 42];
                });
                let mut desk = running(vec![spec]);
                desk.pass(10);
                desk.exited("web", exit.clone());
                let told = format!("{kind:?} {policy:?} {:?} {:?}", exit.code, exit.signal);
                assert_eq!(desk.state("web"), expected(kind, policy, *success), "{told}");
                let respawned = desk.pass(60_000).iter().filter(|deed| *deed == "spawn web").count();
                assert_eq!(respawned == 1, expected(kind, policy, *success) == State::Backoff, "{told}");
            }
        }
    }
}

#[test]
fn a_restart_of_what_runs_stops_it_and_starts_it_at_once() {
    let mut desk = running(vec![service("db"), on(service("web"), &["db"])]);
    assert_eq!(desk.restart(&["web"]), ["stop web with 15"]);
    assert_eq!((desk.state("web"), desk.cause("web").as_str()), (State::Stopping, "asked to restart"));
    assert_eq!(desk.exited("web", signal(15)), ["release web", "spawn web"]);
    let seen = desk.see("web");
    assert_eq!((seen.restarts, seen.failures), (1, 0));
    let exit = seen.last_exit.as_ref().unwrap();
    assert!(exit.asked);
    assert_eq!(desk.state("db"), State::Running);
}

#[test]
fn a_restart_of_what_is_down_is_a_start_of_it_alone() {
    let mut desk = desk(vec![service("db"), on(service("web"), &["db"])]);
    assert_eq!(desk.restart(&["web"]), [""; 0]);
    assert_eq!(desk.cause("web"), "waiting for db to be ready (db is stopped)");
    assert_eq!(desk.restart(&["db"]), ["spawn db"]);
    assert_eq!(desk.see("db").restarts, 0);
}

#[test]
fn a_restart_in_backoff_starts_now() {
    let mut desk = running(vec![service("web")]);
    crash(&mut desk, 10);
    assert_eq!(desk.restart(&["web"]), ["spawn web"]);
    assert_eq!((desk.see("web").failures, desk.see("web").restarts), (0, 1));
}

#[test]
fn a_restart_of_what_is_being_stopped_takes_the_stop_back() {
    let mut desk = running(vec![service("web")]);
    desk.stop(&["web"]);
    assert_eq!(desk.restart(&["web"]), [""; 0]);
    assert!(desk.see("web").wanted);
    assert_eq!(desk.exited("web", signal(15)), ["release web", "spawn web"]);
}

#[test]
fn a_restart_while_the_process_is_being_made_replaces_that_process() {
    let mut desk = desk(vec![service("web")]);
    desk.start(&["web"]);
    assert_eq!(desk.restart(&["web"]), [""; 0]);
    assert_eq!(desk.spawned("web"), ["stop web with 15"]);
    assert_eq!(desk.exited("web", signal(15)), ["release web", "spawn web"]);
    assert_eq!(desk.spawned("web"), [""; 0]);
    assert_eq!(desk.state("web"), State::Running);
}

#[test]
fn restarts_count_since_the_last_start_by_hand() {
    let mut desk = running(vec![service("web")]);
    crash(&mut desk, 10);
    come_back(&mut desk);
    desk.restart(&["web"]);
    desk.exited("web", code(0));
    desk.spawned("web");
    assert_eq!(desk.see("web").restarts, 2);
    desk.stop(&["web"]);
    desk.exited("web", code(0));
    assert_eq!(desk.see("web").restarts, 2);
    desk.start(&["web"]);
    assert_eq!(desk.see("web").restarts, 0);
}
