//! Promises about starts: dependencies, slots, failures to launch.
//! Not here: readiness.

use supervisor_core::{Command, Condition, Failure, Settings, State};

use crate::desk::{code, desk, desk_with, notifying, on, on_condition, oneshot, running, service, signal, with};

#[test]
fn a_new_fleet_wants_nothing_and_does_nothing() {
    let mut desk = desk(vec![service("web")]);
    assert_eq!(desk.state("web"), State::Stopped);
    assert_eq!(desk.fleet.next_deadline(), None);
    assert!(!desk.fleet.shutting_down());
}

#[test]
fn a_start_brings_up_what_is_depended_on_first() {
    let mut desk = desk(vec![on(service("web"), &["auth"]), on(service("auth"), &["db"]), service("db"), service("x")]);
    assert_eq!(desk.start(&["web"]), ["spawn db"]);
    assert_eq!(desk.cause("web"), "waiting for auth to be ready (auth is waiting)");
    assert_eq!(desk.spawned("db"), ["spawn auth"]);
    assert_eq!(desk.spawned("auth"), ["spawn web"]);
    assert_eq!(desk.spawned("web"), [""; 0]);
    assert_eq!(desk.state("web"), State::Running);
    assert_eq!(desk.state("x"), State::Stopped);
}

#[test]
fn a_dependency_on_started_waits_for_a_process_and_no_longer() {
    let mut desk = desk(vec![notifying("db"), on_condition(service("web"), "db", Condition::Started)]);
    assert_eq!(desk.start(&["web"]), ["spawn db"]);
    assert_eq!(desk.cause("web"), "waiting for db to be started (db is starting)");
    assert_eq!(desk.spawned("db"), ["spawn web"]);
    assert_eq!(desk.state("db"), State::Starting);
}

#[test]
fn a_dependency_on_a_oneshot_waits_for_its_success() {
    for condition in [Condition::Ready, Condition::Completed] {
        let mut desk = desk(vec![oneshot("migrate"), on_condition(service("web"), "migrate", condition)]);
        desk.start(&["web"]);
        assert_eq!(desk.spawned("migrate"), [""; 0]);
        assert_eq!(desk.cause("web"), "waiting for migrate to be completed (migrate is running)");
        assert_eq!(desk.exited("migrate", code(0)), ["release migrate", "close migrate", "spawn web"]);
        assert_eq!(desk.state("migrate"), State::Completed);
    }
}

#[test]
fn a_failed_oneshot_keeps_its_dependents_waiting_and_is_tried_again() {
    let mut desk = desk(vec![oneshot("migrate"), on(service("web"), &["migrate"])]);
    desk.start(&["web"]);
    desk.spawned("migrate");
    assert_eq!(desk.exited("migrate", code(1)), ["release migrate"]);
    assert_eq!(desk.cause("web"), "waiting for migrate to be completed (migrate is backoff)");
    assert_eq!(desk.pass(500), ["spawn migrate"]);
}

#[test]
fn starting_a_dependent_does_not_run_a_completed_oneshot_again() {
    let mut desk = desk(vec![oneshot("migrate"), on(service("web"), &["migrate"])]);
    desk.start(&["migrate"]);
    desk.spawned("migrate");
    desk.exited("migrate", code(0));
    assert_eq!(desk.start(&["web"]), ["spawn web"]);
    assert_eq!(desk.start(&["migrate"]), ["spawn migrate"], "but by its name it is");
}

#[test]
fn a_crashed_service_waits_for_its_dependency_too() {
    let mut desk = running(vec![service("db"), on(service("web"), &["db"])]);
    desk.stop(&["db"]);
    desk.exited("db", signal(15));
    assert_eq!(desk.state("web"), State::Running, "a stop of a dependency stops nothing else");
    desk.pass(60_000);
    assert_eq!(desk.exited("web", code(1)), ["release web"]);
    assert_eq!(desk.cause("web"), "waiting for db to be ready (db is stopped)");
    assert_eq!(desk.start(&["db"]), ["spawn db"]);
    assert_eq!(desk.spawned("db"), ["spawn web"]);
}

#[test]
fn what_only_lives_until_it_is_its_turn_to_stop_is_nothing_to_depend_on() {
    let web = on_condition(service("web"), "db", Condition::Started);
    let mut desk = running(vec![service("db"), on(service("tool"), &["db"]), web]);
    desk.exited("web", code(1));
    desk.stop(&["db", "tool"]);
    assert_eq!(desk.pass(500), [""; 0]);
    assert_eq!(desk.cause("web"), "waiting for db to be started (db is stopping)");
}

#[test]
fn a_start_of_what_runs_changes_nothing() {
    let mut desk = running(vec![service("web")]);
    desk.pass(60_000);
    desk.exited("web", code(1));
    desk.spawn_all();
    assert_eq!(desk.start(&["web"]), [""; 0]);
    assert!(desk.last.is_empty());
    assert_eq!(desk.see("web").restarts, 1);
}

#[test]
fn no_more_than_the_slots_start_at_once_in_the_order_of_the_specs() {
    let specs = ["a", "b", "c", "d"].map(notifying).to_vec();
    let mut desk = desk_with(Settings { max_parallel_starts: 2, max_parallel_launches: 2, seed: 1 }, specs);
    assert_eq!(desk.start(&["d", "c", "b", "a"]), ["spawn a", "spawn b"]);
    assert_eq!(desk.state("c"), State::Waiting);
    assert_eq!(desk.cause("c"), "waiting for its turn: at most 2 start at once");
    desk.spawned("a");
    assert_eq!(desk.notified("a"), ["spawn c"], "a slot is free at ready");
    assert_eq!(desk.pass(1_999), [""; 0]);
    assert_eq!(desk.pass(1), ["spawn d"], "or after two seconds");
}

#[test]
fn a_service_without_gates_frees_its_slot_as_soon_as_it_lives() {
    let specs = ["a", "b", "c"].map(service).to_vec();
    let mut desk = desk_with(Settings { max_parallel_starts: 1, max_parallel_launches: 1, seed: 1 }, specs);
    assert_eq!(desk.start(&["a", "b", "c"]), ["spawn a"]);
    assert_eq!(desk.spawned("a"), ["spawn b"]);
    assert_eq!(desk.spawned("b"), ["spawn c"]);
}

#[test]
fn those_that_are_ready_as_soon_as_they_run_have_slots_of_their_own_beside_those_that_are_not() {
    let specs = vec![notifying("a"), notifying("b"), service("c"), service("d"), service("e")];
    let settings = Settings { max_parallel_starts: 1, max_parallel_launches: 3, seed: 1 };
    let mut desk = desk_with(settings, specs);
    assert_eq!(desk.start(&["a", "b", "c", "d", "e"]), ["spawn a", "spawn c", "spawn d"]);
    assert_eq!(desk.cause("b"), "waiting for its turn: at most 1 start at once");
    assert_eq!(desk.cause("e"), "waiting for its turn: at most 3 start at once");
    assert_eq!(desk.spawned("c"), ["spawn e"]);
    assert_eq!(desk.spawned("d"), [""; 0], "the one place of those that take their time is taken");
    desk.spawned("a");
    assert_eq!(desk.notified("a"), ["spawn b"]);
}

#[test]
fn f26_fifty_services_that_lose_a_dependency_come_back_in_turn_and_not_in_step() {
    let mut specs = vec![service("db")];
    for n in 0..50 {
        let spec = on(notifying(&format!("s{n}")), &["db"]);
        specs.push(with(spec, |spec| spec.restart.jitter = 0.5));
    }
    let names: Vec<_> = (0..50).map(|n| format!("s{n}")).collect();
    let mut desk = desk_with(Settings { max_parallel_starts: 4, max_parallel_launches: 4, seed: 3 }, specs);
    desk.start(&names.iter().map(String::as_str).collect::<Vec<_>>());
    desk.spawned("db");
    while names.iter().any(|own| desk.state(own) != State::Running) {
        for own in &names {
            if desk.see(own).run.is_some() {
                desk.spawned(own);
                desk.notified(own);
            }
        }
    }
    desk.exited("db", code(1));
    for own in &names {
        desk.exited(own, code(1));
    }
    let mut waits: Vec<_> = names.iter().map(|own| desk.wait(own)).collect();
    assert!(waits.iter().all(|wait| (250..=500).contains(wait)), "{waits:?}");
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 25, "delays differ: {waits:?}");
    assert_eq!(desk.pass(500), ["spawn db"], "nobody comes before what it needs");
    assert_eq!(desk.spawned("db").len(), 4);
    assert_eq!(desk.pass(1_900), [""; 0]);
    assert_eq!(desk.pass(200).len(), 4, "four more when four slots are free");
}

#[test]
fn a_launch_that_fails_is_a_failed_run() {
    let mut desk = desk(vec![service("web")]);
    desk.start(&["web"]);
    let failure = Failure::Launch { message: "exec /nope: no such file".to_owned() };
    assert_eq!(desk.spawn_failed("web", failure.clone()), ["release web"]);
    let seen = desk.see("web");
    assert_eq!((seen.state, seen.failures, seen.restarts), (State::Backoff, 1, 1));
    assert_eq!(seen.cause, "could not be started: exec /nope: no such file");
    let exit = seen.last_exit.as_ref().unwrap();
    assert_eq!((exit.pid, exit.ran, exit.generation), (0, 0, 1));
    assert_eq!(exit.reason.as_deref(), Some("exec /nope: no such file"));
    assert_eq!(desk.pass(500), ["spawn web"]);
    desk.spawn_failed("web", failure);
    assert_eq!(desk.wait("web"), 1_000);
}

#[test]
fn a_busy_port_is_a_failure_that_is_tried_again_every_five_seconds_and_never_counted() {
    let mut desk = desk(vec![service("web")]);
    desk.start(&["web"]);
    let busy = || Failure::PortBusy { message: "port 8001 is held by pid 4242 (node)".to_owned() };
    for _ in 0..10 {
        let generation = desk.see("web").generation;
        assert_eq!(desk.spawn_failed("web", busy()), ["release web"]);
        let seen = desk.see("web");
        assert_eq!((seen.state, seen.failures, seen.restarts), (State::Failed, 0, 0));
        assert_eq!(seen.cause, "port 8001 is held by pid 4242 (node)");
        assert_eq!(desk.wait("web"), 5_000);
        assert_eq!(desk.pass(5_000), ["spawn web"]);
        assert!(desk.reports().is_empty(), "one line of log for one failure: {:?}", desk.reports());
        assert_eq!(desk.see("web").generation, generation + 1);
    }
    desk.spawned("web");
    assert_eq!(desk.reports(), ["web: failed -> running: ready at once"]);
}

#[test]
fn run_numbers_are_unique_and_generations_count_per_service() {
    let mut desk = running(vec![service("a"), service("b")]);
    desk.exited("a", code(1));
    desk.pass(500);
    let spawns = desk.last.iter().filter(|c| matches!(c, Command::Spawn { run: 3, generation: 2, .. })).count();
    assert_eq!((spawns, desk.runs["b"]), (1, 2));
}

#[test]
fn intent_is_remembered_before_the_process_is_asked_for() {
    let mut desk = desk(vec![service("web")]);
    desk.start(&["web"]);
    let remember = desk.last.iter().position(|c| matches!(c, Command::Remember { memory, .. } if memory.run == 1));
    let spawn = desk.last.iter().position(|c| matches!(c, Command::Spawn { .. }));
    assert!(remember.unwrap() < spawn.unwrap());
}

#[test]
fn a_name_that_nobody_bears_is_ignored() {
    let mut desk = desk(vec![service("web")]);
    assert_eq!(desk.start(&["nobody"]), [""; 0]);
    assert_eq!(desk.stop(&["nobody"]), [""; 0]);
}
