//! The oauth service: its metadata is served; its flow is not built yet and says so.
//! Not here: listening, draining, health; the kit does those.

use std::process::ExitCode;

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use serde_json::{Value, json};
use service_kit::problem::Problem;
use service_kit::public::{document, open_to_browsers};
use service_kit::{BaseUrl, Limits, Service, Setup, run};

const NOT_YET: &[&str] = &["client registration", "consent and login at Entra", "tokens", "revocation"];

/// A registration is the largest body that any route takes.
const MAX_BODY: usize = 16 << 10;

fn main() -> ExitCode {
    let service = Service {
        name: "oauth",
        about: "The oauth service of the Microsoft 365 MCP stack. Its metadata is served; its flow is not built yet.",
        version: env!("CARGO_PKG_VERSION"),
        port: 8001,
        not_yet: NOT_YET,
        limits: Limits { body: MAX_BODY, ..Limits::default() },
    };
    run(&service, |setup| Ok(routes(setup)))
}

fn routes(setup: &Setup<'_>) -> Router {
    let metadata = document(metadata(&setup.base));
    Router::new()
        .route("/.well-known/oauth-authorization-server", open_to_browsers("GET", metadata))
        .route("/register", open_to_browsers("POST", post(not_built)))
        .route("/token", open_to_browsers("POST", post(not_built)))
        .route("/revoke", open_to_browsers("POST", post(not_built)))
        .route("/authorize", get(not_built).post(not_built))
        .route("/azure_callback", get(not_built))
}

/// Authorization server metadata (RFC 8414): what the service will be. The issuer comes from the configuration,
/// never from the request's `Host`, which anybody can write.
fn metadata(base: &BaseUrl) -> Value {
    json!({
        "issuer": base.to_string(),
        "authorization_endpoint": base.join("/authorize"),
        "token_endpoint": base.join("/token"),
        "registration_endpoint": base.join("/register"),
        "revocation_endpoint": base.join("/revoke"),
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
    })
}

/// Reads the body first: an answer that comes before the request has ended may never reach the client.
async fn not_built(_: Bytes) -> Problem {
    Problem::not_built("this service is not whole yet: it issues no tokens", NOT_YET)
}
