//! What becomes of a change.
//! Not here: who may ask for it.

use super::{Stand, name};
use crate::control::What;

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
        ("stop?now=true", "", stop(vec![], true)),
        ("stop", r#"{"now":true,"services":["alpha"]}"#, stop(alpha(), true)),
        ("services/alpha/start", "", What::Start(alpha())),
        ("services/alpha/restart", "", What::Restart(alpha())),
        ("services/alpha/stop", "", stop(alpha(), false)),
        ("services/alpha/stop?now=true", "", stop(alpha(), true)),
        ("services/alpha/signal", r#"{"signal":"SIGHUP"}"#, What::Signal { service: name("alpha"), signal: 1 }),
        ("services/alpha/signal?signal=USR1", "", What::Signal { service: name("alpha"), signal: 10 }),
    ] {
        let answer = stand.ask("POST", &format!("/api/v1/{path}"), body);
        assert_eq!(answer.status, 202, "{path} {body}: {answer:?}");
        assert_eq!(answer.json(), serde_json::json!({ "schema_version": 1, "accepted": true }));
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
fn what_cannot_be_understood_is_refused_and_not_done() {
    let stand = Stand::new();
    let deep = "[".repeat(100_000);
    for (path, body) in [
        ("start", "x"),
        ("start", r#"{"services":"alpha"}"#),
        ("start", r#"{"services":["../x"]}"#),
        ("start", r#"{"services":[],"command":["rm"]}"#),
        ("start", r#"{"services":[],"services":[]}"#),
        ("start", r#"{"now":true}"#),
        ("restart", r#"{"now":true}"#),
        ("start", &deep),
        ("stop?now=maybe", ""),
        ("stop?then=x", ""),
        ("services/alpha/stop?wat=1", ""),
        ("services/alpha/signal", ""),
        ("services/alpha/signal", r#"{"signal":"NOSUCH"}"#),
        ("services/alpha/signal?signal=0", ""),
        ("services/alpha/signal?signal=65", ""),
        ("services/alpha/signal", r#"{"signal":9}"#),
    ] {
        let answer = stand.ask("POST", &format!("/api/v1/{path}"), body);
        assert_eq!(answer.status, 400, "{path} {body:.40}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
    }
    for path in ["services/..%2fx/stop", "services/%2e%2e/stop", "services/a%00b/stop", "services/A/stop"] {
        let answer = stand.ask("POST", &format!("/api/v1/{path}"), "");
        assert_eq!(answer.status, 404, "{path}");
    }
    assert!(stand.asked().is_empty(), "{:?}", stand.asked());
}
