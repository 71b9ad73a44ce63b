//! Graph: the person behind the token, and people in pages.
//! Not here: getting the token.

use fake_m365::{Canned, Place, Rule, Script, Then};
use serde_json::json;

use crate::app::App;

#[test]
fn me_is_the_person_who_signed_in() {
    let app = App::new();
    let tokens = app.tokens();
    let answer = app.me(tokens["access_token"].as_str().unwrap());
    let me = answer.json();
    assert_eq!(
        (answer.status, &me["displayName"], &me["mail"]),
        (200, &json!("김민지"), &json!("minji@sandbox.example"))
    );
    assert_eq!(me["@odata.context"], format!("{}/v1.0/$metadata#users/$entity", app.fake.graph()));
    assert!(answer.header("request-id").is_some());
}

#[test]
fn only_selected_properties_come_and_unknown_ones_are_refused() {
    let app = App::new();
    let bearer = format!("Authorization: Bearer {}", app.tokens()["access_token"].as_str().unwrap());
    let me = app.get("/v1.0/me?$select=id,mail", &[&bearer]).json();
    assert_eq!(me.as_object().unwrap().len(), 3);
    assert_eq!(me["@odata.context"], format!("{}/v1.0/$metadata#users(id,mail)/$entity", app.fake.graph()));
    assert_eq!(app.get("/v1.0/me?$select=shoeSize", &[&bearer]).json()["error"]["code"], "BadRequest");
    assert_eq!(app.get("/v1.0/me?$filter=x", &[&bearer]).status, 400);
    assert_eq!(app.get("/v1.0/me/planner", &[&bearer]).status, 400);
    assert_eq!(app.broken(), [Rule::KnownParameter, Rule::KnownPath]);
}

#[test]
fn no_token_a_foreign_token_and_an_expired_one_are_refused_differently() {
    let app = App::new();
    let none = app.get("/v1.0/me", &["client-request-id: mine"]);
    assert_eq!((none.status, &none.json()["error"]["code"]), (401, &json!("InvalidAuthenticationToken")));
    assert_eq!(none.json()["error"]["innerError"]["client-request-id"], "mine");
    assert!(none.header("www-authenticate").unwrap().starts_with("Bearer realm=\"\""));
    assert_eq!(app.me("foreign").status, 401);
    assert_eq!(app.broken(), [Rule::IssuedHere, Rule::IssuedHere]);
    let tokens = app.tokens();
    app.fake.set(|settings| settings.clock_offset_s = 3_600);
    let expired = app.me(tokens["access_token"].as_str().unwrap());
    assert!(expired.json()["error"]["message"].as_str().unwrap().contains("token is expired"));
}

#[test]
fn a_token_without_the_permission_is_forbidden() {
    let app = App::new();
    let code = app.authorize(&[("scope", Some("openid Mail.Read"))]).redirected("code").unwrap();
    let answer = app.me(app.redeem(&code, &[]).json()["access_token"].as_str().unwrap());
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (403, &json!("Authorization_RequestDenied")));
}

#[test]
fn a_list_comes_in_pages_that_lead_from_one_to_the_next() {
    let app = App::new();
    let code = app.authorize(&[("scope", Some("openid User.ReadBasic.All"))]).redirected("code").unwrap();
    let bearer = format!("Authorization: Bearer {}", app.redeem(&code, &[]).json()["access_token"].as_str().unwrap());
    let mut path = "/v1.0/users?$top=2&$select=displayName".to_owned();
    let mut names = Vec::new();
    loop {
        let page = app.get(&path, &[&bearer]).json();
        names.extend(page["value"].as_array().unwrap().iter().map(|user| user["displayName"].clone()));
        match page["@odata.nextLink"].as_str() {
            Some(next) => path = next.strip_prefix(&app.fake.graph()).unwrap().to_owned(),
            None => break,
        }
    }
    assert_eq!(names, ["김민지", "이준호", "Anna Berg"]);
    assert_eq!(app.get("/v1.0/users?$top=0", &[&bearer]).status, 400);
    assert_eq!(app.get("/v1.0/users?$skiptoken=2", &[&bearer]).status, 400);
}

#[test]
fn throttling_is_scripted_and_over_after_its_times() {
    let app = App::new();
    let tokens = app.tokens();
    let body = json!({"error": {"code": "TooManyRequests", "message": "later"}}).to_string();
    let headers = [("Retry-After".to_owned(), "7".to_owned())].into();
    let then = Then::Reply(Canned { status: 429, headers, body });
    app.fake.script(Script { path: "/v1.0/me".to_owned(), times: 2, ..Script::once(Place::Graph, then) });
    let ask = || app.me(tokens["access_token"].as_str().unwrap());
    let first = ask();
    assert_eq!((first.status, first.header("retry-after")), (429, Some("7")));
    assert_eq!((ask().status, ask().status), (429, 200));
}
