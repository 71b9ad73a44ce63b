//! What was asked for over the API, and what came of it: operations.
//! Not here: who may ask (`http`), how services start and stop (`restarts`, `processes`).

use e2e::{Response, Setup, Stack, eventually, over_unix, raw_over_unix};
use serde_json::Value;

fn post(stack: &Stack, path: &str) -> Response {
    over_unix(&stack.socket(), "POST", &format!("/api/v1/{path}"), &[]).expect("an answer")
}

fn post_json(stack: &Stack, path: &str, body: &str) -> Response {
    let request = format!(
        "POST /api/v1/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    raw_over_unix(&stack.socket(), request.as_bytes()).expect("an answer")
}

fn operation(answer: &Response) -> Value {
    answer.json()["operation"].clone()
}

fn id(answer: &Response) -> String {
    operation(answer)["id"].as_str().expect("an operation has an id").to_owned()
}

/// As it is once it has ended.
#[track_caller]
fn ended(stack: &Stack, id: &str) -> Value {
    eventually(&format!("the end of operation {id}"), || {
        let now = operation(&stack.get(&format!("/api/v1/operations/{id}?wait=2s")));
        (now["state"] != "running").then_some(now)
    })
}

#[test]
fn a_change_answers_with_an_operation_that_ends_with_what_came_of_it() {
    let mut stack = Setup::of(
        "[services.a]\ncommand = './puppet wait'\n[services.b]\ncommand = './puppet wait'\ndepends_on = ['a']",
    )
    .start();
    let begun = post(&stack, "services/a/restart");
    assert_eq!(begun.status, 202);
    assert_eq!(begun.header("location"), Some(format!("/api/v1/operations/{}", id(&begun)).as_str()));
    let done = ended(&stack, &id(&begun));
    assert_eq!((&done["kind"], &done["state"]), (&"restart".into(), &"succeeded".into()), "{done}");
    assert_eq!(done["outcomes"]["a"]["outcome"], "succeeded");
    assert!(done["ended_at"].as_str() >= done["started_at"].as_str(), "{done}");
    assert_eq!(stack.service("a").generation(), 2);

    let waited = post_json(&stack, "stop?wait=20s", r#"{"services":["a","b"]}"#);
    assert_eq!((waited.status, &operation(&waited)["state"]), (200, &"succeeded".into()));
    assert_eq!((stack.service("a").pid(), stack.service("b").pid()), (None, None));
    let waited = post_json(&stack, "start?wait=20s", r#"{"services":["b"]}"#);
    assert_eq!((waited.status, &operation(&waited)["services"]), (200, &serde_json::json!(["b"])));
    assert_eq!((stack.service("a").state(), stack.service("b").state()), ("running", "running"));
    let signalled = post(&stack, "services/b/signal?signal=CONT&wait=20s");
    assert_eq!((signalled.status, &operation(&signalled)["state"]), (200, &"succeeded".into()));

    let all = stack.get("/api/v1/operations").json();
    let kinds: Vec<&str> =
        all["operations"].as_array().into_iter().flatten().filter_map(|one| one["kind"].as_str()).collect();
    assert_eq!(kinds[..4], ["signal", "start", "stop", "restart"], "the newest first");
    stack.stop();
}

#[test]
fn an_operation_that_fails_says_why_for_each_service() {
    let mut stack = Setup::of(
        "[services.ill]\ncommand = './puppet exit-code 3'\nrestart = { policy = 'no' }\nautostart = false\n\
         ready = { notify = true }\n\
         [services.after]\ncommand = './puppet wait'\ndepends_on = ['ill']\nautostart = false\n\
         [services.never]\ncommand = './puppet ready-after never'\nready = { notify = true }\nautostart = false",
    )
    .start();
    let failed = operation(&post(&stack, "services/after/start?wait=20s"));
    assert_eq!((&failed["state"], &failed["outcomes"]["after"]["outcome"]), (&"failed".into(), &"failed".into()));
    assert!(failed["outcomes"]["after"]["cause"].as_str().is_some_and(|cause| cause.contains("ill")), "{failed}");
    let failed = operation(&post(&stack, "services/ill/start?wait=20s"));
    assert!(failed["outcomes"]["ill"]["cause"].as_str().is_some_and(|cause| cause.contains('3')), "{failed}");

    let start = post(&stack, "services/never/start?wait=100ms");
    assert_eq!((start.status, &operation(&start)["state"]), (202, &"running".into()));
    post(&stack, "services/never/stop?wait=20s");
    let superseded = ended(&stack, &id(&start));
    assert_eq!(superseded["outcomes"]["never"]["cause"], "it was stopped meanwhile");
    assert_eq!(stack.get("/api/v1/operations/4711").status, 404);
    stack.stop();
}

const STUBBORN: &str = "[services.t]\ncommand = './puppet ignore-term'\n\
                        stop = { timeout = '1500ms' }";

#[test]
fn the_same_restart_asked_again_while_it_is_under_way_is_one_restart() {
    let mut stack = Setup::of(STUBBORN).start();
    let ids: Vec<String> = (0..5).map(|_| id(&post(&stack, "services/t/restart"))).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(ended(&stack, &ids[0])["state"], "succeeded");
    assert_eq!(stack.service("t").generation(), 2);
    let later = id(&post(&stack, "services/t/restart"));
    assert_ne!(later, ids[0], "what has ended is not joined");
    stack.stop();
}

#[test]
fn an_operation_is_carried_on_by_the_next_control() {
    let mut stack = Setup::of(STUBBORN).start();
    let begun = id(&post(&stack, "services/t/restart"));
    stack.kill_control();
    let done = ended(&stack, &begun);
    assert_eq!((&done["kind"], &done["state"]), (&"restart".into(), &"succeeded".into()), "{done}");
    assert_eq!(stack.service("t").generation(), 2);
    let next = id(&post(&stack, "services/t/signal?signal=CONT"));
    assert!(next.parse::<u64>().ok() > begun.parse().ok(), "no number is given twice: {begun}, {next}");
    stack.stop();
}

#[test]
fn an_operation_over_which_control_dies_again_and_again_is_honestly_unknown() {
    let mut stack =
        Setup::of("[services.t]\ncommand = './puppet ready-after never'\nready = { notify = true }\nautostart = false")
            .start();
    let begun = id(&post(&stack, "services/t/start"));
    stack.wait_for("t", "starting");
    for _ in 0..2 {
        stack.kill_control();
    }
    let done = ended(&stack, &begun);
    assert_eq!((&done["state"], &done["outcomes"]["t"]["outcome"]), (&"unknown".into(), &"unknown".into()), "{done}");
    stack.stop();
}

#[test]
fn the_end_of_everything_can_be_waited_for() {
    let mut stack = Setup::of("[services.t]\ncommand = './puppet wait'").start();
    let (keeper, answer) = (stack.keeper(), post_json(&stack, "stop?wait=20s", "{}"));
    assert_eq!((answer.status, &operation(&answer)["state"]), (200, &"succeeded".into()), "{}", answer.text());
    eventually("the keeper to end", || (!e2e::alive(keeper)).then_some(()));
    stack.assert_nothing_left();
}
