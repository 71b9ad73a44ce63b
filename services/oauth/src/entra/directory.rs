//! What Entra says of itself: where its endpoints are, and the keys that it signs with. Kept for a while.
//! Not here: what is signed.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use super::{EntraError, ask};
use crate::clock::Clock;
use crate::fetch::Fetcher;
use crate::secret::decode;
use crate::settings::EntraSettings;

/// Microsoft asks to look once a day; an hour also notices a mistake that was mended.
const GOOD_FOR: Duration = Duration::from_secs(3600);
/// For an unknown key it is asked again, but no more often than this: anybody can name a key.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// The document at `/.well-known/openid-configuration`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Document {
    pub(super) issuer: String,
    pub(super) authorization_endpoint: String,
    pub(super) token_endpoint: String,
    jwks_uri: String,
}

/// A key, as RFC 7518, 6.3 writes it, for RS256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    id: String,
    pub(super) modulus: Vec<u8>,
    pub(super) exponent: Vec<u8>,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    kid: Option<String>,
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

pub(super) struct Directory {
    address: String,
    clock: Clock,
    // The lock is held while asking, so that many who want to know ask once.
    document: Mutex<Option<(Instant, Document)>>,
    keys: Mutex<Option<(Instant, Vec<Key>)>>,
}

impl Directory {
    pub(super) fn new(settings: &EntraSettings, clock: Clock) -> Self {
        let address = format!("{}/{}/v2.0/.well-known/openid-configuration", settings.authority, settings.tenant);
        Self { address, clock, document: Mutex::new(None), keys: Mutex::new(None) }
    }

    pub(super) async fn document(&self, fetcher: &Fetcher) -> Result<Document, EntraError> {
        let mut kept = self.document.lock().await;
        if let Some((at, document)) = &*kept
            && self.since(*at) < GOOD_FOR
        {
            return Ok(document.clone());
        }
        let document: Document = get(fetcher, &self.address).await?;
        *kept = Some((self.clock.instant(), document.clone()));
        Ok(document)
    }

    /// The key of this id; asks anew when it is not known, as Entra changes keys without notice.
    pub(super) async fn key(&self, fetcher: &Fetcher, id: &str) -> Result<Option<Key>, EntraError> {
        let address = self.document(fetcher).await?.jwks_uri;
        let mut kept = self.keys.lock().await;
        if let Some((at, keys)) = &*kept {
            let found = keys.iter().find(|key| key.id == id).cloned();
            let fresh_for = if found.is_some() { GOOD_FOR } else { AGAIN_AFTER };
            if self.since(*at) < fresh_for {
                return Ok(found);
            }
        }
        let set: KeySet = get(fetcher, &address).await?;
        let keys: Vec<Key> = set.keys.into_iter().filter_map(Listed::usable).collect();
        let found = keys.iter().find(|key| key.id == id).cloned();
        *kept = Some((self.clock.instant(), keys));
        Ok(found)
    }

    fn since(&self, then: Instant) -> Duration {
        self.clock.instant().saturating_duration_since(then)
    }
}

impl Listed {
    fn usable(self) -> Option<Key> {
        if self.kty != "RSA" || self.purpose.is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        Some(Key { id: self.kid?, modulus: decode(&self.n?)?, exponent: decode(&self.e?)? })
    }
}

async fn get<T: DeserializeOwned>(fetcher: &Fetcher, address: &str) -> Result<T, EntraError> {
    let unusable = |why: String| EntraError::Unusable(format!("`{address}`: {why}"));
    let request = Request::get(address).body(Body::empty()).map_err(|error| unusable(error.to_string()))?;
    let answer = ask(fetcher, request).await?;
    let status = answer.status.as_u16();
    match status {
        200 => serde_json::from_slice(&answer.body).map_err(|error| unusable(error.to_string())),
        429 | 500.. => Err(EntraError::Unavailable(format!("`{address}`: status {status}"))),
        _ => Err(unusable(format!("status {status}; is the tenant right?"))),
    }
}
