//! From the first request to a token of Graph.
//! Not here: what goes wrong on the way.

use serde_json::json;

use crate::world::{BASE, Browser, CALLBACK, World, authorize, path_of, wish};

#[tokio::test]
async fn a_client_registers_the_user_agrees_and_logs_in_and_the_service_gets_its_token_of_graph() {
    let world = World::new().await;
    let client = world.register(CALLBACK).await;
    let mut browser = Browser::default();

    let page = browser.get(&world, &authorize(&wish(&client))).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let to_entra = browser.allow(&world, &page).await;
    let back = world.entra.log_in(to_entra.location());
    let to_client = browser.get(&world, path_of(&back)).await;
    assert!(to_client.location().starts_with("https://app.example/cb?code=mcp_code_"), "{to_client:?}");
    let parameters = to_client.parameters();
    assert_eq!((parameters["state"].as_str(), parameters["iss"].as_str()), ("client-state", BASE));

    let answer = world.redeem(&client, &parameters["code"]).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    let tokens = answer.json();
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(900)));
    assert_eq!(tokens["scope"], "mail.read mail.send");

    let access = tokens["access_token"].as_str().unwrap();
    let told = world.introspect(access).await;
    let now = world.clock.now();
    assert_eq!(told["active"], true);
    assert_eq!((told["oid"].as_str(), told["tid"].as_str()), (Some("alice"), Some(World::tenant())));
    assert_eq!((told["client_id"].as_str(), told["aud"].as_str()), (Some(&*client), Some("https://mail.example.com")));
    assert!(told["exp"].as_i64().unwrap() > now + 800 && told["iat"].as_i64().unwrap() <= now);

    let exchange = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", access),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("resource", "https://graph.microsoft.com"),
        ("scope", "Mail.Read"),
    ];
    let graph = world.private("/token", &exchange).await;
    assert_eq!(graph.status, 200, "{graph:?}");
    assert!(graph.json()["access_token"].as_str().unwrap().ends_with("-of-alice"));
    let asked = world.entra.asked("refresh_token");
    assert_eq!(asked.last().unwrap()["scope"], "openid profile offline_access Mail.Read User.Read");

    let refreshed = world.refresh(&client, tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    assert_ne!(refreshed.json()["access_token"], tokens["access_token"]);
    assert_eq!(world.audited(), ["registered", "consented", "logged-in", "issued", "refreshed"],);
}
