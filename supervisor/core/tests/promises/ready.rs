//! Promises about readiness: the gates of a start, and its deadline.
//! Not here: what a ready service must go on doing.

use supervisor_core::{Event, Sign, State, Time};

use crate::desk::{check, code, desk, must_give, notifying, service, with};

fn checked() -> supervisor_core::ServiceSpec {
    with(service("web"), |spec| spec.ready.checks = vec![check(0, "http /health"), check(1, "tcp 8001")])
}

#[test]
fn a_service_with_no_gate_is_ready_as_soon_as_it_lives() {
    let mut desk = desk(vec![service("web")]);
    desk.start(&["web"]);
    assert_eq!(desk.state("web"), State::Starting);
    desk.spawned("web");
    assert_eq!(desk.state("web"), State::Running);
    assert!(desk.memory("web").unwrap().runs().next().unwrap().ready);
}

#[test]
fn a_service_that_must_say_so_is_ready_when_it_says_so() {
    let mut desk = desk(vec![notifying("web")]);
    desk.start(&["web"]);
    desk.spawned("web");
    assert_eq!(desk.cause("web"), "not ready yet: no READY=1");
    desk.pass(300);
    desk.notified("web");
    let seen = desk.see("web");
    assert_eq!((seen.state, seen.cause.as_str()), (State::Running, "ready after 300ms"));
    assert_eq!(seen.run.as_ref().unwrap().ready, Some(desk.now));
}

#[test]
fn all_gates_must_hold() {
    let mut desk = desk(vec![with(checked(), |spec| {
        must_give(spec, Sign::Notify, "no READY=1");
        spec.ready.delay = Some(2_000);
    })]);
    desk.start(&["web"]);
    assert_eq!(desk.spawned("web"), ["probe web 0", "probe web 1"]);
    desk.passed("web", 0);
    desk.passed("web", 1);
    desk.notified("web");
    assert_eq!(desk.state("web"), State::Starting);
    assert_eq!(desk.cause("web"), "its process runs; its delay is not over");
    desk.pass(1_999);
    assert_eq!(desk.state("web"), State::Starting);
    desk.pass(1);
    assert_eq!(desk.state("web"), State::Running);
}

fn talkative() -> supervisor_core::ServiceSpec {
    with(notifying("web"), |spec| {
        must_give(spec, Sign::Line, "no line matches `up`");
        must_give(spec, Sign::Newline, "no newline on descriptor 3");
    })
}

#[test]
fn every_sign_that_was_asked_for_must_be_given_in_whatever_order() {
    let mut desk = desk(vec![talkative()]);
    desk.start(&["web"]);
    desk.spawned("web");
    let run = desk.see("web").run.as_ref().unwrap().run;
    assert_eq!(desk.cause("web"), "not ready yet: no READY=1; no line matches `up`; no newline on descriptor 3");
    desk.tell(Event::SignSeen { run, sign: Sign::Newline });
    desk.notified("web");
    assert_eq!(desk.cause("web"), "not ready yet: no line matches `up`");
    assert!(desk.fleet.awaits(run, Sign::Line) && !desk.fleet.awaits(run, Sign::Newline));
    desk.tell(Event::SignSeen { run, sign: Sign::Line });
    assert_eq!(desk.state("web"), State::Running);
    assert!(!desk.fleet.awaits(run, Sign::Line));
}

#[test]
fn a_sign_that_cannot_be_given_any_more_fails_the_start_unless_it_was_given() {
    let mut desk = desk(vec![talkative()]);
    desk.start(&["web"]);
    desk.spawned("web");
    let run = desk.see("web").run.as_ref().unwrap().run;
    let lost = |sign| Event::SignLost { run, sign, reason: "closed".to_owned() };
    desk.tell(Event::SignSeen { run, sign: Sign::Newline });
    assert_eq!(desk.tell(lost(Sign::Newline)), [""; 0], "it was given before");
    assert_eq!(desk.tell(lost(Sign::Line)), ["stop web with 15"]);
    desk.exited("web", code(0));
    let seen = desk.see("web");
    assert_eq!((seen.state, seen.failures, seen.cause.as_str()), (State::Backoff, 1, "never ready: closed"));
}

#[test]
fn a_delay_that_is_over_before_the_rest_wakes_nobody() {
    let mut desk = desk(vec![with(notifying("web"), |spec| spec.ready.delay = Some(100))]);
    desk.start(&["web"]);
    desk.spawned("web");
    assert_eq!(desk.fleet.next_deadline(), Some(desk.now.after(60_000)));
    desk.pass(200);
    desk.notified("web");
    assert_eq!(desk.state("web"), State::Running);
}

#[test]
fn a_check_is_tried_at_once_then_after_pauses_that_double_up_to_a_second() {
    let mut desk = desk(vec![with(service("web"), |spec| spec.ready.checks = vec![check(0, "http /health")])]);
    desk.start(&["web"]);
    assert_eq!(desk.spawned("web"), ["probe web 0"]);
    for pause in [100, 200, 400, 800, 1_000, 1_000] {
        assert_eq!(desk.failed("web", 0), [""; 0]);
        assert_eq!(desk.pass(pause - 1), [""; 0], "{pause}");
        assert_eq!(desk.pass(1), ["probe web 0"], "{pause}");
    }
    assert_eq!(desk.see("web").failing, [("http /health".to_owned(), "connection refused".to_owned())]);
    desk.passed("web", 0);
    assert_eq!(desk.state("web"), State::Running);
    assert!(desk.see("web").failing.is_empty());
}

#[test]
fn a_check_under_way_is_not_tried_a_second_time() {
    let mut desk = desk(vec![checked()]);
    desk.start(&["web"]);
    desk.spawned("web");
    desk.failed("web", 1);
    assert_eq!(desk.pass(30_000), ["probe web 1"], "check 0 was never answered, check 1 once");
}

#[test]
fn a_check_that_passed_is_not_tried_again() {
    let mut desk = desk(vec![checked()]);
    desk.start(&["web"]);
    desk.spawned("web");
    desk.passed("web", 0);
    assert_eq!(desk.pass(10_000), [""; 0]);
    assert_eq!(desk.passed("web", 0), [""; 0]);
    assert_eq!(desk.state("web"), State::Starting);
}

#[test]
fn readiness_is_a_gate_of_the_start_only() {
    let mut desk = desk(vec![checked()]);
    desk.start(&["web"]);
    desk.spawned("web");
    desk.passed("web", 0);
    desk.passed("web", 1);
    assert_eq!(desk.pass(600_000), [""; 0]);
    assert_eq!(desk.state("web"), State::Running);
    assert_eq!(desk.fleet.next_deadline(), None, "idle means idle");
}

#[test]
fn f36_a_start_that_is_never_ready_is_ended_with_its_tree_and_counts_as_a_failure() {
    let mut desk = desk(vec![checked()]);
    desk.start(&["web"]);
    desk.spawned("web");
    desk.passed("web", 1);
    desk.failed("web", 0);
    desk.pass(100);
    assert_eq!(desk.pass(59_899), [""; 0]);
    assert_eq!(desk.pass(1), ["stop web with 15"]);
    let reason = "not ready within 60s (http /health: connection refused)";
    assert_eq!((desk.state("web"), desk.cause("web").as_str()), (State::Stopping, reason));
    assert_eq!(desk.pass(10_000), ["kill web"]);
    assert_eq!(desk.exited_with_rest("web", crate::desk::signal(9)), ["survey web"]);
    assert_eq!(desk.surveyed("web", &[77]), ["signal [77] of web with 9"]);
    assert_eq!(desk.surveyed("web", &[]), ["release web"]);
    let seen = desk.see("web");
    assert_eq!((seen.state, seen.failures, seen.cause.as_str()), (State::Backoff, 1, reason));
    let exit = seen.last_exit.as_ref().unwrap();
    assert_eq!((exit.asked, exit.reason.as_deref()), (true, Some(reason)));
    assert_eq!(exit.leftovers, [77]);
}

#[test]
fn f36_starts_that_are_never_ready_become_a_crash_loop_however_long_they_take() {
    let mut desk = desk(vec![notifying("web")]);
    desk.start(&["web"]);
    for failures in 1..=5 {
        desk.spawned("web");
        assert_eq!(desk.pass(60_000), ["stop web with 15"]);
        desk.exited("web", code(0));
        assert_eq!(desk.see("web").failures, failures);
        if failures < 5 {
            desk.pass(30_000);
        }
    }
    assert_eq!(desk.state("web"), State::CrashLoop);
    assert_eq!(desk.cause("web"), "not ready within 60s (no READY=1); 5 failures in a row");
}

#[test]
fn a_deadline_of_zero_waits_for_ever() {
    let mut desk = desk(vec![with(notifying("web"), |spec| spec.ready.deadline = 0)]);
    desk.start(&["web"]);
    desk.spawned("web");
    assert_eq!(desk.fleet.next_deadline(), None);
    desk.now = Time(u64::MAX / 2);
    desk.notified("web");
    assert_eq!(desk.state("web"), State::Running);
}

#[test]
fn news_at_the_last_moment_is_in_time() {
    let mut desk = desk(vec![notifying("web")]);
    desk.start(&["web"]);
    desk.spawned("web");
    desk.now = desk.now.after(60_000);
    assert_eq!(desk.notified("web"), [""; 0]);
    assert_eq!(desk.state("web"), State::Running);
}
