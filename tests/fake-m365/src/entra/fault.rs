//! Errors in Entra's words.
//! Not here: when they happen.

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderName, PRAGMA};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::call::Call;
use crate::reply::{Reply, escaped};
use crate::world::World;
use crate::{clock, random};

/// An error that can be scripted, by what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The person declined to consent (65004).
    AccessDenied,
    /// The person left the login page (`error_subcode=cancel`).
    Cancelled,
    /// Somebody has to consent first (65001).
    ConsentRequired,
    /// Nobody is signed in (50058).
    LoginRequired,
    /// A second factor is wanted (50076).
    InteractionRequired,
    /// The account is disabled (50057).
    UserDisabled,
    /// The password was changed, or an administrator revoked the sessions (50173).
    Revoked,
    /// The refresh token was not used for too long (700082).
    Expired,
    /// The application's secret has expired (7000222).
    SecretExpired,
    /// Entra is overloaded (90033).
    Transient,
    /// Entra could not issue a token (50000).
    ServerError,
}

/// Where an error is told: the same thing has different names at the two endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    InRedirect,
    ByTokenEndpoint,
}

/// An error, ready to be told.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    error: &'static str,
    code: u32,
    message: String,
    suberror: Option<&'static str>,
    subcode: Option<&'static str>,
    claims: Option<Value>,
}

impl Failure {
    pub(crate) fn new(error: &'static str, code: u32, message: impl Into<String>) -> Self {
        Self { error, code, message: message.into(), suberror: None, subcode: None, claims: None }
    }

    /// The body of the token endpoint.
    pub(crate) fn in_json(&self, world: &World, call: &Call, status: StatusCode) -> Reply {
        let told = Telling::new(world, call);
        let mut body = json!({
            "error": self.error,
            "error_description": told.description(self),
            "error_codes": [self.code],
            "timestamp": told.stamp,
            "trace_id": told.trace,
            "correlation_id": told.correlation,
            "error_uri": self.uri(world),
        });
        if let Some(suberror) = self.suberror {
            body["suberror"] = json!(suberror);
        }
        if let Some(claims) = &self.claims {
            body["claims"] = json!(claims.to_string());
        }
        Reply::json(status, &body)
            .with(CACHE_CONTROL, "no-store, no-cache")
            .with(PRAGMA, "no-cache")
            .with(HeaderName::from_static("x-ms-request-id"), told.trace)
    }

    /// As the token endpoint does.
    pub(crate) fn by_token_endpoint(&self, world: &World, call: &Call) -> Reply {
        let status = match self.error {
            "invalid_client" => StatusCode::UNAUTHORIZED,
            "temporarily_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            "server_error" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        self.in_json(world, call, status)
    }

    /// In the query of the redirect URI.
    pub(crate) fn in_redirect(&self, world: &World, call: &Call, uri: &str, state: Option<&str>) -> Reply {
        let description = Telling::new(world, call).description(self);
        let error_uri = self.uri(world);
        let mut pairs = vec![("error", self.error), ("error_description", &description), ("error_uri", &error_uri)];
        pairs.extend(self.subcode.map(|subcode| ("error_subcode", subcode)));
        pairs.extend(state.map(|state| ("state", state)));
        Reply::redirect(with_query(uri, &pairs))
    }

    /// On a page of Entra's own: the client may not hear of it.
    pub(crate) fn on_page(&self, world: &World, call: &Call) -> Reply {
        let text = escaped(&Telling::new(world, call).description(self)).replace('\n', "<br>");
        let page = super::page::page("Sign in", &format!("<h1>Sorry, there is a problem</h1><p>{text}</p>"));
        Reply::page(StatusCode::BAD_REQUEST, page)
    }

    fn uri(&self, world: &World) -> String {
        format!("{}/error?code={}", world.base, self.code)
    }
}

/// The identifiers that one telling has in common.
struct Telling {
    stamp: String,
    trace: String,
    correlation: String,
}

impl Telling {
    fn new(world: &World, call: &Call) -> Self {
        let own = call.header(HeaderName::from_static("client-request-id"));
        Self {
            stamp: clock::stamp(world.now()),
            trace: random::guid(),
            correlation: own.map_or_else(random::guid, str::to_owned),
        }
    }

    fn description(&self, failure: &Failure) -> String {
        let Self { stamp, trace, correlation } = self;
        let Failure { code, message, .. } = failure;
        format!("AADSTS{code}: {message} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}")
    }
}

/// A URI with further parameters in its query.
pub(crate) fn with_query(uri: &str, pairs: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    format!("{uri}{}{query}", if uri.contains('?') { '&' } else { '?' })
}

impl Fault {
    /// In the words of the place where it is told.
    pub(crate) fn failure(self, told: Told, app: &str, user: &str) -> Failure {
        let grant = |name| if told == Told::InRedirect { name } else { "invalid_grant" };
        match self {
            Self::AccessDenied => Failure::new("access_denied", 65_004, "User declined to consent to access the app."),
            Self::Cancelled => Failure {
                subcode: Some("cancel"),
                ..Failure::new("access_denied", 65_004, "User declined to consent to access the app.")
            },
            Self::ConsentRequired => Failure {
                suberror: Some("consent_required"),
                ..Failure::new(
                    grant("consent_required"),
                    65_001,
                    format!(
                        "The user or administrator has not consented to use the application with ID '{app}'. Send an \
                         interactive authorization request for this user and resource."
                    ),
                )
            },
            Self::LoginRequired => Failure::new(
                grant("login_required"),
                50_058,
                "A silent sign-in request was sent but no user is signed in.",
            ),
            Self::InteractionRequired => Failure {
                suberror: Some("basic_action"),
                claims: Some(json!({"access_token": {"capolids": {"essential": true, "values": [random::guid()]}}})),
                ..Failure::new(
                    grant("interaction_required"),
                    50_076,
                    "Due to a configuration change made by your administrator, or because you moved to a new location, \
                     you must use multi-factor authentication to access '00000003-0000-0000-c000-000000000000'.",
                )
            },
            Self::UserDisabled => Failure::new(grant("access_denied"), 50_057, "The user account is disabled."),
            Self::Revoked => Failure {
                suberror: Some("bad_token"),
                ..Failure::new(
                    grant("login_required"),
                    50_173,
                    format!(
                        "The provided grant has expired due to it being revoked, a fresh auth token is needed. The \
                         user '{user}' might have changed or reset their password."
                    ),
                )
            },
            Self::Expired => {
                Failure::new(grant("login_required"), 700_082, "The refresh token has expired due to inactivity.")
            }
            Self::SecretExpired => Failure::new(
                "invalid_client",
                7_000_222,
                format!("The provided client secret keys for app '{app}' are expired."),
            ),
            Self::Transient => {
                Failure::new("temporarily_unavailable", 90_033, "A transient error has occurred. Please try again.")
            }
            Self::ServerError => Failure::new("server_error", 50_000, "There was an error issuing a token."),
        }
    }
}
