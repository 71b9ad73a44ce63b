//! The shipped sandbox, as a newcomer meets it.
//! Not here: a login in it (`clients`, `browser`).

use e2e::User;

use crate::flow::{Flow, value};
use crate::stand::Stand;

const SERVICES: [&str; 5] = ["OAUTH", "MAIL", "ONENOTE", "ONEDRIVE", "TEAMS"];

#[test]
fn the_sandbox_brings_up_the_five_services_beside_a_tenant_of_its_own() {
    let mut stand = Stand::prepare("page", |file| file);
    stand.stack.cli(&["start"]).succeeded();
    for name in SERVICES {
        let health = stand.get(name, "/health");
        assert_eq!((health.status, &health.json()["status"]), (200, &serde_json::json!("healthy")), "{name}");
    }
    assert_eq!(stand.get("OAUTH", "/health").json()["entra_configured"], true);
    assert!(stand.get("TENANT", "/").text().contains("김민지"));
    assert_eq!(stand.stack.get("/health").json()["services"].as_object().map(serde_json::Map::len), Some(6));
    for name in ["MAIL", "ONENOTE", "ONEDRIVE", "TEAMS"] {
        let found = stand.get(name, "/.well-known/oauth-protected-resource").json();
        assert_eq!(found["authorization_servers"][0], stand.url("OAUTH"), "{name}");
    }
    stand.stack.stop();
}

#[test]
fn an_ordinary_user_gets_from_the_sandbox_to_a_token() {
    let mut stand = Stand::prepare_as(User::Ordinary, "auto", |file| file);
    stand.stack.cli(&["start"]).succeeded();
    let mut flow = Flow::register(&stand);
    let came = flow.whole();
    assert!(flow.redeem(value(&came, "code"))["access_token"].is_string());
    stand.kept_the_rules();
    stand.stack.stop();
}
