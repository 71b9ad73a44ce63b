//! What becomes of a change.
//! Not here: who may ask for it.

use std::time::{Duration, Instant};

use serde_json::json;
use supervisor_core::Time;

use super::{Stand, TOKEN, bearer, name, operation};
use crate::control::{Operation, Outcome, What};

#[test]
fn each_change_becomes_one_request_to_the_loop() {
    let stand = Stand::new();
    let alpha = || vec![name("alpha")];
    let stop = |services, now| What::Stop { services, now };
    for (path, body, what) in [
        ("start", "", What::Start(vec![])),
        ("start", r#"{"services":["alpha"]}"#, What::Start(alpha())),
        ("restart", "{}", What::Restart(vec![])),
        ("restart", r#"{"services":["alpha","beta"]}"#, What::Restart(vec![name("alpha"), name("beta")])),
        ("stop", "", stop(vec![], false)),
        ("stop", r#"{"now":true}"#, stop(vec![], true)),
        ("stop", r#"{"now":true,"services":["alpha"]}"#, stop(alpha(), true)),
        ("services/alpha/start", "", What::Start(alpha())),
        ("services/alpha/restart", "", What::Restart(alpha())),
        ("services/alpha/stop", "", stop(alpha(), false)),
        ("services/alpha/stop?now=true", "", stop(alpha(), true)),
        ("services/alpha/signal?signal=SIGHUP", "", What::Signal { service: name("alpha"), signal: 1 }),
        ("services/alpha/signal?signal=USR1", "", What::Signal { service: name("alpha"), signal: 10 }),
    ] {
        let answer = stand.ask("POST", &format!("/api/v1/{path}"), body);
        assert_eq!(answer.status, 202, "{path} {body}: {answer:?}");
        let operation = answer.json()["operation"].clone();
        let at = format!("/api/v1/operations/{}", operation["id"].as_str().unwrap());
        assert_eq!((&operation["state"], answer.header("location")), (&json!("running"), Some(at.as_str())));
        assert_eq!(stand.asked().last(), Some(&what), "{path} {body}");
    }
    assert_eq!(stand.asked().len(), 13);
}

#[test]
fn what_the_loop_refuses_is_a_problem_document() {
    let stand = Stand::new();
    for (path, status, part) in [
        ("services/ghost/start", 404, "ghost"),
        ("services/beta/signal?signal=HUP", 409, "beta"),
        ("services/late/start", 409, "shutting down"),
    ] {
        let answer = stand.ask("POST", &format!("/api/v1/{path}"), "");
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let problem = answer.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], "about:blank");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{problem}");
    }
}

#[test]
fn more_than_twenty_changes_a_second_are_refused_and_what_reads_is_not() {
    let stand = Stand::new();
    let began = Instant::now();
    let taken = (0..500).map(|_| stand.ask("POST", "/api/v1/services/alpha/restart", "").status);
    let (taken, refused): (Vec<u16>, Vec<u16>) = taken.partition(|status| *status == 202);
    let allowed = 20 + usize::try_from(began.elapsed().as_millis()).unwrap() / 50 + 1;
    assert!((20..=allowed).contains(&taken.len()), "{} changes were taken, {allowed} may be", taken.len());
    assert!(refused.iter().all(|status| *status == 429), "{refused:?}");
    let told = (0..30).map(|_| stand.ask("POST", "/api/v1/start", "")).find(|answer| answer.status == 429).unwrap();
    assert_eq!(told.header("retry-after"), Some("1"));
    assert_eq!(stand.ask("GET", "/api/v1/status", "").status, 200);
}

#[test]
fn what_cannot_be_understood_is_refused_and_not_done() {
    let stand = Stand::new();
    let deep = "[".repeat(100_000);
    for (path, body, status) in [
        ("start", "x", 400),
        ("start", r#"{"services":"#, 400),
        ("start", &deep, 422),
        ("start", r#"[["alpha"]]"#, 422),
        ("start", r#"{"services":"alpha"}"#, 422),
        ("start", r#"{"services":["../x"]}"#, 422),
        ("start", r#"{"services":[],"command":["rm"]}"#, 422),
        ("start", r#"{"services":[],"services":[]}"#, 422),
        ("start", r#"{"now":true}"#, 422),
        ("restart", r#"{"now":true}"#, 422),
        ("restart?now=true", "", 400),
        ("stop?now=true", "", 400),
        ("services/alpha/stop?now=maybe", "", 400),
        ("services/alpha/stop?wat=1", "", 400),
        ("services/alpha/stop?now=true&now=false", "", 400),
        ("services/alpha/start", "{}", 400),
        ("services/alpha/signal", "", 400),
        ("services/alpha/signal", r#"{"signal":"HUP"}"#, 400),
        ("services/alpha/signal?signal=NOSUCH", "", 400),
        ("services/alpha/signal?signal=0", "", 400),
        ("services/alpha/signal?signal=65", "", 400),
        ("services/alpha/start?wait=", "", 400),
        ("services/alpha/start?wait=30", "", 400),
        ("services/alpha/start?wait=0", "", 400),
        ("services/alpha/start?wait=301s", "", 400),
        ("services/alpha/start?wait=1s&wait=2s", "", 400),
    ] {
        let answer = stand.ask("POST", &format!("/api/v1/{path}"), body);
        assert_eq!(answer.status, status, "{path} {body:.40}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
    }
    for path in ["services/..%2fx/stop", "services/%2e%2e/stop", "services/a%00b/stop", "services/A/stop"] {
        let answer = stand.ask("POST", &format!("/api/v1/{path}"), "");
        assert_eq!(answer.status, 404, "{path}");
    }
    assert!(stand.asked().is_empty(), "{:?}", stand.asked());
}

#[test]
fn a_body_that_says_to_be_something_else_is_refused() {
    let stand = Stand::new();
    for (kind, status) in [
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonp", 415),
        ("application/json\r\nContent-Type: text/plain", 415),
        ("Application/JSON; charset=utf-8", 202),
    ] {
        let lines = [&bearer(TOKEN), &format!("Content-Type: {kind}\r\nContent-Length: 2")[..]];
        let mut head = format!("POST /api/v1/start HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", stand.tcp);
        head.extend(lines.iter().map(|line| format!("{line}\r\n")));
        assert_eq!(stand.raw(head + "\r\n{}").unwrap().status, status, "{kind}");
    }
}

#[test]
fn an_answer_that_the_client_does_not_take_is_not_made() {
    let stand = Stand::new();
    let accept = |method, path, accept: &str| stand.tcp(method, path, &[accept, &bearer(TOKEN)]).status;
    assert_eq!(accept("GET", "/api/v1/status", "Accept: text/html"), 406);
    assert_eq!(accept("POST", "/api/v1/services/alpha/stop", "Accept: image/*"), 406);
    assert!(stand.asked().is_empty());
    assert_eq!(accept("GET", "/api/v1/status", "Accept: text/html, */*;q=0.1"), 200);
}

/// Alpha's operation, ended.
fn end(stand: &Stand, id: u64, outcome: Outcome) {
    stand.publish(|view| {
        let mut part = operation(id).parts[0].clone();
        part.outcome = outcome;
        let ended = Operation { state: outcome, ended: Some(Time(1_500)), parts: vec![part], ..operation(id) };
        view.operations = vec![ended.into()].into();
    });
}

#[test]
fn an_operation_can_be_waited_for_and_tells_what_has_become_of_each_service() {
    let stand = Stand::new();
    stand.publish(|view| view.operations = vec![operation(2).into()].into());
    let asking = |path: &'static str, method: &'static str| {
        std::thread::scope(|scope| {
            let asker = scope.spawn(|| stand.ask(method, path, ""));
            while stand.asked().is_empty() && method == "POST" {
                std::thread::yield_now();
            }
            end(&stand, 2, Outcome::Failed);
            asker.join().unwrap()
        })
    };
    let answer = asking("/api/v1/services/alpha/restart?wait=60s", "POST");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("location"), Some("/api/v1/operations/2"));
    let whole = json!({
        "schema_version": 1,
        "operation": {
            "id": "2", "kind": "restart", "state": "failed", "services": ["alpha"],
            "started_at": "2023-11-14T22:13:20.900Z", "ended_at": "2023-11-14T22:13:21.500Z",
            "outcomes": { "alpha": { "outcome": "failed", "cause": "starting" } },
        },
    });
    assert_eq!(answer.json(), whole);
    assert_eq!(stand.ask("GET", "/api/v1/operations/2?wait=60s", "").json(), whole, "it has ended already");
    assert_eq!(stand.ask("GET", "/api/v1/operations", "").json()["operations"], json!([whole["operation"]]));
}

#[test]
fn waiting_has_an_end_and_what_is_not_known_is_not_waited_for() {
    let stand = Stand::new();
    stand.publish(|view| view.operations = vec![operation(2).into()].into());
    let began = Instant::now();
    for (path, method) in [("services/alpha/restart", "POST"), ("operations/2", "GET")] {
        let answer = stand.ask(method, &format!("/api/v1/{path}?wait=100ms"), "");
        assert_eq!(answer.status, if method == "GET" { 200 } else { 202 });
        assert_eq!(answer.json()["operation"]["state"], "running");
    }
    assert!(began.elapsed() > Duration::from_millis(200));
    for id in ["3", "x", "-1", "+2", "99999999999999999999", ""] {
        let status = stand.ask("GET", &format!("/api/v1/operations/{id}?wait=60s"), "").status;
        assert_eq!(status, 404, "{id}");
    }
    assert!(began.elapsed() < Duration::from_secs(10));
}
