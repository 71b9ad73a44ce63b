//! Promises about a control that takes over what an earlier one left.
//! Not here: where memories are kept.

use supervisor_core::{Command, Event, Memory, RunMemory, Sign, SlotMemory, State};

use crate::desk::{code, desk, must_give, notifying, on, oneshot, recovered, service, watched, with};

fn up(run: u64) -> Memory {
    let stop = Some(supervisor_core::StopPolicy { signal: 15, timeout: 10_000 });
    let serving = Some(RunMemory { run, generation: 4, revision: 1, stop, ..RunMemory::default() });
    let slots = vec![SlotMemory { serving, ..SlotMemory::default() }];
    Memory { wanted: true, generation: 4, run, slots, ..Memory::default() }
}

fn serving(memory: Memory, change: impl FnOnce(&mut RunMemory)) -> Memory {
    slot(memory, |slot| change(slot.serving.as_mut().unwrap()))
}

fn slot(mut memory: Memory, change: impl FnOnce(&mut SlotMemory)) -> Memory {
    change(&mut memory.slots[0]);
    memory
}

fn ready(run: u64) -> Memory {
    serving(up(run), |serving| serving.ready = true)
}

/// The memory of a service whose last run, the fourth, is over.
fn ended(exit: supervisor_core::ExitReport) -> Memory {
    let last_exit = Some(supervisor_core::ExitReport { generation: 4, ..exit });
    slot(up(9), |slot| (slot.serving, slot.last_exit) = (None, last_exit))
}

#[test]
fn what_ran_runs_on_and_is_watched_anew() {
    let (mut desk, deeds) = recovered(vec![watched("web")], vec![("web", ready(9), Some((9, 77)))]);
    assert_eq!(deeds, [""; 0]);
    assert!(desk.last.is_empty(), "nothing changed, so nothing is said: {:?}", desk.last);
    let seen = desk.see("web");
    let run = seen.run.as_ref().unwrap();
    assert_eq!((seen.state, run.run, run.pid, run.generation), (State::Running, 9, Some(77), 4));
    assert_eq!(desk.pass(1_000), ["probe web 0"]);
}

#[test]
fn what_was_starting_has_its_gates_and_deadline_anew() {
    let spec = with(notifying("web"), |spec| spec.ready.checks = vec![crate::desk::check(0, "tcp")]);
    let (mut desk, deeds) = recovered(vec![spec], vec![("web", up(9), Some((9, 77)))]);
    assert_eq!(deeds, ["probe web 0"]);
    assert_eq!(desk.state("web"), State::Starting);
    desk.passed("web", 0);
    assert_eq!(desk.pass(59_999), [""; 0]);
    desk.notified("web");
    assert_eq!(desk.state("web"), State::Running);
}

#[test]
fn what_a_starting_run_has_said_need_not_be_said_again_to_a_new_control() {
    let spec = || with(notifying("web"), |spec| must_give(spec, Sign::Line, "no line"));
    let mut before = desk(vec![spec()]);
    before.start(&["web"]);
    before.spawned("web");
    before.notified("web");
    let memory = before.memory("web").unwrap();
    let run = memory.run;
    let (mut desk, _) = recovered(vec![spec()], vec![("web", memory, Some((run, 77)))]);
    assert_eq!(desk.cause("web"), "not ready yet: no line");
    desk.tell(Event::SignSeen { run, sign: Sign::Line });
    assert_eq!(desk.state("web"), State::Running);
}

#[test]
fn what_lives_and_is_not_wanted_is_stopped() {
    let memory = Memory { wanted: false, ..ready(9) };
    let (mut desk, deeds) = recovered(vec![service("web")], vec![("web", memory, Some((9, 77)))]);
    assert_eq!(deeds, ["stop web with 15"]);
    assert_eq!(desk.pass(10_000), ["kill web"]);
}

#[test]
fn what_was_being_restarted_is_asked_again_and_started_again() {
    let memory = serving(ready(9), |serving| serving.ending = true);
    let (mut desk, deeds) = recovered(vec![service("web")], vec![("web", memory, Some((9, 77)))]);
    assert_eq!(deeds, ["stop web with 15"]);
    assert_eq!(desk.exited("web", code(0)), ["release web", "spawn web"]);
}

#[test]
fn what_was_being_stopped_is_asked_again_whoever_depends_on_it() {
    let down = |run| Memory { wanted: false, ..ready(run) };
    let specs = vec![service("db"), on(service("web"), &["db"])];
    let db = serving(down(9), |serving| serving.ending = true);
    let (mut desk, deeds) = recovered(specs, vec![("db", db, Some((9, 77))), ("web", down(10), Some((10, 78)))]);
    assert_eq!(deeds, ["stop db with 15", "stop web with 15"]);
    desk.start(&["db"]);
    assert_eq!(desk.state("db"), State::Stopping, "it is not taken for one that runs on");
    assert_eq!(desk.exited("db", code(0)), ["release db", "spawn db"]);
}

#[test]
fn a_live_run_that_is_newer_than_the_memory_is_taken() {
    let (mut desk, deeds) =
        recovered(vec![notifying("web")], vec![("web", slot(ready(8), |slot| slot.serving = None), Some((9, 77)))]);
    assert_eq!(deeds, [""; 0]);
    let seen = desk.see("web");
    assert_eq!((seen.state, seen.generation), (State::Starting, 5), "nobody knows whether it was ready");
    let memory = desk.memory("web").unwrap();
    let serving = memory.slots[0].serving.clone().unwrap();
    assert_eq!((memory.generation, memory.run, serving.ready), (5, 9, false));
}

#[test]
fn what_is_wanted_and_not_there_is_started() {
    let (mut desk, deeds) = recovered(vec![service("web")], vec![("web", ended(code(1)), None)]);
    assert_eq!(deeds, ["spawn web"]);
    let spawn = desk.last.iter().find_map(|command| match command {
        Command::Spawn { run, generation, .. } => Some((*run, *generation)),
        _ => None,
    });
    assert_eq!(spawn, Some((100, 5)), "numbers go on");
    desk.spawned("web");
    assert_eq!(desk.state("web"), State::Running);
}

#[test]
fn the_order_of_starts_holds_for_a_new_control_too() {
    let specs = vec![on(service("web"), &["db"]), service("db")];
    let (mut desk, deeds) = recovered(specs, vec![("web", ended(code(1)), None), ("db", ended(code(1)), None)]);
    assert_eq!(deeds, ["spawn db"]);
    assert_eq!(desk.spawned("db"), ["spawn web"]);
}

#[test]
fn a_run_whose_end_nobody_saw_is_looked_for_before_the_next_start() {
    let (mut desk, deeds) = recovered(vec![service("web")], vec![("web", ready(9), None)]);
    assert_eq!(deeds, ["survey web"]);
    assert_eq!(desk.surveyed("web", &[5]), ["signal [5] of web with 15"]);
    assert_eq!(desk.surveyed("web", &[]), ["release web", "spawn web"]);
    let exit = desk.see("web").last_exit.clone().unwrap();
    assert_eq!(exit.reason.as_deref(), Some("its end was not seen: control was away"));
    assert_eq!(exit.generation, 4);
}

#[test]
fn an_exit_that_was_seen_is_kept_though_the_rest_of_its_tree_was_left_to_the_next_control() {
    let mut first = desk(vec![oneshot("migrate")]);
    first.start(&["migrate"]);
    first.spawned("migrate");
    first.exited_with_rest("migrate", code(0));
    let memory = first.memory("migrate").expect("it is remembered at once");
    let (mut next, deeds) = recovered(vec![oneshot("migrate")], vec![("migrate", memory, None)]);
    assert_eq!(deeds, ["survey migrate"]);
    next.surveyed("migrate", &[]);
    assert_eq!(next.state("migrate"), State::Completed, "it does not run a second time");
    assert_eq!(next.see("migrate").last_exit.as_ref().unwrap().code, Some(0));
}

#[test]
fn what_is_done_or_given_up_or_not_wanted_stays_down() {
    let specs = vec![oneshot("migrate"), service("broken"), service("off"), service("new")];
    let entries = vec![
        ("migrate", slot(ended(code(0)), |slot| slot.completed = true), None),
        ("broken", slot(ended(code(1)), |slot| slot.given_up = true), None),
        ("off", Memory { wanted: false, ..ended(code(0)) }, None),
    ];
    let (mut desk, deeds) = recovered(specs, entries);
    assert_eq!(deeds, ["close migrate", "close broken", "close off", "close new"]);
    let states = ["migrate", "broken", "off", "new"].map(|own| desk.state(own));
    assert_eq!(states, [State::Completed, State::Failed, State::Stopped, State::Stopped]);
    assert_eq!(desk.pass(600_000), [""; 0]);
}

#[test]
fn the_exit_that_is_told_to_the_new_control_is_judged_as_ever() {
    let memory = slot(ready(9), |slot| slot.failures = 1);
    let (mut desk, _) = recovered(vec![service("web")], vec![("web", memory, Some((9, 77)))]);
    desk.now = supervisor_core::Time(900_100);
    desk.exited("web", code(1));
    assert_eq!((desk.state("web"), desk.see("web").failures), (State::Backoff, 2));
}

#[test]
fn a_memory_survives_being_written_down() {
    let memory = slot(ended(code(3)), |slot| (slot.failures, slot.restarts) = (3, 8));
    let text = serde_json::to_string(&memory).unwrap();
    assert_eq!(serde_json::from_str::<Memory>(&text).unwrap(), memory);
    assert_eq!(serde_json::from_str::<Memory>("{}").unwrap(), Memory::default());
}
