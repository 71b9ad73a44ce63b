//! The tokens themselves.
//! Not here: who gets some (`token`).

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, PRAGMA};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::ANY_TENANT;
use super::scopes::is_openid;
use crate::people::User;
use crate::random;
use crate::reply::Reply;
use crate::world::{Grant, Refresh, World};

/// What is to be issued.
pub(super) struct Issue {
    pub(super) client_id: String,
    pub(super) user: User,
    pub(super) asked: Vec<String>,
    pub(super) consented: BTreeSet<String>,
    pub(super) nonce: Option<String>,
}

pub(super) fn reply(world: &mut World, tenant: &str, issue: &Issue) -> Reply {
    let now = world.now();
    let lives_s = world.settings.access_token_s;
    let scopes = covered(issue);
    let access = format!("fake-graph.{}", random::long(2_400));
    let grant = |scopes: Vec<String>, expires: i64| Grant {
        client_id: issue.client_id.clone(),
        user_id: issue.user.id.clone(),
        scopes,
        expires,
    };
    world.accesses.insert(access.clone(), grant(scopes.clone(), now + i64::from(lives_s)));
    let mut body = json!({
        "token_type": "Bearer",
        "scope": scopes.join(" "),
        "expires_in": lives_s,
        "ext_expires_in": lives_s,
        "access_token": access,
    });
    let asked_for = |scope: &str| issue.asked.iter().any(|one| one == scope);
    if asked_for("offline_access") {
        let refresh = format!("1.{}", random::long(1_700));
        let expires = now + i64::from(world.settings.refresh_token_s);
        let kept = Refresh { grant: grant(issue.asked.clone(), expires), revoked: false };
        world.refreshes.insert(refresh.clone(), kept);
        body["refresh_token"] = json!(refresh);
    }
    if asked_for("openid") {
        let claims = claims(world, tenant, issue, now);
        body["id_token"] = json!(world.keys.sign(&claims));
    }
    Reply::json(StatusCode::OK, &body).with(CACHE_CONTROL, "no-store, no-cache").with(PRAGMA, "no-cache")
}

/// What the access token is good for. Entra puts everything that was ever consented to for Graph into it, even when
/// less is asked for; `offline_access` is never named.
fn covered(issue: &Issue) -> Vec<String> {
    let of_graph = issue.consented.iter().filter(|scope| !is_openid(scope));
    let of_openid = issue.asked.iter().filter(|scope| is_openid(scope) && *scope != "offline_access");
    of_graph.chain(of_openid).cloned().collect()
}

fn claims(world: &World, tenant: &str, issue: &Issue, now: i64) -> Value {
    let user = &issue.user;
    let asked_for = |scope: &str| issue.asked.iter().any(|one| one == scope);
    let issuer_tenant = if ANY_TENANT.contains(&tenant) { &user.tenant_id } else { tenant };
    let mut claims = json!({
        "aud": issue.client_id,
        "iss": world.issuer(issuer_tenant),
        "iat": now,
        "nbf": now,
        "exp": now + i64::from(world.settings.id_token_s),
        "oid": user.id,
        "rh": format!("1.{}.", random::token()),
        // Pairwise: another one for each application.
        "sub": URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{}|{}", issue.client_id, user.id))),
        "tid": user.tenant_id,
        "uti": random::token(),
        "ver": "2.0",
    });
    if asked_for("profile") {
        claims["name"] = json!(user.display_name);
        claims["preferred_username"] = json!(user.user_principal_name);
    }
    if let Some(mail) = user.mail.as_ref().filter(|_| asked_for("email")) {
        claims["email"] = json!(mail);
    }
    if let Some(nonce) = &issue.nonce {
        claims["nonce"] = json!(nonce);
    }
    claims
}
