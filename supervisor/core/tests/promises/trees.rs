//! Promises about what a main process leaves behind.
//! Not here: main processes.

use supervisor_core::State;

use crate::desk::{code, running, service, signal};

#[test]
fn the_rest_of_a_stopped_tree_is_asked_once_then_killed_at_the_deadline_of_the_stop() {
    let mut desk = running(vec![service("web")]);
    desk.stop(&["web"]);
    desk.pass(4_000);
    assert_eq!(desk.exited_with_rest("web", code(0)), ["survey web"]);
    assert_eq!(desk.surveyed("web", &[12, 11]), ["signal [11, 12] of web with 15"]);
    assert_eq!(desk.cause("web"), "exited with code 0 after 4s; 2 processes are left: 11, 12");
    assert_eq!(desk.surveyed("web", &[12]), [""; 0], "nobody is asked twice");
    assert_eq!(desk.surveyed("web", &[12, 13]), ["signal [13] of web with 15"]);
    assert_eq!(desk.pass(5_999), [""; 0]);
    assert_eq!(desk.pass(1), ["signal [12, 13] of web with 9"]);
    assert_eq!(desk.surveyed("web", &[14]), ["signal [14] of web with 9"], "and whatever shows later");
    assert_eq!(desk.surveyed("web", &[]), ["release web", "close web"]);
    assert_eq!(desk.see("web").last_exit.as_ref().unwrap().leftovers, [12, 13, 14]);
}

#[test]
fn a_rest_that_ends_when_asked_is_no_leftover() {
    let mut desk = running(vec![service("web")]);
    desk.stop(&["web"]);
    desk.exited_with_rest("web", code(0));
    desk.surveyed("web", &[11]);
    desk.surveyed("web", &[]);
    assert!(desk.see("web").last_exit.as_ref().unwrap().leftovers.is_empty());
}

#[test]
fn the_rest_of_a_killed_main_process_is_killed_as_soon_as_it_is_found() {
    let mut desk = running(vec![service("web")]);
    desk.kill(&["web"]);
    assert_eq!(desk.exited_with_rest("web", signal(9)), ["survey web"]);
    assert_eq!(desk.surveyed("web", &[11]), ["signal [11] of web with 9"]);
}

#[test]
fn a_kill_reaches_a_tree_that_was_only_asked() {
    let mut desk = running(vec![service("web")]);
    desk.stop(&["web"]);
    desk.exited_with_rest("web", code(0));
    desk.surveyed("web", &[11]);
    assert_eq!(desk.kill(&["web"]), ["signal [11] of web with 9"]);
}

#[test]
fn a_crashed_tree_is_gone_before_the_next_start() {
    let mut desk = running(vec![service("web")]);
    desk.pass(60_000);
    assert_eq!(desk.exited_with_rest("web", code(1)), ["survey web"]);
    assert_eq!(desk.state("web"), State::Stopping);
    assert_eq!(desk.surveyed("web", &[11]), ["signal [11] of web with 15"]);
    assert_eq!(desk.pass(9_999), [""; 0]);
    assert_eq!(desk.pass(1), ["signal [11] of web with 9"]);
    assert_eq!(desk.surveyed("web", &[]), ["release web", "spawn web"]);
}

#[test]
fn what_will_not_die_is_said_once_and_looked_for_every_second() {
    let mut desk = running(vec![service("web")]);
    desk.kill(&["web"]);
    desk.exited_with_rest("web", signal(9));
    desk.surveyed("web", &[123, 456]);
    assert_eq!(desk.pass(4_999), [""; 0]);
    assert_eq!(desk.pass(1), ["survey web"]);
    let told = "web: stopping -> stopping: 2 processes will not die: 123, 456";
    assert_eq!(desk.reports(), [told]);
    let seen = desk.see("web");
    assert_eq!((seen.state, seen.cause.as_str()), (State::Stopping, "2 processes will not die: 123, 456"));
    assert_eq!(seen.last_exit.as_ref().unwrap().leftovers, [123, 456]);
    assert_eq!(desk.surveyed("web", &[456]), ["signal [456] of web with 9"]);
    assert_eq!(desk.cause("web"), "1 process will not die: 456");
    assert_eq!(desk.pass(3_000), ["survey web", "survey web", "survey web"]);
    assert!(desk.reports().is_empty());
    assert_eq!(desk.surveyed("web", &[]), ["release web", "close web"]);
}

#[test]
fn nothing_starts_beside_what_will_not_die() {
    let mut desk = running(vec![service("web")]);
    desk.restart(&["web"]);
    desk.exited_with_rest("web", code(0));
    desk.surveyed("web", &[123]);
    desk.pass(60_000);
    assert_eq!(desk.start(&["web"]), [""; 0]);
    assert_eq!(desk.state("web"), State::Stopping);
    assert_eq!(desk.surveyed("web", &[]), ["release web", "spawn web"]);
}

#[test]
fn a_main_process_that_will_not_die_is_said_too() {
    let mut desk = running(vec![service("web")]);
    desk.kill(&["web"]);
    assert_eq!(desk.pass(5_000), ["kill web"]);
    assert_eq!(desk.cause("web"), "1 process will not die: 1001");
    assert_eq!(desk.pass(1_000), ["kill web"]);
    assert_eq!(desk.exited("web", signal(9)), ["release web", "close web"]);
}
