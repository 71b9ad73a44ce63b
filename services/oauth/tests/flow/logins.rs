//! What Entra may say, and who is let in.
//! Not here: what clients are told otherwise.

use serde_json::json;

use crate::entra::Mood;
use crate::world::{Browser, CALLBACK, World, authorize, path_of, wish};

/// What the client is told when the login comes back.
async fn told(world: &World) -> String {
    let client = world.register(CALLBACK).await;
    let back = world.login(&mut Browser::default(), &wish(&client)).await;
    assert!(!back.contains_key("code"), "{back:?}");
    back["error"].clone()
}

#[tokio::test]
async fn an_id_token_that_is_not_entras_for_this_login_now_is_not_believed() {
    let world = World::new().await;
    let forgeries: [fn(&mut serde_json::Value); 9] = [
        |claims| claims["iss"] = json!("https://evil.example/v2.0"),
        |claims| claims["tid"] = json!("other-tenant"),
        |claims| claims["aud"] = json!("other-app"),
        |claims| claims["nonce"] = json!("other-login"),
        |claims| claims["exp"] = json!(claims["iat"].as_i64().unwrap() - 301),
        |claims| claims["nbf"] = json!(claims["iat"].as_i64().unwrap() + 330),
        |claims| claims["iat"] = json!(claims["iat"].as_i64().unwrap() + 330),
        |claims| *claims = json!({}),
        |claims| claims["oid"] = json!(null),
    ];
    for (number, forge) in forgeries.into_iter().enumerate() {
        world.entra.set(|entra| entra.forge = Some(forge));
        assert_eq!(told(&world).await, "server_error", "forgery {number}");
    }
    let alterations: [fn(String) -> String; 5] = [
        // {"alg":"none","kid":"key-1"}
        |token| format!("eyJhbGciOiJub25lIiwia2lkIjoia2V5LTEifQ.{}.", token.split('.').nth(1).unwrap()),
        // {"alg":"HS256","kid":"key-1"}
        |token| token.replacen(token.split('.').next().unwrap(), "eyJhbGciOiJIUzI1NiIsImtpZCI6ImtleS0xIn0", 1),
        // {"alg":"RS256","kid":"key-2"}
        |token| token.replacen(token.split('.').next().unwrap(), "eyJhbGciOiJSUzI1NiIsImtpZCI6ImtleS0yIn0", 1),
        |token| token[..token.len() - 4].to_owned() + "AAAA",
        |_| "nonsense".to_owned(),
    ];
    for (number, alter) in alterations.into_iter().enumerate() {
        world.entra.set(|entra| entra.alter = Some(alter));
        assert_eq!(told(&world).await, "server_error", "alteration {number}");
    }
    let users: i64 = world.database().query_row("SELECT count(*) FROM users", [], |row| row.get(0)).unwrap();
    assert_eq!(users, 0);
}

#[tokio::test]
async fn a_new_key_of_entra_is_asked_for_at_once_and_an_unknown_one_every_30_seconds_at_most() {
    let world = World::new().await;
    let asked = || {
        let mut asked = 0;
        world.entra.set(|entra| asked = entra.asked_for_keys);
        asked
    };
    let client = world.register(CALLBACK).await;
    let log_in = async || world.login(&mut Browser::default(), &wish(&client)).await;
    log_in().await;
    world.clock.advance(31);
    log_in().await;
    assert_eq!(asked(), 1, "a known key is kept");
    world.entra.set(|entra| entra.key = "key-2");
    assert!(log_in().await.contains_key("code"));
    assert_eq!(asked(), 2, "an unknown one is looked for");
    for pass in [0, 29] {
        world.clock.advance(pass);
        world.entra.set(|entra| entra.alter = Some(signed_with_key_3));
        assert_eq!(log_in().await["error"], "server_error");
        assert_eq!(asked(), 2, "anybody can name a key");
    }
    world.clock.advance(2);
    world.entra.set(|entra| entra.alter = Some(signed_with_key_3));
    assert_eq!(log_in().await["error"], "server_error");
    assert_eq!(asked(), 3);
    world.clock.advance(3600);
    assert!(log_in().await.contains_key("code"));
    assert_eq!(asked(), 4, "a key that is withdrawn is good for an hour at most");
}

fn signed_with_key_3(token: String) -> String {
    // {"alg":"RS256","kid":"key-3"}
    token.replacen(token.split('.').next().unwrap(), "eyJhbGciOiJSUzI1NiIsImtpZCI6ImtleS0zIn0", 1)
}

#[tokio::test]
async fn clocks_may_differ_by_five_minutes() {
    let world = World::new().await;
    for seconds in [-290, 290] {
        world.clock.advance(seconds);
        let client = world.register(CALLBACK).await;
        world.code(&mut Browser::default(), &client).await;
        world.clock.advance(-seconds);
    }
}

#[tokio::test]
async fn what_entra_says_instead_of_a_code_becomes_an_error_of_ours() {
    let world = World::new().await;
    let client = world.register(CALLBACK).await;
    for (theirs, ours) in [
        ("access_denied", "access_denied"),
        ("consent_required", "access_denied"),
        ("interaction_required", "access_denied"),
        ("temporarily_unavailable", "temporarily_unavailable"),
        ("server_error", "server_error"),
        ("invalid_resource", "server_error"),
    ] {
        let mut browser = Browser::default();
        let page = browser.get(&world, &authorize(&wish(&client))).await;
        let state = browser.allow(&world, &page).await.parameters()["state"].clone();
        let back = browser.get(&world, &format!("/azure_callback?error={theirs}&state={state}")).await;
        assert_eq!((back.status, back.parameters()["error"].as_str()), (303, ours), "{theirs}");
    }
}

#[tokio::test]
async fn what_entra_says_instead_of_tokens_becomes_an_error_of_ours() {
    let world = World::new().await;
    for (mood, ours) in [
        (Mood::Refusing(503, "temporarily_unavailable"), "temporarily_unavailable"),
        (Mood::Refusing(429, "throttled"), "temporarily_unavailable"),
        (Mood::Refusing(401, "invalid_client"), "server_error"),
        (Mood::Refusing(400, "invalid_grant"), "server_error"),
    ] {
        world.entra.set(|entra| entra.mood = mood.clone());
        assert_eq!(told(&world).await, ours, "{mood:?}");
    }
}

#[tokio::test]
async fn a_code_of_another_login_is_refused_by_entra() {
    let world = World::new().await;
    let client = world.register(CALLBACK).await;
    let (mut alice, mut mallory) = (Browser::default(), Browser::default());
    let page = mallory.get(&world, &authorize(&wish(&client))).await;
    let stolen = world.entra.log_in(mallory.allow(&world, &page).await.location());
    let stolen = stolen.split_once("code=").unwrap().1.split('&').next().unwrap().to_owned();
    let page = alice.get(&world, &authorize(&wish(&client))).await;
    let state = alice.allow(&world, &page).await.parameters()["state"].clone();
    let back = alice.get(&world, &format!("/azure_callback?code={stolen}&state={state}")).await;
    assert_eq!(back.parameters()["error"], "server_error", "the verifier is of alice's login, the code is not");
}

#[tokio::test]
async fn only_whom_the_operator_admits_gets_in_and_stays_in() {
    let mut world = World::with(&[("DCR_ALLOWED_USERS", "Alice@Example.com, bob")]).await;
    let (client, tokens) = world.tokens().await;
    world.entra.set(|entra| entra.user = "bob");
    world.code(&mut Browser::default(), &client).await;
    world.entra.set(|entra| entra.user = "mallory");
    assert_eq!(told(&world).await, "access_denied");
    assert!(world.audited().contains(&"refused".to_owned()));

    world.restart(&[("DCR_ALLOWED_USERS", "bob")]);
    assert_eq!(world.introspect(tokens["access_token"].as_str().unwrap()).await, json!({ "active": false }));
    assert_eq!(world.refresh(&client, tokens["refresh_token"].as_str().unwrap()).await.error(), "invalid_grant");
    world.restart(&[("DCR_ALLOWED_USERS", ""), ("DCR_ALLOWED_TENANTS", "other-tenant")]);
    assert_eq!(told(&world).await, "access_denied");
}

#[tokio::test]
async fn each_refresh_asks_entra_whether_the_user_is_still_welcome() {
    let world = World::new().await;
    let (client, tokens) = world.tokens().await;
    let second = world.refresh(&client, tokens["refresh_token"].as_str().unwrap()).await.json();
    let third = world.refresh(&client, second["refresh_token"].as_str().unwrap()).await.json();
    assert_eq!(world.entra.asked("refresh_token").len(), 2);
    world.entra.set(|entra| entra.mood = Mood::Refusing(400, "invalid_grant"));
    assert_eq!(world.refresh(&client, third["refresh_token"].as_str().unwrap()).await.error(), "invalid_grant");
    world.entra.set(|entra| entra.mood = Mood::Kind);
    assert_eq!(world.introspect(third["access_token"].as_str().unwrap()).await, json!({ "active": false }));
}

#[tokio::test]
async fn without_a_login_there_is_a_page_that_says_what_to_set() {
    let none = [("DCR_AZURE_CLIENT_ID", ""), ("DCR_AZURE_CLIENT_SECRET", ""), ("DCR_AZURE_TENANT_ID", "")];
    let world = World::with(&none).await;
    let client = world.register(CALLBACK).await;
    for path in [authorize(&wish(&client)), "/azure_callback?code=x&state=y".to_owned()] {
        let page = world.get(&path).await;
        assert_eq!((page.status, page.header("location")), (503, None));
        assert!(page.body.contains("DCR_AZURE_TENANT_ID"), "{}", page.body);
    }
}

#[tokio::test]
async fn a_dead_entra_is_told_to_the_client() {
    let world = World::with(&[("OAUTH_ENTRA_AUTHORITY", "http://127.0.0.1:1")]).await;
    let client = world.register(CALLBACK).await;
    let mut browser = Browser::default();
    let page = browser.get(&world, &authorize(&wish(&client))).await;
    let back = browser.allow(&world, &page).await;
    assert_eq!(back.parameters()["error"], "temporarily_unavailable");
    assert_eq!(path_of(back.location()), back.location(), "not to Entra");
}

#[tokio::test]
async fn where_entras_endpoints_were_is_good_for_a_day_while_it_does_not_say() {
    let world = World::new().await;
    let (client, tokens) = world.tokens().await;
    world.entra.set(|entra| entra.published = false);
    world.clock.advance(23 * 3600);
    let second = world.refresh(&client, tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(second.status, 200, "{second:?}");
    world.clock.advance(2 * 3600);
    let second = second.json()["refresh_token"].as_str().unwrap().to_owned();
    assert_eq!(world.refresh(&client, &second).await.status, 503);
    world.entra.set(|entra| entra.published = true);
    world.clock.advance(3);
    assert_eq!(world.refresh(&client, &second).await.status, 200);
}
