//! Discovery and the way to a code.
//! Not here: pages.

use fake_m365::{TENANT, User, sandbox_users};
use serde_json::json;

use crate::app::App;

#[test]
fn discovery_leads_to_every_address_of_its_own_tenant() {
    let app = App::new();
    let base = app.fake.base();
    let found = app.get(&format!("/{TENANT}/v2.0/.well-known/openid-configuration"), &[]).json();
    assert_eq!(found["issuer"], app.fake.authority());
    assert_eq!(found["issuer"], format!("{base}/{TENANT}/v2.0"));
    assert_eq!(found["token_endpoint"], format!("{base}/{TENANT}/oauth2/v2.0/token"));
    assert_eq!(found["authorization_endpoint"], format!("{base}/{TENANT}/oauth2/v2.0/authorize"));
    let keys = found["jwks_uri"].as_str().unwrap().strip_prefix(&base).unwrap();
    let key = &app.get(keys, &[]).json()["keys"][0];
    assert_eq!((&key["kty"], &key["use"], &key["e"]), (&json!("RSA"), &json!("sig"), &json!("AQAB")));
    // Entra names no algorithm; who relies on one fails there.
    assert_eq!(key.get("alg"), None);
}

#[test]
fn the_issuer_of_many_tenants_is_a_template() {
    let app = App::new();
    for tenant in ["common", "organizations"] {
        let found = app.get(&format!("/{tenant}/v2.0/.well-known/openid-configuration"), &[]).json();
        assert_eq!(found["issuer"], format!("{}/{{tenantid}}/v2.0", app.fake.base()));
    }
}

#[test]
fn an_unknown_tenant_is_refused_in_entras_words() {
    let app = App::new();
    let answer = app.get("/nowhere.example/v2.0/.well-known/openid-configuration", &[]);
    let body = answer.json();
    assert_eq!((answer.status, &body["error"], &body["error_codes"]), (400, &json!("invalid_tenant"), &json!([90002])));
}

#[test]
fn a_login_comes_back_with_a_code_and_the_state() {
    let app = App::new();
    let answer = app.authorize(&[]);
    assert_eq!(answer.redirected("state").as_deref(), Some("the state"));
    assert!(answer.redirected("code").is_some() && answer.redirected("session_state").is_some());
    assert!(answer.header("location").unwrap().starts_with(crate::app::REDIRECT));
}

#[test]
fn the_hint_wins_over_the_usual_person_and_the_first_of_the_tenant_comes_last() {
    let app = App::new();
    let name = |hint: Option<&str>| {
        let code = app.authorize(&[("login_hint", hint)]).redirected("code").unwrap();
        crate::app::claims(&app.redeem(&code, &[]).json())["preferred_username"].clone()
    };
    assert_eq!(name(None), "minji@sandbox.example");
    app.fake.sign_in_as("junho@sandbox.example");
    assert_eq!(name(None), "junho@sandbox.example");
    assert_eq!(name(Some("Anna@sandbox.example")), "anna@sandbox.example");
}

#[test]
fn a_person_of_another_tenant_cannot_sign_in_here_but_can_where_any_may() {
    let app = App::new();
    let (other, mut user) = ("0be50000-0000-4000-8000-000000000000", sandbox_users().remove(0));
    user = User {
        id: "stranger".to_owned(),
        tenant_id: other.to_owned(),
        user_principal_name: "x@other.example".to_owned(),
        ..user
    };
    app.fake.add_user(user);
    let refused = app.authorize(&[("login_hint", Some("x@other.example"))]);
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("AADSTS50020"), "{}", refused.body);
    let path = app.authorize_path(&[("login_hint", Some("x@other.example"))]).replace(TENANT, "organizations");
    let code = app.get(&path, &[]).redirected("code").unwrap();
    let claims = crate::app::claims(&app.redeem(&code, &[]).json());
    assert_eq!((&claims["tid"], &claims["oid"]), (&json!(other), &json!("stranger")));
}

#[test]
fn without_a_session_nobody_signs_in_silently() {
    let app = App::new();
    let silent = app.authorize(&[("prompt", Some("none"))]);
    assert_eq!(silent.redirected("error").as_deref(), Some("login_required"));
    assert!(silent.redirected("error_description").unwrap().starts_with("AADSTS50058: "));
    let first = app.authorize(&[("login_hint", Some("junho@sandbox.example"))]);
    let cookie = first.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let path = app.authorize_path(&[("prompt", Some("none"))]);
    let code = app.get(&path, &[&format!("Cookie: {cookie}")]).redirected("code").unwrap();
    assert_eq!(crate::app::claims(&app.redeem(&code, &[]).json())["preferred_username"], "junho@sandbox.example");
}
