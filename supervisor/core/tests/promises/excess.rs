//! Promises about runs that use more than they may.
//! Not here: what they use.

use supervisor_core::{Event, Excess, OutOfMemory, State};

use crate::desk::{Desk, code, running, service, signal, with};
use crate::rollouts::{all_ready, come_up, ready, rolled, three};

fn soft(desk: &mut Desk, own: &str) -> Vec<String> {
    let run = desk.runs[own];
    desk.tell(Event::Overran { run, excess: Excess::Soft("uses much".to_owned()) })
}

fn hard(desk: &mut Desk, own: &str) -> Vec<String> {
    let run = desk.runs[own];
    desk.tell(Event::Overran { run, excess: Excess::Hard("uses too much".to_owned()) })
}

#[test]
fn a_run_over_its_hard_limit_is_killed_and_waits_like_one_that_failed() {
    let mut desk = running(vec![service("web")]);
    desk.pass(1_000);
    assert_eq!(hard(&mut desk, "web"), ["kill web"]);
    assert_eq!((desk.state("web"), desk.cause("web").as_str()), (State::Unhealthy, "uses too much"));
    assert_eq!(hard(&mut desk, "web"), [""; 0], "it is told again while it dies");
    assert_eq!(desk.exited("web", signal(9)), ["release web"]);
    assert_eq!((desk.state("web"), desk.cause("web").as_str()), (State::Backoff, "uses too much; killed"));
    assert_eq!(desk.pass(500), ["spawn web"]);
}

#[test]
fn one_over_its_soft_limit_is_followed_without_a_gap() {
    let mut desk = ready(vec![rolled("web")]);
    desk.pass(30_000);
    assert_eq!(soft(&mut desk, "web"), ["spawn web"]);
    assert_eq!(desk.state("web"), State::Rolling);
    desk.name("old", "web", 1);
    assert_eq!(soft(&mut desk, "old"), [""; 0], "once is enough");
    come_up(&mut desk, "web");
    assert_eq!(desk.pass(2_000), ["drain web#1 with 12"]);
    assert_eq!(desk.see("web").rollout.as_ref().unwrap().cause, "uses much");
}

#[test]
fn without_overlap_it_is_asked_to_end_and_started_again_at_once() {
    let mut desk = running(vec![service("web")]);
    desk.pass(30_000);
    assert_eq!(soft(&mut desk, "web"), ["stop web with 15"]);
    assert_eq!(desk.cause("web"), "uses much");
    assert_eq!(desk.exited("web", code(0)), ["release web", "spawn web"]);
    assert_eq!((desk.see("web").failures, desk.see("web").restarts), (0, 1));
}

#[test]
fn what_always_uses_too_much_is_replaced_no_more_often_than_good_runs_are_long() {
    let mut desk = running(vec![service("web")]);
    desk.pass(29_999);
    assert_eq!(soft(&mut desk, "web"), [""; 0]);
    assert_eq!((desk.state("web"), desk.pass(1)), (State::Running, vec![]));
    assert_eq!(soft(&mut desk, "web"), ["stop web with 15"]);
}

#[test]
fn what_cannot_be_replaced_is_not_tried_again_before_a_good_run_would_have_been_long_enough() {
    let mut desk = ready(vec![rolled("web")]);
    desk.pass(60_000);
    desk.name("old", "web", 1);
    assert_eq!(soft(&mut desk, "old"), ["spawn web"]);
    desk.spawned("web");
    assert_eq!(desk.exited("web", code(1)), ["release web"]);
    for _ in 0..30 {
        assert_eq!(soft(&mut desk, "old"), [""; 0]);
        desk.pass(1_000);
    }
    assert_eq!(soft(&mut desk, "old"), ["spawn web"]);
}

#[test]
fn of_several_instances_over_their_soft_limit_one_is_replaced_after_the_other() {
    let mut desk = all_ready(with(three("web"), |spec| spec.rollout.overlap = false));
    desk.pass(30_000);
    for old in 1..=3 {
        desk.name(&format!("old{old}"), "web", old);
    }
    let told = ["old1", "old2", "old3"].map(|old| soft(&mut desk, old).concat());
    assert_eq!(told, ["stop web#1 with 15", "", ""]);
    desk.exited("old1", code(0));
    desk.spawned("web");
    assert_eq!(soft(&mut desk, "old2"), [""; 0], "the first one does not serve yet");
    desk.notified("web");
    assert_eq!(soft(&mut desk, "old2"), ["stop web#2 with 15"]);
}

#[test]
fn a_successor_over_its_hard_limit_is_rolled_back_and_a_draining_one_is_killed() {
    let mut desk = ready(vec![rolled("web")]);
    desk.restart(&["web"]);
    desk.spawned("web");
    assert_eq!(hard(&mut desk, "web"), ["kill web"]);
    assert_eq!(desk.state("web"), State::Running);
    assert!(desk.cause("web").contains("rolled back: generation 2: uses too much"), "{}", desk.cause("web"));
    desk.exited("web", signal(9));
    desk.restart(&["web"]);
    come_up(&mut desk, "web");
    desk.pass(2_000);
    desk.name("old", "web", 1);
    assert_eq!(hard(&mut desk, "old"), ["kill web#1"]);
    assert_eq!(desk.state("web"), State::Running);
}

#[test]
fn a_kill_for_want_of_memory_is_told_as_one() {
    let mut desk = running(vec![service("web")]);
    let exit = supervisor_core::ExitReport { oom: Some(OutOfMemory::Limit), ..signal(9) };
    desk.exited("web", exit);
    let told = desk.cause("web");
    assert!(told.starts_with("killed by SIGKILL after") && told.contains("out of memory, at its own limit"), "{told}");
}
