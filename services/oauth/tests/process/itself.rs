//! What it says of itself, where nothing is configured.
//! Not here: what it does when something is.

use serde_json::json;

use crate::client::{Client, get};
use crate::{oauth, private, started};

#[test]
fn its_metadata_has_the_shape_that_clients_discover() {
    let data = tempfile::tempdir().unwrap();
    let child = started(oauth(data.path()).env("OAUTH_BASE_URL", "https://oauth.example.com/"));
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
        "revocation_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
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
fn without_any_configuration_it_is_healthy_and_says_that_the_login_is_not_set_up() {
    let data = tempfile::tempdir().unwrap();
    let child = started(oauth(data.path()));
    for address in [child.ready(), private(&child)] {
        let answer = get(address, "/health");
        let health = answer.json();
        assert_eq!((answer.status, &health["status"], &health["db"]), (200, &json!("healthy"), &json!("ok")));
        assert_eq!((&health["entra_configured"], &health["partial"]), (&json!(false), &json!(false)));
    }
    let page = get(child.ready(), "/authorize?client_id=x");
    assert_eq!((page.status, page.header("content-type")), (503, Some("text/html; charset=utf-8")));
    assert!(page.body.contains("DCR_AZURE_CLIENT_ID") && page.body.contains("docs/entra-setup.md"), "{}", page.body);
    let issuer = &get(child.ready(), "/.well-known/oauth-authorization-server").json()["issuer"];
    assert_eq!(*issuer, format!("http://{}", child.ready()));
}

#[test]
fn a_body_beyond_16_kib_gets_413_wherever_bodies_are_taken() {
    let data = tempfile::tempdir().unwrap();
    let child = started(oauth(data.path()));
    let (public, private) = (child.ready(), private(&child));
    for (address, path) in [
        (public, "/register"),
        (public, "/token"),
        (public, "/revoke"),
        (public, "/authorize"),
        (private, "/introspect"),
        (private, "/token"),
    ] {
        let most = "x".repeat(16 << 10);
        assert_ne!(Client::connect(address).unwrap().request("POST", path, &most).unwrap().status, 413, "{path}");
        let answer = Client::connect(address).unwrap().request("POST", path, &(most + "x")).unwrap();
        assert_eq!((answer.status, answer.header("content-type")), (413, Some("application/problem+json")), "{path}");
        let mut unannounced = Client::connect(address).unwrap();
        let chunk = format!("4001\r\n{}\r\n0\r\n\r\n", "x".repeat(0x4001));
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        unannounced.send(&(head + &chunk)).unwrap();
        assert_eq!(unannounced.response("POST").unwrap().status, 413, "{path}");
    }
}

#[test]
fn without_its_database_it_says_so_until_that_is_back() {
    let data = tempfile::tempdir().unwrap();
    let child = started(oauth(data.path()));
    let database = rusqlite::Connection::open(data.path().join("oauth.db")).unwrap();
    let health = |address| {
        let answer = get(address, "/health");
        (answer.status, answer.json()["status"].clone(), answer.json()["db"].clone())
    };
    for (change, told) in [
        ("ALTER TABLE schema RENAME TO away", (503, json!("unavailable"), json!("failed"))),
        ("ALTER TABLE away RENAME TO schema", (200, json!("healthy"), json!("ok"))),
    ] {
        database.execute_batch(change).unwrap();
        assert_eq!([health(child.ready()), health(private(&child))], [told.clone(), told]);
    }
}

#[test]
fn what_is_private_is_not_on_the_public_socket() {
    let data = tempfile::tempdir().unwrap();
    let child = started(oauth(data.path()));
    let status = |address, path| Client::connect(address).unwrap().request("POST", path, "").unwrap().status;
    assert_eq!(status(child.ready(), "/introspect"), 404);
    assert_eq!(status(private(&child), "/introspect"), 401);
    assert_eq!(status(private(&child), "/register"), 404);
}

#[test]
fn scripts_of_other_origins_may_use_what_takes_no_cookie() {
    let data = tempfile::tempdir().unwrap();
    let child = started(oauth(data.path()));
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
    let answer = client.request("PUT", "/token", "").unwrap();
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST,OPTIONS")));
}
