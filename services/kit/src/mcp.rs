//! What the four MCP services have in common as long as their tools are not built: discovery documents, and honest
//! answers where the tools will be.
//! Not here: tools, bearer tokens, Microsoft Graph.

use std::process::ExitCode;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use serde_json::{Value, json};

use crate::problem::Problem;
use crate::public::{document, open_to_browsers};
use crate::{BaseUrl, ConfigError, Limits, Service, Setup};

/// The port of the oauth service when nothing else is said.
const OAUTH_PORT: u16 = 8001;

/// What differs between the four.
#[derive(Clone, Copy)]
pub struct McpService {
    /// `mail`.
    pub name: &'static str,
    /// What people call it: `Mail Query`.
    pub title: &'static str,
    /// The version of its package.
    pub version: &'static str,
    /// Its port when nothing else is said.
    pub port: u16,
    /// The scopes that its tools will ask for.
    pub scopes: &'static [&'static str],
}

/// What none of the four does yet.
const NOT_YET: &[&str] = &["bearer tokens", "MCP messages and tools", "Microsoft Graph"];

/// Runs one of the four; see `crate::run`.
#[must_use]
pub fn run(mcp: McpService) -> ExitCode {
    let service = Service {
        name: mcp.name,
        about: "An MCP service of the Microsoft 365 stack. Its discovery documents are served; its tools are not built yet.",
        version: mcp.version,
        port: mcp.port,
        private_port: None,
        not_yet: NOT_YET,
        limits: Limits::default(),
    };
    crate::run(&service, |setup| routes(mcp, setup))
}

fn routes(mcp: McpService, setup: &Setup<'_>) -> Result<Router, ConfigError> {
    let base = setup.base.clone();
    let oauth = BaseUrl::of("oauth", OAUTH_PORT, setup.env)?;
    let mut router = Router::new().route("/.well-known/mcp.json", document(discovery(mcp, &base, &oauth)));
    // A client looks its own address up and must find that very address as the resource.
    for path in ["", "/messages", "/mcp"] {
        let metadata = document(protected_resource(mcp, &base, path, &oauth));
        let well_known = format!("/.well-known/oauth-protected-resource{path}");
        router = router.route(&well_known, open_to_browsers("GET", metadata));
    }
    Ok(router.route("/messages", post(not_built)).route("/mcp", post(not_built)))
}

/// The stack's own discovery document. No standard: the shape is that of the server that this one replaces.
fn discovery(mcp: McpService, base: &BaseUrl, oauth: &BaseUrl) -> Value {
    json!({
        "mcp_version": "1.0",
        "name": format!("{} MCP Server", mcp.title),
        "version": mcp.version,
        "oauth": {
            "authorization_endpoint": oauth.join("/authorize"),
            "token_endpoint": oauth.join("/token"),
            "registration_endpoint": oauth.join("/register"),
        },
        "capabilities": { "tools": false },
        "endpoint": base.join("/messages"),
        "transport": "streamable-http",
        "protocol_versions": [],
        "authorization_servers": [oauth.to_string()],
        "partial": true,
        "not_yet": NOT_YET,
    })
}

/// Protected resource metadata (RFC 9728).
fn protected_resource(mcp: McpService, base: &BaseUrl, path: &str, oauth: &BaseUrl) -> Value {
    json!({
        "resource": base.join(path),
        "authorization_servers": [oauth.to_string()],
        "scopes_supported": mcp.scopes,
        "bearer_methods_supported": ["header"],
        "resource_name": format!("{} MCP Server", mcp.title),
        "resource_documentation": base.join("/.well-known/mcp.json"),
    })
}

/// Reads the body first: an answer that comes before the request has ended may never reach the client.
async fn not_built(_: Bytes) -> Problem {
    Problem::not_built("this service is not whole yet: it does not answer MCP messages", NOT_YET)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Env;

    const MAIL: McpService =
        McpService { name: "mail", title: "Mail Query", version: "1.2.3", port: 8002, scopes: &["mail.read"] };

    fn bases(variables: &[(&str, &str)]) -> (BaseUrl, BaseUrl) {
        let env = Env::of(variables.iter().copied());
        (BaseUrl::of("mail", MAIL.port, &env).unwrap(), BaseUrl::of("oauth", OAUTH_PORT, &env).unwrap())
    }

    #[test]
    fn the_discovery_document_has_the_shape_that_clients_know() {
        let (base, oauth) =
            bases(&[("MAIL_BASE_URL", "https://mail.example.com/"), ("OAUTH_BASE_URL", "https://oauth.example.com")]);
        let golden = json!({
            "mcp_version": "1.0",
            "name": "Mail Query MCP Server",
            "version": "1.2.3",
            "oauth": {
                "authorization_endpoint": "https://oauth.example.com/authorize",
                "token_endpoint": "https://oauth.example.com/token",
                "registration_endpoint": "https://oauth.example.com/register",
            },
            "capabilities": { "tools": false },
            "endpoint": "https://mail.example.com/messages",
            "transport": "streamable-http",
            "protocol_versions": [],
            "authorization_servers": ["https://oauth.example.com"],
            "partial": true,
            "not_yet": ["bearer tokens", "MCP messages and tools", "Microsoft Graph"],
        });
        assert_eq!(discovery(MAIL, &base, &oauth), golden);
    }

    #[test]
    fn the_resource_is_the_address_that_was_asked_about() {
        let (base, oauth) = bases(&[]);
        let golden = json!({
            "resource": "http://127.0.0.1:8002/messages",
            "authorization_servers": ["http://127.0.0.1:8001"],
            "scopes_supported": ["mail.read"],
            "bearer_methods_supported": ["header"],
            "resource_name": "Mail Query MCP Server",
            "resource_documentation": "http://127.0.0.1:8002/.well-known/mcp.json",
        });
        assert_eq!(protected_resource(MAIL, &base, "/messages", &oauth), golden);
        let resource = |path| protected_resource(MAIL, &base, path, &oauth)["resource"].clone();
        assert_eq!(
            (resource(""), resource("/mcp")),
            (json!("http://127.0.0.1:8002"), json!("http://127.0.0.1:8002/mcp"))
        );
    }
}
