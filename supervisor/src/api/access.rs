//! Who may ask what over TCP. Web pages that the user visits can reach a loopback port; other users can, too.
//! Not here: the unix socket, whose mode and peer check (`serve`) let in only the owner.

use std::fmt;
use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Extension;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use super::rate::Rate;
use crate::config::OpenGroup;
use crate::control::View;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The bearer token: 256 bits in hex.
#[derive(Clone)]
pub(crate) struct Token(Arc<str>);

impl Token {
    pub(crate) fn new(hex: &str) -> Self {
        Self(hex.into())
    }

    /// Takes as long for a wrong token as for the right one: every byte of ours is compared, whatever the other is.
    fn is(&self, other: &str) -> bool {
        let other = other.as_bytes();
        let mut difference = self.0.len() ^ other.len();
        for (i, ours) in self.0.bytes().enumerate() {
            difference |= usize::from(ours ^ other.get(i).copied().unwrap_or(0));
        }
        black_box(difference) == 0 && !self.0.is_empty()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// In an answer: it is not to be sent, the connection just ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many wrong tokens")]
pub(super) struct HungUp;

/// Wrong tokens. So many are answered, then ten a second; whoever guesses faster is hung up on. No token at all is no
/// guess.
#[derive(Debug)]
pub(super) struct Guesses(Rate);

impl Default for Guesses {
    fn default() -> Self {
        Self(Rate::new(20, 10))
    }
}

/// Why a request goes no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    Told(Problem),
    HungUp,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Told(problem) => problem.into_response(),
            Self::HungUp => Extension(HungUp).into_response(),
        }
    }
}

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// The token, unless the group is open.
    Group(OpenGroup),
    Token,
}

/// Where a request came in.
#[derive(Debug, Clone)]
pub(crate) enum Door {
    /// The peer has been checked: it is the owner or root.
    Unix,
    Tcp(Arc<Rules>),
}

impl Door {
    /// Before anything else: is this request meant for us, and not sent by a web page of someone else?
    pub(crate) fn admit(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        match self {
            Self::Unix => Ok(()),
            Self::Tcp(rules) => rules.admit(uri, headers),
        }
    }

    /// May the sender use a route that needs this? A method that the route does not have is answered 405 instead.
    pub(crate) fn authorise(&self, needs: Needs, method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        match (self, needs) {
            (Self::Unix, _) => Ok(()),
            (Self::Tcp(rules), Needs::Group(group)) if reads && rules.is_open(group) => Ok(()),
            (Self::Tcp(rules), Needs::Group(_) | Needs::Token) => rules.demand_token(headers),
        }
    }
}

/// What holds for requests over TCP.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) bound: SocketAddr,
    pub(crate) view: Arc<ArcSwap<View>>,
    pub(crate) token: Token,
    pub(super) guesses: Guesses,
}

impl Rules {
    fn admit(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let host = single(headers, &HOST).filter(|host| self.knows(host));
        let Some(host) = host else {
            return Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "this Host is not served here; add it to `[http] allowed_hosts` if it should be",
            ));
        };
        if uri.authority().is_some_and(|target| !target.as_str().eq_ignore_ascii_case(host)) {
            return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "the request's target and its Host differ"));
        }
        let same_site =
            headers.get_all(SEC_FETCH_SITE).iter().all(|site| matches!(site.as_bytes(), b"none" | b"same-origin"));
        let same_origin = headers.get_all(ORIGIN).iter().all(|origin| {
            let origin = origin.to_str().unwrap_or_default();
            let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
        });
        if same_site && same_origin {
            Ok(())
        } else {
            Err(Problem::new(StatusCode::FORBIDDEN, "requests of other origins are not served"))
        }
    }

    /// Loopback's names and the bound address, without a port or with ours; configured names with any port, as a
    /// proxy in front has its own.
    fn knows(&self, host: &str) -> bool {
        let Some((name, port)) = split_port(host) else { return false };
        let name = name.to_ascii_lowercase();
        if self.view.load().stack.http.allowed_hosts.contains(&name) {
            return true;
        }
        let bound = match self.bound.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let ours = matches!(name.as_str(), "localhost" | "127.0.0.1" | "[::1]")
            || (name == bound && !self.bound.ip().is_unspecified());
        ours && port.is_none_or(|port| port == self.bound.port())
    }

    fn is_open(&self, group: OpenGroup) -> bool {
        self.view.load().stack.http.open.contains(&group)
    }

    fn demand_token(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let given = single(headers, &AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        if given.is_some_and(|given| self.token.is(given)) {
            return Ok(());
        }
        if headers.contains_key(AUTHORIZATION) && !self.guesses.0.take() {
            return Err(Refused::HungUp);
        }
        let detail =
            "this needs `Authorization: Bearer TOKEN`; the token is in the file `token` of the runtime directory";
        Err(Refused::Told(Problem::new(StatusCode::UNAUTHORIZED, detail)))
    }
}

/// The only value of a header; `None` when there is none, or more than one.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// `name`, `name:port`, `[v6]` or `[v6]:port`.
fn split_port(host: &str) -> Option<(&str, Option<u16>)> {
    let name_len = if host.starts_with('[') { host.find(']')? + 1 } else { host.find(':').unwrap_or(host.len()) };
    let (name, rest) = host.split_at(name_len);
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Some((name, None)),
        None => None,
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some((name, Some(port.parse().ok()?))),
        Some(_) => None,
    }
}
