//! Entra: the v2.0 endpoints of one tenant, of `common` and of `organizations`.
//! Not here: Graph.

pub(crate) mod authorize;
mod discovery;
pub(crate) mod fault;
mod issue;
mod page;
mod refused;
mod scopes;
mod token;

use hyper::{Method, StatusCode};

use crate::call::Call;
use crate::reply::Reply;
use crate::server::unknown;
use crate::world::{TENANT, World};

use fault::{Failure, Fault};

pub(crate) use page::page;

/// What a client writes where a tenant belongs when the person may come from any.
const ANY_TENANT: &[&str] = &["common", "organizations"];

pub(crate) fn answer(world: &mut World, call: &Call, tenant: &str, rest: &[&str], fault: Option<Fault>) -> Reply {
    let known = matches!(
        rest,
        ["v2.0", ".well-known", "openid-configuration"]
            | ["discovery", "v2.0", "keys"]
            | ["oauth2", "v2.0", "authorize" | "token"]
            | ["login" | "logout"]
    );
    if !known {
        return unknown(world, call);
    }
    if !exists(world, tenant) {
        let message = format!(
            "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the \
             correct cloud."
        );
        return Failure::new("invalid_tenant", 90_002, message).in_json(world, call, StatusCode::BAD_REQUEST);
    }
    match (&call.method, rest) {
        (&Method::GET, ["v2.0", ".well-known", "openid-configuration"]) => discovery::configuration(world, tenant),
        (&Method::GET, ["discovery", "v2.0", "keys"]) => discovery::keys(world, tenant),
        (&Method::GET, ["oauth2", "v2.0", "authorize"]) => authorize::begin(world, call, tenant, fault),
        (_, ["oauth2", "v2.0", "token"]) => token::answer(world, call, tenant, fault),
        (&Method::POST, ["login"]) => authorize::chosen(world, call),
        (&Method::GET, ["logout"]) => page::signed_out(),
        _ => unknown(world, call),
    }
}

fn exists(world: &World, tenant: &str) -> bool {
    tenant == TENANT || ANY_TENANT.contains(&tenant) || world.users.iter().any(|user| user.tenant_id == tenant)
}
