//! Promises about stops and kills of one service.
//! Not here: the order among several; what is left of a tree.

use supervisor_core::{Failure, State};

use crate::desk::{code, desk, notifying, running, service, signal, with};

#[test]
fn a_stop_asks_and_kills_at_the_timeout() {
    let mut desk = running(vec![with(service("web"), |spec| spec.stop.signal = 2)]);
    assert_eq!(desk.stop(&["web"]), ["stop web with 2"]);
    assert_eq!(desk.reports(), ["web: running -> stopping: asked to stop"]);
    assert_eq!(desk.pass(9_999), [""; 0]);
    assert_eq!(desk.pass(1), ["kill web"]);
    assert_eq!(desk.cause("web"), "did not end within 10s; killed");
    assert_eq!(desk.exited("web", signal(9)), ["release web", "close web"]);
    let seen = desk.see("web");
    assert_eq!((seen.state, seen.wanted, seen.failures), (State::Stopped, false, 0));
    assert_eq!(seen.cause, "stopped: killed by SIGKILL after 10s");
    assert!(seen.last_exit.as_ref().unwrap().asked);
    assert_eq!(desk.pass(600_000), [""; 0]);
}

#[test]
fn a_second_stop_changes_nothing() {
    let mut desk = running(vec![service("web")]);
    desk.stop(&["web"]);
    desk.pass(5_000);
    assert_eq!(desk.stop(&["web"]), [""; 0]);
    assert_eq!(desk.pass(5_000), ["kill web"], "the deadline is the first one's");
}

#[test]
fn a_kill_after_a_stop_kills_at_once_and_once() {
    let mut desk = running(vec![service("web")]);
    desk.stop(&["web"]);
    assert_eq!(desk.kill(&["web"]), ["kill web"]);
    assert_eq!(desk.kill(&["web"]), [""; 0]);
}

#[test]
fn a_kill_sends_no_polite_signal() {
    let mut desk = running(vec![service("web")]);
    assert_eq!(desk.kill(&["web"]), ["kill web"]);
    assert_eq!(desk.exited("web", signal(9)), ["release web", "close web"]);
    assert_eq!(desk.state("web"), State::Stopped);
}

#[test]
fn a_stop_while_the_process_is_being_made_stops_it_when_it_is_there() {
    let mut desk = desk(vec![service("web")]);
    desk.start(&["web"]);
    assert_eq!(desk.stop(&["web"]), [""; 0]);
    assert_eq!(desk.state("web"), State::Stopping);
    assert_eq!(desk.spawned("web"), ["stop web with 15"]);
    desk.exited("web", signal(15));
    assert_eq!(desk.state("web"), State::Stopped);
}

#[test]
fn a_kill_while_the_process_is_being_made_kills_it_when_it_is_there() {
    let mut desk = desk(vec![notifying("web")]);
    desk.start(&["web"]);
    desk.kill(&["web"]);
    assert_eq!(desk.spawned("web"), ["kill web"]);
}

#[test]
fn a_launch_that_fails_while_it_is_being_stopped_is_a_stop() {
    for failure in [Failure::Launch { message: "no".to_owned() }, Failure::PortBusy { message: "no".to_owned() }] {
        let mut desk = desk(vec![service("web")]);
        desk.start(&["web"]);
        desk.stop(&["web"]);
        assert_eq!(desk.spawn_failed("web", failure), ["release web", "close web"]);
        assert_eq!((desk.state("web"), desk.see("web").failures), (State::Stopped, 0));
        assert_eq!(desk.pass(60_000), [""; 0]);
    }
}

#[test]
fn a_stop_that_is_taken_back_before_the_process_is_there_never_happened() {
    let mut desk = desk(vec![service("web")]);
    desk.start(&["web"]);
    desk.stop(&["web"]);
    desk.start(&["web"]);
    assert_eq!(desk.spawned("web"), [""; 0]);
    assert_eq!(desk.state("web"), State::Running);
}

#[test]
fn f17_a_stop_during_backoff_is_immediate_and_no_start_follows() {
    let mut desk = running(vec![service("web")]);
    desk.exited("web", code(1));
    assert_eq!(desk.stop(&["web"]), ["close web"]);
    assert_eq!(desk.reports(), ["web: backoff -> stopped: stopped"]);
    assert_eq!(desk.fleet.next_deadline(), None);
    assert_eq!(desk.pass(600_000), [""; 0]);
}

#[test]
fn f17_a_stop_while_waiting_or_failed_is_immediate() {
    let mut desk = desk(vec![notifying("db"), crate::desk::on(service("web"), &["db"]), service("busy")]);
    desk.start(&["web", "busy"]);
    desk.spawn_failed("busy", Failure::PortBusy { message: "taken".to_owned() });
    assert_eq!(desk.stop(&["web", "busy"]), ["close busy"], "what never ran holds nothing");
    assert_eq!((desk.state("web"), desk.state("busy")), (State::Stopped, State::Stopped));
    desk.spawned("db");
    assert_eq!(desk.notified("db"), [""; 0]);
    assert_eq!(desk.pass(60_000), [""; 0]);
}

#[test]
fn a_start_of_what_is_being_stopped_starts_it_when_its_tree_is_gone() {
    let mut desk = running(vec![service("web")]);
    desk.stop(&["web"]);
    assert_eq!(desk.start(&["web"]), [""; 0]);
    assert_eq!(desk.exited_with_rest("web", signal(15)), ["survey web"]);
    assert_eq!(desk.start(&["web"]), [""; 0]);
    desk.surveyed("web", &[9]);
    assert_eq!(desk.surveyed("web", &[]), ["release web", "spawn web"]);
    assert_eq!(desk.see("web").restarts, 0);
}

#[test]
fn an_exit_that_overtakes_the_news_of_the_birth_is_an_exit() {
    let mut desk = desk(vec![service("web")]);
    desk.start(&["web"]);
    assert_eq!(desk.exited("web", code(1)), ["release web"]);
    assert_eq!(desk.spawned("web"), [""; 0]);
    assert_eq!(desk.state("web"), State::Backoff);
}

#[test]
fn an_own_exit_of_what_is_wanted_down_is_a_stop() {
    let mut desk = desk(vec![notifying("web")]);
    desk.start(&["web"]);
    desk.spawned("web");
    desk.stop(&["web"]);
    desk.exited("web", code(1));
    assert_eq!((desk.state("web"), desk.see("web").failures), (State::Stopped, 0));
}
