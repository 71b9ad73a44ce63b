//! Which browser this is: a random cookie, so that what one browser began no other can finish.
//! Not here: who sits before it.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

use crate::secret::{Hash, NoRandomness, Secret};

/// As long as a consent is remembered: 30 days.
pub const GOOD_FOR_SECONDS: i64 = 30 * 24 * 3600;

const PREFIX: &str = "mcp_br_";

/// A browser.
pub struct Browser {
    secret: Secret,
    known: Known,
}

/// Whether the browser brought the cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Yes,
    No,
}

/// How the cookie travels. On loopback without TLS the strict form is not possible: not every browser keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `__Host-`: TLS only, this host only, set by no subdomain.
    Tls,
    /// On this machine only.
    Loopback,
}

impl Transport {
    /// That of an address.
    #[must_use]
    pub fn of(base: &str) -> Self {
        if base.starts_with("https://") { Self::Tls } else { Self::Loopback }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Tls => "__Host-oauth-browser",
            Self::Loopback => "oauth-browser",
        }
    }
}

impl Browser {
    /// The one that sent this request; a new one when it brought no cookie.
    ///
    /// # Errors
    /// When there are no random numbers.
    pub fn of(headers: &HeaderMap, transport: Transport) -> Result<Self, NoRandomness> {
        match Self::known(headers, transport) {
            Some(browser) => Ok(browser),
            None => Ok(Self { secret: Secret::random(PREFIX)?, known: Known::No }),
        }
    }

    /// The one that sent this request, if it has been here before.
    #[must_use]
    pub fn known(headers: &HeaderMap, transport: Transport) -> Option<Self> {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut ours = cookies
            .flat_map(|value| value.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .filter(|(name, _)| *name == transport.name());
        let (_, value) = ours.next()?;
        // A second one of the same name was put there by somebody else.
        let alone = ours.next().is_none();
        let plausible = value.strip_prefix(PREFIX).is_some_and(|random| random.len() == 43);
        (alone && plausible).then(|| Self { secret: Secret::new(value), known: Known::Yes })
    }

    /// What is stored of it.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.secret.hash()
    }

    /// The cookie, for a browser that has none yet.
    #[must_use]
    pub fn cookie(&self, transport: Transport) -> Option<HeaderValue> {
        if self.known == Known::Yes {
            return None;
        }
        let secure = match transport {
            Transport::Tls => "; Secure",
            Transport::Loopback => "",
        };
        // Lax: it must come along when Entra sends the browser back.
        let (name, value) = (transport.name(), self.secret.reveal());
        let cookie = format!("{name}={value}; Path=/; Max-Age={GOOD_FOR_SECONDS}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::from_str(&cookie).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_known_by_its_one_cookie() {
        let new = Browser::of(&HeaderMap::new(), Transport::Tls).unwrap();
        let cookie = new.cookie(Transport::Tls).unwrap().to_str().unwrap().to_owned();
        for part in ["__Host-oauth-browser=mcp_br_", "; Path=/;", "; HttpOnly", "; SameSite=Lax", "; Secure"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        assert!(!cookie.contains("Domain"));
        let pair = cookie.split(';').next().unwrap();
        let brought = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, value.parse().unwrap());
            Browser::known(&headers, Transport::Tls).map(|browser| browser.hash())
        };
        assert_eq!(brought(&format!("a=b; {pair}")), Some(new.hash()));
        assert_eq!(brought(&format!("{pair}; {pair}")), None, "two of them");
        assert_eq!(brought("__Host-oauth-browser=x"), None);
        assert_eq!(brought(&pair.replace("__Host-", "")), None, "the lax form does not count over TLS");
    }
}
