//! Who may ask what over TCP. Web pages that the user visits can reach a loopback port; other users can, too.
//! Not here: the unix socket, whose mode and peer check (`serve`) let in only the owner.

use std::fmt;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Extension;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::origin::{self, single};
use super::problem::Problem;
use super::rate::Rate;
use crate::config::OpenGroup;
use crate::control::View;

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
        origin::admit(self.bound, &self.view.load().stack.http.allowed_hosts, uri, headers)
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
