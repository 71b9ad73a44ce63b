//! What went wrong in the server that this one replaces; it must not come back.
//! Not here: what the protocol wants besides.

use serde_json::json;

use crate::entra::Mood;
use crate::world::{BASE, Browser, CALLBACK, World, authorize, but, path_of, post, redemption, wish};

#[tokio::test]
async fn a_second_user_at_the_same_client_must_log_in_and_never_gets_the_firsts_code() {
    let world = World::new().await;
    let client = world.register(CALLBACK).await;
    let (mut alice, mut bob) = (Browser::default(), Browser::default());
    let code = world.code(&mut alice, &client).await;
    let first = world.redeem(&client, &code).await.json();

    world.entra.set(|entra| entra.user = "bob");
    let page = bob.get(&world, &authorize(&wish(&client))).await;
    assert_eq!((page.status, page.header("location")), (200, None), "a page, and no code");
    let to_entra = bob.allow(&world, &page).await;
    let back = world.entra.log_in(to_entra.location());
    let code = bob.get(&world, path_of(&back)).await.parameters()["code"].clone();
    let second = world.redeem(&client, &code).await.json();

    let owner = async |tokens: &serde_json::Value| {
        world.introspect(tokens["access_token"].as_str().unwrap()).await["oid"].clone()
    };
    assert_eq!((owner(&first).await, owner(&second).await), (json!("alice"), json!("bob")));
}

#[tokio::test]
async fn another_user_in_a_browser_that_remembers_a_consent_is_asked_for_their_own() {
    let world = World::new().await;
    let client = world.register(CALLBACK).await;
    let mut browser = Browser::default();
    world.code(&mut browser, &client).await;
    let again = browser.get(&world, &authorize(&wish(&client))).await;
    assert_eq!(again.status, 303, "the same user in the same browser is not asked twice: {again:?}");
    assert!(!again.parameters().contains_key("prompt"));

    world.entra.set(|entra| entra.user = "bob");
    let back = world.entra.log_in(again.location());
    let page = browser.get(&world, path_of(&back)).await;
    assert_eq!((page.status, page.header("location")), (200, None), "{page:?}");
    assert!(!page.scopes().is_empty());
}

#[tokio::test]
async fn an_unknown_client_gets_a_page_and_is_neither_registered_nor_redirected() {
    let world = World::new().await;
    for client in ["unknown", "mcp_AAAAAAAAAAAAAAAAAAAAAA", "' OR 1=1 --", "https://"] {
        let answer = world.get(&authorize(&wish(client))).await;
        assert_eq!((answer.status, answer.header("location")), (400, None), "{client}");
        assert!(!answer.body.contains("secret"), "{}", answer.body);
    }
    let clients: i64 = world.database().query_row("SELECT count(*) FROM clients", [], |row| row.get(0)).unwrap();
    assert_eq!(clients, 0);
}

#[tokio::test]
async fn each_registration_is_a_client_of_its_own() {
    let world = World::new().await;
    assert_ne!(world.register(CALLBACK).await, world.register(CALLBACK).await);
}

#[tokio::test]
async fn no_code_travels_through_entra() {
    let world = World::new().await;
    let client = world.register(CALLBACK).await;
    let mut browser = Browser::default();
    let page = browser.get(&world, &authorize(&wish(&client))).await;
    let to_entra = browser.allow(&world, &page).await;
    let codes: i64 = world.database().query_row("SELECT count(*) FROM codes", [], |row| row.get(0)).unwrap();
    assert_eq!(codes, 0, "there is no code before the login");
    let state = to_entra.parameters()["state"].clone();
    let answer = world.redeem(&client, &state).await;
    assert_eq!((answer.status, answer.error().as_str()), (400, "invalid_grant"));
    assert!(!to_entra.location().contains("client-state"));
}

#[tokio::test]
async fn a_login_that_another_browser_began_is_not_finished() {
    let world = World::new().await;
    let client = world.register(CALLBACK).await;
    let mut attacker = Browser::default();
    let page = attacker.get(&world, &authorize(&wish(&client))).await;
    let back = world.entra.log_in(attacker.allow(&world, &page).await.location());
    for mut victim in [Browser::default(), Browser { cookie: attacker.cookie.clone().map(|cookie| cookie + "x") }] {
        let answer = victim.get(&world, path_of(&back)).await;
        assert_eq!((answer.status, answer.header("location")), (403, None));
    }
    assert_eq!(attacker.get(&world, path_of(&back)).await.status, 303, "who began it can still finish it");
}

#[tokio::test]
async fn pkce_is_required_with_s256_and_a_secret_does_not_replace_it() {
    let world = World::new().await;
    let registered = world.register_as(json!({ "redirect_uris": [CALLBACK] })).await.json();
    let (client, secret) = (registered["client_id"].as_str().unwrap(), registered["client_secret"].as_str().unwrap());
    for wish in [
        but(wish(client), "code_challenge", None),
        but(wish(client), "code_challenge_method", None),
        but(wish(client), "code_challenge_method", Some("plain")),
        but(wish(client), "code_challenge", Some("short")),
    ] {
        let back = world.get(&authorize(&wish)).await.parameters();
        assert_eq!((back["error"].as_str(), back["iss"].as_str()), ("invalid_request", BASE));
    }
    let code = world.code(&mut Browser::default(), client).await;
    let with_secret = but(redemption(client, &code), "client_secret", Some(secret));
    assert_eq!(world.post("/token", &redemption(client, &code)).await.error(), "invalid_client", "PKCE is no secret");
    let unproved = but(with_secret.clone(), "code_verifier", None);
    assert_eq!(world.post("/token", &unproved).await.error(), "invalid_request", "a secret is no PKCE");
    let other = but(with_secret.clone(), "code_verifier", Some("wrong-verifier-wrong-verifier-wrong-verifier"));
    assert_eq!(world.post("/token", &other).await.error(), "invalid_grant");
    assert_eq!(world.post("/token", &with_secret).await.status, 200);
}

#[tokio::test]
async fn a_token_is_worth_nothing_to_another_service() {
    let world = World::new().await;
    let (_, tokens) = world.tokens().await;
    let access = tokens["access_token"].as_str().unwrap();
    for service in ["onenote", "onedrive", "teams"] {
        let answer = world.private_as(service, "/introspect", &[("token", access)]).await;
        assert_eq!((answer.status, answer.json()), (200, json!({ "active": false })), "{service}");
    }
}

#[tokio::test]
async fn another_application_at_entra_ends_what_rests_on_the_old_one() {
    let mut world = World::new().await;
    let (client, tokens) = world.tokens().await;
    let (access, refresh) = (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
    world.restart(&[("DCR_AZURE_CLIENT_ID", "app-new"), ("DCR_AZURE_CLIENT_SECRET", "secret-of-app-new")]);
    assert_eq!(world.introspect(access).await, json!({ "active": false }));
    assert_eq!(world.refresh(&client, refresh).await.error(), "invalid_grant");
}

#[tokio::test]
async fn what_went_wrong_is_told_without_the_words_of_who_sent_them() {
    let world = World::new().await;
    let client = world.register(CALLBACK).await;
    let evil = "<script>alert(1)</script>";
    for path in [
        authorize(&[("client_id", evil), ("redirect_uri", evil)]),
        authorize(&but(wish(&client), "redirect_uri", Some("https://evil.example/<script>"))),
        authorize(&[("state", evil), ("error", evil)]).replace("/authorize", "/azure_callback"),
    ] {
        let answer = world.get(&path).await;
        assert_eq!((answer.status, answer.body.contains("<script>")), (400, false), "{path}");
    }
    let mut browser = Browser::default();
    let page = browser.get(&world, &authorize(&wish(&client))).await;
    let state = browser.allow(&world, &page).await.parameters()["state"].clone();
    let back = format!("/azure_callback?state={state}&error=access_denied&error_description=%3Cscript%3E");
    let told = browser.get(&world, &back).await.parameters();
    assert_eq!((told["error"].as_str(), told["error_description"].contains("script")), ("access_denied", false));
}

#[tokio::test]
async fn a_form_of_another_site_is_refused() {
    let world = World::new().await;
    let client = world.register(CALLBACK).await;
    let mut browser = Browser::default();
    let page = browser.get(&world, &authorize(&wish(&client))).await;
    for (header, value) in [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        let mut request = post("/authorize", &[("tx", page.tx()), ("decision", "allow"), ("scope", "mail.read")]);
        request.headers_mut().insert("cookie", browser.cookie.clone().unwrap().parse().unwrap());
        request.headers_mut().insert(header, value.parse().unwrap());
        assert_eq!(world.send(request).await.status, 403, "{header}: {value}");
    }
    let stranger = Browser::default().answer(&world, &page, "allow", &["mail.read"]).await;
    assert_eq!(stranger.status, 403, "without the cookie");
    assert_eq!(browser.answer(&world, &page, "allow", &["mail.read"]).await.status, 303);
    assert_eq!(browser.answer(&world, &page, "allow", &["mail.read"]).await.status, 400, "used");
}

#[tokio::test]
async fn an_outage_of_entra_takes_no_token_away() {
    let world = World::new().await;
    let (client, tokens) = world.tokens().await;
    let refresh = tokens["refresh_token"].as_str().unwrap();
    for mood in [Mood::Refusing(503, "temporarily_unavailable"), Mood::Refusing(401, "invalid_client")] {
        world.entra.set(|entra| entra.mood = mood);
        let answer = world.refresh(&client, refresh).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")), "{answer:?}");
    }
    world.entra.set(|entra| entra.mood = Mood::Kind);
    assert_eq!(world.refresh(&client, refresh).await.status, 200);
}
