//! Certificates that end: each is told when it is due, when it has expired and when it is renewed, once.
//! Not here: how early one is due, how it is read (unit tests of `certificates`).

use std::fs;
use std::time::Duration;

use e2e::{Setup, Signal, Stack, User, alive, certificate, eventually, free_port, holds_for, send};
use serde_json::Value;

use super::receiver::Receiver;

const DAY: i64 = 86_400;

/// A service that speaks TLS on its own port, with a check each tenth of a second.
fn web(receiver: &Receiver) -> Setup {
    let (port, url) = (free_port(), receiver.url("/"));
    Setup::of(&format!(
        "[services.web]\ncommand = './puppet tls'\nport = {port}\nready = {{ http = {{ path = '/health', tls = true }} }}\n\
         live = {{ http = {{ path = '/health', tls = true }}, interval = '100ms' }}\n\
         [[alerts]]\non = ['certificate', 'recovered']\nmin_interval = '1ms'\nwebhook = '{url}'\n"
    ))
}

/// Those that the journal has, as pairs of state and cause.
fn told(stack: &Stack) -> Vec<(String, String)> {
    let page = stack.get("/api/v1/events?kind=certificate&service=web").json();
    let event = |event: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&event["certificate"]["state"]), text(&event["cause"]))
    };
    page["events"].as_array().into_iter().flatten().map(event).collect()
}

#[track_caller]
fn wait_told(stack: &Stack, states: &[&str]) -> Vec<(String, String)> {
    eventually(&format!("{states:?} to be told"), || {
        let told = told(stack);
        (told.iter().map(|(state, _)| state).eq(states)).then_some(told)
    })
}

#[track_caller]
fn wait(receiver: &Receiver, title: &str) -> Value {
    receiver.wait(title, |post| post.body["title"] == title).body
}

fn titles(receiver: &Receiver) -> Vec<String> {
    receiver.taken().iter().map(|post| post["title"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_certificate_that_ends_is_told_when_it_is_due_when_it_has_expired_and_when_it_is_renewed() {
    let receiver = Receiver::start();
    let stack = web(&receiver).as_user(User::Ordinary).prepare();
    // Long enough for a slow machine to see it while it is due.
    certificate(&stack, -400, 12);
    stack.cli(&["start"]).succeeded();
    let due = wait(&receiver, "web: its certificate ends soon");
    assert_eq!((&due["occasion"], &due["service"]), (&"certificate".into(), &"web".into()));
    assert_eq!(due["certificate"]["state"], "due");
    let until = due["certificate"]["not_after"].as_str().expect("a time").to_owned();
    let cause = due["cause"].as_str().expect("words");
    assert!(cause.contains("ends in") && cause.contains(&until), "{cause}");
    assert!(cause.contains("renew it") && cause.contains("`supervisor restart web`"), "{cause}");
    let why = stack.cli(&["why", "web"]).succeeded().stdout;
    assert!(why.contains("its certificate ends in") && why.contains("renew it"), "{why}");
    // The next control tells nothing of it again, and goes on.
    stack.kill_control();
    let expired = wait(&receiver, "web: its certificate has expired");
    assert_eq!(expired["certificate"]["not_after"], until);
    assert!(stack.cli(&["status"]).succeeded().stdout.contains("its certificate expired "));
    stack.kill_control();
    eventually("the new control to see it", || {
        (stack.service("web").0["certificate"]["state"] == "expired").then_some(())
    });
    holds_for(Duration::from_millis(800), "no more is told", || told(&stack).len() == 2);
    certificate(&stack, -DAY, 300 * DAY);
    wait(&receiver, "web has recovered");
    wait_told(&stack, &["due", "expired", "good"]);
    assert!(!stack.cli(&["status"]).succeeded().stdout.contains("certificate"));
    let expected =
        ["web: its certificate ends soon", "web: its certificate has expired", "web has recovered"].map(str::to_owned);
    assert_eq!(titles(&receiver), expected);
    assert_eq!(stack.service("web").restarts(), 0, "a certificate that has expired is no failure of a check");
}

#[test]
fn a_check_that_is_taken_away_takes_the_trouble_with_its_certificate_along() {
    let receiver = Receiver::start();
    let stack = web(&receiver).prepare();
    certificate(&stack, -400, -10);
    stack.cli(&["start"]).succeeded();
    wait(&receiver, "web: its certificate has expired");
    let pid = stack.pid("web");
    let file = stack.path("supervisor.toml");
    let text = fs::read_to_string(&file).expect("ours");
    let text = text.replace("live = { http = { path = '/health', tls = true }, interval = '100ms' }", "");
    fs::write(&file, text.replace("http = { path = '/health', tls = true }", "tcp = true")).expect("ours");
    stack.cli(&["reload"]).succeeded();
    wait(&receiver, "web has recovered");
    assert_eq!(stack.service("web").0["certificate"], Value::Null);
    assert!(alive(pid) && stack.pid("web") == pid);
    send(stack.control(), Signal::SIGKILL);
    eventually("another control to answer", || (stack.get("/livez").status == 200).then_some(()));
    assert_eq!(stack.service("web").0["certificate"], Value::Null);
}
