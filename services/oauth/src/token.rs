//! `POST /token`: a code or a refresh token becomes tokens.
//! Not here: who the client is (`client_auth`), what is stored (`grants`).

use axum::response::Response;
use rusqlite::Connection;
use serde_json::json;

use crate::answer::{Refusal, fresh};
use crate::app::App;
use crate::audit::{self, Event};
use crate::catalog::{Scopes, Service};
use crate::client_auth::{Authenticated, Sent};
use crate::clients::{self, Refreshes};
use crate::clock::Seconds;
use crate::form::Form;
use crate::grants::{self, Fresh, Grant, Issued, Lifetimes, MintError, RefreshToken, Successors, Worth};
use crate::keys::Keys;
use crate::logins;
use crate::pending::{self, Code};
use crate::secret::{self, challenge, same};

/// The route.
pub(crate) async fn token(Sent { app, form, client }: Sent) -> Result<Response, Refusal> {
    let grant_type = form.get("grant_type").ok_or_else(|| Refusal::bad("invalid_request", "grant_type is missing"))?;
    let resource = match form.get("resource") {
        None => None,
        Some(text) => Some(app.settings.service_at(text).ok_or_else(invalid_target)?),
    };
    match grant_type {
        "authorization_code" => redeem(&app, client, &form, resource).await,
        "refresh_token" => refresh(&app, client, &form, resource).await,
        _ => Err(Refusal::bad("unsupported_grant_type", "use authorization_code or refresh_token")),
    }
}

fn invalid_target() -> Refusal {
    Refusal::bad("invalid_target", "resource is not a service of this server, or not the one that was granted")
}

async fn redeem(app: &App, client: Authenticated, form: &Form, resource: Option<Service>) -> Result<Response, Refusal> {
    let missing = |name: &str| Refusal::bad("invalid_request", format!("{name} is missing"));
    let code = secret::hash(form.get("code").ok_or_else(|| missing("code"))?);
    let verifier = form.get("code_verifier").ok_or_else(|| missing("code_verifier"))?;
    let verifier_like = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(verifier_like) {
        return Err(Refusal::bad(
            "invalid_request",
            "code_verifier is not 43 to 128 letters, digits, `-`, `.`, `_`, `~`",
        ));
    }
    let wanted = Wanted {
        client: client.id,
        redirect_uri: form.get("redirect_uri").map(str::to_owned),
        challenge: challenge(verifier),
        resource,
    };
    let tokens = Fresh::mint(client.refreshes)?;
    let (now, lifetimes) = (app.clock.now(), app.lifetimes());
    let redeemed = app.store.write(move |connection| redeem_once(connection, now, &code, &wanted, tokens, lifetimes));
    redeemed.await?.map(|issued| answer(&issued, now))
}

/// What must agree with the code.
struct Wanted {
    client: String,
    redirect_uri: Option<String>,
    challenge: String,
    resource: Option<Service>,
}

/// All of it in one transaction: of two who bring the same code at the same time, one is second.
fn redeem_once(
    connection: &Connection,
    now: Seconds,
    hash: &secret::Hash,
    wanted: &Wanted,
    tokens: Fresh,
    lifetimes: Lifetimes,
) -> rusqlite::Result<Result<Issued, Refusal>> {
    let Some(code) = pending::code(connection, hash)? else {
        return Ok(Err(Refusal::invalid_grant()));
    };
    if code.wish.client_id != wanted.client {
        return Ok(Err(Refusal::invalid_grant()));
    }
    let (user, client) = (Some(code.user.as_str()), Some(wanted.client.as_str()));
    if let Some(grant) = code.grant {
        // Somebody has a copy: neither keeps anything.
        grants::revoke(connection, &grant)?;
        audit::note(connection, now, Event { what: "replayed", user, client, detail: None })?;
        return Ok(Err(Refusal::invalid_grant()));
    }
    if let Err(refusal) = agrees(&code, wanted, now) {
        return Ok(Err(refusal));
    }
    let (grant, issued) = grants::create(connection, now, tokens, &code, lifetimes)?;
    pending::used(connection, hash, &grant)?;
    clients::note_use(connection, now, &wanted.client)?;
    audit::note(connection, now, Event { what: "issued", user, client, detail: Some(code.wish.service.name()) })?;
    Ok(Ok(issued))
}

fn agrees(code: &Code, wanted: &Wanted, now: Seconds) -> Result<(), Refusal> {
    if code.expires_at <= now || !same(code.wish.challenge.as_bytes(), wanted.challenge.as_bytes()) {
        return Err(Refusal::invalid_grant());
    }
    // OAuth 2.1 has dropped it from this request; who sends it must mean the same.
    if wanted.redirect_uri.as_ref().is_some_and(|uri| *uri != code.wish.redirect_uri) {
        return Err(Refusal::invalid_grant());
    }
    match wanted.resource {
        Some(service) if service != code.wish.service => Err(invalid_target()),
        Some(_) | None => Ok(()),
    }
}

async fn refresh(
    app: &App,
    client: Authenticated,
    form: &Form,
    resource: Option<Service>,
) -> Result<Response, Refusal> {
    let text = form.get("refresh_token").ok_or_else(|| Refusal::bad("invalid_request", "refresh_token is missing"))?;
    let token = RefreshToken::parse(text).ok_or_else(Refusal::invalid_grant)?;
    if client.refreshes == Refreshes::No {
        return Err(Refusal::bad("unauthorized_client", "this client is not registered for refresh tokens"));
    }
    let asked = Asked { client: client.id, scope: form.get("scope").map(str::to_owned), resource };
    // First without a change, to ask Entra about the right user; then again, in the transaction that changes.
    let (token, asked, worth) = {
        let now = app.clock.now();
        let read = app.store.read(move |connection| {
            let worth = grants::worth(connection, now, &token)?;
            Ok((token, asked, worth))
        });
        read.await?
    };
    if let Worth::Current(grant) = &worth {
        admitted(app, grant)?;
        asked.scopes(grant)?;
        still_logged_in(app, grant).await?;
    }
    let (now, lifetimes, keys) = (app.clock.now(), app.lifetimes(), app.keys.clone());
    let refreshed = app.store.write(move |connection| refresh_once(connection, now, &token, &asked, &keys, lifetimes));
    refreshed.await?.map(|issued| answer(&issued, now))
}

/// What a refresh asks for.
struct Asked {
    client: String,
    scope: Option<String>,
    resource: Option<Service>,
}

impl Asked {
    /// The scopes of the new access token: no more than the grant has.
    fn scopes(&self, grant: &Grant) -> Result<Scopes, Refusal> {
        if grant.client != self.client {
            return Err(Refusal::invalid_grant());
        }
        if self.resource.is_some_and(|service| service != grant.service) {
            return Err(invalid_target());
        }
        let wider = || Refusal::bad("invalid_scope", "scope must be within what was granted");
        match &self.scope {
            None => Ok(grant.scopes.clone()),
            Some(text) => {
                Scopes::parse(grant.service, text).ok().filter(|scopes| scopes.within(&grant.scopes)).ok_or_else(wider)
            }
        }
    }
}

fn refresh_once(
    connection: &Connection,
    now: Seconds,
    token: &RefreshToken,
    asked: &Asked,
    keys: &Keys,
    lifetimes: Lifetimes,
) -> rusqlite::Result<Result<Issued, Refusal>> {
    match grants::worth(connection, now, token)? {
        Worth::Nothing => Ok(Err(Refusal::invalid_grant())),
        Worth::Current(grant) => {
            let (scopes, successors) = match (asked.scopes(&grant), Successors::of(keys, token)) {
                (Ok(scopes), Ok(successors)) => (scopes, successors),
                (Err(refusal), _) => return Ok(Err(refusal)),
                (_, Err(error)) => return Ok(Err(error.into())),
            };
            let issued = grants::rotate(connection, now, &grant, successors, scopes, lifetimes)?;
            clients::note_use(connection, now, &grant.client)?;
            note(connection, now, "refreshed", &grant)?;
            Ok(Ok(issued))
        }
        Worth::Lost(grant, _) | Worth::Reused(grant) if grant.client != asked.client => {
            Ok(Err(Refusal::invalid_grant()))
        }
        Worth::Lost(_, key) => {
            let Ok(successors) = Successors::again(keys, key, token) else {
                return Ok(Err(Refusal::invalid_grant()));
            };
            Ok(grants::again(connection, now, successors)?.ok_or_else(Refusal::invalid_grant))
        }
        Worth::Reused(grant) => {
            grants::revoke(connection, &grant.id)?;
            note(connection, now, "reused", &grant)?;
            Ok(Err(Refusal::invalid_grant()))
        }
    }
}

fn note(connection: &Connection, now: Seconds, what: &'static str, grant: &Grant) -> rusqlite::Result<()> {
    let (user, client) = (Some(grant.user.id.as_str()), Some(grant.client.as_str()));
    audit::note(connection, now, Event { what, user, client, detail: Some(grant.service.name()) })
}

/// Whether the operator still lets this user in, by this application.
///
/// # Errors
/// `invalid_grant` when not.
pub(crate) fn admitted(app: &App, grant: &Grant) -> Result<(), Refusal> {
    let user = &grant.user;
    let same_app = app.entra.as_ref().is_some_and(|entra| entra.settings.app_of(grant.service) == grant.app);
    if same_app && app.settings.admission.admits(&user.tid, &user.oid, &user.upn) {
        return Ok(());
    }
    Err(Refusal::invalid_grant())
}

/// Whether Entra still lets this user in.
async fn still_logged_in(app: &App, grant: &Grant) -> Result<(), Refusal> {
    let entra = app.entra.as_ref().ok_or_else(Refusal::invalid_grant)?;
    let graph = grant.scopes.graph(grant.service);
    match logins::graph_token(app, entra, &grant.user.id, grant.service, &graph).await {
        Ok(_) => Ok(()),
        Err(refusal) if refusal.error() == "interaction_required" => Err(Refusal::invalid_grant()),
        Err(refusal) => Err(refusal),
    }
}

fn answer(issued: &Issued, now: Seconds) -> Response {
    let mut body = json!({
        "access_token": issued.access.reveal(),
        "token_type": "Bearer",
        "expires_in": issued.access_expires_at - now,
        "scope": issued.scopes.to_string(),
    });
    if let Some(refresh) = &issued.refresh {
        body["refresh_token"] = json!(refresh.reveal());
    }
    fresh(body)
}

impl From<MintError> for Refusal {
    fn from(error: MintError) -> Self {
        match error {
            MintError::Random(error) => error.into(),
            MintError::Key(error) => error.into(),
        }
    }
}
