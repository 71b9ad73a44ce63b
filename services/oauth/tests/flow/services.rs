//! The private socket: what a token is worth, and a token of Graph for it.
//! Not here: the public one.

use serde_json::{Value, json};

use crate::entra::Mood;
use crate::world::{Answer, World, basic, but, post};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

fn exchange(token: &str) -> Vec<(&str, &str)> {
    vec![
        ("grant_type", EXCHANGE),
        ("subject_token", token),
        ("subject_token_type", ACCESS_TOKEN),
        ("resource", "https://graph.microsoft.com"),
    ]
}

async fn with_credentials(world: &World, path: &str, credentials: Option<String>) -> Answer {
    let mut request = post(path, &[("token", "x"), ("grant_type", EXCHANGE)]);
    if let Some(credentials) = credentials {
        request.headers_mut().insert("authorization", credentials.parse().unwrap());
    }
    world.send_private(request).await
}

#[tokio::test]
async fn only_the_four_services_are_answered() {
    let world = World::new().await;
    let mail = std::fs::read_to_string(world.dir.path().join("data/svc-mail.secret")).unwrap();
    for path in ["/introspect", "/token"] {
        for credentials in [
            None,
            Some("Bearer x".to_owned()),
            Some("Basic !".to_owned()),
            Some(basic("svc-mail", "wrong")),
            Some(basic("svc-mail", "")),
            Some(basic("svc-teams", &mail)),
            Some(basic("mail", &mail)),
            Some(basic("svc-oauth", &mail)),
        ] {
            let answer = with_credentials(&world, path, credentials.clone()).await;
            assert_eq!((answer.status, answer.error().as_str()), (401, "invalid_client"), "{path} {credentials:?}");
            assert!(answer.header("www-authenticate").unwrap().starts_with("Basic "));
        }
        assert_ne!(with_credentials(&world, path, Some(basic("svc-mail", &mail))).await.status, 401);
    }
}

#[tokio::test]
async fn an_introspection_tells_all_of_a_good_token_and_nothing_of_any_other() {
    let world = World::new().await;
    let (client, tokens) = world.tokens().await;
    let told = world.introspect(tokens["access_token"].as_str().unwrap()).await;
    let keys: Vec<&str> = told.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        ["active", "aud", "client_id", "exp", "iat", "iss", "oid", "scope", "sub", "tid", "token_type", "username"]
    );
    assert_eq!(told["sub"], format!("alice@{}", World::tenant()));
    assert_eq!((&told["client_id"], &told["scope"]), (&json!(client), &json!("mail.read mail.send")));
    for token in [tokens["refresh_token"].as_str().unwrap(), "mcp_at_unknown", "x"] {
        assert_eq!(world.introspect(token).await, json!({ "active": false }));
    }
    assert_eq!(world.private("/introspect", &[("x", "y")]).await.error(), "invalid_request");
}

#[tokio::test]
async fn a_token_of_graph_has_no_more_than_the_user_granted() {
    let world = World::new().await;
    let (_, tokens) = world.tokens().await;
    let right = exchange(tokens["access_token"].as_str().unwrap());
    for (form, scope) in [
        (right.clone(), "Mail.Read Mail.Send User.Read"),
        (but(right.clone(), "scope", Some("Mail.Send")), "Mail.Send User.Read"),
        (but(right.clone(), "scope", Some("https://graph.microsoft.com/Mail.Read")), "Mail.Read User.Read"),
        (but(right.clone(), "scope", Some("https://graph.microsoft.com/.default")), "Mail.Read Mail.Send User.Read"),
    ] {
        let answer = world.private("/token", &form).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{answer:?}");
        let graph = answer.json();
        assert_eq!((&graph["issued_token_type"], &graph["token_type"]), (&json!(ACCESS_TOKEN), &json!("Bearer")));
        assert_eq!(graph["expires_in"], 3599);
        let asked = world.entra.asked("refresh_token").pop().unwrap();
        assert_eq!(asked["scope"], format!("openid profile offline_access {scope}"));
    }
    for (form, error) in [
        (but(right.clone(), "scope", Some("Mail.ReadWrite")), "invalid_scope"),
        (but(right.clone(), "scope", Some("Files.Read")), "invalid_scope"),
        (but(right.clone(), "resource", Some("https://evil.example")), "invalid_target"),
        (but(right.clone(), "subject_token_type", None), "invalid_request"),
        (
            but(right.clone(), "requested_token_type", Some("urn:ietf:params:oauth:token-type:id_token")),
            "invalid_request",
        ),
        (but(right.clone(), "subject_token", None), "invalid_request"),
        (but(right.clone(), "subject_token", Some("mcp_at_x")), "invalid_grant"),
        (but(right.clone(), "grant_type", Some("refresh_token")), "unsupported_grant_type"),
    ] {
        let answer = world.private("/token", &form).await;
        assert_eq!((answer.status, answer.error().as_str()), (400, error), "{form:?}");
    }
    assert_eq!(world.private_as("teams", "/token", &right).await.error(), "invalid_grant", "another service's token");
}

#[tokio::test]
async fn a_login_that_entra_ended_ends_all_that_rested_on_it() {
    let world = World::new().await;
    let (client, tokens) = world.tokens().await;
    let (access, refresh) = (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
    world.entra.set(|entra| entra.mood = Mood::Refusing(400, "invalid_grant"));
    let answer = world.private("/token", &exchange(access)).await;
    assert_eq!((answer.status, answer.error().as_str()), (400, "interaction_required"));
    world.entra.set(|entra| entra.mood = Mood::Kind);
    assert_eq!(world.introspect(access).await, json!({ "active": false }));
    assert_eq!(world.refresh(&client, refresh).await.error(), "invalid_grant");
    assert!(world.audited().contains(&"login-lost".to_owned()));
}

#[tokio::test]
async fn a_consent_that_is_missing_for_one_ends_nothing_of_another() {
    let world = World::new().await;
    let (client, tokens) = world.tokens().await;
    let (_, other) = world.tokens().await;
    world.entra.set(|entra| entra.mood = Mood::Refusing(400, "consent_required"));
    let answer = world.private("/token", &exchange(tokens["access_token"].as_str().unwrap())).await;
    assert_eq!((answer.status, answer.error().as_str()), (400, "interaction_required"));
    let refresh = tokens["refresh_token"].as_str().unwrap();
    assert_eq!(world.refresh(&client, refresh).await.error(), "invalid_grant");
    world.entra.set(|entra| entra.mood = Mood::Kind);
    assert_eq!(world.introspect(other["access_token"].as_str().unwrap()).await["active"], true);
    assert_eq!(world.refresh(&client, refresh).await.status, 200, "an administrator has consented");
}

#[tokio::test]
async fn an_outage_of_entra_is_told_as_one_and_ends_nothing() {
    let world = World::new().await;
    let (_, tokens) = world.tokens().await;
    let access = tokens["access_token"].as_str().unwrap();
    for mood in [Mood::Refusing(500, "x"), Mood::Refusing(429, "x"), Mood::Refusing(401, "invalid_client")] {
        world.entra.set(|entra| entra.mood = mood);
        let answer = world.private("/token", &exchange(access)).await;
        assert_eq!((answer.status, answer.error().as_str()), (503, "temporarily_unavailable"));
        assert!(answer.header("retry-after").is_some());
    }
    world.entra.set(|entra| entra.mood = Mood::Throttling(17));
    let answer = world.private("/token", &exchange(access)).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("17")), "when Entra wants to be asked again");
    assert_eq!(world.introspect(access).await["active"], true);
}

#[tokio::test]
async fn many_exchanges_at_once_lose_no_login_though_entra_replaces_its_tokens() {
    let world = World::new().await;
    let (_, tokens) = world.tokens().await;
    let form = exchange(tokens["access_token"].as_str().unwrap());
    for _ in 0..5 {
        let (a, b, c, d) = tokio::join!(
            world.private("/token", &form),
            world.private("/token", &form),
            world.private("/token", &form),
            world.private("/token", &form),
        );
        let answers: Vec<(u16, Value)> =
            [a, b, c, d].into_iter().map(|answer| (answer.status, answer.json())).collect();
        assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
    }
}
