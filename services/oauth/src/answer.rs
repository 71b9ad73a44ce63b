//! Errors as OAuth tells them to programs: JSON with `error` and `error_description`.
//! Not here: errors for people (`pages`), and those that travel in a redirect (`authorize`).

use axum::Json;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::keys::KeyError;
use crate::limit::TooMany;
use crate::secret::NoRandomness;
use crate::store::StoreError;

/// After a failure of ours, when to come again, in seconds.
const COME_AGAIN: u64 = 2;

/// A refusal.
#[derive(Debug, Clone)]
pub struct Refusal {
    status: StatusCode,
    error: &'static str,
    description: String,
    header: Option<(axum::http::HeaderName, String)>,
}

impl Refusal {
    /// 400 with a code of RFC 6749, 5.2, and its like.
    #[must_use]
    pub fn bad(error: &'static str, description: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error, description: description.into(), header: None }
    }

    /// The token or code is worth nothing. One sentence for all reasons: who guesses learns nothing.
    #[must_use]
    pub fn invalid_grant() -> Self {
        Self::bad("invalid_grant", "the code or token is unknown, expired, used, or not this client's")
    }

    /// 401; with a challenge for who used HTTP Basic.
    #[must_use]
    pub fn invalid_client(description: &str, challenge: Challenge) -> Self {
        let header = match challenge {
            Challenge::Basic => Some((WWW_AUTHENTICATE, "Basic realm=\"oauth\", charset=\"UTF-8\"".to_owned())),
            Challenge::None => None,
        };
        Self { status: StatusCode::UNAUTHORIZED, error: "invalid_client", description: description.to_owned(), header }
    }

    /// Another status.
    #[must_use]
    pub fn with_status(status: StatusCode, error: &'static str, description: &str) -> Self {
        Self { status, error, description: description.to_owned(), header: None }
    }

    /// 503: it is not the client's fault, and may pass.
    #[must_use]
    pub fn unavailable(description: &str) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            error: "temporarily_unavailable",
            description: description.to_owned(),
            header: None,
        }
        .until(COME_AGAIN)
    }

    /// Says when to come again, in seconds.
    #[must_use]
    pub fn until(self, seconds: u64) -> Self {
        Self { header: Some((RETRY_AFTER, seconds.to_string())), ..self }
    }

    /// Its code.
    #[must_use]
    pub fn error(&self) -> &'static str {
        self.error
    }
}

/// Whether the client is told how to authenticate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// It tried HTTP Basic.
    Basic,
    /// It did not.
    None,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.error, "error_description": self.description });
        let mut response = (self.status, fresh(body)).into_response();
        if let Some((name, value)) = self.header
            && let Ok(value) = HeaderValue::from_str(&value)
        {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<TooMany> for Refusal {
    fn from(TooMany(wait): TooMany) -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            error: "temporarily_unavailable",
            description: format!("too many requests; come again in {wait} seconds"),
            header: Some((RETRY_AFTER, wait.to_string())),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a request could not be served");
        Self::unavailable("the server cannot store or read at the moment")
    }
}

impl From<KeyError> for Refusal {
    fn from(error: KeyError) -> Self {
        tracing::error!(%error, "a request could not be served");
        Self::unavailable("the server cannot use its keys at the moment")
    }
}

impl From<NoRandomness> for Refusal {
    fn from(error: NoRandomness) -> Self {
        tracing::error!(%error, "a request could not be served");
        Self::unavailable("the server cannot make tokens at the moment")
    }
}

/// JSON that no cache keeps.
#[must_use]
pub fn fresh(body: Value) -> Response {
    let mut response = Json(body).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Whether the body is of this type.
///
/// # Errors
/// 415 when it is not.
pub fn expect_type(headers: &HeaderMap, wanted: &'static str) -> Result<(), Refusal> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let given = given.split(';').next().unwrap_or_default().trim();
    if given.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    let description = format!("the body must be of type {wanted}");
    Err(Refusal::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request", &description))
}
