//! What is issued, for how long, and how it is refused.
//! Not here: Graph.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fake_m365::{Fault, OldRefreshTokens, Rule, TENANT};
use serde_json::json;

use crate::app::{App, REDIRECT, SCOPE, VERIFIER, claims};
use crate::http::form;

#[test]
fn a_code_becomes_tokens_that_say_who_and_for_whom() {
    let app = App::new();
    let tokens = app.tokens();
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(3599)));
    assert_eq!(tokens["scope"], "Mail.Read User.Read openid profile email");
    let claims = claims(&tokens);
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(app.fake.authority()), &json!(app.fake.app().client_id)));
    assert_eq!((&claims["tid"], &claims["nonce"]), (&json!(TENANT), &json!("the nonce")));
    assert_eq!((&claims["ver"], &claims["email"]), (&json!("2.0"), &json!("minji@sandbox.example")));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
}

#[test]
fn what_was_not_asked_for_is_not_there() {
    let app = App::new();
    let code = app.authorize(&[("scope", Some("Mail.Read")), ("nonce", None)]).redirected("code").unwrap();
    let tokens = app.redeem(&code, &[]).json();
    assert_eq!(tokens["scope"], "Mail.Read");
    assert_eq!((tokens.get("id_token"), tokens.get("refresh_token")), (None, None));
}

#[test]
fn a_token_covers_everything_that_was_ever_consented_to() {
    let app = App::new();
    app.tokens();
    let code = app.authorize(&[("scope", Some("openid Notes.Read"))]).redirected("code").unwrap();
    assert_eq!(app.redeem(&code, &[]).json()["scope"], "Mail.Read Notes.Read User.Read openid");
}

#[test]
fn a_refresh_gives_a_new_token_each_time_and_the_old_one_stays_good_unless_told_otherwise() {
    let app = App::new();
    let first = app.tokens()["refresh_token"].as_str().unwrap().to_owned();
    let second = app.refresh(&first, &[]).json()["refresh_token"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    assert_eq!(app.refresh(&first, &[("scope", Some("Mail.Read"))]).status, 200);
    app.fake.set(|settings| settings.old_refresh_tokens = OldRefreshTokens::Dead);
    assert_eq!(app.refresh(&second, &[]).status, 200);
    let refused = app.refresh(&second, &[]);
    assert_eq!((refused.status, &refused.json()["error"]), (400, &json!("invalid_grant")));
}

#[test]
fn a_refresh_cannot_reach_what_was_not_consented_to() {
    let app = App::new();
    let refresh = app.tokens()["refresh_token"].as_str().unwrap().to_owned();
    let answer = app.refresh(&refresh, &[("scope", Some("Files.ReadWrite"))]);
    let body = answer.json();
    assert_eq!(
        (answer.status, &body["error"], &body["suberror"]),
        (400, &json!("invalid_grant"), &json!("consent_required"))
    );
}

#[test]
fn errors_have_the_shape_of_entra() {
    let app = App::new();
    let refresh = app.tokens()["refresh_token"].as_str().unwrap().to_owned();
    app.fake.revoke("minji@sandbox.example");
    let answer = app.refresh(&refresh, &[]);
    let body = answer.json();
    assert_eq!((answer.status, &body["error"], &body["error_codes"]), (400, &json!("invalid_grant"), &json!([50173])));
    for key in ["timestamp", "trace_id", "correlation_id"] {
        let value = body[key].as_str().unwrap();
        assert!(body["error_description"].as_str().unwrap().contains(value), "{body}");
    }
    assert!(body["error_description"].as_str().unwrap().starts_with("AADSTS50173: "));
    assert!(body["error_uri"].as_str().unwrap().ends_with("/error?code=50173"));
    assert!(answer.header("cache-control").unwrap().contains("no-store"));
}

#[test]
fn codes_and_refresh_tokens_expire_on_entras_clock() {
    let app = App::new();
    let (code, refresh) = (app.code(), app.tokens()["refresh_token"].as_str().unwrap().to_owned());
    app.fake.set(|settings| settings.clock_offset_s = 601);
    assert_eq!(app.redeem(&code, &[]).json()["error_codes"], json!([70008]));
    assert_eq!(app.refresh(&refresh, &[]).status, 200);
    app.fake.set(|settings| settings.clock_offset_s = 7_776_001);
    assert_eq!(app.refresh(&refresh, &[]).json()["error_codes"], json!([700_082]));
}

#[test]
fn a_client_may_prove_itself_in_the_header() {
    let app = App::new();
    let credentials = app.fake.app();
    let basic = STANDARD.encode(format!("{}:{}", credentials.client_id, credentials.client_secret));
    let code = app.code();
    let body = form(&[
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
        ("scope", SCOPE),
    ]);
    let headers =
        ["Content-Type: application/x-www-form-urlencoded; charset=utf-8", &format!("Authorization: Basic {basic}")];
    assert_eq!(app.token(&body, &headers).unwrap().status, 200);
}

#[test]
fn a_code_is_good_once_for_one_application_one_address_and_one_verifier() {
    let app = App::new();
    app.fake.add_app(fake_m365::App {
        client_id: "other".to_owned(),
        client_secret: "other secret".to_owned(),
        name: "Other".to_owned(),
        redirect_uris: vec![REDIRECT.to_owned()],
    });
    let code = app.code();
    let foreign = [("client_id", Some("other")), ("client_secret", Some("other secret"))];
    assert_eq!(app.redeem(&code, &foreign).json()["error_codes"], json!([9_002_313]));
    assert_eq!(
        app.redeem(&code, &[("redirect_uri", Some("http://127.0.0.1:9/"))]).json()["error_codes"],
        json!([500_112])
    );
    assert_eq!(app.redeem(&code, &[("code_verifier", Some("wrong"))]).json()["error_codes"], json!([501_481]));
    assert_eq!(app.redeem(&code, &[("code_verifier", None)]).status, 400);
    assert_eq!(app.redeem(&code, &[]).status, 200);
    assert_eq!(app.redeem(&code, &[]).json()["error_codes"], json!([54005]));
    let broken = [Rule::IssuedHere, Rule::ExactRedirectUri, Rule::Pkce, Rule::Pkce, Rule::CodeOnce];
    assert_eq!(app.broken(), broken);
}

#[test]
fn a_scripted_error_is_told_in_the_words_of_the_endpoint() {
    use fake_m365::{Place, Script, Then};
    let app = App::new();
    for (fault, error, code, status) in [
        (Fault::ConsentRequired, "invalid_grant", 65_001, 400),
        (Fault::InteractionRequired, "invalid_grant", 50_076, 400),
        (Fault::UserDisabled, "invalid_grant", 50_057, 400),
        (Fault::SecretExpired, "invalid_client", 7_000_222, 401),
        (Fault::Transient, "temporarily_unavailable", 90_033, 503),
    ] {
        app.fake.script(Script::once(Place::Redeem, Then::Error(fault)));
        let answer = app.redeem(&app.code(), &[]);
        let body = answer.json();
        assert_eq!((answer.status, &body["error"], &body["error_codes"]), (status, &json!(error), &json!([code])));
        assert_eq!(body.get("claims").is_some(), fault == Fault::InteractionRequired);
    }
    for (fault, error, code) in [
        (Fault::AccessDenied, "access_denied", 65_004),
        (Fault::ConsentRequired, "consent_required", 65_001),
        (Fault::InteractionRequired, "interaction_required", 50_076),
    ] {
        app.fake.script(Script::once(Place::Authorize, Then::Error(fault)));
        let answer = app.authorize(&[]);
        assert_eq!(answer.redirected("error").as_deref(), Some(error));
        assert_eq!(answer.redirected("state").as_deref(), Some("the state"));
        assert!(answer.redirected("error_description").unwrap().starts_with(&format!("AADSTS{code}: ")));
    }
}
