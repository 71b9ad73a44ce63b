//! Promises about what the world sees: snapshots, health, reports.
//! Not here: what services do.

use std::sync::Arc;

use supervisor_core::{Event, HealthStatus, Policy, State};

use crate::desk::{code, desk, name, notifying, on, oneshot, running, service, with};

#[test]
fn snapshots_come_in_the_order_of_the_specs_and_unchanged_ones_are_shared() {
    let mut desk = running(vec![service("z"), service("a")]);
    let first = desk.fleet.snapshot();
    assert_eq!(first.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["z", "a"]);
    assert!(Arc::ptr_eq(&first, &desk.fleet.snapshot()));
    desk.exited("a", code(1));
    let second = desk.fleet.snapshot();
    assert!(Arc::ptr_eq(&first[0], &second[0]));
    assert!(!Arc::ptr_eq(&first[1], &second[1]));
    assert_eq!(second[1].state, State::Backoff);
}

#[test]
fn a_status_line_is_shown_while_its_run_lives() {
    let mut desk = running(vec![service("web")]);
    let run = desk.runs["web"];
    desk.tell(Event::NotifiedStatus { run, status: "3 clients".to_owned() });
    assert_eq!(desk.see("web").run.as_ref().unwrap().status.as_deref(), Some("3 clients"));
    desk.exited("web", code(1));
    assert_eq!(desk.see("web").run, None);
}

#[test]
fn since_tells_when_the_state_changed_last() {
    let mut desk = desk(vec![notifying("web")]);
    desk.start(&["web"]);
    let began = desk.now;
    desk.pass(50);
    desk.spawned("web");
    assert_eq!(desk.see("web").since, began);
    desk.pass(50);
    desk.notified("web");
    assert_eq!(desk.see("web").since, desk.now);
}

#[test]
fn every_change_of_state_is_reported_once_with_its_cause() {
    let mut desk = desk(vec![notifying("web")]);
    let mut told = Vec::new();
    desk.start(&["web"]);
    told.extend(desk.reports());
    desk.spawned("web");
    told.extend(desk.reports());
    desk.notified("web");
    told.extend(desk.reports());
    desk.stop(&["web"]);
    told.extend(desk.reports());
    desk.exited("web", code(0));
    told.extend(desk.reports());
    let expected = [
        "web: stopped -> starting: its process is being made",
        "web: starting -> running: ready at once",
        "web: running -> stopping: asked to stop",
        "web: stopping -> stopped: stopped: exited with code 0 after 0ms",
    ];
    assert_eq!(told, expected);
}

#[test]
fn health_is_unhealthy_for_a_critical_lack_degraded_for_an_optional_one() {
    let optional = with(notifying("extra"), |spec| spec.critical = false);
    let mut desk = desk(vec![notifying("web"), optional, service("off")]);
    assert_eq!(desk.health().status, HealthStatus::Healthy, "nothing is wanted");
    desk.start(&["web", "extra"]);
    assert_eq!(desk.health().status, HealthStatus::Unhealthy);
    desk.spawned("web");
    desk.spawned("extra");
    desk.notified("web");
    let health = desk.health();
    assert_eq!(health.status, HealthStatus::Degraded);
    assert_eq!(health.services.len(), 2, "what is not wanted does not count");
    let (state, critical, _, cause) = &health.services[&name("extra")];
    assert_eq!((*state, *critical, cause.as_str()), (State::Starting, false, "not ready yet: no READY=1"));
    desk.notified("extra");
    assert_eq!(desk.health().status, HealthStatus::Healthy);
}

#[test]
fn a_completed_oneshot_is_healthy_and_a_running_one_not_yet() {
    let mut desk = running(vec![oneshot("migrate")]);
    assert_eq!(desk.health().status, HealthStatus::Unhealthy);
    desk.exited("migrate", code(0));
    assert_eq!(desk.health().status, HealthStatus::Healthy);
}

#[test]
fn a_service_that_was_allowed_to_end_and_did_is_no_lack() {
    let mut desk = running(vec![with(service("web"), |spec| spec.restart.policy = Policy::OnFailure)]);
    desk.exited("web", code(0));
    assert_eq!(desk.state("web"), State::Completed);
    assert_eq!(desk.health().status, HealthStatus::Healthy);
}

#[test]
fn a_stopped_service_makes_nobody_ill() {
    let mut desk = running(vec![service("db"), on(service("web"), &["db"])]);
    desk.stop(&["db"]);
    assert_eq!(desk.health().status, HealthStatus::Healthy);
    assert_eq!(desk.health().services.len(), 1);
}

#[test]
fn memories_are_given_only_when_they_change() {
    let mut desk = running(vec![service("web")]);
    let run = desk.runs["web"];
    desk.tell(Event::NotifiedStatus { run, status: "busy".to_owned() });
    assert_eq!(desk.memory("web"), None);
    desk.exited("web", code(3));
    let memory = desk.memory("web").unwrap();
    let slot = &memory.slots[0];
    assert_eq!((slot.failures, slot.serving.is_some(), memory.wanted), (1, false, true));
    assert_eq!(slot.last_exit.as_ref().unwrap().code, Some(3));
}
