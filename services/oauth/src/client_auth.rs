//! Forms that clients send: which client asks, and whether it is itself.
//! Not here: what it may have.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use service_kit::Peer;

use crate::answer::{Challenge, Refusal, expect_type};
use crate::app::{App, Shared};
use crate::clients::{Client, Refreshes};
use crate::document;
use crate::form::Form;

/// A form that did not come too often, from a client that is itself.
pub(crate) struct Sent {
    pub(crate) app: Shared,
    pub(crate) form: Form,
    pub(crate) client: Authenticated,
}

impl FromRequest<Shared> for Sent {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Shared) -> Result<Self, Response> {
        let peer = request.extensions().get().copied().unwrap_or(Peer(None));
        let headers = request.headers().clone();
        let body = Bytes::from_request(request, app).await.map_err(IntoResponse::into_response)?;
        let read = async {
            app.gates.token.pass(app.settings.proxies.client(peer, &headers), app.clock.instant())?;
            expect_type(&headers, "application/x-www-form-urlencoded")?;
            let form = Form::parse(&body, &[]).map_err(|why| Refusal::bad("invalid_request", why.to_string()))?;
            let client = authenticate(app, &headers, &form).await?;
            Ok(Self { app: app.clone(), form, client })
        };
        read.await.map_err(|refusal: Refusal| refusal.into_response())
    }
}

/// A client that is itself.
pub(crate) struct Authenticated {
    /// Its id.
    pub id: String,
    /// Whether it can use refresh tokens.
    pub refreshes: Refreshes,
}

/// A name and a password of HTTP Basic.
pub(crate) struct Basic {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

/// Finds out who asks.
///
/// # Errors
/// `invalid_client` when it is not who it says, `invalid_request` when it says it in two ways.
async fn authenticate(app: &App, headers: &HeaderMap, form: &Form) -> Result<Authenticated, Refusal> {
    let basic = basic(headers)?;
    let challenge = if basic.is_some() { Challenge::Basic } else { Challenge::None };
    let (id, secret) = match (&basic, form.get("client_id"), form.get("client_secret")) {
        (Some(_), _, Some(_)) => {
            return Err(Refusal::bad("invalid_request", "the client authenticates in two ways; use one"));
        }
        (Some(basic), Some(id), None) if basic.name != id => {
            return Err(Refusal::bad("invalid_request", "client_id is not the client that authenticates"));
        }
        (Some(basic), _, None) => (basic.name.as_str(), Some(basic.password.as_str()).filter(|text| !text.is_empty())),
        (None, Some(id), secret) => (id, secret),
        (None, None, _) => return Err(Refusal::bad("invalid_request", "client_id is missing")),
    };
    // One sentence for an unknown client and for a wrong secret: who guesses learns nothing.
    let unknown = || Refusal::invalid_client("the client is unknown, or its secret is wrong", challenge);
    let client: Client = document::client(app, id).await?.ok_or_else(unknown)?;
    if !client.is_proved_by(secret) {
        return Err(unknown());
    }
    Ok(Authenticated { id: client.id, refreshes: client.refreshes })
}

/// HTTP Basic, where the request has it. Both parts are encoded as in a form (RFC 6749, 2.3.1).
///
/// # Errors
/// `invalid_client` when there is another kind of authorization, or an unreadable one.
pub(crate) fn basic(headers: &HeaderMap) -> Result<Option<Basic>, Refusal> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Ok(None);
    };
    let parse = || {
        let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
        let decoded = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(encoded.trim()).ok())??;
        let text = String::from_utf8(decoded).ok()?;
        let (name, password) = text.split_once(':')?;
        Some(Basic { name: unescaped(name)?, password: unescaped(password)? })
    };
    let unreadable = || Refusal::invalid_client("the Authorization header is not HTTP Basic", Challenge::Basic);
    parse().map(Some).ok_or_else(unreadable)
}

fn unescaped(text: &str) -> Option<String> {
    // As the value of a form with one field; what would end a field must have been escaped.
    if text.contains(['&', '=']) {
        return Some(text.to_owned());
    }
    form_urlencoded::parse(format!("v={text}").as_bytes()).next().map(|(_, value)| value.into_owned())
}
