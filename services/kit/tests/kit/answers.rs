//! What clients get, and what a bad one can do.
//! Not here: drains.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::client::{Client, get, request};
use crate::{kit_server, started};

#[test]
fn health_tells_what_it_is_and_what_it_is_not_yet() {
    let child = started(kit_server());
    let answer = get(child.ready(), "/health");
    let mut body = answer.json();
    assert!(body["uptime_s"].take().as_u64().is_some_and(|seconds| seconds < 60));
    let golden = json!({
        "status": "healthy", "service": "test", "version": "1.2.3", "uptime_s": null, "generation": null,
        "partial": true, "not_yet": ["tea"],
    });
    assert_eq!((answer.status, body), (200, golden));
}

#[test]
fn an_unknown_path_gets_a_problem_document() {
    let child = started(kit_server());
    let answer = get(child.ready(), "/nothing");
    assert_eq!((answer.status, answer.header("content-type")), (404, Some("application/problem+json")));
    let golden = json!({
        "type": "about:blank", "title": "Not Found", "status": 404, "detail": "there is nothing at this path",
    });
    assert_eq!(answer.json(), golden);
}

#[test]
fn a_wrong_method_gets_a_problem_document_and_the_right_ones() {
    let child = started(kit_server());
    let mut client = Client::connect(child.ready()).unwrap();
    let answer = client.request("DELETE", "/length", "").unwrap();
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    assert_eq!(answer.json()["title"], "Method Not Allowed");
    let answer = client.request("POST", "/health", "{}").unwrap();
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET,HEAD")));
}

#[test]
fn head_gets_the_headers_alone() {
    let child = started(kit_server());
    let mut client = Client::connect(child.ready()).unwrap();
    let answer = client.request("HEAD", "/health", "").unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-length").is_some());
    assert_eq!(client.request("HEAD", "/nothing", "").unwrap().status, 404);
    assert_eq!(client.get("/health").unwrap().status, 200, "nothing of a body was left on the connection");
}

#[test]
fn a_body_beyond_the_limit_gets_413() {
    let child = started(kit_server());
    let mut client = Client::connect(child.ready()).unwrap();
    assert_eq!(client.request("POST", "/length", &"x".repeat(1000)).unwrap().body, "1000");
    let answer = client.request("POST", "/length", &"x".repeat(1001)).unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (413, Some("application/problem+json")));
}

#[test]
fn a_head_beyond_the_limit_gets_431() {
    let child = started(kit_server());
    let mut client = Client::connect(child.ready()).unwrap();
    client.send(&format!("GET / HTTP/1.1\r\nHost: t\r\nX: {}\r\n\r\n", "x".repeat(64 << 10))).unwrap();
    assert_eq!(client.response("GET").unwrap().status, 431);
}

#[test]
fn a_request_head_that_does_not_end_is_cut_off() {
    let child = started(kit_server().env("HEAD_MS", 300));
    let mut client = Client::connect(child.ready()).unwrap();
    assert_eq!(client.get("/health").unwrap().status, 200);
    let began = Instant::now();
    client.send("GET / HTTP/1.1\r\nX-Slow: ").unwrap();
    assert!(client.is_closed_silently());
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_connection_that_never_says_anything_is_closed() {
    let child = started(kit_server().env("HEAD_MS", 200));
    assert!(Client::connect(child.ready()).unwrap().is_closed_silently());
}

#[test]
fn a_kept_connection_may_pause_for_longer_than_a_head_may_take() {
    let child = started(kit_server().env("HEAD_MS", 100).env("KEEP_ALIVE_MS", 900));
    let mut client = Client::connect(child.ready()).unwrap();
    assert_eq!(client.get("/health").unwrap().status, 200);
    let paused = Instant::now();
    // The pause is what is tested; there is nothing to wait for.
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(client.get("/health").unwrap().status, 200);
    assert!(client.is_closed_silently(), "but not for ever");
    assert!(paused.elapsed() >= Duration::from_millis(1300));
}

#[test]
fn a_slow_answer_is_not_taken_for_a_pause() {
    let child = started(kit_server().env("HEAD_MS", 50).env("KEEP_ALIVE_MS", 50));
    assert_eq!(get(child.ready(), "/slow/400").body, "done");
}

#[test]
fn a_client_that_does_not_take_its_answer_is_cut_off() {
    let child = started(kit_server().env("STALL_MS", 300).env("HEAD_MS", 60_000));
    let mut client = Client::connect(child.ready()).unwrap();
    client.send(&request("GET", "/large", "")).unwrap();
    child.signal(Signal::SIGTERM);
    child.logged("ended");
    assert!(client.response("GET").is_err(), "the rest of the answer is not there");
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for_for_ever() {
    let child = started(kit_server().env("STALL_MS", 300));
    let mut client = Client::connect(child.ready()).unwrap();
    let text = request("POST", "/length", "0123456789");
    client.send(&text[..text.len() - 5]).unwrap();
    assert!(client.is_closed_silently());
}

#[test]
fn without_descriptors_it_says_so_and_goes_on_when_there_are_some_again() {
    let child = started(kit_server().descriptors(20));
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(child.ready()).unwrap()).collect();
    for client in &mut clients {
        client.send(&request("GET", "/health", "")).unwrap();
    }
    child.logged("cannot accept connections; trying on");
    // That nothing is said again can only be waited for; it tries every 100 ms.
    std::thread::sleep(Duration::from_millis(350));
    assert_eq!(child.log().matches("cannot accept").count(), 1, "trouble that lasts is told once");
    let mut last = clients.pop().unwrap();
    drop(clients);
    assert_eq!(last.response("GET").unwrap().status, 200);
}

#[test]
fn beyond_the_limit_connections_wait_and_are_served_when_others_leave() {
    let child = started(kit_server().env("MAX_CONNECTIONS", 2));
    let mut inside: Vec<Client> = (0..2).map(|_| Client::connect(child.ready()).unwrap()).collect();
    for client in &mut inside {
        assert_eq!(client.get("/health").unwrap().status, 200);
    }
    let mut waiting = Client::connect(child.ready()).unwrap();
    waiting.send(&request("GET", "/health", "")).unwrap();
    assert_eq!(inside[0].get("/slow/200").unwrap().status, 200, "those inside are served on");
    inside.pop();
    assert_eq!(waiting.response("GET").unwrap().status, 200);
}

#[test]
fn requests_are_logged_at_debug_only_and_never_with_their_query_or_credentials() {
    for (level, lines) in [("info", 0), ("debug", 1)] {
        let child = started(kit_server().env("TEST_LOG", level));
        let mut client = Client::connect(child.ready()).unwrap();
        client.send("GET /slow/1?code=sesame HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer sesame\r\n\r\n").unwrap();
        assert_eq!(client.response("GET").unwrap().status, 200);
        child.signal(Signal::SIGTERM);
        child.logged("ended");
        let log = child.log();
        assert_eq!(log.matches("/slow/{ms}").count(), lines, "{log}");
        assert!(!log.contains("sesame"), "{log}");
    }
}
