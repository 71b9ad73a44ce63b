//! The oauth service from outside.
//! Not here: what it shares with others; `services/kit/tests` says that.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "../../kit/tests/kit/child.rs"]
mod child;
#[path = "../../kit/tests/kit/client.rs"]
mod client;

use serde_json::json;

use child::{Child, Launch};
use client::{Client, get};

fn oauth(base: &str) -> Child {
    let program = env!("CARGO_BIN_EXE_oauth");
    let child = Launch::of(program, &[]).env("OAUTH_PORT", 0).env("OAUTH_BASE_URL", base).start();
    child.ready();
    child
}

#[test]
fn its_metadata_has_the_shape_that_clients_discover() {
    let child = oauth("https://oauth.example.com/");
    let answer = get(child.ready(), "/.well-known/oauth-authorization-server");
    let golden = json!({
        "issuer": "https://oauth.example.com",
        "authorization_endpoint": "https://oauth.example.com/authorize",
        "token_endpoint": "https://oauth.example.com/token",
        "registration_endpoint": "https://oauth.example.com/register",
        "revocation_endpoint": "https://oauth.example.com/revoke",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": [
            "mail.read", "mail.write", "mail.send", "notes.read", "notes.write", "files.read", "files.write",
            "chats.read", "chats.send", "channels.read", "channels.send", "offline_access",
        ],
        "authorization_response_iss_parameter_supported": true,
        "client_id_metadata_document_supported": true,
    });
    assert_eq!((answer.status, answer.json()), (200, golden));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("cache-control"), Some("max-age=300"));
    assert_eq!(get(child.ready(), "/.well-known/openid-configuration").status, 404);
}

#[test]
fn the_issuer_is_this_machine_when_nothing_is_said() {
    let child = oauth("");
    let answer = get(child.ready(), "/.well-known/oauth-authorization-server");
    assert_eq!(answer.json()["issuer"], format!("http://{}", child.ready()));
}

#[test]
fn what_is_not_built_says_so() {
    let child = oauth("");
    let mut client = Client::connect(child.ready()).unwrap();
    for (method, path) in [
        ("POST", "/register"),
        ("POST", "/token"),
        ("POST", "/revoke"),
        ("GET", "/authorize?client_id=x"),
        ("POST", "/authorize"),
        ("GET", "/azure_callback?code=x&state=y"),
    ] {
        let answer = client.request(method, path, "").unwrap();
        assert_eq!((answer.status, answer.header("content-type")), (501, Some("application/problem+json")), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let (problem, missing) =
            (answer.json(), json!(["client registration", "consent and login at Entra", "tokens", "revocation"]));
        assert_eq!((&problem["partial"], &problem["missing"]), (&json!(true), &missing));
    }
    assert_eq!(client.request("POST", "/register", &"x".repeat(16 << 10 | 1)).unwrap().status, 413);
}

#[test]
fn scripts_of_other_origins_may_use_what_takes_no_cookie() {
    let child = oauth("");
    let mut client = Client::connect(child.ready()).unwrap();
    for (path, methods) in [
        ("/.well-known/oauth-authorization-server", "GET"),
        ("/register", "POST"),
        ("/token", "POST"),
        ("/revoke", "POST"),
    ] {
        let answer = client.request("OPTIONS", path, "").unwrap();
        assert_eq!((answer.status, answer.header("access-control-allow-methods")), (204, Some(methods)), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    for path in ["/authorize", "/azure_callback", "/health"] {
        let answer = client.request("OPTIONS", path, "").unwrap();
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (405, None), "{path}");
    }
}
