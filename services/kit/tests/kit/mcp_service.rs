//! What every one of the four MCP services promises; each tests its own binary with this.
//! Not here: what the kit promises of any service.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use serde_json::{Value, json};

use crate::child::{Child, Launch};
use crate::client::{Client, get};

/// Starts `program` on a free port and goes through all its routes.
pub(crate) fn keeps_its_promises(program: &str, name: &str, title: &str, scopes: &[&str]) {
    let child = launched(program, name);
    let base = format!("http://{}", child.ready());
    discovery(&child, &base, title);
    for (well_known, path) in [("", ""), ("/messages", "/messages"), ("/mcp", "/mcp")] {
        let answer = get(child.ready(), &format!("/.well-known/oauth-protected-resource{well_known}"));
        let golden = json!({
            "resource": format!("{base}{path}"),
            "authorization_servers": ["https://oauth.example.com"],
            "scopes_supported": scopes,
            "bearer_methods_supported": ["header"],
            "resource_name": format!("{title} MCP Server"),
            "resource_documentation": format!("{base}/.well-known/mcp.json"),
        });
        assert_eq!((answer.status, answer.json()), (200, golden));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }
    for path in ["/messages", "/mcp"] {
        messages(&child, path);
    }
    let health = get(child.ready(), "/health").json();
    assert_eq!((&health["service"], &health["partial"]), (&json!(name), &json!(true)));
}

fn launched(program: &str, name: &str) -> Child {
    let launch = Launch::of(program, &[]).env(&format!("{}_PORT", name.to_uppercase()), 0);
    launch.env("OAUTH_BASE_URL", "https://oauth.example.com/").start()
}

fn discovery(child: &Child, base: &str, title: &str) {
    let answer = get(child.ready(), "/.well-known/mcp.json");
    let golden = json!({
        "mcp_version": "1.0",
        "name": format!("{title} MCP Server"),
        "version": "0.1.0",
        "oauth": {
            "authorization_endpoint": "https://oauth.example.com/authorize",
            "token_endpoint": "https://oauth.example.com/token",
            "registration_endpoint": "https://oauth.example.com/register",
        },
        "capabilities": { "tools": false },
        "endpoint": format!("{base}/messages"),
        "transport": "streamable-http",
        "protocol_versions": [],
        "authorization_servers": ["https://oauth.example.com"],
        "partial": true,
        "not_yet": ["bearer tokens", "MCP messages and tools", "Microsoft Graph"],
    });
    assert_eq!((answer.status, answer.json()), (200, golden));
    assert_eq!(answer.header("access-control-allow-origin"), None, "only what must be open to browsers is");
}

fn messages(child: &Child, path: &str) {
    let mut client = Client::connect(child.ready()).unwrap();
    let answer = client.request("POST", path, r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (501, Some("application/problem+json")));
    let problem: Value = answer.json();
    assert_eq!((&problem["status"], &problem["partial"]), (&json!(501), &json!(true)));
    assert_eq!(problem["missing"], json!(["bearer tokens", "MCP messages and tools", "Microsoft Graph"]));
    for method in ["GET", "DELETE", "HEAD"] {
        let answer = client.request(method, path, "").unwrap();
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method} {path}");
    }
}
