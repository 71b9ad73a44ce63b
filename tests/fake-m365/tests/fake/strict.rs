//! Every rule of the fake, broken once: it is refused and recorded.
//! Not here: rules of codes (`tokens`) and of Graph (`graph`).

use fake_m365::{Rule, TENANT};
use serde_json::json;

use crate::app::{App, Change};

#[test]
fn a_login_that_breaks_a_rule_comes_back_with_an_error_and_is_recorded() {
    let app = App::new();
    let cases: [(Change<'_>, Rule, &str); 13] = [
        (("resource", Some("https://graph.microsoft.com")), Rule::NoResource, "invalid_target"),
        (("login", Some("x")), Rule::KnownParameter, "invalid_request"),
        (("response_type", Some("token")), Rule::CodeInQuery, "unsupported_response_type"),
        (("response_mode", Some("fragment")), Rule::CodeInQuery, "invalid_request"),
        (("prompt", Some("consent login")), Rule::Prompt, "invalid_request"),
        (("scope", None), Rule::Scope, "invalid_request"),
        (("scope", Some("openid Mail.Raed")), Rule::Scope, "invalid_client"),
        (("state", None), Rule::State, "invalid_request"),
        (("nonce", None), Rule::Nonce, "invalid_request"),
        (("code_challenge", None), Rule::Pkce, "invalid_request"),
        (("code_challenge_method", None), Rule::PkceS256, "invalid_request"),
        (("code_challenge_method", Some("plain")), Rule::PkceS256, "invalid_request"),
        (("code_challenge", Some("short")), Rule::PkceS256, "invalid_request"),
    ];
    for (change, rule, error) in cases {
        let answer = app.authorize(&[change]);
        assert_eq!(answer.redirected("error").as_deref(), Some(error), "{change:?}");
        assert_eq!(answer.redirected("code"), None, "{change:?}");
        assert_eq!(app.broken(), [rule], "{change:?}");
    }
}

#[test]
fn nothing_is_told_to_an_address_that_is_not_registered() {
    let app = App::new();
    let near = crate::app::REDIRECT.replace("azure_callback", "azure_callback/");
    let cases: [(Change<'_>, Rule, &str); 4] = [
        (("redirect_uri", Some(&near)), Rule::ExactRedirectUri, "AADSTS50011"),
        (("redirect_uri", None), Rule::ExactRedirectUri, "AADSTS50011"),
        (("client_id", Some("nobody")), Rule::KnownClient, "AADSTS700016"),
        (("client_id", None), Rule::KnownClient, "AADSTS900144"),
    ];
    for (change, rule, code) in cases {
        let answer = app.authorize(&[change]);
        assert_eq!((answer.status, answer.header("location")), (400, None), "{change:?}");
        assert!(answer.body.contains(code), "{change:?}: {}", answer.body);
        assert_eq!(app.broken(), [rule], "{change:?}");
    }
    let twice = app.get(&format!("{}&prompt=login&prompt=login", app.authorize_path(&[])), &[]);
    assert!(twice.status == 400 && twice.body.contains("AADSTS9000411"), "{twice:?}");
    assert_eq!(app.broken(), [Rule::NoRepetition]);
}

#[test]
fn a_token_request_that_breaks_a_rule_is_refused_and_recorded() {
    let app = App::new();
    let code = app.code();
    let cases: [(Change<'_>, Rule, u16, u32); 8] = [
        (("resource", Some("https://graph.microsoft.com")), Rule::NoResource, 400, 9_010_010),
        (("audience", Some("x")), Rule::KnownParameter, 400, 900_144),
        (("client_secret", None), Rule::ClientSecret, 401, 7_000_218),
        (("client_secret", Some("wrong")), Rule::ClientSecret, 401, 7_000_215),
        (("client_id", Some("nobody")), Rule::KnownClient, 400, 700_016),
        (("grant_type", Some("password")), Rule::KnownParameter, 400, 70_003),
        (("grant_type", None), Rule::KnownParameter, 400, 900_144),
        (("scope", Some("Mail.Raed")), Rule::Scope, 401, 650_053),
    ];
    for (change, rule, status, number) in cases {
        let answer = app.redeem(&code, &[change]);
        assert_eq!((answer.status, answer.json()["error_codes"].clone()), (status, json!([number])), "{change:?}");
        assert_eq!(app.broken(), [rule], "{change:?}");
    }
    assert_eq!(app.redeem(&code, &[]).status, 200, "the code outlives refusals");
}

#[test]
fn tokens_are_asked_for_with_a_form_in_the_body() {
    let app = App::new();
    assert_eq!(app.token("{}", &["Content-Type: application/json"]).unwrap().status, 400);
    assert_eq!(app.token("grant_type=x", &[]).unwrap().status, 400);
    assert_eq!(app.get(&format!("/{TENANT}/oauth2/v2.0/token"), &[]).status, 400);
    assert_eq!(app.broken(), [Rule::Form, Rule::Form, Rule::Form]);
    let form = "Content-Type: application/x-www-form-urlencoded";
    assert_eq!(app.token("grant_type=a&grant_type=b", &[form]).unwrap().status, 400);
    assert_eq!(app.broken(), [Rule::NoRepetition]);
}

#[test]
fn an_address_that_does_not_exist_is_recorded() {
    let app = App::new();
    assert_eq!(app.get(&format!("/{TENANT}/oauth2/token"), &[]).status, 404);
    assert_eq!(app.broken(), [Rule::KnownPath]);
}

#[test]
#[should_panic(expected = "broke rules")]
fn a_broken_rule_that_nobody_expected_fails_the_test() {
    App::new().authorize(&[("state", None)]);
}

#[test]
fn only_names_of_this_machine_are_answered() {
    let app = App::new();
    assert_eq!(app.get("/health", &["Host: evil.example"]).status, 421);
    assert_eq!(app.get("/health", &["Host: localhost"]).status, 200);
}
