//! Promises about liveness: checks and watchdog of a ready run.
//! Not here: readiness.

use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use supervisor_core::{Liveness, ProbeOutcome, Sign, State};

use crate::desk::{check, code, desk, must_give, running, service, signal, watched, with};

#[test]
fn the_first_check_comes_one_interval_after_ready_and_the_next_one_interval_after_its_end() {
    let mut desk = running(vec![watched("web")]);
    assert_eq!(desk.pass(999), [""; 0]);
    assert_eq!(desk.pass(1), ["probe web 0"]);
    assert_eq!(desk.pass(5_000), [""; 0], "never a second one beside it");
    desk.passed("web", 0);
    assert_eq!(desk.pass(999), [""; 0]);
    assert_eq!(desk.pass(1), ["probe web 0"]);
}

#[test]
fn no_liveness_check_runs_before_ready() {
    let mut desk = desk(vec![with(watched("web"), |spec| must_give(spec, Sign::Notify, "no READY=1"))]);
    desk.start(&["web"]);
    desk.spawned("web");
    assert_eq!(desk.pass(50_000), [""; 0]);
    desk.notified("web");
    assert_eq!(desk.pass(1_000), ["probe web 0"]);
}

#[test]
fn so_many_failures_in_a_row_replace_the_run() {
    let mut desk = running(vec![watched("web")]);
    for _ in 0..2 {
        desk.pass(1_000);
        assert_eq!(desk.failed("web", 0), [""; 0]);
    }
    assert_eq!(desk.state("web"), State::Running);
    desk.pass(1_000);
    assert_eq!(desk.failed("web", 0), ["stop web with 15"]);
    let reason = "http /health failed 3 times in a row: connection refused";
    assert_eq!((desk.state("web"), desk.cause("web").as_str()), (State::Unhealthy, reason));
    assert_eq!(desk.exited("web", code(0)), ["release web"]);
    let seen = desk.see("web");
    assert_eq!((seen.state, seen.failures), (State::Backoff, 1), "although it exited with success");
    assert_eq!(seen.last_exit.as_ref().unwrap().reason.as_deref(), Some(reason));
    assert_eq!(desk.pass(500), ["spawn web"]);
}

#[test]
fn however_long_it_ran_an_unhealthy_run_is_no_good_run() {
    let mut desk = running(vec![with(watched("web"), |spec| spec.live.as_mut().unwrap().failures = 1)]);
    for _ in 0..60 {
        desk.pass(1_000);
        desk.passed("web", 0);
    }
    desk.pass(1_000);
    desk.failed("web", 0);
    desk.exited("web", code(0));
    assert_eq!((desk.see("web").failures, desk.wait("web")), (1, 500));
}

#[test]
fn a_success_in_between_begins_the_count_anew() {
    let mut desk = running(vec![watched("web")]);
    for outcome in ["failed", "failed", "passed", "failed", "failed"] {
        desk.pass(1_000);
        if outcome == "failed" {
            desk.failed("web", 0)
        } else {
            desk.passed("web", 0)
        };
    }
    assert_eq!(desk.state("web"), State::Running);
    assert_eq!(desk.see("web").failing.len(), 1);
}

proptest! {
    #[test]
    fn a_check_that_flaps_changes_the_state_only_by_so_many_failures_in_a_row(answers in vec(any::<bool>(), 0..200)) {
        let mut desk = running(vec![watched("web")]);
        let (mut row, mut replaced) = (0, 0);
        for passes in answers {
            prop_assert_eq!(desk.pass(1_000), ["probe web 0"]);
            row = if passes { 0 } else { row + 1 };
            let deeds = if passes { desk.passed("web", 0) } else { desk.failed("web", 0) };
            if row < 3 {
                prop_assert!(deeds.is_empty(), "{deeds:?}");
                prop_assert_eq!(desk.state("web"), State::Running);
                continue;
            }
            prop_assert_eq!(desk.state("web"), State::Unhealthy);
            (row, replaced) = (0, replaced + 1);
            desk.exited("web", code(0));
            desk.pass(60_000);
            desk.spawned("web");
            prop_assert_eq!((desk.state("web"), desk.see("web").restarts), (State::Running, replaced));
        }
    }
}

#[test]
fn a_check_that_cannot_be_tried_is_tried_again_and_is_no_failure() {
    let mut desk = running(vec![watched("web")]);
    for _ in 0..2 {
        desk.pass(1_000);
        desk.failed("web", 0);
    }
    for _ in 0..20 {
        assert_eq!(desk.pass(1_000), ["probe web 0"]);
        assert_eq!(desk.probed("web", 0, desk.now, ProbeOutcome::Untried("fork (EAGAIN)".to_owned())), [""; 0]);
    }
    assert_eq!(desk.state("web"), State::Running);
    desk.pass(1_000);
    assert_eq!(desk.failed("web", 0), ["stop web with 15"], "what was seen before still counts");
}

#[test]
fn failures_of_different_checks_do_not_add_up() {
    let spec = with(watched("web"), |spec| {
        spec.live.as_mut().unwrap().checks.push(check(1, "tcp 8001"));
        spec.live.as_mut().unwrap().failures = 2;
    });
    let mut desk = running(vec![spec]);
    assert_eq!(desk.pass(1_000), ["probe web 0", "probe web 1"]);
    desk.failed("web", 0);
    desk.failed("web", 1);
    assert_eq!(desk.state("web"), State::Running);
    desk.pass(1_000);
    desk.passed("web", 0);
    assert_eq!(desk.failed("web", 1), ["stop web with 15"]);
    assert_eq!(desk.cause("web"), "tcp 8001 failed 2 times in a row: connection refused");
}

#[test]
fn an_unhealthy_run_that_does_not_end_is_killed_at_the_stop_timeout() {
    let mut desk = running(vec![with(watched("web"), |spec| spec.live.as_mut().unwrap().failures = 1)]);
    desk.pass(1_000);
    desk.failed("web", 0);
    assert_eq!(desk.pass(10_000), ["kill web"]);
    assert_eq!(desk.state("web"), State::Unhealthy);
    desk.exited("web", signal(9));
    assert_eq!(desk.state("web"), State::Backoff);
}

#[test]
fn an_unhealthy_run_that_somebody_stops_is_stopped() {
    let mut desk = running(vec![with(watched("web"), |spec| spec.live.as_mut().unwrap().failures = 1)]);
    desk.pass(1_000);
    desk.failed("web", 0);
    desk.stop(&["web"]);
    assert_eq!(desk.state("web"), State::Stopping);
    assert_eq!(desk.exited("web", code(0)), ["release web", "close web"]);
    assert_eq!(desk.state("web"), State::Stopped);
}

#[test]
fn a_watchdog_that_is_not_fed_replaces_the_run() {
    let live = Liveness { checks: Vec::new(), interval: 1_000, failures: 3, watchdog: Some(10_000) };
    let mut desk = running(vec![with(service("web"), |spec| spec.live = Some(live))]);
    for _ in 0..5 {
        assert_eq!(desk.pass(9_000), [""; 0]);
        desk.fed("web");
    }
    assert_eq!(desk.pass(9_999), [""; 0]);
    assert_eq!(desk.pass(1), ["stop web with 15"]);
    assert_eq!(desk.state("web"), State::Unhealthy);
    assert_eq!(desk.cause("web"), "no WATCHDOG=1 within 10s");
}

#[test]
fn the_watchdog_is_armed_at_ready() {
    let live = Liveness { checks: Vec::new(), interval: 1_000, failures: 3, watchdog: Some(1_000) };
    let spec = with(service("web"), |spec| {
        spec.live = Some(live);
        must_give(spec, Sign::Notify, "no READY=1");
    });
    let mut desk = desk(vec![spec]);
    desk.start(&["web"]);
    desk.spawned("web");
    assert_eq!(desk.pass(30_000), [""; 0]);
    desk.notified("web");
    assert_eq!(desk.pass(999), [""; 0]);
    assert_eq!(desk.pass(1), ["stop web with 15"]);
}

#[test]
fn answers_of_a_run_that_is_over_change_nothing() {
    let mut desk = running(vec![with(watched("web"), |spec| spec.live.as_mut().unwrap().failures = 1)]);
    desk.pass(60_000);
    let old = desk.runs["web"];
    desk.exited("web", code(1));
    desk.spawned("web");
    desk.runs.insert("web".to_owned(), old);
    for deeds in [desk.failed("web", 0), desk.notified("web"), desk.exited("web", code(0)), desk.surveyed("web", &[5])]
    {
        assert_eq!(deeds, [""; 0]);
    }
    assert_eq!(desk.state("web"), State::Running);
}
