//! Connections that end, answers that are lost, keys that change, and what the log keeps of it.
//! Not here: errors in Entra's words (`tokens`).

use std::time::{Duration, Instant};

use fake_m365::{Place, Rule, Script, TENANT, Then};

use crate::app::{App, VERIFIER};

#[test]
fn a_lost_answer_has_done_its_work_and_a_hang_up_has_not() {
    let app = App::new();
    let code = app.code();
    app.fake.script(Script::once(Place::Redeem, Then::HangUp));
    app.fake.script(Script::once(Place::Redeem, Then::LoseAnswer));
    assert!(app.try_redeem(&code, &[]).is_none());
    assert!(app.try_redeem(&code, &[]).is_none());
    assert_eq!(app.redeem(&code, &[]).status, 400);
    assert_eq!(app.broken(), [Rule::CodeOnce]);
    let statuses: Vec<_> = app.fake.log().into_iter().rev().take(3).map(|entry| entry.status).collect();
    assert_eq!(statuses, [Some(400), None, None]);
}

#[test]
fn a_scripted_delay_holds_up_nobody_else() {
    let app = App::new();
    app.fake.script(Script { delay_ms: 60_000, ..Script::once(Place::Discovery, Then::Proceed) });
    let base = app.fake.base();
    std::thread::spawn(move || {
        crate::http::send(&base, "GET", &format!("/{TENANT}/v2.0/.well-known/openid-configuration"), &[], "")
    });
    let began = Instant::now();
    while app.fake.log().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "the first request never came");
        std::thread::yield_now();
    }
    assert_eq!(app.get("/health", &[]).status, 200);
    assert_eq!(app.fake.log()[0].status, None, "the first one still waits");
}

#[test]
fn a_new_key_is_published_beside_the_old_one() {
    let app = App::new();
    let keys = || app.get(&format!("/{TENANT}/discovery/v2.0/keys"), &[]).json()["keys"].as_array().unwrap().clone();
    let before = keys();
    app.fake.rotate_keys();
    assert_eq!((keys().len(), &keys()[0]), (2, &before[0]));
    app.fake.forget_old_keys();
    assert_eq!(keys().len(), 1);
    assert_ne!(keys(), before);
}

#[test]
fn the_log_has_every_request_and_no_secret() {
    let app = App::new();
    let code = app.code();
    let tokens = app.redeem(&code, &[]).json();
    let (access, refresh) = (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
    app.refresh(refresh, &[]);
    app.me(access);
    let log = app.fake.log();
    let paths: Vec<_> = log.iter().map(|entry| entry.path.rsplit('/').next().unwrap()).collect();
    assert_eq!(paths, ["authorize", "token", "token", "me"]);
    assert_eq!(log[1].form["grant_type"], "authorization_code");
    let text = format!("{log:?}");
    let secret = app.fake.app().client_secret;
    for hidden in [code.as_str(), access, refresh, VERIFIER, &secret, "the state", "the nonce"] {
        assert!(!text.contains(hidden), "{hidden} is in the log");
    }
}
