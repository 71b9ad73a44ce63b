//! `/token` and `/revoke`: every answer that they have, and what a thief gets.
//! Not here: the way to a code (`authorizing`).

use serde_json::{Value, json};

use crate::world::{Browser, CALLBACK, MAIL, World, basic, but, post, redemption};

fn text<'a>(tokens: &'a Value, name: &str) -> &'a str {
    tokens[name].as_str().unwrap_or_else(|| panic!("no {name} in {tokens}"))
}

#[tokio::test]
async fn a_request_that_is_not_one_is_refused_with_the_code_of_the_rfc() {
    let world = World::new().await;
    let client = world.register(CALLBACK).await;
    let code = world.code(&mut Browser::default(), &client).await;
    let right = redemption(&client, &code);
    for (form, status, error) in [
        (vec![], 400, "invalid_request"),
        (but(right.clone(), "grant_type", None), 400, "invalid_request"),
        (but(right.clone(), "grant_type", Some("password")), 400, "unsupported_grant_type"),
        (but(right.clone(), "client_id", None), 400, "invalid_request"),
        (but(right.clone(), "client_id", Some("unknown")), 401, "invalid_client"),
        (but(right.clone(), "client_secret", Some("x")), 401, "invalid_client"),
        (but(right.clone(), "code", None), 400, "invalid_request"),
        (but(right.clone(), "code", Some("mcp_code_x")), 400, "invalid_grant"),
        (but(right.clone(), "code_verifier", None), 400, "invalid_request"),
        (but(right.clone(), "code_verifier", Some("short")), 400, "invalid_request"),
        (but(right.clone(), "redirect_uri", Some("https://app.example/other")), 400, "invalid_grant"),
        (but(right.clone(), "resource", Some("https://evil.example")), 400, "invalid_target"),
        (but(right.clone(), "resource", Some("https://teams.example.com/mcp")), 400, "invalid_target"),
        ([right.clone(), vec![("client_id", client.as_str())]].concat(), 400, "invalid_request"),
        (vec![("grant_type", "refresh_token"), ("client_id", &client)], 400, "invalid_request"),
        (vec![("grant_type", "refresh_token"), ("client_id", &client), ("refresh_token", "x")], 400, "invalid_grant"),
    ] {
        let answer = world.post("/token", &form).await;
        assert_eq!((answer.status, answer.error().as_str()), (status, error), "{form:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{form:?}");
        assert!(!answer.body.contains(&code), "{}", answer.body);
    }
    assert_eq!(world.post("/token", &right).await.status, 200, "none of that has cost the client its code");
}

#[tokio::test]
async fn a_client_with_a_secret_proves_itself_in_one_of_two_ways() {
    let world = World::new().await;
    for method in ["client_secret_basic", "client_secret_post"] {
        let metadata = json!({ "redirect_uris": [CALLBACK], "token_endpoint_auth_method": method });
        let registered = world.register_as(metadata).await;
        assert_eq!((registered.status, registered.header("cache-control")), (201, Some("no-store")));
        let registered = registered.json();
        assert_eq!(registered["client_secret_expires_at"], 0);
        let (client, secret) = (text(&registered, "client_id"), text(&registered, "client_secret"));
        let code = world.code(&mut Browser::default(), client).await;
        let bare = but(redemption(client, &code), "client_id", None);
        let with_basic = |secret: &str, form: &[(&str, &str)]| {
            let mut request = post("/token", form);
            request.headers_mut().insert("authorization", basic(client, secret).parse().unwrap());
            request
        };
        let wrong = world.send(with_basic("wrong", &bare)).await;
        assert_eq!((wrong.status, wrong.error().as_str()), (401, "invalid_client"));
        assert!(wrong.header("www-authenticate").unwrap().starts_with("Basic "));
        let twice = but(redemption(client, &code), "client_secret", Some(secret));
        assert_eq!(world.send(with_basic(secret, &twice)).await.error(), "invalid_request");
        let other = but(bare.clone(), "client_id", Some("another"));
        assert_eq!(world.send(with_basic(secret, &other)).await.error(), "invalid_request");
        let right = if method == "client_secret_basic" { with_basic(secret, &bare) } else { post("/token", &twice) };
        assert_eq!(world.send(right).await.status, 200, "{method}");
    }
}

#[tokio::test]
async fn a_code_is_good_once_and_a_replay_takes_back_what_it_gave() {
    let world = World::new().await;
    let client = world.register(CALLBACK).await;
    let code = world.code(&mut Browser::default(), &client).await;
    let tokens = world.redeem(&client, &code).await.json();
    assert_eq!(world.introspect(text(&tokens, "access_token")).await["active"], true);
    let replay = world.redeem(&client, &code).await;
    assert_eq!((replay.status, replay.error().as_str()), (400, "invalid_grant"));
    assert_eq!(world.introspect(text(&tokens, "access_token")).await, json!({ "active": false }));
    assert_eq!(world.refresh(&client, text(&tokens, "refresh_token")).await.error(), "invalid_grant");
    assert!(world.audited().contains(&"replayed".to_owned()));
}

#[tokio::test]
async fn a_code_is_good_for_a_minute_and_for_its_own_client() {
    let world = World::new().await;
    let (client, thief) = (world.register(CALLBACK).await, world.register(CALLBACK).await);
    let code = world.code(&mut Browser::default(), &client).await;
    assert_eq!(world.redeem(&thief, &code).await.error(), "invalid_grant");
    world.clock.advance(59);
    let late = world.code(&mut Browser::default(), &client).await;
    assert_eq!(world.redeem(&client, &code).await.status, 200, "a thief's try has taken nothing away");
    world.clock.advance(61);
    assert_eq!(world.redeem(&client, &late).await.error(), "invalid_grant");
}

#[tokio::test]
async fn an_access_token_ends_after_15_minutes_and_a_refresh_token_after_30_quiet_days() {
    let world = World::new().await;
    let (client, tokens) = world.tokens().await;
    world.clock.advance(899);
    assert_eq!(world.introspect(text(&tokens, "access_token")).await["active"], true);
    world.clock.advance(1);
    assert_eq!(world.introspect(text(&tokens, "access_token")).await, json!({ "active": false }));
    world.clock.advance(29 * 24 * 3600);
    let tokens = world.refresh(&client, text(&tokens, "refresh_token")).await.json();
    world.clock.advance(29 * 24 * 3600);
    let tokens = world.refresh(&client, text(&tokens, "refresh_token")).await.json();
    world.clock.advance(30 * 24 * 3600 + 1);
    assert_eq!(world.refresh(&client, text(&tokens, "refresh_token")).await.error(), "invalid_grant");
}

#[tokio::test]
async fn a_client_that_lost_an_answer_gets_the_same_one_again_for_30_seconds() {
    let world = World::new().await;
    let (client, tokens) = world.tokens().await;
    let first = world.refresh(&client, text(&tokens, "refresh_token")).await.json();
    world.clock.advance(29);
    let again = world.refresh(&client, text(&tokens, "refresh_token")).await;
    assert_eq!(again.status, 200, "{again:?}");
    let again = again.json();
    for name in ["access_token", "refresh_token", "scope"] {
        assert_eq!(first[name], again[name], "{name}");
    }
    assert_eq!(again["expires_in"], 900 - 29);
    let count: i64 = world.database().query_row("SELECT count(*) FROM access_tokens", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 2, "none is given twice");
}

#[tokio::test]
async fn a_refresh_token_that_comes_back_late_ends_everything_that_followed_it() {
    let world = World::new().await;
    let (client, tokens) = world.tokens().await;
    let stolen = text(&tokens, "refresh_token");
    let second = world.refresh(&client, stolen).await.json();
    world.clock.advance(31);
    assert_eq!(world.refresh(&client, stolen).await.error(), "invalid_grant");
    for tokens in [&tokens, &second] {
        assert_eq!(world.introspect(text(tokens, "access_token")).await, json!({ "active": false }));
    }
    assert_eq!(world.refresh(&client, text(&second, "refresh_token")).await.error(), "invalid_grant");
    assert!(world.audited().contains(&"reused".to_owned()));
}

#[tokio::test]
async fn a_clock_that_is_set_back_gives_a_thief_no_more_time() {
    let world = World::new().await;
    let (client, tokens) = world.tokens().await;
    let stolen = text(&tokens, "refresh_token");
    world.refresh(&client, stolen).await;
    world.clock.advance(-60);
    assert_eq!(world.refresh(&client, stolen).await.error(), "invalid_grant");
}

#[tokio::test]
async fn a_token_from_long_before_ends_everything_too() {
    let world = World::new().await;
    let (client, tokens) = world.tokens().await;
    let oldest = text(&tokens, "refresh_token");
    let second = world.refresh(&client, oldest).await.json();
    let third = world.refresh(&client, text(&second, "refresh_token")).await.json();
    // Two steps back there is no grace, however quick.
    assert_eq!(world.refresh(&client, oldest).await.error(), "invalid_grant");
    assert_eq!(world.introspect(text(&third, "access_token")).await, json!({ "active": false }));
}

#[tokio::test]
async fn another_client_gets_nothing_for_a_refresh_token_and_takes_nothing_away() {
    let world = World::new().await;
    let (client, tokens) = world.tokens().await;
    let thief = world.register(CALLBACK).await;
    let refresh = text(&tokens, "refresh_token");
    assert_eq!(world.refresh(&thief, refresh).await.error(), "invalid_grant");
    assert_eq!(world.post("/revoke", &[("client_id", &thief), ("token", refresh)]).await.status, 200);
    let second = world.refresh(&client, refresh).await;
    assert_eq!(second.status, 200);
    world.clock.advance(3600);
    assert_eq!(world.refresh(&thief, refresh).await.error(), "invalid_grant");
    assert_eq!(world.refresh(&client, text(&second.json(), "refresh_token")).await.status, 200);
}

#[tokio::test]
async fn a_refresh_may_ask_for_less_and_never_for_more() {
    let world = World::new().await;
    let (client, tokens) = world.tokens().await;
    let ask = |token: &str, name: &'static str, value: &'static str| {
        let (client, token) = (client.clone(), token.to_owned());
        let world = &world;
        async move {
            let form =
                [("grant_type", "refresh_token"), ("refresh_token", &token), ("client_id", &client), (name, value)];
            world.post("/token", &form).await
        }
    };
    let first = text(&tokens, "refresh_token");
    assert_eq!(ask(first, "scope", "mail.write").await.error(), "invalid_scope");
    assert_eq!(ask(first, "scope", "nonsense").await.error(), "invalid_scope");
    assert_eq!(ask(first, "resource", "https://teams.example.com").await.error(), "invalid_target");
    let narrow = ask(first, "scope", "mail.read").await.json();
    assert_eq!(narrow["scope"], "mail.read");
    assert_eq!(world.introspect(text(&narrow, "access_token")).await["scope"], "mail.read");
    let wide = ask(text(&narrow, "refresh_token"), "resource", MAIL).await.json();
    assert_eq!(wide["scope"], "mail.read mail.send", "the grant has not become narrower");
}

#[tokio::test]
async fn a_client_without_refresh_tokens_gets_none() {
    let world = World::new().await;
    let metadata = json!({
        "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none", "grant_types": ["authorization_code"],
    });
    let registered = world.register_as(metadata).await.json();
    assert_eq!(registered["grant_types"], json!(["authorization_code"]));
    let client = text(&registered, "client_id");
    let code = world.code(&mut Browser::default(), client).await;
    let tokens = world.redeem(client, &code).await.json();
    assert!(tokens.get("refresh_token").is_none(), "{tokens}");
    let answer = world.refresh(client, text(&world.tokens().await.1, "refresh_token")).await;
    assert_eq!(answer.error(), "unauthorized_client");
}

#[tokio::test]
async fn a_token_that_is_given_back_is_gone() {
    let world = World::new().await;
    let (client, tokens) = world.tokens().await;
    let (access, refresh) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
    let revoke =
        async |client: &str, token: &str| world.post("/revoke", &[("client_id", client), ("token", token)]).await;
    assert_eq!(revoke("unknown", access).await.error(), "invalid_client");
    assert_eq!(revoke(&client, "mcp_at_unknown").await.status, 200);
    assert_eq!(world.post("/revoke", &[("client_id", &client)]).await.error(), "invalid_request");

    assert_eq!(revoke(&client, access).await.status, 200);
    assert_eq!(world.introspect(access).await, json!({ "active": false }));
    let second = world.refresh(&client, refresh).await.json();
    assert_eq!(revoke(&client, text(&second, "refresh_token")).await.status, 200);
    assert_eq!(world.introspect(text(&second, "access_token")).await, json!({ "active": false }));
    assert_eq!(world.refresh(&client, text(&second, "refresh_token")).await.error(), "invalid_grant");
}

#[tokio::test]
async fn the_database_holds_no_token_that_could_be_used() {
    let world = World::new().await;
    let (client, tokens) = world.tokens().await;
    let code = world.code(&mut Browser::default(), &client).await;
    world.database().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let file = std::fs::read(world.dir.path().join("data/oauth.db")).unwrap();
    let holds = |needle: &str| file.windows(needle.len()).any(|part| part == needle.as_bytes());
    assert!(holds(&client), "the test looks in the right place");
    for secret in [text(&tokens, "access_token"), text(&tokens, "refresh_token"), &code, "entra-refresh", "graph-token"]
    {
        assert!(!holds(secret.trim_start_matches("mcp_at_").trim_start_matches("mcp_rt_")), "{secret}");
    }
}
