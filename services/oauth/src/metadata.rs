//! What this server says of itself (RFC 8414).
//! Not here: doing it.

use serde_json::{Value, json};

use crate::catalog::Service;
use crate::settings::{Settings, Switch};

/// The document. The issuer comes from the configuration, never from the request's `Host`, which anybody can write.
#[must_use]
pub(crate) fn metadata(settings: &Settings) -> Value {
    let base = &settings.base;
    let scopes = Service::ALL.iter().flat_map(|service| service.scopes()).map(|scope| scope.name);
    let scopes: Vec<&str> = scopes.chain(["offline_access"]).collect();
    let methods = ["none", "client_secret_basic", "client_secret_post"];
    let mut document = json!({
        "issuer": base.to_string(),
        "authorization_endpoint": base.join("/authorize"),
        "token_endpoint": base.join("/token"),
        "revocation_endpoint": base.join("/revoke"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": scopes,
        "authorization_response_iss_parameter_supported": true,
        "client_id_metadata_document_supported": settings.documents == Switch::On,
    });
    if settings.registration == Switch::On {
        document["registration_endpoint"] = json!(base.join("/register"));
    }
    document
}
