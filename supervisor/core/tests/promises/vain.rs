//! Promises about those who wait in vain.
//! Not here: the order of starts (see `orders`).

use supervisor_core::{Condition, Policy, State};

use crate::desk::{Desk, code, desk, on, on_condition, oneshot, running, service, with};

/// Those who wait in vain.
fn in_vain(desk: &mut Desk) -> Vec<String> {
    let snapshot = desk.fleet.snapshot();
    snapshot.iter().filter(|seen| seen.in_vain).map(|seen| seen.name.to_string()).collect()
}

#[test]
fn who_waits_for_a_stopped_service_at_whatever_distance_waits_in_vain_until_it_is_started() {
    let specs = vec![on(service("web"), &["api"]), on(service("api"), &["db"]), service("db"), service("other")];
    let mut desk = running(specs);
    desk.stop(&["db"]);
    desk.exited("db", code(0));
    assert_eq!(in_vain(&mut desk), [""; 0], "what runs does not wait");
    desk.restart(&["web", "api"]);
    for own in ["web", "api"] {
        desk.exited(own, code(0));
    }
    assert_eq!((desk.state("api"), desk.state("web")), (State::Waiting, State::Waiting));
    assert_eq!(in_vain(&mut desk), ["web", "api"]);
    desk.start(&["db"]);
    assert_eq!(in_vain(&mut desk), [""; 0]);
    desk.spawn_all();
    assert_eq!((in_vain(&mut desk), desk.state("web")), (vec![], State::Running));
}

#[test]
fn who_waits_for_what_has_failed_waits_in_vain_and_for_what_is_tried_again_soon_does_not() {
    let once = with(service("db"), |spec| spec.restart.policy = Policy::No);
    for (db, vain) in [(once, true), (service("db"), false)] {
        let mut desk = desk(vec![db, on(service("web"), &["db"])]);
        desk.start(&["web"]);
        desk.spawn_failed("db", supervisor_core::Failure::Launch { message: "no such file".to_owned() });
        assert_eq!(desk.see("web").in_vain, vain);
    }
}

#[test]
fn a_service_that_has_ended_with_success_is_there_for_nobody_and_a_job_that_has_is() {
    let ends = |spec| with(spec, |spec| spec.restart.policy = Policy::OnFailure);
    for (condition, vain) in [(Condition::Ready, true), (Condition::Started, true), (Condition::Completed, false)] {
        let below = vec![ends(service("db")), ends(oneshot("job"))];
        let web = on_condition(on_condition(service("web"), "db", condition), "job", Condition::Ready);
        let mut desk = running(below.into_iter().chain([web]).collect());
        for own in ["db", "job"] {
            desk.exited(own, code(0));
        }
        desk.spawn_all();
        desk.restart(&["web"]);
        if desk.state("web") == State::Stopping {
            desk.exited("web", code(0));
        }
        assert_eq!((desk.state("web") == State::Waiting, desk.see("web").in_vain), (vain, vain), "{condition:?}");
    }
}
