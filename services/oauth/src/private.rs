//! For the four services, on the private socket: what a token is worth (RFC 7662), and a token of Graph for it (RFC 8693).
//! Not here: anything for clients.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use serde_json::json;

use crate::answer::{Challenge, Refusal, expect_type, fresh};
use crate::app::{App, Shared};
use crate::catalog::{GRAPH_BASE, Service};
use crate::client_auth;
use crate::entra::Tokens;
use crate::form::Form;
use crate::grants::{self, Access};
use crate::logins;
use crate::place::{Place, read_or_create};
use crate::secret::{Hash, Secret, hash, same};
use crate::token::admitted;

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// Characters of a secret: 128 random bits in hexadecimal digits.
const SHORTEST: usize = 32;
const GRAPH: &str = "https://graph.microsoft.com";

/// What each service proves itself with: files of the data directory that only this user reads.
pub struct Callers(BTreeMap<Service, Hash>);

impl Callers {
    /// Reads the credentials, `svc-mail.secret` and so on; makes them on the first start, and beside them `sealing.key`,
    /// which the services share for what they seal themselves.
    ///
    /// # Errors
    /// As the system says.
    pub fn load(place: &Place) -> io::Result<Self> {
        let make = |name: &str, prefix: &str| {
            let fresh = || Ok(Secret::random(prefix).map_err(io::Error::other)?.reveal().to_owned());
            let path = place.dir.join(name);
            let text = read_or_create(&path, fresh)
                .map_err(|error| io::Error::new(error.kind(), format!("`{}`: {error}", path.display())))?;
            let secret = text.trim().to_owned();
            if secret.len() < SHORTEST {
                // An empty one would be known to everybody.
                let path = path.display();
                return Err(io::Error::other(format!("`{path}` is too short to be a secret: remove it for a new one")));
            }
            Ok(secret)
        };
        make("sealing.key", "")?;
        let mut callers = BTreeMap::new();
        for service in Service::ALL {
            let secret = make(&format!("svc-{}.secret", service.name()), "mcp_svc_")?;
            callers.insert(service, hash(secret));
        }
        Ok(Self(callers))
    }

    /// Which service asks.
    fn identify(&self, headers: &HeaderMap) -> Result<Service, Refusal> {
        let refused = || Refusal::invalid_client("the service is unknown, or its secret is wrong", Challenge::Basic);
        let basic = client_auth::basic(headers)?.ok_or_else(refused)?;
        let service = basic.name.strip_prefix("svc-").and_then(Service::named).ok_or_else(refused)?;
        if same(&self.0[&service], &hash(&basic.password)) { Ok(service) } else { Err(refused()) }
    }
}

/// The routes.
pub(crate) fn routes(app: Shared) -> Router {
    Router::new().route("/introspect", post(introspect)).route("/token", post(exchange)).with_state(app)
}

async fn introspect(State(app): State<Shared>, headers: HeaderMap, body: Bytes) -> Result<Response, Refusal> {
    let service = app.callers.identify(&headers)?;
    let form = form(&headers, &body)?;
    let token = form.get("token").ok_or_else(|| Refusal::bad("invalid_request", "token is missing"))?;
    // Nothing of a token that is not for the service that asks.
    let Some(access) = good(&app, token, service).await? else {
        return Ok(fresh(json!({ "active": false })));
    };
    let Access { grant, scopes, issued_at, expires_at } = access;
    Ok(fresh(json!({
        "active": true,
        "token_type": "Bearer",
        "iss": app.settings.base.to_string(),
        "sub": grant.user.id,
        "oid": grant.user.oid,
        "tid": grant.user.tid,
        "username": grant.user.upn,
        "client_id": grant.client,
        "scope": scopes.to_string(),
        "aud": app.settings.resources[&service],
        "exp": expires_at,
        "iat": issued_at,
    })))
}

async fn exchange(State(app): State<Shared>, headers: HeaderMap, body: Bytes) -> Result<Response, Refusal> {
    let service = app.callers.identify(&headers)?;
    let form = form(&headers, &body)?;
    if form.get("grant_type") != Some(EXCHANGE) {
        return Err(Refusal::bad("unsupported_grant_type", format!("use {EXCHANGE}")));
    }
    let token = form.get("subject_token").ok_or_else(|| Refusal::bad("invalid_request", "subject_token is missing"))?;
    let types = [form.get("subject_token_type"), form.get("requested_token_type").or(Some(ACCESS_TOKEN))];
    if types != [Some(ACCESS_TOKEN); 2] {
        return Err(Refusal::bad("invalid_request", format!("token types other than {ACCESS_TOKEN} are not known")));
    }
    if form.get("resource").is_some_and(|resource| resource.trim_end_matches('/') != GRAPH) {
        return Err(Refusal::bad("invalid_target", format!("tokens are for {GRAPH} only")));
    }
    let access = good(&app, token, service).await?.ok_or_else(Refusal::invalid_grant)?;
    let allowed = access.scopes.graph(service);
    let wanted = wanted(form.get("scope"), &allowed)?;
    let entra = app.entra.as_ref().ok_or_else(Refusal::invalid_grant)?;
    let tokens = logins::graph_token(&app, entra, &access.grant.user.id, service, &wanted).await?;
    Ok(answer(&tokens, &wanted))
}

/// What is asked of Graph: no more than the user granted.
fn wanted<'a>(scope: Option<&str>, allowed: &BTreeSet<&'a str>) -> Result<BTreeSet<&'a str>, Refusal> {
    let Some(scope) = scope else {
        return Ok(allowed.clone());
    };
    let names =
        scope.split_ascii_whitespace().map(|name| name.strip_prefix("https://graph.microsoft.com/").unwrap_or(name));
    let mut wanted = BTreeSet::from([GRAPH_BASE]);
    for name in names.filter(|name| *name != ".default") {
        match allowed.get(name) {
            Some(known) => wanted.insert(known),
            None => return Err(Refusal::bad("invalid_scope", "scope is beyond what the user granted to this client")),
        };
    }
    Ok(if wanted.len() == 1 { allowed.clone() } else { wanted })
}

fn answer(tokens: &Tokens, wanted: &BTreeSet<&str>) -> Response {
    let asked = || wanted.iter().copied().collect::<Vec<_>>().join(" ");
    let scope = if tokens.scope.is_empty() { asked() } else { tokens.scope.clone() };
    fresh(json!({
        "access_token": tokens.access_token,
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": tokens.expires_in,
        "scope": scope,
    }))
}

/// The access token, if it is good now, for this service, and its user is still let in.
async fn good(app: &App, token: &str, service: Service) -> Result<Option<Access>, Refusal> {
    let (token, now) = (token.to_owned(), app.clock.now());
    let access = app.store.read(move |connection| grants::access(connection, now, &token)).await?;
    Ok(access.filter(|access| access.grant.service == service && admitted(app, &access.grant).is_ok()))
}

fn form(headers: &HeaderMap, body: &[u8]) -> Result<Form, Refusal> {
    expect_type(headers, "application/x-www-form-urlencoded")?;
    Form::parse(body, &[]).map_err(|why| Refusal::bad("invalid_request", why.to_string()))
}
