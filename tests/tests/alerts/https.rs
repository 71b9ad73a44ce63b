//! Webhooks over encrypted connections: to whom a trusted authority vouches for, and to nobody else.
//! Not here: mail.

use std::fs;

use e2e::{Stack, User, eventually};

use super::authority::{Authority, NEVER};
use super::receiver::Receiver;
use super::{alert, setup};

/// A stack that trusts this authority alone, with a webhook for each of these servers: `hook-0`, `hook-1` …
fn stack(authority: &Authority, servers: &[&Receiver]) -> Stack {
    let alerts: String = (0..)
        .zip(servers)
        .map(|(number, server)| {
            let port = server.address.port();
            format!("[[alerts]]\nname = 'hook-{number}'\nwebhook = 'https://localhost:{port}/'\n")
        })
        .collect();
    let stack = setup(&alerts).env("SSL_CERT_FILE", "@root/authority.pem").as_user(User::Ordinary).prepare();
    fs::write(stack.path("authority.pem"), authority.pem()).expect("the directory can be written");
    stack.cli(&["start", "--no-wait"]).succeeded();
    stack
}

#[track_caller]
fn wait_error(stack: &Stack, name: &str, part: &str) {
    let error = eventually(name, || alert(stack, name)["error"].as_str().map(str::to_owned));
    assert!(error.contains(part), "{error}");
}

#[test]
fn a_webhook_goes_encrypted_to_a_server_that_a_named_authority_vouches_for() {
    let authority = Authority::named("ours");
    let server = Receiver::encrypted(authority.server("localhost", NEVER));
    let stack = stack(&authority, &[&server]);
    let told = server.wait_for("crash-loop");
    assert_eq!((&told["alert"], &told["service"]), (&"hook-0".into(), &"sick".into()));
    eventually("it to count", || (alert(&stack, "hook-0")["sent"] == 1).then_some(()));
    assert_eq!(alert(&stack, "hook-0")["error"], serde_json::Value::Null);
}

#[test]
fn a_server_with_a_wrong_certificate_gets_nothing_until_that_is_mended() {
    let (ours, theirs) = (Authority::named("ours"), Authority::named("theirs"));
    let stranger = Receiver::encrypted(theirs.server("localhost", NEVER));
    let other = Receiver::encrypted(ours.server("example.org", NEVER));
    let old = Receiver::encrypted(ours.server("localhost", 2001));
    let stack = stack(&ours, &[&stranger, &other, &old]);
    let port = stranger.address.port();
    wait_error(&stack, "hook-0", &format!("`localhost:{port}` gets nothing: its certificate is signed by nobody whom"));
    wait_error(&stack, "hook-0", "`SSL_CERT_FILE` may name its authority");
    wait_error(&stack, "hook-1", "its certificate is for another name");
    wait_error(&stack, "hook-2", "its certificate is no longer valid");
    assert!([&stranger, &other, &old].iter().all(|server| server.posts().is_empty()));
    fs::write(stack.path("authority.pem"), theirs.pem()).expect("the directory can be written");
    assert_eq!(stranger.wait_for("crash-loop")["alert"], "hook-0", "what waited");
}

#[test]
fn a_server_that_speaks_in_the_clear_gets_nothing_over_an_encrypted_connection() {
    let server = Receiver::start();
    let stack = stack(&Authority::named("ours"), &[&server]);
    wait_error(&stack, "hook-0", "does not answer");
    assert!(server.posts().is_empty());
}
