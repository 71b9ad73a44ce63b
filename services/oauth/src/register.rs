//! `POST /register`: a program introduces itself (RFC 7591).
//! Not here: clients that never register (`document`).

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use service_kit::Peer;

use crate::answer::{Refusal, expect_type, fresh};
use crate::app::Shared;
use crate::audit::{self, Event};
use crate::clients::{self, Client, Inserted, Origin, Refreshes};
use crate::redirect::RedirectPolicy;
use crate::secret::{Secret, encode, random};
use crate::settings::Switch;

/// Addresses that one client may have.
const MOST_REDIRECTS: usize = 10;
/// Letters of a name; the rest is cut off.
const LONGEST_NAME: usize = 80;

/// What a client says of itself; what is not named here is ignored, as the RFC wants.
#[derive(Debug, Deserialize)]
struct Introduction {
    #[serde(default)]
    redirect_uris: Vec<String>,
    client_name: Option<String>,
    token_endpoint_auth_method: Option<String>,
    grant_types: Option<Vec<String>>,
    response_types: Option<Vec<String>>,
}

/// How a client proves that it is itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Not at all; PKCE binds its codes.
    None,
    /// A secret, by HTTP Basic.
    Basic,
    /// A secret, in the form.
    Post,
}

/// What a client may be, checked.
pub struct Checked {
    /// Where it may be sent back to.
    pub redirect_uris: Vec<String>,
    /// What it calls itself.
    pub name: String,
    /// How it proves itself.
    pub method: Method,
    /// Whether it gets refresh tokens.
    pub refreshes: Refreshes,
}

/// The route.
pub async fn register(
    State(app): State<Shared>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    if app.settings.registration == Switch::Off {
        let why = "programs cannot register themselves here; ask the operator for a client";
        return Err(Refusal::with_status(StatusCode::FORBIDDEN, "access_denied", why));
    }
    app.gates.register.pass(app.settings.proxies.client(peer, &headers), app.clock.instant())?;
    expect_type(&headers, "application/json")?;
    let checked = check(&body, &app.settings.redirects)?;
    let secret = match checked.method {
        Method::None => None,
        Method::Basic | Method::Post => Some(Secret::random("mcp_cs_")?),
    };
    let client = Client {
        id: format!("mcp_{}", encode(&random::<16>()?)),
        name: checked.name,
        redirect_uris: checked.redirect_uris,
        secret_hash: secret.as_ref().map(Secret::hash),
        refreshes: checked.refreshes,
        origin: Origin::Registered,
    };
    let (row, now) = (client.clone(), app.clock.now());
    let inserted = app.store.write(move |connection| {
        audit::note(connection, now, Event { what: "registered", user: None, client: Some(&row.id), detail: None })?;
        clients::insert(connection, now, &row)
    });
    match inserted.await? {
        Inserted::Done => {
            Ok((StatusCode::CREATED, fresh(answer(&client, secret.as_ref(), checked.method, now))).into_response())
        }
        Inserted::Full => Err(Refusal::unavailable("too many clients are registered")),
    }
}

fn answer(client: &Client, secret: Option<&Secret>, method: Method, now: i64) -> Value {
    let grants = match client.refreshes {
        Refreshes::Yes => json!(["authorization_code", "refresh_token"]),
        Refreshes::No => json!(["authorization_code"]),
    };
    let mut answer = json!({
        "client_id": client.id,
        "client_id_issued_at": now,
        "client_name": client.name,
        "redirect_uris": client.redirect_uris,
        "grant_types": grants,
        "response_types": ["code"],
        "token_endpoint_auth_method": match method {
            Method::None => "none",
            Method::Basic => "client_secret_basic",
            Method::Post => "client_secret_post",
        },
    });
    if let Some(secret) = secret {
        answer["client_secret"] = json!(secret.reveal());
        answer["client_secret_expires_at"] = json!(0);
    }
    answer
}

/// Reads and checks what a client says of itself.
///
/// # Errors
/// With the code of the RFC.
pub fn check(body: &[u8], policy: &RedirectPolicy) -> Result<Checked, Refusal> {
    let metadata = |why: &str| Refusal::bad("invalid_client_metadata", why);
    let said: Introduction = serde_json::from_slice(body).map_err(|error| {
        metadata(&format!("the body is no client metadata: line {}, column {}", error.line(), error.column()))
    })?;
    if said.redirect_uris.is_empty() || said.redirect_uris.len() > MOST_REDIRECTS {
        return Err(Refusal::bad("invalid_redirect_uri", format!("give 1 to {MOST_REDIRECTS} redirect_uris")));
    }
    for (number, uri) in said.redirect_uris.iter().enumerate() {
        policy.check(uri).map_err(|why| {
            Refusal::bad("invalid_redirect_uri", format!("redirect_uris[{number}] cannot be registered: {why}"))
        })?;
    }
    let method = match said.token_endpoint_auth_method.as_deref() {
        Some("none") => Method::None,
        // The RFC's default.
        None | Some("client_secret_basic") => Method::Basic,
        Some("client_secret_post") => Method::Post,
        Some(_) => {
            return Err(metadata(
                "token_endpoint_auth_method is none of none, client_secret_basic, client_secret_post",
            ));
        }
    };
    if said.response_types.is_some_and(|types| !types.iter().any(|one| one == "code")) {
        return Err(metadata("response_types must have `code`"));
    }
    let refreshes = match said.grant_types {
        Some(types) if !types.iter().any(|one| one == "authorization_code") => {
            return Err(metadata("grant_types must have `authorization_code`"));
        }
        Some(types) if !types.iter().any(|one| one == "refresh_token") => Refreshes::No,
        // Who says nothing gets both: most clients forget to ask, and then wonder why they must log in every 15 minutes.
        Some(_) | None => Refreshes::Yes,
    };
    let name = said.client_name.as_deref().map(tidy).filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| crate::redirect::shown(&said.redirect_uris[0]));
    Ok(Checked { redirect_uris: said.redirect_uris, name, method, refreshes })
}

/// A name as it may be shown: no control characters, none that turn the direction of text, not too long.
#[must_use]
pub fn tidy(name: &str) -> String {
    let invisible = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
            // Soft hyphen, Arabic letter mark, fillers of Hangul and Mongolian, empty Braille, annotations, tags.
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}')
            || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
    };
    let visible: String = name.chars().map(|c| if invisible(c) { ' ' } else { c }).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(LONGEST_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(body: &Value) -> &'static str {
        check(body.to_string().as_bytes(), &RedirectPolicy::default()).err().map_or("none", |refusal| refusal.error())
    }

    #[test]
    fn what_cannot_be_served_is_refused_with_the_code_of_the_rfc() {
        let uri = "https://a.example/cb";
        for (body, code) in [
            (json!({ "redirect_uris": [uri] }), "none"),
            (json!({ "redirect_uris": [uri], "unknown": { "x": 1 } }), "none"),
            (json!({}), "invalid_redirect_uri"),
            (json!({ "redirect_uris": [] }), "invalid_redirect_uri"),
            (json!({ "redirect_uris": vec![uri; 11] }), "invalid_redirect_uri"),
            (json!({ "redirect_uris": [uri, "http://b.example/"] }), "invalid_redirect_uri"),
            (json!({ "redirect_uris": uri }), "invalid_client_metadata"),
            (json!([1]), "invalid_client_metadata"),
            (
                json!({ "redirect_uris": [uri], "token_endpoint_auth_method": "private_key_jwt" }),
                "invalid_client_metadata",
            ),
            (json!({ "redirect_uris": [uri], "grant_types": ["implicit"] }), "invalid_client_metadata"),
            (json!({ "redirect_uris": [uri], "response_types": ["token"] }), "invalid_client_metadata"),
        ] {
            assert_eq!(error(&body), code, "{body}");
        }
    }

    #[test]
    fn a_name_is_shown_as_plain_short_text() {
        assert_eq!(tidy("  a\u{202e}b\r\n<b>  "), "a b <b>");
        assert_eq!(tidy("\u{3164}\u{2800}a\u{ad}\u{61c}\u{e0041}b\u{115f}"), "a b");
        assert_eq!(tidy(&"x".repeat(1000)).len(), 80);
        let unnamed =
            check(br#"{"redirect_uris":["https://a.example/cb"],"client_name":"\u200b"}"#, &RedirectPolicy::default());
        assert_eq!(unnamed.ok().unwrap().name, "a.example");
    }
}
