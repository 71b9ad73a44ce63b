//! Promises about rollouts that go well: the next generation is up and ready before the one that serves is let go of.
//! Not here: those that do not (see `rollbacks`).

use supervisor_core::{
    Change, Event, HealthStatus, Liveness, Role, RolloutPhase, RolloutPolicy, RolloutResult, SeenOff, ServiceSpec,
    Sign, State,
};

use crate::desk::{Desk, check, code, desk, notifying, on, running, service, signal, with};

/// Notifies readiness, bakes for 2 s, is warm for 30 s, and has 30 s to drain after a signal of its own.
pub(crate) fn rolled(own: &str) -> ServiceSpec {
    with(notifying(own), |spec| {
        spec.rollout =
            RolloutPolicy { overlap: true, drain_signal: Some(12), bake: 2_000, warm: 30_000, drain: 30_000 };
    })
}

/// A fleet whose services are all ready.
pub(crate) fn ready(specs: Vec<ServiceSpec>) -> Desk {
    let mut desk = running(specs);
    loop {
        let starting =
            desk.fleet.snapshot().iter().find(|seen| seen.state == State::Starting).map(|seen| seen.name.to_string());
        let Some(own) = starting else { return desk };
        desk.spawn_all();
        desk.notified(&own);
        desk.spawn_all();
    }
}

/// The newest generation comes up and bakes.
pub(crate) fn come_up(desk: &mut Desk, own: &str) {
    desk.spawned(own);
    desk.notified(own);
}

#[test]
fn the_one_that_serves_is_not_touched_until_the_next_one_was_ready_for_its_bake() {
    let mut desk = ready(vec![rolled("web")]);
    assert_eq!(desk.restart(&["web"]), ["spawn web"]);
    assert_eq!(desk.told(), ["web 0->0: Waiting", "web 1->2: Starting"]);
    assert_eq!(desk.reports(), ["web: running -> rolling: asked to restart; generation 2: its process is being made"]);
    assert_eq!(desk.roles("web"), [(1, Role::Serving), (2, Role::Starting)]);
    assert_eq!(desk.spawned("web"), [""; 0]);
    assert_eq!(desk.cause("web"), "asked to restart; generation 2: not ready yet: no READY=1");
    assert_eq!(desk.notified("web"), [""; 0]);
    assert_eq!((desk.told(), desk.roles("web")[1]), (vec!["web 1->2: Baking".to_owned()], (2, Role::Baking)));
    assert_eq!(desk.pass(1_999), [""; 0]);
    assert_eq!(desk.pass(1), ["drain web#1 with 12"]);
    assert_eq!(desk.told(), ["web 1->2: Done/Draining"]);
    assert_eq!(desk.reports(), ["web: rolling -> running: generation 2 has taken over"]);
    assert_eq!(desk.roles("web"), [(2, Role::Serving), (1, Role::Draining)]);
    assert_eq!(desk.see("web").run.as_ref().unwrap().generation, 2);
}

#[test]
fn its_phases_are_timed_and_the_end_of_the_drain_is_told() {
    let mut desk = ready(vec![rolled("web")]);
    desk.restart(&["web"]);
    desk.spawned("web");
    desk.pass(700);
    desk.notified("web");
    desk.pass(2_000);
    desk.name("old", "web", 1);
    let run = desk.runs["old"];
    desk.tell(Event::NotifiedDrained { run, seen_off: SeenOff { drained: 40, cut: 2 } });
    desk.pass(300);
    assert_eq!(desk.exited("old", code(0)), ["release web#1"]);
    assert_eq!(desk.told(), ["web 1->2: Done/Over"]);
    let rollout = desk.see("web").rollout.clone().unwrap();
    assert_eq!((rollout.number, rollout.result), (1, Some(RolloutResult::Done)));
    let spans = [rollout.waited, rollout.starting, rollout.baking, rollout.draining, rollout.took];
    assert_eq!(spans, [Some(0), Some(700), Some(2_000), Some(300), Some(2_700)]);
    assert_eq!(rollout.seen_off, Some(SeenOff { drained: 40, cut: 2 }));
    assert_eq!((desk.see("web").restarts, desk.see("web").failures), (1, 0));
    assert_eq!(desk.pass(600_000), [""; 0], "and then it is quiet");
}

#[test]
fn what_does_not_drain_in_time_is_stopped_then_killed() {
    let mut desk = ready(vec![rolled("web")]);
    desk.restart(&["web"]);
    come_up(&mut desk, "web");
    desk.pass(2_000);
    assert_eq!(desk.pass(29_999), [""; 0]);
    assert_eq!(desk.pass(1), ["stop web#1 with 15"]);
    assert_eq!(desk.pass(10_000), ["kill web#1"]);
    assert_eq!(desk.state("web"), State::Running);
}

#[test]
fn without_a_signal_of_its_own_the_stop_signal_says_that_another_one_serves() {
    let mut desk = ready(vec![with(rolled("web"), |spec| spec.rollout.drain_signal = None)]);
    desk.restart(&["web"]);
    come_up(&mut desk, "web");
    assert_eq!(desk.pass(2_000), ["drain web#1 with 15"]);
}

#[test]
fn a_service_that_is_rolled_is_healthy_and_ready_for_others() {
    let mut desk = ready(vec![rolled("db"), on(service("web"), &["db"])]);
    desk.restart(&["db"]);
    assert_eq!((desk.state("db"), desk.health().status), (State::Rolling, HealthStatus::Healthy));
    desk.exited("web", code(0));
    assert_eq!(desk.pass(500), ["spawn web"], "it does not wait for the end of a rollout");
}

#[test]
fn where_two_must_not_run_at_once_a_restart_stops_first() {
    let mut desk = ready(vec![with(rolled("web"), |spec| spec.rollout.overlap = false)]);
    assert_eq!(desk.restart(&["web"]), ["stop web with 15"]);
    assert_eq!(desk.exited("web", code(0)), ["release web", "spawn web"]);
}

#[test]
fn what_is_not_ready_yet_is_ended_and_started_again() {
    let mut desk = running(vec![rolled("web")]);
    assert_eq!(desk.restart(&["web"]), ["stop web with 15"], "there is nothing to lose");
}

#[test]
fn case_12_the_newest_request_wins_and_one_generation_comes_up_at_a_time() {
    let mut desk = ready(vec![rolled("web")]);
    desk.restart(&["web"]);
    desk.spawned("web");
    desk.pass(100);
    assert_eq!(desk.restart(&["web"]), ["kill web"]);
    assert_eq!(desk.told(), ["web 1->2: Superseded/Over", "web 0->0: Waiting"]);
    assert_eq!(desk.restart(&["web"]), [""; 0], "the same request, still pending");
    assert_eq!(desk.exited("web", signal(9)), ["release web", "spawn web"]);
    come_up(&mut desk, "web");
    assert_eq!(desk.pass(2_000), ["drain web#1 with 12"]);
    assert_eq!(desk.roles("web"), [(3, Role::Serving), (1, Role::Draining)]);
}

#[test]
fn a_request_after_the_switch_begins_another_rollout() {
    let mut desk = ready(vec![rolled("web")]);
    desk.restart(&["web"]);
    come_up(&mut desk, "web");
    desk.pass(2_000);
    assert_eq!(desk.restart(&["web"]), ["spawn web"], "the first one still drains");
    come_up(&mut desk, "web");
    assert_eq!(desk.pass(2_000), ["drain web#2 with 12"]);
    assert_eq!(desk.roles("web"), [(3, Role::Serving), (1, Role::Draining), (2, Role::Draining)]);
    assert_eq!(desk.see("web").rollout.as_ref().unwrap().number, 2);
}

#[test]
fn case_42_of_more_than_three_that_drain_the_oldest_is_killed() {
    let mut desk = ready(vec![rolled("web")]);
    for _ in 0..3 {
        desk.restart(&["web"]);
        come_up(&mut desk, "web");
        desk.pass(2_000);
    }
    desk.restart(&["web"]);
    come_up(&mut desk, "web");
    assert_eq!(desk.pass(2_000), ["drain web#4 with 12", "kill web#1"]);
}

#[test]
fn a_stop_meanwhile_ends_every_generation() {
    let mut desk = ready(vec![rolled("web")]);
    desk.restart(&["web"]);
    come_up(&mut desk, "web");
    desk.pass(2_000);
    desk.restart(&["web"]);
    desk.spawned("web");
    assert_eq!(desk.stop(&["web"]), ["stop web with 15", "stop web#2 with 15", "stop web#1 with 15"]);
    assert_eq!(desk.told(), ["web 2->3: Abandoned/Over"]);
    for (alias, generation) in [("a", 1), ("b", 2)] {
        desk.name(alias, "web", generation);
        desk.exited(alias, code(0));
    }
    assert_eq!(desk.state("web"), State::Stopping);
    assert_eq!(desk.exited("web", code(0)), ["release web", "close web"]);
    assert_eq!(desk.state("web"), State::Stopped);
}

#[test]
fn a_kill_meanwhile_kills_every_generation_and_one_that_is_being_made_when_it_is_there() {
    let mut desk = ready(vec![rolled("web")]);
    desk.restart(&["web"]);
    assert_eq!(desk.kill(&["web"]), ["kill web#1"]);
    assert_eq!(desk.spawned("web"), ["kill web"]);
}

#[test]
fn what_others_depend_on_is_rolled_first_and_starts_are_rationed() {
    let mut desk = ready(vec![on(rolled("web"), &["db"]), rolled("db"), rolled("x")]);
    assert_eq!(desk.restart(&["web", "db", "x"]), ["spawn db", "spawn x"]);
    assert_eq!(desk.cause("web"), "waiting for db to be ready (db is rolling)");
    come_up(&mut desk, "db");
    assert_eq!(desk.pass(2_000), ["drain db#1 with 12", "spawn web"]);
}

#[test]
fn a_replaced_service_is_rolled_to_its_new_spec() {
    let mut desk = ready(vec![rolled("web")]);
    let new = with(rolled("web"), |spec| {
        spec.revision = 2;
        spec.rollout.drain_signal = Some(10);
    });
    assert_eq!(desk.replan(vec![new], &[("web", Change::Replace)]), ["spawn web"]);
    come_up(&mut desk, "web");
    assert_eq!(desk.pass(2_000), ["drain web#1 with 12"], "as the old spec has it");
    let revisions: Vec<_> = desk.see("web").generations.iter().map(|of| of.revision).collect();
    assert_eq!(revisions, [2, 1]);
}

#[test]
fn a_check_must_have_passed_before_the_switch() {
    let spec = with(rolled("web"), |spec| {
        let checks = vec![check(0, "http /health")];
        spec.live = Some(Liveness { checks, interval: 10_000, failures: 3, watchdog: None });
    });
    let mut desk = ready(vec![spec]);
    desk.restart(&["web"]);
    desk.spawned("web");
    assert_eq!(desk.notified("web"), ["probe web 0"], "at once, not after its interval");
    desk.failed("web", 0);
    assert_eq!(desk.pass(9_999), [""; 0], "nobody switches");
    assert_eq!(desk.pass(1), ["probe web#1 0", "probe web 0"], "it is tried again");
    assert_eq!(desk.passed("web", 0), ["drain web#1 with 12"]);
}

/// A fleet of one service, every instance of which is ready.
pub(crate) fn all_ready(spec: ServiceSpec) -> Desk {
    let own = spec.name.to_string();
    let mut desk = desk(vec![spec]);
    desk.start(&[&own]);
    for run in desk.see(&own).generations.iter().map(|of| of.run.run).collect::<Vec<_>>() {
        desk.tell(Event::Spawned { run, pid: 1 });
        desk.tell(Event::SignSeen { run, sign: Sign::Notify });
    }
    assert_eq!(desk.state(&own), State::Running);
    desk
}

pub(crate) fn three(own: &str) -> ServiceSpec {
    with(rolled(own), |spec| spec.instances = 3)
}

#[test]
fn instances_are_rolled_one_at_a_time() {
    let mut desk = all_ready(three("web"));
    assert_eq!(desk.restart(&["web"]), ["spawn web"]);
    come_up(&mut desk, "web");
    assert_eq!(desk.pass(2_000), ["drain web#1 with 12", "spawn web"]);
    come_up(&mut desk, "web");
    assert_eq!(desk.pass(2_000), ["drain web#2 with 12", "spawn web"]);
    come_up(&mut desk, "web");
    assert_eq!(desk.state("web"), State::Rolling);
    assert_eq!(desk.pass(2_000), ["drain web#3 with 12"]);
    assert_eq!(desk.told(), ["web 3->6: Done/Draining"]);
    assert_eq!(desk.state("web"), State::Running);
}

#[test]
fn what_all_instances_have_seen_off_is_added_up_and_the_last_of_them_ends_the_drain() {
    let mut desk = all_ready(three("web"));
    desk.restart(&["web"]);
    for old in 1..=3 {
        come_up(&mut desk, "web");
        desk.pass(2_000);
        desk.name(&format!("old{old}"), "web", old);
    }
    let rollout = |desk: &mut Desk| desk.see("web").rollout.clone().unwrap();
    let numbers = [("old3", 5, 0), ("old1", u64::MAX, 1), ("old2", 7, 2)];
    for (own, drained, cut) in numbers {
        assert_eq!(rollout(&mut desk).phase, RolloutPhase::Draining, "{own} still drains");
        let run = desk.runs[own];
        desk.tell(Event::NotifiedDrained { run, seen_off: SeenOff { drained, cut } });
        desk.pass(100);
        desk.exited(own, code(0));
    }
    let over = rollout(&mut desk);
    assert_eq!((over.phase, over.draining, over.leaving), (RolloutPhase::Over, Some(300), vec![]));
    assert_eq!(over.seen_off, Some(SeenOff { drained: u64::MAX, cut: 3 }), "they may say whatever they like");
}

#[test]
fn with_fewer_instances_the_last_ones_end_and_with_more_new_ones_start() {
    let of = |instances| with(service("web"), |spec| spec.instances = instances);
    let mut desk = running(vec![of(1)]);
    assert_eq!(desk.replan(vec![of(3)], &[("web", Change::Update)]), ["spawn web", "spawn web"]);
    assert_eq!(desk.state("web"), State::Starting, "as well as the least of them");
    for run in desk.see("web").generations.iter().map(|of| of.run.run).collect::<Vec<_>>() {
        desk.tell(Event::Spawned { run, pid: 1 });
    }
    assert_eq!(desk.state("web"), State::Running);
    assert_eq!(desk.replan(vec![of(2)], &[("web", Change::Update)]), ["stop web with 15"]);
    assert_eq!(desk.exited("web", code(0)), ["release web"]);
    assert_eq!(desk.see("web").generations.len(), 2);
    assert_eq!(desk.pass(600_000), [""; 0]);
}

#[test]
fn a_rollout_waits_for_no_instance_that_is_not_wanted_any_more() {
    let of = |instances| with(rolled("web"), |spec| spec.instances = instances);
    let mut desk = all_ready(of(3));
    desk.restart(&["web"]);
    assert_eq!(desk.replan(vec![of(1)], &[("web", Change::Update)]), ["stop web#2 with 15", "stop web#3 with 15"]);
    come_up(&mut desk, "web");
    assert_eq!(desk.pass(2_000), ["drain web#1 with 12"]);
    assert_eq!(desk.see("web").rollout.as_ref().unwrap().result, Some(RolloutResult::Done));
}

#[test]
fn a_rollout_is_not_over_before_the_one_that_was_stopped_first_is_there_again() {
    let mut desk = all_ready(with(three("web"), |spec| {
        spec.instances = 2;
        spec.rollout.overlap = false;
    }));
    let overlapping = with(three("web"), |spec| (spec.instances, spec.revision) = (2, 2));
    let deeds = desk.replan(vec![overlapping], &[("web", Change::Replace)]);
    assert_eq!(deeds, ["stop web#1 with 15"], "what runs must not have another beside it");
    let result = |desk: &mut Desk| desk.see("web").rollout.as_ref().and_then(|rollout| rollout.result);
    for old in 1..=2 {
        desk.name("old", "web", old);
        desk.exited("old", code(0));
        desk.spawned("web");
        assert_eq!(result(&mut desk), None);
        desk.notified("web");
    }
    assert_eq!(result(&mut desk), Some(RolloutResult::Done));
}

#[test]
fn nobody_starts_upon_what_is_stopped_at_that_moment_to_be_replaced() {
    let db = with(service("db"), |spec| (spec.instances, spec.rollout.overlap) = (2, false));
    let mut desk = desk(vec![on(service("web"), &["db"]), db]);
    desk.start(&["db"]);
    for generation in 1..=2 {
        desk.name("one", "db", generation);
        desk.spawned("one");
    }
    assert_eq!(desk.state("db"), State::Running);
    assert_eq!(desk.restart(&["web", "db"]), ["stop db#1 with 15"]);
    assert_eq!(desk.cause("web"), "waiting for db to be ready (db is stopping)");
}

#[test]
fn instances_that_must_not_overlap_are_stopped_and_started_one_at_a_time() {
    let exclusive = |mut spec: ServiceSpec| {
        spec.rollout = RolloutPolicy { overlap: false, ..spec.rollout };
        spec
    };
    let mut desk = all_ready(exclusive(three("web")));
    assert_eq!(desk.restart(&["web"]), ["stop web#1 with 15"]);
    for old in 1..=3 {
        desk.name("old", "web", old);
        assert_eq!(desk.exited("old", code(0)), [format!("release web#{old}"), "spawn web".to_owned()]);
        desk.spawned("web");
        assert_eq!(desk.see("web").rollout.as_ref().and_then(|rollout| rollout.result), None);
        let next = if old < 3 { vec![format!("stop web#{} with 15", old + 1)] } else { vec![] };
        assert_eq!(desk.notified("web"), next);
    }
    let rollout = desk.see("web").rollout.clone().unwrap();
    assert_eq!((rollout.result, rollout.from, rollout.to), (Some(RolloutResult::Done), 3, 6));
    assert_eq!((desk.state("web"), desk.see("web").restarts), (State::Running, 3));
}

#[test]
fn an_instance_that_must_not_overlap_and_fails_ends_the_rollout_and_goes_back() {
    let exclusive = with(three("web"), |spec| spec.rollout.overlap = false);
    let mut desk = all_ready(exclusive.clone());
    desk.replan(vec![with(exclusive, |spec| spec.revision += 1)], &[("web", Change::Replace)]);
    desk.name("old", "web", 1);
    desk.exited("old", code(0));
    desk.spawned("web");
    assert_eq!(desk.exited("web", code(3)), ["release web", "spawn web"], "by the spec before");
    desk.spawned("web");
    desk.notified("web");
    assert_eq!(desk.pass(600_000), [""; 0], "and the others are left alone");
    let rollout = desk.see("web").rollout.clone().unwrap();
    assert_eq!((rollout.result, desk.state("web")), (Some(RolloutResult::RolledBack), State::Running));
    assert!(desk.see("web").generations.iter().all(|of| of.revision == 1));
}
