//! F32: promises about time in which nobody could do anything (suspend, `SIGSTOP`).
//! Not here: deadlines that come when they are due.

use supervisor_core::{Event, Liveness, ProbeOutcome, State};

use crate::desk::{code, desk, notifying, running, service, watched, with};

fn refused() -> ProbeOutcome {
    ProbeOutcome::Failed("timed out".to_owned())
}

#[test]
fn each_check_runs_once_after_a_stall() {
    let mut desk = running(vec![watched("web")]);
    desk.now = desk.now.after(61_000);
    assert_eq!(desk.tell(Event::DeadlineReached), ["probe web 0"]);
    desk.passed("web", 0);
    assert_eq!(desk.pass(999), [""; 0]);
    assert_eq!(desk.pass(1), ["probe web 0"]);
}

#[test]
fn a_failure_that_began_before_the_stall_is_not_counted_and_tried_again_at_once() {
    let spec = with(watched("web"), |spec| {
        spec.live.as_mut().unwrap().failures = 1;
        spec.live.as_mut().unwrap().watchdog = Some(5_000);
    });
    let mut desk = running(vec![spec]);
    desk.pass(1_000);
    let began = desk.now;
    desk.now = desk.now.after(60_000);
    assert_eq!(desk.probed("web", 0, began, refused()), ["probe web 0"]);
    assert_eq!(desk.state("web"), State::Running);
    let now = desk.now;
    assert_eq!(desk.probed("web", 0, now, refused()), ["stop web with 15"], "a failure after it is");
}

#[test]
fn a_success_that_began_before_the_stall_counts() {
    let mut desk = desk(vec![with(service("web"), |spec| spec.ready.checks = vec![crate::desk::check(0, "tcp")])]);
    desk.start(&["web"]);
    desk.spawned("web");
    let began = desk.now;
    desk.now = desk.now.after(90_000);
    desk.probed("web", 0, began, ProbeOutcome::Passed);
    assert_eq!(desk.state("web"), State::Running);
}

#[test]
fn no_watchdog_failure_is_counted_from_a_stall() {
    let live = Liveness { checks: Vec::new(), interval: 1_000, failures: 3, watchdog: Some(10_000) };
    let mut desk = running(vec![with(service("web"), |spec| spec.live = Some(live))]);
    desk.now = desk.now.after(70_000);
    assert_eq!(desk.tell(Event::DeadlineReached), [""; 0]);
    assert_eq!(desk.pass(9_999), [""; 0], "it has its whole time again");
    assert_eq!(desk.pass(1), ["stop web with 15"]);
}

#[test]
fn a_start_and_a_stop_get_the_lost_time_back() {
    let mut desk = desk(vec![notifying("slow"), service("web")]);
    desk.start(&["slow", "web"]);
    desk.spawned("slow");
    desk.spawned("web");
    desk.stop(&["web"]);
    desk.now = desk.now.after(40_000);
    assert_eq!(desk.tell(Event::DeadlineReached), [""; 0], "nobody is killed for what it could not do");
    assert_eq!(desk.pass(1_999), [""; 0]);
    assert_eq!(desk.pass(1), ["kill web"]);
    desk.exited("web", code(0));
    assert_eq!(desk.pass(47_999), [""; 0]);
    assert_eq!(desk.pass(1), ["stop slow with 15"], "60 s and the 30 s of the stall");
}

#[test]
fn a_backoff_is_over_after_the_stall() {
    let mut desk = running(vec![service("web")]);
    desk.exited("web", code(1));
    desk.now = desk.now.after(60_000);
    assert_eq!(desk.tell(Event::DeadlineReached), ["spawn web"]);
}

#[test]
fn a_shutdown_gets_the_lost_time_back() {
    let mut desk = running(vec![with(service("web"), |spec| spec.stop.timeout = 20_000)]);
    desk.tell(Event::ShutdownRequested { within: 10_000 });
    desk.now = desk.now.after(60_000);
    assert_eq!(desk.tell(Event::DeadlineReached), [""; 0]);
    assert_eq!(desk.pass(2_000), ["kill web"]);
}

#[test]
fn a_little_lateness_is_no_stall() {
    let live = Liveness { checks: Vec::new(), interval: 1_000, failures: 3, watchdog: Some(10_000) };
    let mut desk = running(vec![with(service("web"), |spec| spec.live = Some(live))]);
    desk.now = desk.now.after(12_000);
    assert_eq!(desk.tell(Event::DeadlineReached), ["stop web with 15"]);
}
