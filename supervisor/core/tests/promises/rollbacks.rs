//! Promises about rollouts that fail: before the switch nothing has happened; soon after it the spec before serves.
//! Not here: those that go well (see `rollouts`).

use supervisor_core::{Change, Failure, Liveness, Memory, Recovered, Role, RolloutResult, ServiceSpec, State, Time};

use crate::desk::{Desk, check, code, name, notifying, settings, signal, with};
use crate::rollouts::{all_ready, come_up, ready, rolled, three};

fn newer(spec: ServiceSpec) -> ServiceSpec {
    with(spec, |spec| spec.revision = 2)
}

fn probed(own: &str) -> ServiceSpec {
    with(rolled(own), |spec| {
        let checks = vec![check(0, "http /health")];
        spec.live = Some(Liveness { checks, interval: 1_000, failures: 3, watchdog: None });
    })
}

/// Nothing has happened: the first generation serves, alone or soon so, and nothing is tried again.
fn assert_untouched(desk: &mut Desk, reason: &str) {
    assert_eq!(desk.cause("web"), format!("rolled back: generation 2: {reason}"));
    let seen = desk.see("web");
    let rollout = seen.rollout.as_ref().unwrap();
    assert_eq!(rollout.result, Some(RolloutResult::RolledBack));
    assert_eq!(rollout.reason.as_deref(), Some(format!("generation 2: {reason}").as_str()));
    assert_eq!((seen.state, seen.restarts, seen.failures), (State::Running, 0, 0));
    assert_eq!(desk.roles("web")[0], (1, Role::Serving));
    let later = desk.pass(600_000);
    assert!(later.iter().all(|deed| deed.starts_with("probe") || deed == "kill web"), "{later:?}");
}

#[test]
fn case_16_and_31_a_successor_that_cannot_be_made_changes_nothing() {
    for failure in [
        Failure::Launch { message: "exec /bin/nothing: no such file or directory (ENOENT)".to_owned() },
        Failure::Launch { message: "fork: resource temporarily unavailable (EAGAIN)".to_owned() },
        Failure::PortBusy { message: "port 8001 is held by pid 7".to_owned() },
    ] {
        let mut desk = ready(vec![rolled("web")]);
        desk.restart(&["web"]);
        assert_eq!(desk.spawn_failed("web", failure.clone()), ["release web"]);
        assert_eq!(desk.told(), ["web 1->2: RolledBack/Over"]);
        assert_untouched(&mut desk, failure.message());
    }
}

#[test]
fn case_17_and_18_a_successor_that_exits_before_it_is_ready_changes_nothing() {
    for exit in [0, 1] {
        let mut desk = ready(vec![rolled("web")]);
        desk.restart(&["web"]);
        desk.spawned("web");
        desk.pass(50);
        assert_eq!(desk.exited("web", code(exit)), ["release web"]);
        let reason = format!("exited with code {exit} after 50ms");
        assert_eq!(desk.reports(), [format!("web: rolling -> running: rolled back: generation 2: {reason}")]);
        assert_untouched(&mut desk, &reason);
    }
}

#[test]
fn case_19_a_successor_that_is_not_ready_in_time_is_ended_and_changes_nothing() {
    let mut desk = ready(vec![rolled("web")]);
    desk.restart(&["web"]);
    desk.spawned("web");
    assert_eq!(desk.pass(60_000), ["stop web with 15"]);
    assert_eq!(desk.roles("web"), [(1, Role::Serving), (2, Role::Ending)]);
    assert_untouched(&mut desk, "not ready within 60s (no READY=1)");
}

#[test]
fn case_21_a_successor_that_crashes_in_its_bake_changes_nothing() {
    let mut desk = ready(vec![rolled("web")]);
    desk.restart(&["web"]);
    come_up(&mut desk, "web");
    desk.pass(1_999);
    assert_eq!(desk.exited_with_rest("web", signal(11)), ["survey web"]);
    assert_eq!(desk.told(), ["web 1->2: RolledBack/Over"], "the rest of its tree is not waited for");
    assert_eq!(desk.surveyed("web", &[]), ["release web"]);
    assert_untouched(&mut desk, "killed by SIGSEGV after 1.9s");
}

#[test]
fn case_22_and_23_a_check_that_fails_in_the_bake_ends_it_at_its_threshold_and_not_before() {
    let mut desk = ready(vec![probed("web")]);
    desk.restart(&["web"]);
    desk.spawned("web");
    desk.notified("web");
    desk.failed("web", 0);
    desk.pass(1_000);
    desk.passed("web", 0);
    assert_eq!(desk.state("web"), State::Rolling, "one failure is a hiccup");
    for _ in 0..2 {
        desk.pass(1_000);
        desk.failed("web", 0);
    }
    desk.pass(1_000);
    assert_eq!(desk.state("web"), State::Running, "it passed its bake between two hiccups");
    let mut desk = ready(vec![probed("web")]);
    desk.restart(&["web"]);
    desk.spawned("web");
    desk.notified("web");
    for _ in 0..2 {
        desk.failed("web", 0);
        desk.pass(1_000);
    }
    assert_eq!(desk.failed("web", 0), ["stop web with 15"]);
    assert_untouched(&mut desk, "http /health failed 3 times in a row: connection refused");
}

#[test]
fn when_the_one_that_serves_crashes_the_next_one_takes_over_as_soon_as_it_is_ready() {
    let mut desk = ready(vec![rolled("web")]);
    desk.restart(&["web"]);
    desk.spawned("web");
    desk.name("old", "web", 1);
    assert_eq!(desk.exited("old", signal(9)), ["release web#1"], "nothing else is started");
    assert_eq!(desk.state("web"), State::Starting);
    desk.pass(10_000);
    assert_eq!(desk.notified("web"), [""; 0]);
    assert_eq!(desk.state("web"), State::Running, "without a bake: nobody else serves");
}

#[test]
fn when_both_fail_the_spec_before_is_started_again() {
    let mut desk = ready(vec![rolled("web")]);
    desk.replan(vec![newer(rolled("web"))], &[("web", Change::Replace)]);
    desk.spawned("web");
    desk.name("old", "web", 1);
    desk.exited("old", signal(9));
    assert_eq!(desk.exited("web", code(1)), ["release web", "spawn web"]);
    assert_eq!(desk.see("web").generations[0].revision, 1);
}

#[test]
fn a_crash_of_what_waits_to_be_rolled_is_a_start_by_the_newest_spec() {
    let mut desk = ready(vec![rolled("db"), crate::desk::on(rolled("web"), &["db"])]);
    desk.restart(&["db", "web"]);
    assert_eq!(desk.exited("web", code(1)), ["release web", "spawn web"], "at once, no failure is counted");
    assert_eq!(desk.see("web").failures, 0);
}

/// The second generation, of the second revision, has just taken over.
fn switched(spec: ServiceSpec) -> Desk {
    let mut desk = ready(vec![spec.clone()]);
    desk.replan(vec![newer(spec)], &[("web", Change::Replace)]);
    desk.spawned("web");
    desk.notified("web");
    desk.passed("web", 0);
    desk.pass(2_000);
    assert_eq!(desk.roles("web")[..2], [(2, Role::Serving), (1, Role::Draining)]);
    desk
}

#[test]
fn case_24_and_25_one_that_crashes_soon_after_the_switch_is_followed_by_the_spec_before_at_once() {
    let mut desk = switched(rolled("web"));
    desk.pass(5_000);
    assert_eq!(desk.exited("web", code(1)), ["release web", "spawn web"]);
    assert_eq!(desk.told(), ["web 1->2: RolledBack/Over"]);
    let told = desk.reports();
    assert_eq!(told[0], "web: running -> waiting: rolled back: generation 2: exited with code 1 after 7s");
    assert_eq!(desk.see("web").generations[0].revision, 1);
    come_up(&mut desk, "web");
    assert_eq!((desk.state("web"), desk.see("web").failures), (State::Running, 0));
    desk.pass(40_000);
    desk.exited("web", code(1));
    assert_eq!(desk.see("web").generations[0].revision, 1, "no plan has asked for another since");
    come_up(&mut desk, "web");
    assert_eq!(desk.restart(&["web"]), ["spawn web"]);
    assert_eq!(desk.see("web").generations[1].revision, 2, "someone wants it tried again");
}

#[test]
fn one_whose_liveness_fails_soon_after_the_switch_goes_back_though_its_end_takes_long() {
    let mut desk = switched(probed("web"));
    for _ in 0..3 {
        desk.pass(1_000);
        desk.failed("web", 0);
    }
    assert_eq!(desk.state("web"), State::Unhealthy);
    desk.pass(29_000);
    assert!(desk.exited("web", signal(9)).contains(&"spawn web".to_owned()));
    assert_eq!(desk.see("web").rollout.as_ref().unwrap().result, Some(RolloutResult::RolledBack));
}

#[test]
fn one_that_fails_later_is_restarted_like_any_other() {
    let mut desk = switched(rolled("web"));
    desk.pass(30_001);
    desk.exited("web", code(1));
    assert_eq!(desk.see("web").generations[0].revision, 2);
    assert_eq!(desk.see("web").rollout.as_ref().unwrap().result, Some(RolloutResult::Done));
}

#[test]
fn case_26_when_the_spec_before_fails_too_there_is_a_backoff_and_no_third_way() {
    let mut desk = switched(rolled("web"));
    desk.exited("web", code(1));
    desk.spawned("web");
    assert_eq!(desk.exited("web", code(1)), ["release web"]);
    assert_eq!((desk.state("web"), desk.wait("web")), (State::Backoff, 500));
    assert_eq!(desk.pass(500), ["spawn web"]);
    assert_eq!(desk.see("web").generations[0].revision, 1);
}

#[test]
fn after_a_failed_plan_a_crash_is_followed_by_what_is_known_to_run() {
    let mut desk = ready(vec![rolled("web")]);
    desk.replan(vec![newer(rolled("web"))], &[("web", Change::Replace)]);
    desk.spawn_failed("web", Failure::Launch { message: "no".to_owned() });
    desk.name("web", "web", 1);
    desk.pass(60_000);
    desk.exited("web", code(1));
    assert_eq!(desk.see("web").generations[0].revision, 1);
    let third = with(rolled("web"), |spec| spec.revision = 3);
    desk.replan(vec![third], &[("web", Change::Replace)]);
    desk.spawned("web");
    desk.exited("web", code(0));
    assert_eq!(desk.see("web").generations[0].revision, 3, "a new plan is a new chance");
}

#[test]
fn the_first_instance_that_fails_ends_the_rollout_and_takes_a_plan_back() {
    let mut desk = all_ready(three("web"));
    desk.replan(vec![newer(three("web"))], &[("web", Change::Replace)]);
    come_up(&mut desk, "web");
    assert_eq!(desk.pass(2_000), ["drain web#1 with 12", "spawn web"]);
    desk.spawned("web");
    assert_eq!(desk.exited("web", code(1)), ["release web", "spawn web"], "the first instance goes back");
    assert_eq!(desk.see("web").rollout.as_ref().unwrap().result, Some(RolloutResult::RolledBack));
    come_up(&mut desk, "web");
    assert_eq!(desk.pass(2_000), ["drain web#4 with 12"]);
    let serving: Vec<_> = desk.see("web").generations.iter().filter(|of| of.role == Role::Serving).cloned().collect();
    assert!(serving.iter().all(|of| of.revision == 1), "{serving:?}");
    assert_eq!(desk.pass(600_000).iter().filter(|deed| deed.starts_with("spawn")).count(), 0);
}

#[test]
fn after_a_failed_restart_the_instances_that_were_rolled_stay() {
    let mut desk = all_ready(three("web"));
    desk.restart(&["web"]);
    come_up(&mut desk, "web");
    desk.pass(2_000);
    desk.spawned("web");
    assert_eq!(desk.exited("web", code(1)), ["release web"]);
    let serving = desk.roles("web").into_iter().filter(|(_, role)| *role == Role::Serving);
    assert_eq!(serving.map(|(generation, _)| generation).collect::<Vec<_>>(), [4, 2, 3]);
    assert_eq!(desk.state("web"), State::Running);
}

#[test]
fn an_instance_that_fails_while_others_are_rolled_ends_the_rollout_too() {
    let mut desk = all_ready(three("web"));
    desk.replan(vec![newer(three("web"))], &[("web", Change::Replace)]);
    come_up(&mut desk, "web");
    desk.pass(2_000);
    desk.spawned("web");
    desk.name("first", "web", 4);
    assert_eq!(desk.exited("first", code(1)), ["release web#4", "stop web with 15", "spawn web"]);
    assert_eq!(desk.see("web").rollout.as_ref().unwrap().result, Some(RolloutResult::RolledBack));
}

/// Control dies; the next one finds these processes of `web`.
fn next_control(desk: &mut Desk, spec: ServiceSpec, memory: Memory, runs: &[u64]) -> Vec<String> {
    let runs = runs.iter().map(|run| (*run, 7, Time(900_000))).collect();
    let recovered = [(name("web"), Recovered { memory, runs, older: Vec::new() })].into();
    let (fleet, commands) = supervisor_core::Fleet::recover(settings(), vec![spec], recovered, 100, desk.now).unwrap();
    desk.fleet = fleet;
    desk.hear(commands)
}

#[test]
fn case_58_a_control_that_dies_in_any_phase_is_followed_by_one_that_goes_on_in_it() {
    // Starting.
    let mut desk = ready(vec![rolled("web")]);
    let old = desk.runs["web"];
    desk.restart(&["web"]);
    desk.spawned("web");
    let (memory, new) = (desk.memory_kept("web"), desk.runs["web"]);
    assert_eq!(next_control(&mut desk, rolled("web"), memory, &[old, new]), [""; 0]);
    assert_eq!(desk.state("web"), State::Rolling);
    // Baking: it bakes anew.
    desk.notified("web");
    desk.pass(1_500);
    let memory = desk.memory_kept("web");
    assert_eq!(next_control(&mut desk, rolled("web"), memory, &[old, new]), [""; 0]);
    assert_eq!(desk.pass(1_999), [""; 0]);
    assert_eq!(desk.pass(1), ["drain web#1 with 12"]);
    // Draining: it is told again.
    let memory = desk.memory_kept("web");
    assert_eq!(next_control(&mut desk, rolled("web"), memory, &[old, new]), ["drain web#1 with 12"]);
    assert_eq!(desk.roles("web"), [(2, Role::Serving), (1, Role::Draining)]);
    assert_eq!(desk.pass(30_000), ["stop web#1 with 15"]);
    // Warm still.
    let memory = desk.memory_kept("web");
    assert!(memory.slots[0].warm.is_some());
}

#[test]
fn case_58_a_successor_that_never_came_to_be_is_a_rollout_that_failed() {
    let mut desk = ready(vec![rolled("web")]);
    let old = desk.runs["web"];
    desk.restart(&["web"]);
    let memory = desk.memory_kept("web");
    assert_eq!(next_control(&mut desk, rolled("web"), memory, &[old]), ["survey web"]);
    assert_eq!(desk.surveyed("web", &[]), ["release web"]);
    assert_untouched(&mut desk, "its end was not seen: control was away");
}

#[test]
fn a_new_control_knows_what_was_rolled_back() {
    let mut desk = ready(vec![rolled("web")]);
    let old = desk.runs["web"];
    desk.replan(vec![newer(rolled("web"))], &[("web", Change::Replace)]);
    desk.spawn_failed("web", Failure::Launch { message: "no".to_owned() });
    let memory = desk.memory_kept("web");
    assert_eq!(memory.fallback, Some(1));
    let deeds = next_control(&mut desk, newer(rolled("web")), memory, &[old]);
    assert_eq!(deeds, [""; 0], "it does not try again by itself");
}

#[test]
fn a_new_control_goes_on_with_a_rollout_that_stops_one_after_the_other() {
    let exclusive = with(three("web"), |spec| spec.rollout.overlap = false);
    let second = || newer(exclusive.clone());
    let mut desk = all_ready(exclusive.clone());
    desk.replan(vec![second()], &[("web", Change::Replace)]);
    desk.name("old1", "web", 1);
    desk.name("old2", "web", 2);
    desk.name("old3", "web", 3);
    desk.exited("old1", code(0));
    desk.spawned("web");
    assert_eq!(desk.notified("web"), ["stop web#2 with 15"]);
    let (memory, new) = (desk.memory_kept("web"), desk.runs["web"]);
    let runs = [new, desk.runs["old2"], desk.runs["old3"]];
    assert_eq!(next_control(&mut desk, second(), memory, &runs), ["stop web#2 with 15"], "and nothing that was done");
    assert_eq!(desk.exited("old2", code(0)), ["release web#2", "spawn web"]);
    desk.spawned("web");
    assert_eq!(desk.notified("web"), ["stop web#3 with 15"]);
    let rollout = desk.see("web").rollout.clone().unwrap();
    assert_eq!((rollout.number, rollout.result), (1, None));
}

#[test]
fn where_the_new_spec_must_not_run_beside_the_old_one_that_is_stopped_first() {
    let mut desk = ready(vec![rolled("web")]);
    assert_eq!(desk.replan(vec![newer(notifying("web"))], &[("web", Change::Replace)]), ["stop web with 15"]);
}

#[test]
fn a_way_back_to_a_port_that_somebody_has_taken_says_so_and_is_tried_until_it_is_free() {
    let mut desk = switched(rolled("web"));
    desk.name("old", "web", 1);
    desk.exited("old", code(0));
    desk.exited("web", code(1));
    desk.spawn_failed("web", Failure::PortBusy { message: "port 80 is held by pid 7 (nc)".to_owned() });
    assert_eq!(
        (desk.state("web"), &*desk.cause("web")),
        (State::Failed, "rolled back, and port 80 is held by pid 7 (nc)")
    );
    assert_eq!(desk.pass(5_000), ["spawn web"]);
    assert_eq!(desk.see("web").generations[0].revision, 1);
}
