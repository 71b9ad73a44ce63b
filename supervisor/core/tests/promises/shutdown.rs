//! Promises about the end of everything.
//! Not here: stops of some.

use supervisor_core::{Command, Event, State};

use crate::desk::{Desk, code, desk, notifying, on, running, service, signal};

fn shut_down(desk: &mut Desk, within: u64) -> Vec<String> {
    desk.tell(Event::ShutdownRequested { within })
}

#[test]
fn a_shutdown_of_nothing_is_finished_at_once() {
    let mut desk = desk(vec![service("web")]);
    assert_eq!(shut_down(&mut desk, 30_000), ["finish"]);
    assert!(desk.fleet.shutting_down());
}

#[test]
fn a_shutdown_stops_everything_in_order_and_finishes_last_and_once() {
    let mut desk = running(vec![service("db"), on(service("web"), &["db"])]);
    assert_eq!(shut_down(&mut desk, 30_000), ["stop web with 15"]);
    assert_eq!(desk.exited("web", code(0)), ["release web", "close web", "stop db with 15"]);
    assert_eq!(desk.exited("db", code(0)), ["release db", "close db", "finish"]);
    assert_eq!(desk.last.last(), Some(&Command::FinishShutdown));
    assert_eq!(shut_down(&mut desk, 1), [""; 0]);
    assert_eq!(desk.tell(Event::ShutdownNowRequested), [""; 0]);
    assert_eq!(desk.pass(600_000), [""; 0]);
}

#[test]
fn what_is_left_at_the_deadline_is_killed_whatever_its_own_timeout() {
    let mut desk = running(vec![service("db"), on(service("web"), &["db"])]);
    shut_down(&mut desk, 8_000);
    assert_eq!(desk.pass(7_999), [""; 0]);
    assert_eq!(desk.pass(1), ["kill db", "kill web"]);
    desk.exited("web", signal(9));
    assert!(desk.exited("db", signal(9)).contains(&"finish".to_owned()));
}

#[test]
fn a_shutdown_waits_no_longer_than_five_seconds_after_the_kill() {
    let mut desk = running(vec![service("web")]);
    shut_down(&mut desk, 8_000);
    desk.pass(8_000);
    desk.exited_with_rest("web", signal(9));
    desk.surveyed("web", &[66]);
    assert_eq!(desk.pass(4_999), [""; 0]);
    assert_eq!(desk.pass(1).last().unwrap(), "finish");
}

#[test]
fn f19_nothing_starts_once_a_shutdown_was_asked_for() {
    let names: Vec<_> = (0..100).map(|n| format!("s{n}")).collect();
    let mut desk = desk(names.iter().map(|own| notifying(own)).collect());
    assert_eq!(desk.start(&names.iter().map(String::as_str).collect::<Vec<_>>()).len(), 8);
    desk.spawned("s0");
    let deeds = shut_down(&mut desk, 30_000);
    assert_eq!(
        desk.reports().iter().filter(|told| told.contains("waiting -> stopped")).count(),
        92,
        "those that waited are down"
    );
    assert_eq!(deeds.last().unwrap(), "stop s0 with 15");
    assert_eq!(desk.spawned("s1"), ["stop s1 with 15"], "what arrives is stopped");
    assert_eq!(desk.start(&["s50"]), [""; 0]);
    assert_eq!(desk.restart(&["s51", "s0"]), [""; 0]);
    let later = desk.pass(60_000);
    assert!(!later.iter().any(|deed| deed.starts_with("spawn")), "{later:?}");
}

#[test]
fn f18_requests_during_a_shutdown_do_not_stop_it() {
    let mut desk = running(vec![service("web")]);
    shut_down(&mut desk, 30_000);
    desk.start(&["web"]);
    desk.restart(&["web"]);
    assert!(!desk.see("web").wanted);
    assert_eq!(desk.exited("web", code(0)), ["release web", "close web", "finish"]);
}

#[test]
fn f20_a_second_more_urgent_request_kills_at_once() {
    let mut desk = running(vec![service("db"), on(service("web"), &["db"])]);
    shut_down(&mut desk, 30_000);
    assert_eq!(desk.tell(Event::ShutdownNowRequested), ["kill db", "kill web"]);
    assert_eq!(desk.tell(Event::ShutdownNowRequested), [""; 0]);
}

#[test]
fn a_kill_of_everything_reaches_a_process_that_is_being_made() {
    let mut desk = desk(vec![service("web")]);
    desk.start(&["web"]);
    assert_eq!(desk.tell(Event::ShutdownNowRequested), [""; 0]);
    assert_eq!(desk.spawned("web"), ["kill web"]);
    assert_eq!(desk.exited("web", signal(9)), ["release web", "close web", "finish"]);
}

#[test]
fn a_later_request_may_tighten_the_deadline_and_never_loosen_it() {
    let mut desk = running(vec![service("db"), on(service("web"), &["db"])]);
    shut_down(&mut desk, 9_000);
    desk.pass(1_000);
    shut_down(&mut desk, 3_000);
    shut_down(&mut desk, 60_000);
    assert_eq!(desk.pass(2_999), [""; 0]);
    assert_eq!(desk.pass(1), ["kill db", "kill web"]);
}

#[test]
fn a_shutdown_ends_backoffs_and_waits() {
    let mut desk = running(vec![service("web")]);
    desk.exited("web", code(1));
    assert_eq!(shut_down(&mut desk, 30_000), ["close web", "finish"]);
    assert_eq!(desk.state("web"), State::Stopped);
}
