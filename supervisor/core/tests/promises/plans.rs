//! Promises about a new plan that takes the place of the one in force.
//! Not here: what a change of a key means; the shell knows.

use supervisor_core::{
    Change, Command, Event, Failure, Fleet, Liveness, Memory, Policy, RunMemory, ServiceSpec, SlotMemory, State,
    StopPolicy,
};

use crate::desk::{Desk, check, code, desk, name, notifying, on, oneshot, recovered, running, service, watched, with};
use crate::rollouts::{come_up, ready, rolled};

fn newer(spec: ServiceSpec) -> ServiceSpec {
    with(spec, |spec| spec.revision = 2)
}

fn without_autostart(spec: ServiceSpec) -> ServiceSpec {
    with(spec, |spec| spec.autostart = false)
}

/// The revision of each start in the last call.
fn revisions(commands: &[Command]) -> Vec<u64> {
    let spawns = commands.iter().filter_map(|command| match command {
        Command::Spawn { revision, .. } => Some(*revision),
        _ => None,
    });
    spawns.collect()
}

#[test]
fn what_is_kept_is_not_touched() {
    let mut desk = running(vec![service("db"), on(service("web"), &["db"])]);
    assert_eq!(desk.replan(vec![on(service("web"), &["db"]), service("db")], &[("web", Change::Keep)]), [""; 0]);
    assert!(desk.last.is_empty(), "{:?}", desk.last);
    let names: Vec<_> = desk.fleet.snapshot().iter().map(|seen| seen.name.to_string()).collect();
    assert_eq!(names, ["web", "db"], "in the order of the new plan");
    assert_eq!(desk.stop(&["web", "db"]), ["stop web with 15"], "its graph is in force");
}

#[test]
fn what_runs_and_is_replaced_is_started_again_with_the_new_spec() {
    let mut desk = running(vec![service("web")]);
    let new = with(newer(service("web")), |spec| spec.stop = StopPolicy { signal: 2, timeout: 1_000 });
    assert_eq!(desk.replan(vec![new], &[("web", Change::Replace)]), ["stop web with 15"], "as the old one wants it");
    assert_eq!(desk.cause("web"), "replaced by a new configuration");
    assert_eq!(desk.exited("web", code(0)), ["release web", "spawn web"]);
    assert_eq!(revisions(&desk.last), [2]);
    desk.spawned("web");
    assert_eq!(desk.stop(&["web"]), ["stop web with 2"]);
}

#[test]
fn whatever_it_is_about_to_do_a_replaced_service_ends_up_with_the_new_spec() {
    let replace = [("web", Change::Replace)];
    // Being made.
    let mut unborn = desk(vec![service("web")]);
    unborn.start(&["web"]);
    unborn.replan(vec![newer(service("web"))], &replace);
    assert_eq!(unborn.spawned("web"), ["stop web with 15"]);
    assert_eq!(unborn.exited("web", code(0)), ["release web", "spawn web"]);
    assert_eq!(revisions(&unborn.last), [2]);
    // Starting.
    let mut starting = running(vec![notifying("web")]);
    assert_eq!(starting.replan(vec![newer(notifying("web"))], &replace), ["stop web with 15"]);
    // In backoff: the new spec deserves a try at once.
    let mut backoff = running(vec![service("web")]);
    backoff.exited("web", code(1));
    assert_eq!(backoff.replan(vec![newer(service("web"))], &replace), ["spawn web"]);
    assert_eq!((revisions(&backoff.last), backoff.see("web").failures), (vec![2], 0));
    // Given up.
    let hopeless = || with(service("web"), |spec| spec.restart.policy = Policy::No);
    let mut failed = running(vec![hopeless()]);
    failed.exited("web", code(1));
    assert_eq!(failed.replan(vec![newer(hopeless())], &replace), ["spawn web"]);
    // On its way down after a failure.
    let mut unhealthy = running(vec![watched("web")]);
    for _ in 0..3 {
        unhealthy.pass(1_000);
        unhealthy.failed("web", 0);
    }
    assert_eq!(unhealthy.replan(vec![newer(watched("web"))], &replace), [""; 0]);
    assert_eq!(unhealthy.exited("web", code(0)), ["release web", "spawn web"]);
}

#[test]
fn what_is_wanted_down_stays_down_whatever_changes() {
    let mut desk = running(vec![service("web"), service("off")]);
    desk.stop(&["off"]);
    let all = [("web", Change::Update), ("off", Change::Replace)];
    assert_eq!(desk.replan(vec![service("web"), newer(service("off"))], &all), [""; 0]);
    desk.exited("off", code(0));
    assert_eq!(desk.state("off"), State::Stopped);
    desk.start(&["off"]);
    assert_eq!(revisions(&desk.last), [2]);
}

#[test]
fn what_is_removed_is_stopped_in_order_as_it_wants_it_then_forgotten() {
    let db = with(service("db"), |spec| spec.stop.signal = 3);
    let mut desk = running(vec![db, on(service("web"), &["db"]), service("other")]);
    assert_eq!(desk.replan(vec![service("other")], &[]), ["stop web with 15"]);
    assert_eq!(desk.cause("db"), "waiting for web to stop");
    assert_eq!(desk.exited("web", code(0)), ["release web", "close web", "stop db with 3", "forget web"]);
    assert_eq!(desk.exited("db", code(0)), ["release db", "close db", "forget db"]);
    assert_eq!(desk.fleet.snapshot().len(), 1);
    assert_eq!(desk.start(&["web"]), [""; 0], "nobody bears this name");
}

#[test]
fn what_is_removed_while_it_is_down_is_forgotten_at_once() {
    let mut desk = running(vec![service("web"), service("off")]);
    desk.exited("web", code(1));
    assert_eq!(desk.replan(vec![], &[]), ["close web", "stop off with 15", "forget web"]);
    assert_eq!(desk.reports()[0], "web: backoff -> stopped: stopped");
}

#[test]
fn what_is_added_is_started_with_what_it_needs_unless_it_does_not_want_to() {
    let mut desk = running(vec![service("web")]);
    let specs = vec![
        service("web"),
        on(service("new"), &["below"]),
        without_autostart(service("below")),
        on(service("x"), &[]),
    ];
    let specs = specs.into_iter().chain([without_autostart(service("later"))]).collect();
    assert_eq!(desk.replan(specs, &[]), ["spawn below", "spawn x"]);
    assert_eq!(desk.spawned("below"), ["spawn new"]);
    assert_eq!(desk.state("later"), State::Stopped);
}

#[test]
fn what_a_kept_service_comes_to_need_is_started_though_it_has_no_autostart() {
    let mut desk = running(vec![service("web")]);
    let specs = vec![on(newer(service("web")), &["db"]), without_autostart(service("db"))];
    assert_eq!(desk.replan(specs, &[("web", Change::Replace)]), ["stop web with 15", "spawn db"]);
    assert_eq!(desk.exited("web", code(0)), ["release web"]);
    assert_eq!(desk.spawned("db"), ["spawn web"]);
}

#[test]
fn what_a_wanted_service_comes_to_need_is_started_though_it_was_stopped_and_what_it_needed_before_is_not() {
    let mut desk = running(vec![service("old"), service("db"), service("disk"), on(service("web"), &["old"])]);
    desk.stop(&["old", "db", "disk"]);
    for own in ["old", "db", "disk"] {
        desk.exited(own, code(0));
    }
    let specs = vec![service("old"), on(service("db"), &["disk"]), service("disk"), on(service("web"), &["old", "db"])];
    let changes = [("db", Change::Update), ("web", Change::Update)];
    assert_eq!(desk.replan(specs.clone(), &changes), ["spawn disk"], "as a start of web would");
    assert_eq!(desk.spawned("disk"), ["spawn db"]);
    assert_eq!((desk.state("old"), desk.state("web")), (State::Stopped, State::Running));
    desk.stop(&["web", "db"]);
    for own in ["web", "db"] {
        desk.exited(own, code(0));
    }
    let specs = vec![service("old"), specs[1].clone(), service("disk"), on(service("web"), &["old", "db", "disk"])];
    assert_eq!(desk.replan(specs, &changes), [""; 0], "nobody wants web");
}

#[test]
fn a_renamed_service_ends_under_one_name_and_begins_under_the_other() {
    let mut desk = running(vec![service("web")]);
    assert_eq!(desk.replan(vec![service("www")], &[]), ["stop web with 15", "spawn www"]);
    assert_eq!(desk.exited("web", code(0)), ["release web", "close web", "forget web"]);
}

#[test]
fn a_service_that_comes_back_before_it_is_gone_is_a_new_one() {
    let mut desk = running(vec![service("web")]);
    desk.replan(vec![], &[]);
    desk.replan(vec![newer(service("web"))], &[]);
    assert_eq!(desk.exited("web", code(0)), ["release web", "spawn web"]);
    assert_eq!(revisions(&desk.last), [2]);
    desk.replan(vec![], &[]);
    desk.replan(vec![without_autostart(service("web"))], &[]);
    assert_eq!(desk.spawned("web"), ["stop web with 15"], "nobody has asked for it");
    assert_eq!(desk.exited("web", code(0)), ["release web", "close web"]);
    assert_eq!(desk.state("web"), State::Stopped);
}

#[test]
fn an_update_gives_what_runs_its_new_stop_and_policies_at_once() {
    let mut desk = running(vec![service("web")]);
    let new = with(service("web"), |spec| {
        spec.stop = StopPolicy { signal: 1, timeout: 300 };
        spec.restart.delay = 7;
    });
    assert_eq!(desk.replan(vec![new.clone()], &[("web", Change::Update)]), [""; 0]);
    assert_eq!(desk.memory("web").unwrap().runs().next().unwrap().stop, Some(new.stop));
    desk.exited("web", code(1));
    assert_eq!(desk.wait("web"), 7);
    desk.pass(7);
    desk.spawned("web");
    assert_eq!(desk.stop(&["web"]), ["stop web with 1"]);
    assert_eq!(desk.pass(300), ["kill web"]);
}

#[test]
fn what_has_completed_runs_again_once_its_policy_says_always_unless_it_is_a_oneshot() {
    let by = |own: &str, policy| with(service(own), |spec| spec.restart.policy = policy);
    let once = |policy| with(oneshot("once"), |spec| spec.restart.policy = policy);
    let mut desk = running(vec![by("web", Policy::OnFailure), once(Policy::OnFailure)]);
    for own in ["web", "once"] {
        desk.exited(own, code(0));
        assert_eq!(desk.state(own), State::Completed);
    }
    let changes = [("web", Change::Update), ("once", Change::Update)];
    assert_eq!(desk.replan(vec![by("web", Policy::No), once(Policy::No)], &changes), [""; 0]);
    assert_eq!(desk.replan(vec![by("web", Policy::Always), once(Policy::Always)], &changes), ["spawn web"]);
}

#[test]
fn a_check_that_stays_keeps_its_count_and_a_new_one_begins() {
    let mut desk = running(vec![watched("web")]);
    for _ in 0..2 {
        desk.pass(1_000);
        desk.failed("web", 0);
    }
    let new = with(service("web"), |spec| {
        let checks = vec![check(0, "http /health"), check(1, "tcp")];
        spec.live = Some(Liveness { checks, interval: 400, failures: 3, watchdog: Some(5_000) });
    });
    desk.replan(vec![new], &[("web", Change::Update)]);
    assert_eq!(desk.pass(400), ["probe web 0", "probe web 1"], "the shorter interval counts at once");
    desk.passed("web", 1);
    assert_eq!(desk.failed("web", 0), ["stop web with 15"], "the third in a row");
}

#[test]
fn an_answer_to_a_check_that_is_gone_counts_for_no_other() {
    let only = |title: &'static str| {
        with(service("web"), |spec| {
            let checks = vec![check(0, title)];
            spec.live = Some(Liveness { checks, interval: 1_000, failures: 1, watchdog: None });
        })
    };
    let mut desk = running(vec![only("http /old")]);
    assert_eq!(desk.pass(1_000), ["probe web 0"]);
    desk.replan(vec![only("http /new")], &[("web", Change::Update)]);
    assert_eq!(desk.pass(5_000), [""; 0], "never a second try under one number");
    assert_eq!(desk.failed("web", 0), ["probe web 0"], "the old one's answer; the new one is due");
    assert_eq!(desk.state("web"), State::Running);
}

#[test]
fn a_start_keeps_the_gates_that_are_open_and_gets_a_new_deadline() {
    let gated = |titles: &[&str], deadline| {
        with(service("web"), |spec| {
            spec.ready.checks = (0..).zip(titles).map(|(id, title)| check(id, title)).collect();
            spec.ready.deadline = deadline;
        })
    };
    let mut desk = desk(vec![gated(&["a", "b"], 60_000)]);
    desk.start(&["web"]);
    desk.spawned("web");
    desk.passed("web", 0);
    desk.failed("web", 1);
    assert_eq!(desk.replan(vec![gated(&["a", "b", "c"], 2_000)], &[("web", Change::Update)]), ["probe web 2"]);
    desk.passed("web", 2);
    desk.pass(1_999);
    assert_eq!(desk.state("web"), State::Starting, "b is still shut");
    assert_eq!(desk.pass(1), ["stop web with 15"]);
    assert_eq!(desk.cause("web"), "not ready within 2s (b: connection refused)");
}

#[test]
fn a_plan_that_is_no_fleet_changes_nothing() {
    let mut desk = running(vec![service("web")]);
    let cycle = vec![on(service("web"), &["db"]), on(service("db"), &["web"])];
    assert_eq!(Fleet::check(&cycle).unwrap_err().to_string(), "services depend on each other: web -> db -> web");
    assert_eq!(desk.replan(cycle, &[("web", Change::Replace)]), [""; 0]);
    assert!(desk.last.is_empty());
    assert_eq!(desk.fleet.snapshot().len(), 1);
}

#[test]
fn during_a_shutdown_a_plan_is_ignored() {
    let mut desk = running(vec![service("web")]);
    desk.tell(Event::ShutdownRequested { within: 5_000 });
    assert_eq!(desk.replan(vec![service("new")], &[]), [""; 0]);
    assert_eq!(desk.exited("web", code(0)), ["release web", "close web", "finish"]);
}

#[test]
fn a_completed_oneshot_runs_again_when_it_is_replaced_and_not_before() {
    let mut desk = desk(vec![oneshot("migrate")]);
    desk.start(&["migrate"]);
    desk.spawned("migrate");
    desk.exited("migrate", code(0));
    assert_eq!(desk.replan(vec![oneshot("migrate")], &[("migrate", Change::Update)]), [""; 0]);
    assert_eq!(desk.replan(vec![newer(oneshot("migrate"))], &[("migrate", Change::Replace)]), ["spawn migrate"]);
}

#[test]
fn a_new_control_replaces_what_runs_by_an_older_configuration() {
    let memory = |revision, wanted| {
        let serving = Some(RunMemory { run: 9, generation: 4, revision, ready: true, ..RunMemory::default() });
        let slots = vec![SlotMemory { serving, ..SlotMemory::default() }];
        Memory { wanted, generation: 4, run: 9, slots, ..Memory::default() }
    };
    let (_, deeds) = recovered(vec![newer(service("web"))], vec![("web", memory(1, true), Some((9, 77)))]);
    assert_eq!(deeds, ["stop web with 15"]);
    let (_, deeds) = recovered(vec![newer(service("web"))], vec![("web", memory(2, true), Some((9, 77)))]);
    assert_eq!(deeds, [""; 0]);
}

#[test]
fn a_new_control_ends_and_forgets_what_the_plan_does_not_know() {
    let stop = Some(StopPolicy { signal: 2, timeout: 700 });
    let serving = Some(RunMemory { run: 9, generation: 4, revision: 1, ready: true, stop, ..RunMemory::default() });
    let of = |slot| Memory { wanted: true, generation: 4, run: 9, slots: vec![slot], ..Memory::default() };
    let memory = of(SlotMemory { serving, ..SlotMemory::default() });
    let gone = of(SlotMemory { last_exit: Some(code(0)), ..SlotMemory::default() });
    let (mut desk, deeds) = recovered(vec![], vec![("web", memory, Some((9, 77))), ("old", gone, None)]);
    assert_eq!(deeds, ["close old", "stop web with 2", "forget old"]);
    assert_eq!(desk.pass(700), ["kill web"]);
    assert_eq!(desk.exited("web", code(0)), ["release web", "close web", "forget web"]);
    assert!(desk.fleet.snapshot().iter().all(|seen| seen.name != name("web")));
}

#[test]
fn what_was_to_go_and_is_wanted_again_is_not_taken_for_what_the_plan_means() {
    let specs = || vec![service("db"), on(service("web"), &["db"])];
    let mut desk = running(specs());
    desk.stop(&["web", "db"]);
    assert_eq!(desk.cause("db"), "waiting for web to stop");
    desk.replan(vec![newer(service("db")), on(service("web"), &["db"])], &[("db", Change::Replace)]);
    assert_eq!(desk.start(&["db"]), ["stop db with 15"]);
    assert_eq!(desk.exited("db", code(0)), ["release db", "spawn db"]);
    assert_eq!(revisions(&desk.last), [2]);
}

#[test]
fn an_instance_that_was_to_go_while_it_was_made_and_is_wanted_again_goes_by_the_newest_spec() {
    let of = |instances| with(service("web"), |spec| spec.instances = instances);
    let mut desk = desk(vec![of(2)]);
    desk.start(&["web"]);
    let second = desk.see("web").generations[1].run.run;
    desk.replan(vec![newer(of(1))], &[("web", Change::Replace)]);
    desk.replan(vec![newer(of(2))], &[("web", Change::Update)]);
    desk.tell(Event::Spawned { run: second, pid: 77 });
    assert!(matches!(desk.last[..], [Command::Stop { run, .. }, ..] if run == second), "{:?}", desk.last);
}

#[test]
fn what_is_replaced_by_the_next_plan_is_gone_by_until_its_last_generation_is_over() {
    let mut desk = ready(vec![rolled("web")]);
    desk.replan(vec![newer(rolled("web"))], &[("web", Change::Replace)]);
    let by = |desk: &Desk| desk.fleet.revisions(&name("web")).into_iter().collect::<Vec<_>>();
    assert_eq!(by(&desk), [1, 2], "one serves, one comes up");
    desk.spawn_failed("web", Failure::Launch { message: "no".to_owned() });
    assert_eq!(by(&desk), [1], "nothing would be started by the new one");
    desk.replan(vec![with(newer(rolled("web")), |spec| spec.revision = 3)], &[("web", Change::Replace)]);
    come_up(&mut desk, "web");
    desk.pass(2_000);
    assert_eq!(desk.roles("web").len(), 2);
    assert_eq!(by(&desk), [1, 3], "the old one drains");
    desk.stop(&["web"]);
    assert_eq!(by(&desk), [1, 3], "what is asked to stop lives yet");
}

#[test]
fn what_is_stopped_before_it_could_start_closes_what_was_opened_for_it() {
    let mut desk = desk(vec![]);
    desk.replan(vec![notifying("db"), on(service("web"), &["db"])], &[]);
    assert_eq!(desk.fleet.revisions(&name("web")).len(), 1);
    assert_eq!(desk.stop(&["web"]), ["close web"]);
    assert!(desk.fleet.revisions(&name("web")).is_empty());
}

#[test]
fn what_something_new_needs_is_started_with_it_at_whatever_distance() {
    let waits = |name: &str| without_autostart(service(name));
    let mut desk = desk(vec![service("web"), waits("db")]);
    desk.start(&["web"]);
    desk.spawned("web");
    // `web` is wanted: so is what it needs from now on, and what that needs, which was there before.
    let specs = vec![on(service("web"), &["pool"]), on(waits("pool"), &["db"]), waits("db")];
    assert_eq!(desk.replan(specs, &[("web", Change::Update)]), ["spawn db"]);
    assert_eq!(desk.spawned("db"), ["spawn pool"]);
}
