//! The API from outside: who may ask, what is answered, and what no request can do.
//! Not here: each document's fields; the api module's own tests show those.

use std::fs::Permissions;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use e2e::{Setup, Signal, Stack, eventually, is_root, over_tcp, over_unix, raw_over_tcp, send, skip};

fn open() -> (Stack, SocketAddr, String) {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").http("listen = '127.0.0.1:0'").start();
    let address = stack.http_address();
    let token = std::fs::read_to_string(stack.path("run/token")).expect("it was made").trim().to_owned();
    (stack, address, token)
}

#[test]
fn health_and_status_are_open_and_the_rest_needs_the_token() {
    let (stack, address, token) = open();
    let get = |path: &str, extra: &[&str]| over_tcp(address, "GET", path, extra).expect("an answer");
    for path in ["/livez", "/health", "/healthz", "/readyz", "/status"] {
        assert_eq!(get(path, &[]).status, 200, "{path}");
    }
    let health = get("/health", &[]).json();
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["services"]["t"]["state"], "running");
    assert_eq!(health["schema_version"], 1);
    let right = format!("Authorization: Bearer {token}");
    let prefix = format!("Authorization: Bearer {}", &token[..token.len() - 1]);
    let path = "/api/v1/services/t/logs?tail=5";
    for wrong in [&[][..], &["Authorization: Bearer x"], &["Authorization: Bearer "], &[prefix.as_str()]] {
        assert_eq!(get(path, wrong).status, 401, "{wrong:?}");
    }
    assert_eq!(get(path, &[right.as_str()]).status, 200);
    drop(stack);
}

#[test]
fn a_change_over_tcp_needs_the_token() {
    let (stack, address, token) = open();
    let pid = stack.pid("t");
    let post =
        |extra: &[&str]| over_tcp(address, "POST", "/api/v1/services/t/restart", extra).expect("an answer").status;
    assert_eq!(post(&[]), 401);
    assert_eq!(stack.service("t").pid(), Some(pid));
    assert_eq!(post(&[&format!("Authorization: Bearer {token}")]), 202);
    stack.wait_until("t", "restarted", |service| service.generation() == 2 && service.state() == "running");
}

#[test]
fn a_service_of_another_user_reaches_neither_the_socket_nor_the_token() {
    let name = "a_service_of_another_user_reaches_neither_the_socket_nor_the_token";
    if !is_root() {
        return skip(name, "only root starts services as another user");
    }
    let look = "if [ -e run/api.sock ] || [ -e run/token ]; then echo reached; fi; echo looked; exec sleep 1000";
    let mut stack = Setup::of(&format!(
        "[services.t]\nshell = true\ncommand = '{look}'\nuser = '65534'\ngroup = '65534'\n\
         [services.own]\nshell = true\ncommand = '{look}'"
    ))
    .prepare();
    std::fs::set_permissions(stack.root(), Permissions::from_mode(0o755)).expect("ours");
    stack.cli(&["start"]).succeeded();
    assert_eq!(stack.wait_log("t", "looked\n"), "looked\n");
    assert!(stack.wait_log("own", "looked\n").starts_with("reached\n"), "it can be seen at all");
    stack.stop();
}

#[test]
fn a_foreign_host_name_is_answered_with_nothing() {
    let (stack, address, _) = open();
    let port = address.port();
    for host in [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        "localhost.evil.com".to_owned(),
        "127.0.0.1.nip.io".to_owned(),
        format!("0.0.0.0:{port}"),
        "user@localhost".to_owned(),
        "localhost evil".to_owned(),
    ] {
        for path in ["/", "/livez", "/health", "/status", "/api/v1/status", "/api/v1/events?follow=true"] {
            let answer = over_tcp(address, "GET", path, &[&format!("Host: {host}")]).expect("an answer");
            assert!([400, 421].contains(&answer.status), "{host} {path}: {}", answer.status);
            assert!(!answer.text().contains("running"), "{}", answer.text());
        }
    }
    for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}")] {
        let answer = over_tcp(address, "GET", "/health", &[&format!("Host: {host}")]).expect("an answer");
        assert_eq!(answer.status, 200, "{host}");
    }
    drop(stack);
}

#[test]
fn no_host_two_hosts_and_a_differing_target_are_refused() {
    let (stack, address, _) = open();
    for raw in [
        "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(),
        format!("GET /health HTTP/1.1\r\nHost: {address}\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
        format!("GET http://evil.example/health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"),
        format!("CONNECT example.com:443 HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"),
    ] {
        let answer = raw_over_tcp(address, raw.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 421, "{raw}");
    }
    drop(stack);
}

#[test]
fn a_web_page_cannot_change_anything_even_with_the_token() {
    let (stack, address, token) = open();
    let pid = stack.pid("t");
    let token = format!("Authorization: Bearer {token}");
    for page in [
        &["Sec-Fetch-Site: cross-site"][..],
        &["Sec-Fetch-Site: same-site"],
        &["Origin: https://evil.example"],
        &["Origin: null"],
        &["Origin: http://localhost:3000", "Content-Type: text/plain"],
    ] {
        let extra: Vec<&str> = page.iter().copied().chain([token.as_str()]).collect();
        let answer = over_tcp(address, "POST", "/api/v1/services/t/restart", &extra).expect("an answer");
        assert_eq!(answer.status, 403, "{page:?}");
    }
    let preflight = over_tcp(
        address,
        "OPTIONS",
        "/api/v1/services/t/restart",
        &["Origin: https://evil.example", "Access-Control-Request-Method: POST"],
    );
    let preflight = preflight.expect("an answer");
    assert!(!preflight.headers.iter().any(|(name, _)| name.starts_with("access-control-")), "{preflight:?}");
    assert_eq!(stack.service("t").pid(), Some(pid));
}

#[test]
fn reading_never_changes_anything() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").start();
    let pid = stack.pid("t");
    for path in [
        "services/t/start",
        "services/t/stop",
        "services/t/restart",
        "services/t/signal",
        "reload",
        "stop",
        "start",
        "restart",
        "upgrade",
    ] {
        for method in ["GET", "HEAD"] {
            let answer = over_unix(&stack.socket(), method, &format!("/api/v1/{path}"), &[]).expect("an answer");
            assert!([404, 405].contains(&answer.status), "{method} {path}: {}", answer.status);
        }
    }
    assert_eq!(stack.service("t").pid(), Some(pid));
}

#[test]
fn what_is_too_big_or_no_http_is_refused_and_the_supervisor_lives() {
    let (stack, address, token) = open();
    let head = |more: &str| {
        format!("POST /api/v1/start HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n{more}\r\n")
    };
    let big_header = head(&format!("X-Big: {}\r\n", "a".repeat(100_000)));
    let many_headers = head(&(0..10_000).map(|number| format!("X-{number}: x\r\n")).collect::<String>());
    let big_body = head("Content-Type: application/json\r\nContent-Length: 1000000000\r\n") + &"x".repeat(3 << 20);
    let deep = "[".repeat(100_000);
    let deep_body =
        head(&format!("Content-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n", deep.len()))
            + &deep;
    let two_lengths = head("Content-Length: 5\r\nContent-Length: 6\r\n") + "xxxxxx";
    let both = head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n";
    let noise = "\0\u{1}\u{2}\r\n\r\n".to_owned();
    for (what, raw) in [
        ("a big header", big_header),
        ("many headers", many_headers),
        ("a big body", big_body),
        ("a deep body", deep_body),
        ("two lengths", two_lengths),
        ("noise", noise),
    ] {
        // To hang up is a refusal, too; to say nothing for ever is none.
        match raw_over_tcp(address, raw.as_bytes()) {
            Ok(answer) => assert!((400..500).contains(&answer.status), "{what}: {}", answer.status),
            Err(error) => assert_ne!(error.kind(), ErrorKind::WouldBlock, "{what}: neither an answer nor an end"),
        }
    }
    let _either = raw_over_tcp(address, both.as_bytes());
    assert_eq!(stack.get("/livez").status, 200);
    assert_eq!(stack.service("t").restarts(), 0);
}

#[test]
fn half_requests_are_cut_off_and_a_crashed_service_restarts_on_time_meanwhile() {
    let (stack, address, _) = open();
    let mut halves: Vec<TcpStream> = (0..300).map_while(|_| TcpStream::connect(address).ok()).collect();
    for half in &mut halves {
        // One that the server has cut off already cannot be written to.
        let _cut = half.write_all(b"GET /health HTTP/1.1\r\nHost: loc");
    }
    let old = stack.pid("t");
    let began = Instant::now();
    send(old, Signal::SIGKILL);
    stack.wait_until("t", "up again", |service| service.state() == "running" && service.pid() != Some(old));
    assert!(began.elapsed() < Duration::from_secs(3), "it took {:?}", began.elapsed());
    let mut first = halves.swap_remove(0);
    first.set_read_timeout(Some(Duration::from_secs(15))).expect("a timeout can be set");
    let mut rest = Vec::new();
    let _reset = first.read_to_end(&mut rest);
    assert!(began.elapsed() < Duration::from_secs(14), "it was held for {:?}", began.elapsed());
    drop(halves);
    eventually("room for others", || {
        over_tcp(address, "GET", "/livez", &[]).ok().filter(|answer| answer.status == 200)
    });
}

#[test]
fn errors_are_problem_documents_and_unknown_things_are_named() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").start();
    let answer = stack.get("/api/v1/services/ghost");
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let problem = answer.json();
    assert_eq!(problem["status"], 404);
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("ghost")), "{problem}");
    for path in [
        "/api/v1/services/..%2f..%2fetc%2fpasswd/logs",
        "/api/v1/services/%2e%2e/logs",
        "/../../etc/passwd",
        "/api/v1/services/t%00/logs",
    ] {
        assert!([400, 404].contains(&stack.get(path).status), "{path}");
    }
}

#[test]
fn every_answer_says_that_it_is_not_to_be_sniffed_framed_or_kept() {
    let stack = Setup::of("[services.t]\ncommand = './puppet seq --count 3'").start();
    stack.wait_log("t", "3\n");
    for path in ["/health", "/status", "/api/v1/status", "/api/v1/services/t/logs?tail=1", "/api/v1/services/ghost"] {
        let answer = stack.get(path);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("set-cookie"), None, "{path}");
    }
}

#[test]
fn without_configuration_nothing_but_loopback_is_listened_on() {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'").http("").start();
    let address = stack.http_address();
    assert!(address.ip().is_loopback());
    assert!((9700..=9719).contains(&address.port()), "{address}");
}

#[test]
fn a_given_address_that_is_busy_is_an_error() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = holder.local_addr().expect("bound");
    let mut stack =
        Setup::of("[services.t]\ncommand = './puppet wait'").http(&format!("listen = '{address}'")).prepare();
    let done = stack.cli(&["start"]);
    assert_ne!(done.code, 0);
    assert!(done.stderr.contains(&address.port().to_string()), "{}", done.stderr);
    eventually("all to be gone", || stack.processes().is_empty().then_some(()));
    stack.assert_nothing_left();
}

#[test]
fn health_is_that_of_the_critical_services_that_are_wanted_up() {
    let stack = Setup::of(
        "[services.must]\ncommand = './puppet wait'\n\
         [services.slow]\ncommand = './puppet ready-after never'\nready = { notify = true }\nautostart = false\n\
         [services.may]\ncommand = './puppet wait'\ncritical = false\n\
         [services.ill]\ncommand = './puppet exit-code 1'\nrestart = { policy = 'no' }\ncritical = false\nautostart = false",
    )
    .start();
    let health = || {
        let answer = stack.get("/health");
        (answer.status, answer.json()["status"].as_str().map(str::to_owned))
    };
    let is = |status: u16, word: &str| (status, Some(word.to_owned()));
    assert_eq!(health(), is(200, "healthy"));
    stack.cli(&["stop", "may"]).succeeded();
    assert_eq!(health(), is(200, "healthy"), "what is wanted down does not count");
    stack.cli(&["start", "ill", "--no-wait"]).succeeded();
    stack.wait_for("ill", "failed");
    assert_eq!(health(), is(200, "degraded"), "an optional one degrades");
    stack.cli(&["start", "slow", "--no-wait"]).succeeded();
    stack.wait_for("slow", "starting");
    assert_eq!(health(), is(503, "unhealthy"));
    stack.cli(&["stop", "slow", "ill"]).succeeded();
    assert_eq!(health(), is(200, "healthy"));
}
