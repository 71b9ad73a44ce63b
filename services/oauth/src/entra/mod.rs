//! The login behind the login: Microsoft Entra, asked as any OAuth client would.
//! Not here: what follows for our own clients.

mod directory;
mod id_token;

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{Method, Request};
use serde::Deserialize;

pub(crate) use id_token::{BadIdToken, Identity};

use crate::catalog::{ENTRA_SCOPES, Scopes, Service};
use crate::clock::{Clock, Seconds};
use crate::fetch::{Answer, FetchError, Fetcher, Question, Reach};
use crate::secret::{Hash, Secret, challenge};
use crate::settings::EntraSettings;
use directory::Directory;

/// For one question to Entra; people wait for it.
const DEADLINE: Duration = Duration::from_secs(10);
/// Answers are a few KiB; lists of keys a few tens.
const MOST: usize = 256 << 10;

/// Seconds for which Entra's wish not to be asked is passed on; a wrong one must not keep people out for days.
const LONGEST_THROTTLE: u64 = 300;

/// AADSTS65001: nobody has consented to what is asked for.
const NO_CONSENT: u64 = 65001;

/// Entra, as one tenant.
pub struct Entra {
    /// How to reach it, and as what.
    pub settings: EntraSettings,
    fetcher: Fetcher,
    directory: Directory,
}

/// Why Entra gave nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EntraError {
    /// It did not answer, or said that it cannot now.
    #[error("Entra is not available: {0}")]
    Unavailable(String),
    /// It is asked too much: not again for so many seconds.
    #[error("Entra wants to be asked no more for {0} s")]
    Throttled(u64),
    /// The user must log in again.
    #[error("Entra wants a new login ({0})")]
    LoginNeeded(Codes),
    /// The user, or an administrator, must consent to what is asked for. What was consented to is as good as before.
    #[error("Entra wants consent ({0})")]
    ConsentNeeded(Codes),
    /// It refuses this application: a wrong or expired secret, a wrong redirect address.
    #[error("Entra refuses this application ({0}); see docs/entra-setup.md")]
    Misconfigured(Codes),
    /// It answered something that is no answer.
    #[error("Entra answered what cannot be understood: {0}")]
    Unusable(String),
}

/// What Entra calls an error: never its description, which names people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codes {
    /// As OAuth calls it.
    pub error: String,
    /// The numbers after `AADSTS`.
    pub numbers: Vec<u64>,
    /// What Microsoft's support asks for.
    pub trace: String,
}

impl std::fmt::Display for Codes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.error)?;
        for number in &self.numbers {
            write!(f, ", AADSTS{number}")?;
        }
        write!(f, ", trace {}", self.trace)
    }
}

/// What Entra gives.
#[derive(Deserialize)]
pub struct Tokens {
    /// For Graph.
    pub access_token: String,
    /// Good for so many seconds.
    pub expires_in: Seconds,
    /// What it is good for.
    #[serde(default)]
    pub scope: String,
    /// For further ones.
    pub refresh_token: Option<String>,
    /// Who logged in.
    pub id_token: Option<String>,
}

#[derive(Deserialize)]
struct Failure {
    error: String,
    #[serde(default)]
    error_codes: Vec<u64>,
    #[serde(default)]
    trace_id: String,
}

/// What a login is begun with.
pub struct Login<'a> {
    /// For which service, and so by which application.
    pub service: Service,
    /// What is wanted of Graph.
    pub scopes: &'a Scopes,
    /// What comes back with the answer.
    pub state: &'a Secret,
    /// What comes back in the id token.
    pub nonce: &'a Secret,
    /// What proves that who brings the code is who began.
    pub verifier: &'a Secret,
    /// Whether the user is asked which account to use.
    pub accounts: Accounts,
}

/// Whether the user is asked which account to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accounts {
    /// Yes: many people have two.
    Choose,
    /// No: the browser has used one here before.
    Keep,
}

impl Entra {
    /// Asks nothing yet.
    #[must_use]
    pub fn new(settings: EntraSettings, fetcher: Fetcher, clock: Clock) -> Self {
        Self { directory: Directory::new(&settings, clock), settings, fetcher }
    }

    /// Where to send the browser.
    ///
    /// # Errors
    /// When Entra does not say where its logins begin.
    pub async fn login_address(&self, login: Login<'_>) -> Result<String, EntraError> {
        let document = self.directory.document(&self.fetcher).await?;
        let scope = scope_parameter(&login.scopes.graph(login.service));
        let challenge = challenge(login.verifier.reveal());
        // No `resource`: with `scope` it is an error (AADSTS9010010).
        let mut parameters = vec![
            ("client_id", self.settings.apps[&login.service].client_id.as_str()),
            ("response_type", "code"),
            ("response_mode", "query"),
            ("redirect_uri", &self.settings.redirect_uri),
            ("scope", &scope),
            ("state", login.state.reveal()),
            ("nonce", login.nonce.reveal()),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        if login.accounts == Accounts::Choose {
            parameters.push(("prompt", "select_account"));
        }
        Ok(crate::redirect::with_parameters(&document.authorization_endpoint, &parameters))
    }

    /// Turns the code of a login into tokens.
    ///
    /// # Errors
    /// When Entra does not.
    pub async fn redeem(
        &self,
        service: Service,
        scopes: &Scopes,
        code: &Secret,
        verifier: &Secret,
    ) -> Result<Tokens, EntraError> {
        let scope = scope_parameter(&scopes.graph(service));
        let parameters = [
            ("grant_type", "authorization_code"),
            ("code", code.reveal()),
            ("redirect_uri", &self.settings.redirect_uri),
            ("code_verifier", verifier.reveal()),
            ("scope", &scope),
        ];
        self.tokens(service, &parameters).await
    }

    /// Turns a refresh token into an access token for these permissions.
    ///
    /// # Errors
    /// When Entra does not.
    pub async fn refresh(
        &self,
        service: Service,
        graph: &BTreeSet<&str>,
        refresh_token: &Secret,
    ) -> Result<Tokens, EntraError> {
        let scope = scope_parameter(graph);
        let parameters =
            [("grant_type", "refresh_token"), ("refresh_token", refresh_token.reveal()), ("scope", &scope)];
        self.tokens(service, &parameters).await
    }

    /// Who an id token speaks of.
    ///
    /// # Errors
    /// When it is not Entra's, not for this application, or not of this login.
    pub async fn identify(
        &self,
        service: Service,
        id_token: &str,
        nonce: &Hash,
        now: Seconds,
    ) -> Result<Identity, IdentifyError> {
        let document = self.directory.document(&self.fetcher).await?;
        let unverified = id_token::Unverified::read(id_token)?;
        let key = self.directory.key(&self.fetcher, unverified.key_id()).await?.ok_or(BadIdToken::UnknownKey)?;
        let client_id = &self.settings.apps[&service].client_id;
        Ok(unverified.verify(&key, &id_token::Expected { issuer: &document.issuer, client_id, nonce, now })?)
    }

    async fn tokens(&self, service: Service, parameters: &[(&str, &str)]) -> Result<Tokens, EntraError> {
        let document = self.directory.document(&self.fetcher).await?;
        let app = &self.settings.apps[&service];
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .extend_pairs([("client_id", app.client_id.as_str()), ("client_secret", app.secret.reveal())])
            .finish();
        let request = Request::builder()
            .method(Method::POST)
            .uri(&document.token_endpoint)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(Body::from(form))
            .map_err(|error| EntraError::Unusable(error.to_string()))?;
        let answer = ask(&self.fetcher, request).await?;
        if answer.status.is_success() {
            // The error of the parser could quote a token.
            return serde_json::from_slice(&answer.body).map_err(|_| EntraError::Unusable("no tokens".to_owned()));
        }
        Err(failure(&answer))
    }
}

/// Why nobody was identified.
#[derive(Debug, thiserror::Error)]
pub enum IdentifyError {
    /// Entra did not tell its keys.
    #[error(transparent)]
    Entra(#[from] EntraError),
    /// The token is not good.
    #[error(transparent)]
    Token(#[from] BadIdToken),
}

impl From<FetchError> for EntraError {
    fn from(error: FetchError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

async fn ask(fetcher: &Fetcher, request: Request<Body>) -> Result<Answer, FetchError> {
    fetcher.ask(Question { request, reach: Reach::Anywhere, deadline: DEADLINE, most: MOST }).await
}

fn scope_parameter(graph: &BTreeSet<&str>) -> String {
    let all: Vec<&str> = ENTRA_SCOPES.iter().chain(graph).copied().collect();
    all.join(" ")
}

fn failure(answer: &Answer) -> EntraError {
    let retry_after = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    if let (429 | 503, Some(seconds)) = (answer.status.as_u16(), retry_after) {
        return EntraError::Throttled(seconds.clamp(1, LONGEST_THROTTLE));
    }
    if answer.status.is_server_error() || answer.status.as_u16() == 429 {
        return EntraError::Unavailable(format!("status {}", answer.status.as_u16()));
    }
    let Ok(Failure { error, error_codes, trace_id }) = serde_json::from_slice(&answer.body) else {
        return EntraError::Unusable(format!("status {}", answer.status.as_u16()));
    };
    let codes = Codes { error, numbers: error_codes, trace: trace_id };
    match codes.error.as_str() {
        "consent_required" => EntraError::ConsentNeeded(codes),
        "invalid_grant" if codes.numbers.contains(&NO_CONSENT) => EntraError::ConsentNeeded(codes),
        "invalid_grant" | "interaction_required" | "login_required" => EntraError::LoginNeeded(codes),
        "temporarily_unavailable" | "server_error" => EntraError::Unavailable(codes.to_string()),
        _ => EntraError::Misconfigured(codes),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use axum::http::{HeaderMap, StatusCode};

    use super::*;

    fn failed(status: u16, body: &str) -> EntraError {
        let (status, body) = (StatusCode::from_u16(status).unwrap(), Bytes::from(body.to_owned()));
        failure(&Answer { status, headers: HeaderMap::new(), body })
    }

    #[test]
    fn each_refusal_of_entra_has_one_meaning() {
        let body = r#"{"error":"invalid_grant","error_description":"AADSTS700082: jo@example.com","error_codes":[700082],"trace_id":"t1"}"#;
        let error = failed(400, body);
        assert_eq!(error.to_string(), "Entra wants a new login (invalid_grant, AADSTS700082, trace t1)");
        assert!(matches!(
            failed(401, r#"{"error":"invalid_client","error_codes":[7000222]}"#),
            EntraError::Misconfigured(_)
        ));
        let body = r#"{"error":"invalid_grant","suberror":"consent_required","error_codes":[65001]}"#;
        assert!(matches!(failed(400, body), EntraError::ConsentNeeded(_)));
        assert!(matches!(failed(503, "<html>"), EntraError::Unavailable(_)));
        assert!(matches!(failed(429, "{}"), EntraError::Unavailable(_)));
        for (status, after, seconds) in [
            (429, "17", Some(17)),
            (503, "99999", Some(300)),
            (429, "0", Some(1)),
            (429, "Mon", None),
            (400, "9", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, after.parse().unwrap())]);
            let answer = Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: Bytes::new() };
            let told = if let EntraError::Throttled(told) = failure(&answer) { Some(told) } else { None };
            assert_eq!(told, seconds, "{status} {after}");
        }
        assert!(matches!(failed(400, "<html>"), EntraError::Unusable(_)));
    }
}
