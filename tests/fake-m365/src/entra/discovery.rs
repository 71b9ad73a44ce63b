//! Where things are, and with which keys tokens are signed.
//! Not here: the keys.

use hyper::StatusCode;
use hyper::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL};
use serde_json::{Value, json};

use super::ANY_TENANT;
use crate::reply::Reply;
use crate::world::World;

/// The placeholder that stands in the issuer of `common` and `organizations`.
const TENANT_OF_TOKEN: &str = "{tenantid}";

pub(super) fn configuration(world: &World, tenant: &str) -> Reply {
    let of_login = |path: &str| format!("{}/{tenant}/{path}", world.base);
    document(&json!({
        "token_endpoint": of_login("oauth2/v2.0/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": of_login("discovery/v2.0/keys"),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": issuer(world, tenant),
        "request_uri_parameter_supported": false,
        "userinfo_endpoint": format!("{}/oidc/userinfo", world.base),
        "authorization_endpoint": of_login("oauth2/v2.0/authorize"),
        "device_authorization_endpoint": of_login("oauth2/v2.0/devicecode"),
        "http_logout_supported": true,
        "frontchannel_logout_supported": true,
        "end_session_endpoint": of_login("logout"),
        "claims_supported": [
            "sub", "iss", "cloud_instance_name", "cloud_instance_host_name", "cloud_graph_host_name", "msgraph_host",
            "aud", "exp", "iat", "auth_time", "acr", "nonce", "preferred_username", "name", "tid", "ver", "at_hash",
            "c_hash", "email",
        ],
        "kerberos_endpoint": of_login("kerberos"),
        "tenant_region_scope": region(tenant),
        "cloud_instance_name": "microsoftonline.com",
        "cloud_graph_host_name": "graph.windows.net",
        "msgraph_host": "graph.microsoft.com",
        "rbac_url": "https://pas.windows.net",
    }))
}

pub(super) fn keys(world: &mut World, tenant: &str) -> Reply {
    let issuer = issuer(world, tenant);
    document(&world.keys.published(&issuer))
}

fn issuer(world: &World, tenant: &str) -> String {
    world.issuer(if ANY_TENANT.contains(&tenant) { TENANT_OF_TOKEN } else { tenant })
}

fn region(tenant: &str) -> Value {
    if ANY_TENANT.contains(&tenant) { Value::Null } else { json!("AS") }
}

fn document(body: &Value) -> Reply {
    // A day, as Entra says.
    Reply::json(StatusCode::OK, body)
        .with(CACHE_CONTROL, "max-age=86400, private")
        .with(ACCESS_CONTROL_ALLOW_ORIGIN, "*")
}
