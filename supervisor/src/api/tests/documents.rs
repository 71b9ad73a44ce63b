//! What is answered.
//! Not here: who may read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value, json};
use supervisor_core::State;

use super::{Stand, WALL_OFFSET_MS};
use crate::api::cache::Cache;

fn restart() -> Value {
    json!({
        "policy": "on-failure", "delay_ms": 500, "factor": 2.0, "max_delay_ms": 30_000, "jitter": 0.5,
        "reset_after_ms": 30_000, "crash_loop": 5, "max_restarts": 0, "success_exit_codes": [0, 3],
    })
}

fn generation() -> Value {
    json!({
        "instance": 0, "generation": 3, "role": "serving", "revision": 1, "pid": 4242,
        "started": "2023-11-14T22:13:21.000Z", "ready_since": "2023-11-14T22:13:21.012Z", "cause": "ready after 12ms",
    })
}

fn alpha(stand: &Stand) -> Value {
    json!({
        "name": "alpha", "kind": "service", "critical": true, "wanted": true,
        "state": "running", "cause": "ready after 12ms", "waits_in_vain": false,
        "since": "2023-11-14T22:13:21.012Z", "generation": 3, "revision": 1, "wanted_revision": 1, "pid": 4242,
        "started": "2023-11-14T22:13:21.000Z", "ready_since": "2023-11-14T22:13:21.012Z",
        "restarts": 2, "failures": 0, "next_attempt": null,
        "last_exit": {
            "generation": 2, "pid": 4141, "code": null, "signal": "KILL", "core_dumped": false, "reason": null, "asked": false,
            "at": "2023-11-14T22:13:20.900Z", "ran_ms": 500, "cpu_ms": 20, "max_rss_bytes": 1_048_576,
            "leftovers": [4142],
        },
        "port": 8001, "ports": { "private": 8011 }, "bind": "127.0.0.1", "address": "http://127.0.0.1:8001",
        "status_text": "serving 3 clients",
        "failing": [{ "check": "http /health", "answer": "503" }],
        "logs": [stand.dir.path().join("logs/alpha.log")],
        "log_dropped_bytes": 120, "log_dropped_lines": 3, "log_error": "disk full", "certificate": null,
        "executable": { "path": "/bin/alpha", "device": 1, "inode": 2, "modified_ns": 3, "size": 4 },
        "instances": 1, "rollout": null, "depends_on": [{ "name": "beta", "condition": "started" }],
        "restart": restart(),
        "generations": [generation()],
    })
}

#[test]
fn the_status_tells_everything_and_no_secret() {
    let stand = Stand::new();
    let answer = stand.ask("GET", "/api/v1/status", "");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(!String::from_utf8_lossy(&answer.body).contains("c4n4ry"), "arguments and environment stay here");
    let mut status = answer.json();
    let services = status.as_object_mut().unwrap().remove("services").unwrap();
    assert_eq!(
        status,
        json!({
            "schema_version": 1, "name": "demo", "version": env!("CARGO_PKG_VERSION"),
            "file": stand.dir.path().join("supervisor.toml"), "keeper_pid": 100,
            "log": stand.dir.path().join("logs/supervisor.log"), "control_pid": std::process::id(),
            "http": "127.0.0.1:9700", "shutting_down": false, "health": "degraded", "view": 7,
            "alerts": [{
                "name": "ops", "way": "webhook", "queued": 2, "sent": 5, "lost": 1, "sent_at": "2023-11-14T22:13:20.000Z",
                "error": "`h` answers 500",
            }],
            "config": {
                "revision": 4, "loaded_at": "2023-11-14T22:13:20.000Z", "auto_reload": true, "pending": ["logs.dir"],
                "rejected": {
                    "at": "2023-11-14T22:13:21.000Z", "more": 2,
                    "errors": [{
                        "file": "/f", "line": 3, "column": 7, "message": "this cannot be", "help": null,
                    }],
                },
            },
        })
    );
    assert_eq!(services[0], alpha(&stand));
    assert_eq!(services[1]["state"], "backoff");
    assert_eq!(services[1]["next_attempt"], "2023-11-14T22:13:22.500Z");
    assert_eq!(services[1]["pid"], Value::Null);
    assert_eq!(stand.ask("GET", "/api/v1/services", "").json(), json!({ "schema_version": 1, "services": services }));
}

#[test]
fn one_service_can_be_asked_for() {
    let stand = Stand::new();
    let mut expected = alpha(&stand);
    expected["schema_version"] = json!(1);
    assert_eq!(stand.ask("GET", "/api/v1/services/alpha", "").json(), expected);
    let ghost = stand.ask("GET", "/api/v1/services/ghost", "");
    assert_eq!(ghost.status, 404);
    assert!(ghost.json()["detail"].as_str().unwrap().contains("ghost"));
}

#[test]
fn health_is_503_only_when_a_critical_service_is_not_ready_or_all_are_to_end() {
    let stand = Stand::new();
    let answer = stand.ask("GET", "/health", "");
    assert_eq!(
        answer.json(),
        json!({
            "schema_version": 1, "status": "degraded",
            "services": {
                "alpha": {
                    "state": "running", "critical": true, "since": "2023-11-14T22:13:21.012Z",
                    "cause": "ready after 12ms",
                },
                "beta": {
                    "state": "backoff", "critical": false, "since": "2023-11-14T22:13:22.000Z",
                    "cause": "exited with code 1",
                },
            },
        })
    );
    let all = |expected: u16| {
        for path in ["/health", "/healthz", "/readyz"] {
            for method in ["GET", "HEAD"] {
                assert_eq!(stand.ask(method, path, "").status, expected, "{method} {path}");
            }
        }
        assert_eq!(stand.ask("GET", "/livez", "").status, 200);
    };
    all(200);
    stand.publish(|view| Arc::make_mut(&mut Arc::make_mut(&mut view.services)[0]).state = State::Backoff);
    all(503);
    stand.publish(|view| {
        Arc::make_mut(&mut Arc::make_mut(&mut view.services)[0]).state = State::Running;
        view.shutting_down = true;
    });
    all(503);
    assert_eq!(stand.ask("GET", "/health", "").json()["status"], "unhealthy");
}

#[test]
fn the_short_form_is_short() {
    let stand = Stand::new();
    assert_eq!(
        stand.ask("GET", "/status", "").json(),
        json!({
            "schema_version": 1, "name": "demo", "status": "degraded",
            "services": {
                "alpha": {
                    "state": "running", "pid": 4242, "started": "2023-11-14T22:13:21.000Z", "restarts": 2,
                    "address": "http://127.0.0.1:8001",
                },
                "beta": { "state": "backoff", "pid": null, "started": null, "restarts": 1, "address": null },
            },
        })
    );
}

#[test]
fn a_new_view_shows_at_once_and_an_old_one_is_serialised_once() {
    let stand = Stand::new();
    let cache = Cache::new(Arc::clone(&stand.view), || WALL_OFFSET_MS, super::instruments());
    let (first, second) = (cache.latest().status(), cache.latest().status());
    assert_eq!(first.as_ptr(), second.as_ptr(), "the same bytes, not equal ones");
    assert_eq!(stand.ask("GET", "/api/v1/status", "").json()["keeper_pid"], 100);
    stand.publish(|view| view.keeper_pid = 101);
    assert_ne!(*cache.latest().status(), *first);
    assert_eq!(stand.ask("GET", "/api/v1/status", "").json()["keeper_pid"], 101);
}

#[test]
fn a_head_is_the_answer_without_its_body() {
    let stand = Stand::new();
    let (get, head) = (stand.ask("GET", "/api/v1/status", ""), stand.ask("HEAD", "/api/v1/status", ""));
    assert_eq!(head.status, 200);
    assert!(head.body.is_empty());
    assert_eq!(head.header("content-length"), Some(get.body.len().to_string().as_str()));
}

#[test]
fn every_answer_is_hardened_and_every_error_a_problem_document() {
    let stand = Stand::new();
    for (method, path, status) in [
        ("GET", "/health", 200),
        ("GET", "/nothing", 404),
        ("GET", "/", 200),
        ("POST", "/health", 405),
        ("GET", "/api/v1/stop", 405),
        ("GET", "/api/v1/services/ghost", 404),
        ("GET", "/api/v1/services/alpha/logs?tail=x", 400),
        ("GET", "/health?x=1", 400),
        ("POST", "/api/v1/start", 202),
    ] {
        let answer = stand.ask(method, path, "");
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'none'"), "{path}");
        assert_eq!(answer.header("set-cookie"), None, "{path}");
        if status >= 400 {
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
            let problem = answer.json();
            assert_eq!(problem["status"], status, "{path}");
            assert_eq!(problem["instance"], path.split('?').next().unwrap(), "{path}");
            let title = problem["title"].as_str().unwrap();
            assert!(!title.is_empty() && !problem["detail"].as_str().unwrap().is_empty(), "{path}");
        }
    }
    let refused = stand.tcp("POST", "/api/v1/stop", &[]);
    assert_eq!(refused.header("x-frame-options"), Some("DENY"));
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
}

#[test]
fn logs_are_found_by_service_and_are_plain_text() {
    let stand = Stand::new();
    let logs = stand.dir.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let lines: String = (1..=300).map(|number| format!("{number}\n")).collect();
    std::fs::write(logs.join("alpha.log"), &lines).unwrap();
    std::fs::write(logs.join("beta.out.log"), "said\n").unwrap();
    std::fs::write(logs.join("beta.err.log"), "<script>\n").unwrap();
    let get = |path: &str| stand.ask("GET", &format!("/api/v1/services/{path}"), "");
    let shown = get("alpha/logs");
    assert_eq!(shown.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(shown.header("content-disposition"), Some("attachment"));
    assert_eq!(shown.body.iter().filter(|byte| **byte == b'\n').count(), 100);
    assert!(shown.body.ends_with(b"\n299\n300\n"));
    assert_eq!(get("alpha/logs?tail=1").body, b"300\n");
    assert_eq!(get("alpha/logs?tail=0").body, b"");
    assert_eq!(get("alpha/logs?tail=999999999").body, lines.as_bytes());
    assert_eq!(get("beta/logs").body, b"said\n");
    assert_eq!(get("beta/logs?stream=err").body, b"<script>\n");
    assert_eq!(get("alpha/logs?stream=err").status, 404);
    for path in ["ghost/logs", "..%2f..%2fetc/logs", "alpha/logs?tail=-1", "alpha/logs?path=/etc/passwd"] {
        assert!(matches!(get(path).status, 400 | 404), "{path}");
    }
}

#[test]
fn a_jump_of_the_wall_clock_moves_every_point_of_time_and_changes_nothing_else() {
    static NOW: AtomicI64 = AtomicI64::new(WALL_OFFSET_MS);
    let stand = Stand::new();
    let cache = Cache::new(Arc::clone(&stand.view), || NOW.load(Ordering::Relaxed), super::instruments());
    let before: Value = serde_json::from_slice(&cache.latest().status()).unwrap();
    NOW.fetch_add(7_200_000, Ordering::Relaxed);
    let after: Value = serde_json::from_slice(&cache.latest().status()).unwrap();
    assert_eq!(before["services"][0]["started"], "2023-11-14T22:13:21.000Z");
    assert_eq!(after["services"][0]["started"], "2023-11-15T00:13:21.000Z");
    assert_eq!(after["services"][0]["state"], before["services"][0]["state"]);
    assert!(Arc::ptr_eq(&cache.latest(), &cache.latest()), "made once");
}
