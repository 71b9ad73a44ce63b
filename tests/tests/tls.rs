//! Checks over TLS: what makes ready, what is said when it cannot be, and what is known of the certificate.
//! Not here: certificates that end, and whom that is told to (`alerts`).

use e2e::{Setup, User, certificate, free_port};
use serde_json::Value;

const DAY: i64 = 86_400;

/// A service that speaks TLS on its own port, with a check each tenth of a second.
fn web() -> String {
    let port = free_port();
    format!(
        "[services.web]\ncommand = './puppet tls'\nport = {port}\nready = {{ http = {{ path = '/health', tls = true }} }}\n\
         live = {{ http = {{ path = '/health', tls = true }}, interval = '100ms' }}\nstop = {{ timeout = '1s' }}\n"
    )
}

fn a_check_over_tls_makes_ready(user: User) {
    let stack = Setup::of(&web()).as_user(user).prepare();
    certificate(&stack, -DAY, 300 * DAY);
    stack.cli(&["start"]).succeeded();
    let service = stack.service("web");
    let port = service.0["port"].as_u64().expect("it has one");
    stack.wait_log("web", &format!("localhost for localhost:{port}\n"));
    assert_eq!(service.0["address"], format!("https://127.0.0.1:{port}"));
    assert_eq!(service.0["certificate"]["state"], "good");
    assert!(!stack.cli(&["status"]).succeeded().stdout.contains("certificate"));
}

#[test]
fn a_check_over_tls_makes_ready_whoever_has_signed_the_certificate() {
    a_check_over_tls_makes_ready(User::Current);
}

#[test]
fn an_ordinary_users_check_over_tls_makes_ready_too() {
    a_check_over_tls_makes_ready(User::Ordinary);
}

#[test]
fn a_check_over_tls_goes_to_the_private_socket_and_asks_for_its_host() {
    let port = free_port();
    let stack = Setup::of(&format!(
        "[services.web]\ncommand = './puppet tls --inherited --status \"204 No\"'\nport = {port}\nrollout.handoff = 'socket'\n\
         ready = {{ http = {{ path = '/', tls = true, host = 'web.test:8443', status = [204] }} }}"
    ))
    .prepare();
    certificate(&stack, -DAY, 300 * DAY);
    stack.cli(&["start"]).succeeded();
    stack.wait_log("web", "web.test for web.test:8443\n");
    assert_eq!(stack.service("web").0["certificate"]["host"], "web.test:8443");
}

fn is_told(services: &str, part: &str) {
    let stack = Setup::of(services).start_no_wait();
    let service = stack.wait_until("web", "a failed check", |service| !service.0["failing"][0].is_null());
    let failing = &service.0["failing"][0];
    assert_eq!(failing["check"], "https /health");
    let answer = failing["answer"].as_str().unwrap_or_default();
    assert!(answer.contains(part), "{failing}");
    assert_eq!(service.state(), "starting");
    assert_eq!(service.0["certificate"], Value::Null);
}

#[test]
fn a_service_that_answers_in_the_clear_is_told_as_one() {
    let port = free_port();
    let service = format!(
        "[services.web]\ncommand = './exemplar'\nport = {port}\nrollout.handoff = 'socket'\n\
         ready = {{ http = {{ path = '/health', tls = true }} }}"
    );
    is_told(&service, "it does not speak TLS");
}

#[test]
fn a_handshake_that_stalls_ends_with_the_timeout_of_the_check() {
    let port = free_port();
    // Who connects waits in the queue of a socket that nobody looks at.
    let service = format!(
        "[services.web]\ncommand = './puppet wait'\nport = {port}\nrollout.handoff = 'socket'\n\
         ready = {{ http = {{ path = '/health', tls = true }}, timeout = '150ms' }}"
    );
    is_told(&service, "no TLS handshake within 150 ms");
}

#[test]
fn until_when_a_certificate_is_good_is_a_metric() {
    let stack = Setup::of(&web()).prepare();
    let times = certificate(&stack, -DAY, 300 * DAY);
    stack.cli(&["start"]).succeeded();
    let metrics = stack.get("/metrics").text();
    for (name, time) in [("not_before", times[0]), ("not_after", times[1])] {
        let name = format!("supervisor_service_certificate_{name}_timestamp_seconds{{service=\"web\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(name.as_str()));
        assert_eq!(value.and_then(|value| value.parse().ok()), Some(time), "{name}");
    }
}
