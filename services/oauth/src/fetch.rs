//! Asking other servers over HTTP: one connection, one question, one answer of limited size.
//! Not here: what is asked.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::HOST;
use axum::http::{HeaderValue, Request, StatusCode, Uri, uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::HeaderMap;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::dial::{dial, is_public};

/// Which addresses may be talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Any: the operator named the host.
    Anywhere,
    /// Only those of the open internet: a stranger named the host, and must not make us talk to our own network.
    Internet,
    /// This one, whatever the name: a server that a test runs itself.
    Only(SocketAddr),
}

/// One question.
pub struct Question {
    /// The request; its address is absolute.
    pub request: Request<Body>,
    /// Which addresses may be talked to.
    pub reach: Reach,
    /// For everything.
    pub deadline: Duration,
    /// Bytes of the answer's body.
    pub most: usize,
}

/// The answer.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It cannot be asked for.
    #[error("`{0}` is no address of a server")]
    BadAddress(String),
    /// Its name leads nowhere.
    #[error("`{host}` cannot be found: {source}")]
    Unknown {
        /// Which.
        host: String,
        /// Why.
        source: std::io::Error,
    },
    /// Its name leads to where strangers must not lead us.
    #[error("`{0}` is not on the open internet")]
    Forbidden(String),
    /// It cannot prove its name.
    #[error("`{host}` cannot be trusted: {source}")]
    Untrusted {
        /// Which.
        host: String,
        /// Why.
        source: std::io::Error,
    },
    /// It answers more than is wanted.
    #[error("the answer of `{0}` is too large")]
    TooLarge(String),
    /// It does not answer as it should.
    #[error("`{host}` does not answer: {why}")]
    Silent {
        /// Which.
        host: String,
        /// Why.
        why: String,
    },
}

impl FetchError {
    /// Whether asking again later may help: a server that is down, a network that is.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unknown { .. } | Self::Silent { .. } => true,
            Self::BadAddress(_) | Self::Forbidden(_) | Self::Untrusted { .. } | Self::TooLarge(_) => false,
        }
    }
}

/// What questions are asked with: certificates of authorities. Cheap to clone.
#[derive(Clone)]
pub struct Fetcher {
    tls: Arc<ClientConfig>,
}

impl Fetcher {
    /// With the certificates that the machine trusts.
    #[must_use]
    pub fn new() -> Self {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            tracing::warn!("this machine trusts no certificates, so https to Entra will fail; install ca-certificates");
        }
        Self::trusting(roots)
    }

    /// With these certificates.
    #[must_use]
    pub fn trusting(roots: RootCertStore) -> Self {
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder.expect("this provider has the default versions").with_root_certificates(roots);
        Self { tls: Arc::new(config.with_no_client_auth()) }
    }

    /// Asks. No redirect is followed, no proxy used.
    ///
    /// # Errors
    /// When there is no whole answer in time.
    pub async fn ask(&self, question: Question) -> Result<Answer, FetchError> {
        let Question { request, reach, deadline, most } = question;
        let target = Target::of(request.uri())?;
        let host = target.host.clone();
        let asked = timeout(deadline, self.ask_target(request, target, reach, most));
        let late = |_| FetchError::Silent { host, why: format!("no answer within {} s", deadline.as_secs()) };
        asked.await.map_err(late)?
    }

    async fn ask_target(
        &self,
        request: Request<Body>,
        target: Target,
        reach: Reach,
        most: usize,
    ) -> Result<Answer, FetchError> {
        let stream = connect(&target, reach).await?;
        match target.scheme {
            Scheme::Http => exchange(stream, request, &target, most).await,
            Scheme::Https => {
                let name = ServerName::try_from(target.bare_host().to_owned())
                    .map_err(|_| FetchError::BadAddress(target.host.clone()))?;
                let connector = TlsConnector::from(Arc::clone(&self.tls));
                let stream = connector.connect(name, stream).await.map_err(|error| target.no_tls(error))?;
                exchange(stream, request, &target, most).await
            }
        }
    }
}

impl Default for Fetcher {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Clone, Copy)]
enum Scheme {
    Http,
    Https,
}

struct Target {
    scheme: Scheme,
    host: String,
    port: u16,
    authority: uri::Authority,
}

impl Target {
    fn of(uri: &Uri) -> Result<Self, FetchError> {
        let bad = || FetchError::BadAddress(uri.host().unwrap_or_default().to_owned());
        let authority = uri.authority().cloned().ok_or_else(bad)?;
        let (scheme, usual) = match uri.scheme_str() {
            Some("http") => (Scheme::Http, 80),
            Some("https") => (Scheme::Https, 443),
            Some(_) | None => return Err(bad()),
        };
        let host = authority.host().to_owned();
        Ok(Self { scheme, port: authority.port_u16().unwrap_or(usual), host, authority })
    }

    fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    fn silent(&self, why: &dyn std::fmt::Display) -> FetchError {
        FetchError::Silent { host: self.host.clone(), why: why.to_string() }
    }

    /// What rustls itself complains of is invalid data; the rest is the network's.
    fn no_tls(&self, source: std::io::Error) -> FetchError {
        if source.kind() == std::io::ErrorKind::InvalidData {
            FetchError::Untrusted { host: self.host.clone(), source }
        } else {
            self.silent(&source)
        }
    }
}

/// Connects to one of its addresses. Those that were looked at are those that are used: a name that
/// changes its mind in between leads nowhere else.
async fn connect(target: &Target, reach: Reach) -> Result<TcpStream, FetchError> {
    if let Reach::Only(address) = reach {
        return TcpStream::connect(address).await.map_err(|error| target.silent(&error));
    }
    let unknown = |source| FetchError::Unknown { host: target.host.clone(), source };
    let addresses = tokio::net::lookup_host((target.bare_host(), target.port)).await.map_err(unknown)?;
    let addresses: Vec<SocketAddr> = addresses.collect();
    let forbidden = |address: &SocketAddr| reach == Reach::Internet && !is_public(address.ip());
    if addresses.iter().any(forbidden) {
        return Err(FetchError::Forbidden(target.host.clone()));
    }
    dial(addresses).await.map_err(|error| target.silent(&error))
}

async fn exchange<S>(stream: S, request: Request<Body>, target: &Target, most: usize) -> Result<Answer, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| target.silent(&error))?;
    let (mut parts, body) = request.into_parts();
    let host = HeaderValue::from_str(target.authority.as_str());
    parts.headers.insert(HOST, host.map_err(|_| FetchError::BadAddress(target.host.clone()))?);
    let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| uri::PathAndQuery::from_static("/"));
    parts.uri = path.into();
    let answer = async {
        let response =
            sender.send_request(Request::from_parts(parts, body)).await.map_err(|error| target.silent(&error))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, most).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                FetchError::TooLarge(target.host.clone())
            } else {
                target.silent(&error)
            }
        })?;
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
    };
    while_driven(connection, answer).await
}

/// The connection is driven by whoever waits for the answer, and ends with that.
async fn while_driven<T>(
    connection: impl Future<Output = hyper::Result<()>>,
    answer: impl Future<Output = Result<T, FetchError>>,
) -> Result<T, FetchError> {
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // It has ended; what had arrived by then is in the answer, or is an error there.
        _ = connection => answer.await,
    }
}
