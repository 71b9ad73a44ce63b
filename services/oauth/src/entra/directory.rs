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
/// An address that was good yesterday is better than none while Entra does not say where its endpoints are.
const STALE_FOR: Duration = Duration::from_secs(24 * 3600);
/// After a failure nobody asks again for so long: those who waited for the one who asked would else fail one after the
/// other, each after its own deadline.
const REST: Duration = Duration::from_secs(2);

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
    // The locks are held while asking, so that many who want to know ask once.
    document: Mutex<Shelf<Document>>,
    keys: Mutex<Shelf<Vec<Key>>>,
}

/// What was found last, and how asking for it went since.
struct Shelf<T> {
    found: Option<(Instant, T)>,
    failed: Option<(Instant, EntraError)>,
}

impl Directory {
    pub(super) fn new(settings: &EntraSettings, clock: Clock) -> Self {
        let address = format!("{}/{}/v2.0/.well-known/openid-configuration", settings.authority, settings.tenant);
        Self { address, clock, document: Mutex::new(Shelf::EMPTY), keys: Mutex::new(Shelf::EMPTY) }
    }

    pub(super) async fn document(&self, fetcher: &Fetcher) -> Result<Document, EntraError> {
        let mut shelf = self.document.lock().await;
        if let Some(document) = shelf.found_within(GOOD_FOR, self.clock.instant()) {
            return Ok(document.clone());
        }
        let asked = shelf.ask(&self.clock, get::<Document>(fetcher, &self.address)).await.cloned();
        asked.or_else(|error| shelf.found_within(STALE_FOR, self.clock.instant()).cloned().ok_or(error))
    }

    /// The key of this id; asks anew when it is not known, as Entra changes keys without notice.
    pub(super) async fn key(&self, fetcher: &Fetcher, id: &str) -> Result<Option<Key>, EntraError> {
        let address = self.document(fetcher).await?.jwks_uri;
        let named = |keys: &Vec<Key>| keys.iter().find(|key| key.id == id).cloned();
        let mut shelf = self.keys.lock().await;
        let now = self.clock.instant();
        if let Some(key) = shelf.found_within(GOOD_FOR, now).and_then(named) {
            return Ok(Some(key));
        }
        if shelf.found_within(AGAIN_AFTER, now).is_some() {
            return Ok(None);
        }
        let keys = async {
            let set: KeySet = get(fetcher, &address).await?;
            Ok(set.keys.into_iter().filter_map(Listed::usable).collect())
        };
        shelf.ask(&self.clock, keys).await.map(named)
    }
}

impl<T> Shelf<T> {
    const EMPTY: Self = Self { found: None, failed: None };

    fn found_within(&self, age: Duration, now: Instant) -> Option<&T> {
        self.found.as_ref().filter(|(at, _)| now.saturating_duration_since(*at) < age).map(|(_, found)| found)
    }

    async fn ask(
        &mut self,
        clock: &Clock,
        asking: impl Future<Output = Result<T, EntraError>>,
    ) -> Result<&T, EntraError> {
        if let Some((at, error)) = &self.failed
            && clock.instant().saturating_duration_since(*at) < REST
        {
            return Err(error.clone());
        }
        match asking.await {
            Ok(found) => {
                self.failed = None;
                let (_, found) = self.found.insert((clock.instant(), found));
                Ok(found)
            }
            Err(error) => {
                self.failed = Some((clock.instant(), error.clone()));
                Err(error)
            }
        }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use tokio::net::TcpListener;
    use tokio::task::JoinSet;
    use tokio_rustls::rustls::RootCertStore;

    use super::super::DEADLINE;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_for_a_silent_entra_wait_together() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = EntraSettings {
            authority: format!("http://{}", silent.local_addr().unwrap()),
            tenant: "organizations".to_owned(),
            redirect_uri: String::new(),
            apps: BTreeMap::new(),
            login_origins: Vec::new(),
        };
        let directory = Arc::new(Directory::new(&settings, Clock::default()));
        let fetcher = Fetcher::trusting(RootCertStore::empty());
        let (began, mut asking) = (tokio::time::Instant::now(), JoinSet::new());
        for _ in 0..10 {
            let (directory, fetcher) = (directory.clone(), fetcher.clone());
            asking.spawn(async move { directory.document(&fetcher).await });
        }
        while let Some(answer) = asking.join_next().await {
            assert!(matches!(answer.unwrap(), Err(EntraError::Unavailable(_))));
        }
        assert!(began.elapsed() < 2 * DEADLINE, "one after the other: {:?}", began.elapsed());
    }
}
