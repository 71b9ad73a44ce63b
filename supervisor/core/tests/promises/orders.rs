//! Promises about the order in which services are stopped.
//! Not here: the shutdown of everything (see `shutdown`).

use supervisor_core::{Command, State};

use crate::desk::{code, on, running, service, signal};

#[test]
fn dependents_are_stopped_before_what_they_depend_on() {
    let mut desk = running(vec![service("db"), on(service("auth"), &["db"]), on(service("web"), &["auth"])]);
    assert_eq!(desk.stop(&["db", "auth", "web"]), ["stop web with 15"]);
    assert_eq!((desk.state("db"), desk.cause("db").as_str()), (State::Stopping, "waiting for auth to stop"));
    assert_eq!(desk.exited_with_rest("web", code(0)), ["survey web"], "its tree counts too");
    assert_eq!(desk.surveyed("web", &[]), ["release web", "close web", "stop auth with 15"]);
    assert_eq!(desk.exited("auth", code(0)), ["release auth", "close auth", "stop db with 15"]);
}

#[test]
fn order_holds_through_services_that_stay() {
    let mut desk = running(vec![service("db"), on(service("auth"), &["db"]), on(service("web"), &["auth"])]);
    assert_eq!(desk.stop(&["db", "web"]), ["stop web with 15"]);
    assert_eq!(desk.state("auth"), State::Running);
    assert_eq!(desk.exited("web", code(0)), ["release web", "close web", "stop db with 15"]);
    assert_eq!(desk.state("auth"), State::Running);
}

#[test]
fn services_that_do_not_depend_on_each_other_are_stopped_together() {
    let mut desk = running(vec![service("db"), on(service("a"), &["db"]), on(service("b"), &["db"])]);
    assert_eq!(desk.stop(&["a", "b", "db"]), ["stop b with 15", "stop a with 15"]);
    desk.exited("a", code(0));
    assert_eq!(desk.cause("db"), "waiting for b to stop");
    assert_eq!(desk.exited("b", code(0)), ["release b", "close b", "stop db with 15"]);
}

#[test]
fn a_stop_of_a_dependency_alone_stops_only_it() {
    let mut desk = running(vec![service("db"), on(service("web"), &["db"])]);
    assert_eq!(desk.stop(&["db"]), ["stop db with 15"]);
    assert_eq!(desk.state("web"), State::Running);
}

#[test]
fn a_stop_waits_for_a_dependent_that_is_already_being_stopped() {
    let mut desk = running(vec![service("db"), on(service("web"), &["db"])]);
    desk.stop(&["web"]);
    assert_eq!(desk.stop(&["db"]), [""; 0]);
    assert_eq!(desk.exited("web", code(0)), ["release web", "close web", "stop db with 15"]);
}

#[test]
fn a_dependent_that_is_wanted_again_holds_nothing_up() {
    let mut desk = running(vec![service("db"), on(service("web"), &["db"])]);
    desk.stop(&["web", "db"]);
    assert_eq!(desk.restart(&["web"]), ["stop db with 15"]);
}

#[test]
fn a_stop_that_is_taken_back_while_it_waits_never_happened() {
    let mut desk = running(vec![service("db"), on(service("web"), &["db"])]);
    desk.stop(&["web", "db"]);
    assert_eq!(desk.start(&["db"]), [""; 0]);
    assert_eq!(desk.state("db"), State::Running);
    assert_eq!(desk.exited("web", code(0)), ["release web", "close web"]);
}

#[test]
fn what_will_not_die_holds_nothing_up() {
    let mut desk = running(vec![service("db"), on(service("web"), &["db"])]);
    desk.stop(&["web", "db"]);
    desk.pass(10_000);
    assert_eq!(desk.pass(5_000), ["kill web", "stop db with 15"]);
}

#[test]
fn order_holds_for_what_was_to_be_replaced_when_it_arrives() {
    let mut desk = running(vec![service("db"), on(service("web"), &["db"])]);
    desk.pass(60_000);
    assert_eq!(desk.exited("db", code(1)), ["release db", "spawn db"]);
    desk.restart(&["db"]);
    assert_eq!(desk.stop(&["db", "web"]), ["stop web with 15"]);
    assert_eq!(desk.spawned("db"), [""; 0]);
    assert_eq!(desk.exited("web", code(0)), ["release web", "close web", "stop db with 15"]);
}

#[test]
fn a_kill_keeps_no_order() {
    let mut desk = running(vec![service("db"), on(service("web"), &["db"])]);
    assert_eq!(desk.kill(&["db", "web"]), ["kill db", "kill web"]);
}

#[test]
fn a_dependent_that_crashed_and_waits_holds_nothing_up() {
    let mut desk = running(vec![service("db"), on(service("web"), &["db"])]);
    desk.exited("web", signal(9));
    assert_eq!(desk.stop(&["web", "db"]), ["close web", "stop db with 15"]);
}

#[test]
fn a_spawn_says_its_rank_for_a_shutdown_without_control() {
    let mut desk = running(vec![service("db"), on(service("web"), &["db"])]);
    desk.stop(&["web", "db"]);
    desk.exited("web", code(0));
    desk.exited("db", code(0));
    desk.start(&["web"]);
    let db = desk.last.iter().any(|c| matches!(c, Command::Spawn { stop_rank: 1, .. }));
    desk.spawned("db");
    let web = desk.last.iter().any(|c| matches!(c, Command::Spawn { stop_rank: 2, .. }));
    assert!(db && web);
}
