//! The control API, as tests in other languages use it.
//! Not here: what it steers; each has its own promises.

use fake_m365::{Rule, TENANT};
use serde_json::{Value, json};

use crate::app::App;
use crate::http::send;

fn with(app: &App, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let answer = send(&app.fake.base(), method, path, &["Content-Type: application/json"], &body.to_string()).unwrap();
    (answer.status, answer.json())
}

#[test]
fn everything_that_can_be_steered_can_be_steered_over_http() {
    let app = App::new();
    let (status, settings) = with(&app, "PATCH", "/_control/settings", &json!({"access_token_s": 60}));
    assert_eq!((status, &settings["access_token_s"], &settings["code_s"]), (200, &json!(60), &json!(600)));
    let user = json!({"id": "new", "userPrincipalName": "new@sandbox.example", "displayName": "New"});
    assert_eq!(app.post_json("/_control/users", &user).status, 200);
    let script = json!({"on": "redeem", "then": {"error": "consent_required"}});
    assert_eq!(app.post_json("/_control/scripts", &script).status, 200);
    let code = app.authorize(&[("login_hint", Some("new@sandbox.example"))]).redirected("code").unwrap();
    assert_eq!(app.redeem(&code, &[]).json()["error_codes"], json!([65_001]));
    let tokens = app.redeem(&code, &[]).json();
    assert_eq!(tokens["expires_in"], 60);
    assert_eq!(app.post_json("/_control/revoke", &json!({"user_principal_name": "new@sandbox.example"})).status, 200);
    assert_eq!(app.refresh(tokens["refresh_token"].as_str().unwrap(), &[]).json()["error_codes"], json!([50_173]));
    assert_eq!(app.post_json("/_control/keys/rotate", &json!({})).status, 200);
    let keys = app.get(&format!("/{TENANT}/discovery/v2.0/keys"), &[]).json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    assert_eq!(app.post_json("/_control/redirects", &json!({"uri": "http://127.0.0.1:9/second"})).status, 200);
    assert_eq!(app.authorize(&[("redirect_uri", Some("http://127.0.0.1:9/second"))]).status, 302);
    assert_eq!(app.get("/_control/log", &[]).json().as_array().unwrap().len(), 6);
}

#[test]
fn broken_rules_are_read_and_taken_away() {
    let app = App::new();
    app.authorize(&[("state", None)]);
    let (_, seen) = with(&app, "GET", "/_control/violations", &json!({}));
    assert_eq!((&seen[0]["rule"], &seen[0]["request"]), (&json!("state"), &json!(1)));
    with(&app, "DELETE", "/_control/violations", &json!({}));
    assert_eq!(app.broken(), [] as [Rule; 0]);
}

#[test]
fn what_cannot_be_carried_out_is_refused_with_a_reason() {
    let app = App::new();
    for (path, body, why) in [
        ("/_control/scripts", json!({"on": "graph", "then": {"error": "revoked"}}), "use `reply`"),
        ("/_control/scripts", json!({"on": "graph", "then": {"reply": {"status": 42}}}), "42 is no status"),
        ("/_control/scripts", json!({"on": "nowhere", "then": "proceed"}), "unknown variant"),
        ("/_control/users", json!({"id": "x"}), "missing field"),
    ] {
        let answer = app.post_json(path, &body);
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.json()["error"].as_str().unwrap().contains(why), "{answer:?}");
    }
    let (status, body) = with(&app, "PATCH", "/_control/settings", &json!({"access_token": 60}));
    assert!(status == 400 && body["error"].as_str().unwrap().contains("unknown field"), "{body}");
}

#[test]
fn web_pages_cannot_steer_it() {
    let app = App::new();
    let headers = ["Content-Type: application/json", "Origin: https://evil.example"];
    let answer = send(&app.fake.base(), "POST", "/_control/keys/rotate", &headers, "{}").unwrap();
    assert_eq!(answer.status, 403);
    let plain = send(&app.fake.base(), "POST", "/_control/users", &["Content-Type: text/plain"], "{}").unwrap();
    assert_eq!(plain.status, 415);
}

#[test]
fn its_front_page_tells_what_it_is() {
    let app = App::new();
    let page = app.get("/", &[]).body;
    assert!(page.contains("김민지") && page.contains(&app.fake.authority()), "{page}");
}
