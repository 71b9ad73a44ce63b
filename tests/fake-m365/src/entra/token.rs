//! The token endpoint: codes and refresh tokens become tokens.
//! Not here: what a token says (`issue`).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper::Method;
use hyper::header::AUTHORIZATION;
use sha2::{Digest, Sha256};

use super::fault::{Failure, Fault, Told};
use super::issue::{self, Issue};
use super::refused::{missing, refuse, repeated, resource, unknown_app, unknown_scope};
use super::scopes;
use crate::call::Call;
use crate::journal::Rule;
use crate::reply::Reply;
use crate::settings::OldRefreshTokens;
use crate::world::{App, World};

const KNOWN: &[&str] = &[
    "claims",
    "client_id",
    "client_info",
    "client_secret",
    "code",
    "code_verifier",
    "grant_type",
    "redirect_uri",
    "refresh_token",
    "resource",
    "scope",
];

pub(super) fn answer(world: &mut World, call: &Call, tenant: &str, fault: Option<Fault>) -> Reply {
    match tokens(world, call, tenant, fault) {
        Ok(issue) => issue::reply(world, tenant, &issue),
        Err(failure) => failure.by_token_endpoint(world, call),
    }
}

fn tokens(world: &mut World, call: &Call, tenant: &str, fault: Option<Fault>) -> Result<Issue, Failure> {
    well_formed(world, call)?;
    let client_id = authenticated(world, call, tenant)?;
    if let Some(fault) = fault {
        return Err(fault.failure(Told::ByTokenEndpoint, &client_id, ""));
    }
    match call.form.value("grant_type") {
        Some("authorization_code") => redeem(world, call, &client_id),
        Some("refresh_token") => refresh(world, call, &client_id),
        Some(other) => {
            let why = format!("The app requested an unsupported grant type '{other}'.");
            Err(refuse(world, call, Rule::KnownParameter, "unsupported_grant_type", 70_003, why))
        }
        None => Err(missing(world, call, Rule::KnownParameter, "grant_type")),
    }
}

fn well_formed(world: &mut World, call: &Call) -> Result<(), Failure> {
    if call.method != Method::POST || !call.is_form() {
        let kind = call.header(hyper::header::CONTENT_TYPE).unwrap_or("no content type");
        let why = format!("Tokens are asked for by POST with a form, not by {} with {kind}.", call.method);
        return Err(refuse(world, call, Rule::Form, "invalid_request", 900_144, why));
    }
    if !call.query.is_empty() {
        let why = "Parameters of a token request belong into its body.";
        return Err(refuse(world, call, Rule::NothingInQuery, "invalid_request", 900_144, why));
    }
    if let Some(name) = call.form.repeated() {
        return Err(repeated(world, call, name));
    }
    if call.form.value("resource").is_some() {
        return Err(resource(world, call));
    }
    if let Some(name) = call.form.names().find(|name| !KNOWN.contains(name) && !name.starts_with("x-client-")) {
        let why = format!("The parameter '{name}' is none of Entra's.");
        return Err(refuse(world, call, Rule::KnownParameter, "invalid_request", 900_144, why));
    }
    Ok(())
}

/// By the body or by Basic (RFC 6749, 2.3.1), not by both.
fn authenticated(world: &mut World, call: &Call, tenant: &str) -> Result<String, Failure> {
    let basic = basic(call);
    let in_body = call.form.value("client_secret");
    if basic.is_some() && in_body.is_some() {
        let why = "The client proves itself in the header and in the body: one of them.";
        return Err(refuse(world, call, Rule::ClientSecret, "invalid_request", 900_144, why));
    }
    let (client_id, secret) = match basic {
        Some((id, secret)) => (Some(id), Some(secret)),
        None => (call.form.value("client_id").map(str::to_owned), in_body.map(str::to_owned)),
    };
    let Some(client_id) = client_id else {
        return Err(missing(world, call, Rule::KnownClient, "client_id"));
    };
    let Some(App { client_secret, .. }) = world.app(&client_id).cloned() else {
        return Err(unknown_app(world, call, &client_id, tenant));
    };
    let Some(secret) = secret else {
        let why = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
        return Err(refuse(world, call, Rule::ClientSecret, "invalid_client", 7_000_218, why));
    };
    if secret != client_secret {
        let why = format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, \
             not the client secret ID, for a secret added to app '{client_id}'."
        );
        return Err(refuse(world, call, Rule::ClientSecret, "invalid_client", 7_000_215, why));
    }
    Ok(client_id)
}

fn basic(call: &Call) -> Option<(String, String)> {
    let decoded = STANDARD.decode(call.header(AUTHORIZATION)?.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (id, secret) = text.split_once(':')?;
    let plain =
        |part: &str| form_urlencoded::parse(part.as_bytes()).next().map_or(String::new(), |(name, _)| name.into());
    Some((plain(id), plain(secret)))
}

fn redeem(world: &mut World, call: &Call, client_id: &str) -> Result<Issue, Failure> {
    let Some(given) = call.form.value("code") else {
        return Err(missing(world, call, Rule::IssuedHere, "code"));
    };
    let Some(code) = world.codes.get(given).filter(|code| code.grant.client_id == client_id).cloned() else {
        let why = "The provided authorization code is malformed, or was issued to another application.";
        return Err(refuse(world, call, Rule::IssuedHere, "invalid_grant", 9_002_313, why));
    };
    if call.form.value("redirect_uri") != Some(&code.redirect_uri) {
        let why = format!(
            "The reply address '{}' does not match the reply address '{}' provided when requesting Authorization code.",
            call.form.value("redirect_uri").unwrap_or_default(),
            code.redirect_uri
        );
        return Err(refuse(world, call, Rule::ExactRedirectUri, "invalid_client", 500_112, why));
    }
    let Some(verifier) = call.form.value("code_verifier") else {
        return Err(missing(world, call, Rule::Pkce, "code_verifier"));
    };
    if URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) != code.challenge {
        let why = "The Code_Verifier does not match the code_challenge supplied in the authorization request.";
        return Err(refuse(world, call, Rule::Pkce, "invalid_grant", 501_481, why));
    }
    if code.used {
        let why = "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing \
                   refresh token.";
        return Err(refuse(world, call, Rule::CodeOnce, "invalid_grant", 54_005, why));
    }
    if code.grant.expires <= world.now() {
        let why = "The provided authorization code or refresh token has expired due to inactivity.";
        return Err(Failure::new("invalid_grant", 70_008, why));
    }
    let asked = asked(world, call, client_id)?.unwrap_or_else(|| code.grant.scopes.clone());
    if let Some(code) = world.codes.get_mut(given) {
        code.used = true;
    }
    issue_within(world, client_id, &code.grant.user_id, asked, code.nonce)
}

fn refresh(world: &mut World, call: &Call, client_id: &str) -> Result<Issue, Failure> {
    let Some(given) = call.form.value("refresh_token") else {
        return Err(missing(world, call, Rule::IssuedHere, "refresh_token"));
    };
    let Some(known) = world.refreshes.get(given).filter(|known| known.grant.client_id == client_id).cloned() else {
        let why = "The provided refresh token is malformed, or was issued to another application.";
        return Err(refuse(world, call, Rule::IssuedHere, "invalid_grant", 9_002_313, why));
    };
    let told = |fault: Fault| fault.failure(Told::ByTokenEndpoint, client_id, &known.grant.user_id);
    if known.revoked {
        return Err(told(Fault::Revoked));
    }
    if known.grant.expires <= world.now() {
        return Err(told(Fault::Expired));
    }
    let asked = asked(world, call, client_id)?.unwrap_or_else(|| known.grant.scopes.clone());
    if world.settings.old_refresh_tokens == OldRefreshTokens::Dead
        && let Some(old) = world.refreshes.get_mut(given)
    {
        old.revoked = true;
    }
    issue_within(world, client_id, &known.grant.user_id, asked, None)
}

fn asked(world: &mut World, call: &Call, client_id: &str) -> Result<Option<Vec<String>>, Failure> {
    let Some(text) = call.form.value("scope") else {
        return Ok(None);
    };
    scopes::parse(text).map(Some).map_err(|scope| unknown_scope(world, call, &scope, client_id))
}

/// Nothing is issued that the person has not consented to.
fn issue_within(
    world: &World,
    client_id: &str,
    user_id: &str,
    asked: Vec<String>,
    nonce: Option<String>,
) -> Result<Issue, Failure> {
    let consented = world.consents.get(&(client_id.to_owned(), user_id.to_owned())).cloned().unwrap_or_default();
    if asked.iter().any(|scope| !consented.contains(scope)) {
        return Err(Fault::ConsentRequired.failure(Told::ByTokenEndpoint, client_id, user_id));
    }
    let Some(user) = world.user(user_id).cloned() else {
        return Err(Failure::new("invalid_grant", 50_034, "The user account does not exist in the directory."));
    };
    Ok(Issue { client_id: client_id.to_owned(), user, asked, consented, nonce })
}
