//! What is too much: requests, bodies, parameters, clients.
//! Not here: limits of connections, which are the kit's.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::world::{Browser, CALLBACK, World, authorize, but, post, wish};

fn registration() -> Request<Body> {
    let body = json!({ "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none" }).to_string();
    Request::post("/register").header("content-type", "application/json").body(body.into()).unwrap()
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again_and_others_notice_nothing() {
    let world =
        World::with(&[("OAUTH_RATE_REGISTER", "3"), ("OAUTH_RATE_AUTHORIZE", "3"), ("OAUTH_RATE_TOKEN", "3")]).await;
    for _ in 0..3 {
        assert_eq!(world.send_from(registration(), "198.51.100.1").await.status, 201);
        assert_eq!(world.send_from(post("/token", &[]), "198.51.100.1").await.status, 400);
        let page = Request::get("/authorize?client_id=x").body(Body::empty()).unwrap();
        assert_eq!(world.send_from(page, "198.51.100.1").await.status, 400);
    }
    let page = Request::get("/authorize?client_id=x").body(Body::empty()).unwrap();
    for request in [registration(), post("/token", &[]), post("/revoke", &[]), page, post("/authorize", &[])] {
        let path = request.uri().path().to_owned();
        let answer = world.send_from(request, "198.51.100.1").await;
        assert_eq!(answer.status, 429, "{path}");
        assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    }
    assert_eq!(world.send_from(registration(), "198.51.100.2").await.status, 201);
}

#[tokio::test]
async fn a_body_of_the_wrong_type_or_size_is_refused() {
    let world = World::new().await;
    for path in ["/token", "/revoke"] {
        let request = Request::post(path).header("content-type", "application/json").body("{}".into()).unwrap();
        assert_eq!(world.send(request).await.status, 415, "{path}");
    }
    let request = Request::post("/register").body("{}".into()).unwrap();
    assert_eq!(world.send(request).await.status, 415);
    let many: Vec<(String, String)> = (0..51).map(|n| (format!("p{n}"), "x".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(world.post("/token", &many).await.error(), "invalid_request");
}

#[tokio::test]
async fn what_is_longer_than_anything_sensible_is_refused() {
    let world = World::new().await;
    let client = world.register(CALLBACK).await;
    let long = "x".repeat(2001);
    let back = world.get(&authorize(&but(wish(&client), "state", Some(&long)))).await.parameters();
    assert_eq!((back["error"].as_str(), back.get("state")), ("invalid_request", None));
    let uri = format!("https://app.example/{long}");
    let answer = world.register_as(json!({ "redirect_uris": [uri] })).await;
    assert_eq!((answer.status, answer.error().as_str()), (400, "invalid_redirect_uri"));
}

#[tokio::test]
async fn a_flood_of_questions_and_logins_costs_the_oldest_of_them_and_keeps_nobody_out() {
    let world = World::new().await;
    let client = world.register(CALLBACK).await;
    let fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO";
    let earlier = world.clock.now() + 300;
    for row in [
        "questions SELECT CAST(i AS BLOB), x'01', '', ?1 - (i = 7)",
        "logins SELECT CAST(i AS BLOB), x'01', '', NULL, x'01', x'01', ?1 - (i = 7)",
    ] {
        world.database().execute(&format!("{fill} {row} FROM n"), [earlier]).unwrap();
    }
    let mut browser = Browser::default();
    let page = browser.get(&world, &authorize(&wish(&client))).await;
    let to_entra = browser.allow(&world, &page).await;
    for table in ["questions", "logins"] {
        let count = |sql: &str| -> i64 { world.database().query_row(sql, [], |row| row.get(0)).unwrap() };
        let oldest = format!("SELECT count(*) FROM {table} WHERE hash = CAST(7 AS BLOB)");
        assert_eq!(count(&oldest), 0, "{table}");
        assert!(count(&format!("SELECT count(*) FROM {table}")) <= 20_000, "{table}");
    }
    let back = world.entra.log_in(to_entra.location());
    assert!(browser.get(&world, crate::world::path_of(&back)).await.parameters().contains_key("code"));
}

#[tokio::test]
async fn a_database_that_cannot_keep_up_is_told_as_such_and_works_on_afterwards() {
    let world = World::new().await;
    let lock = world.database();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut all = tokio::task::JoinSet::new();
    let world = std::sync::Arc::new(world);
    for _ in 0..1200 {
        let world = world.clone();
        all.spawn(async move { world.send(registration()).await });
    }
    let refused = all.join_next().await.unwrap().unwrap();
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("2")));
    lock.execute_batch("COMMIT").unwrap();
    let mut kept = 0;
    while let Some(answer) = all.join_next().await {
        kept += usize::from(answer.unwrap().status == 201);
    }
    assert!(kept >= 1024, "those that waited were served: {kept}");
}

#[tokio::test]
async fn clients_have_a_limit_and_the_oldest_that_never_got_a_token_makes_room() {
    let world = World::new().await;
    let (used, _) = world.tokens().await;
    let rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4999)
                INSERT INTO clients (id, name, redirect_uris, refreshes, created_at)
                SELECT 'x' || i, '', '[]', 1, ?1 + i FROM n";
    world.database().execute(rows, [world.clock.now() - 4000]).unwrap();
    world.database().execute("UPDATE clients SET created_at = ?1 WHERE id <> 'x7'", [world.clock.now()]).unwrap();
    let register = async || world.register_as(json!({ "redirect_uris": [CALLBACK] })).await.status;
    let known =
        |id: &str| world.database().prepare("SELECT 1 FROM clients WHERE id = ?1").unwrap().exists([id]).unwrap();
    assert_eq!((register().await, known("x7")), (201, false));
    assert_eq!(register().await, 503, "the others are new, and may be logging in");
    world.clock.advance(1201);
    assert_eq!((register().await, known(&used)), (201, true));
    world.database().execute("UPDATE clients SET used_at = ?1", [world.clock.now()]).unwrap();
    assert_eq!(register().await, 503, "nobody who is in use makes room");
}
