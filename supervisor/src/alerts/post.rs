//! One request to a server that the operator has named: its own connection, no redirect, no proxy.
//! Not here: what is said. The address is the operator's own, so it may lead anywhere, into the own network too.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error as TlsError, RootCertStore};

use super::failure::Failure;
use super::send::TRY;
use crate::slots::Slots;

/// Of an answer, so much is read; of a refusal that tells why.
const ANSWER: usize = 64 * 1024;
/// Of the addresses of a name, so many are tried …
const ADDRESSES: usize = 6;
/// … each so long after the one before, unless that is refused sooner (RFC 8305, 5).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);
/// Names are looked up where that may hang; so many at once.
static NAMES: Slots = Slots::new(2, TRY);
/// So long is waited when a server asks for more patience.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Sends JSON, and is content with any answer of success.
pub(super) async fn post(address: &str, headers: &[(String, String)], body: Vec<u8>) -> Result<(), Failure> {
    let uri = uri_of(address)?;
    let target = Target::of(&uri)?;
    let request = request(&uri, &target, headers, body)?;
    let stream = target.connect().await.map_err(|error| target.silent(&error))?;
    if !target.encrypted {
        return exchange(stream, request, &target).await;
    }
    let name = ServerName::try_from(target.bare_host().to_owned())
        .map_err(|_| Failure::never(format!("`{}` is no name of a server", target.host)))?;
    let tls = tokio::task::spawn_blocking(trusted).await.map_err(|error| target.silent(&error))?;
    let stream = TlsConnector::from(tls?).connect(name, stream).await.map_err(|error| target.dubious(&error))?;
    exchange(stream, request, &target).await
}

/// What the machine trusts, as it is now: `SSL_CERT_FILE` and `SSL_CERT_DIR` say where that is, if they are set.
pub(super) fn trusted() -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Failure::later("this machine trusts no certificates; install ca-certificates"));
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Failure::never(error.to_string()))?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// What a request to an address would meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Path {
    Encrypted,
    /// To this host.
    Clear(String),
}

/// If it is an address.
pub(super) fn path_to(address: &str) -> Result<Path, Failure> {
    let target = Target::of(&uri_of(address)?)?;
    Ok(if target.encrypted { Path::Encrypted } else { Path::Clear(target.bare_host().to_owned()) })
}

fn uri_of(address: &str) -> Result<Uri, Failure> {
    address.parse().map_err(|_| Failure::never("its address is none"))
}

struct Target {
    encrypted: bool,
    host: String,
    port: u16,
    /// Host and port, as they stand in the address.
    shown: String,
    login: Option<String>,
}

impl Target {
    fn of(uri: &Uri) -> Result<Self, Failure> {
        let bad = || Failure::never("its address is none like `https://host/path`");
        let authority = uri.authority().ok_or_else(bad)?;
        let (encrypted, usual) = match uri.scheme_str() {
            Some("http") => (false, 80),
            Some("https") => (true, 443),
            Some(_) | None => return Err(bad()),
        };
        let (login, shown) = match authority.as_str().rsplit_once('@') {
            Some((login, shown)) => (Some(login.to_owned()), shown.to_owned()),
            None => (None, authority.as_str().to_owned()),
        };
        let port = authority.port_u16().unwrap_or(usual);
        Ok(Self { encrypted, host: authority.host().to_owned(), port, shown, login })
    }

    /// Whichever address answers first: a dead one before it costs no more than a moment.
    async fn connect(&self) -> io::Result<TcpStream> {
        let (host, port) = (self.bare_host().to_owned(), self.port);
        let found = NAMES.run(move || (host.as_str(), port).to_socket_addrs()).await.flatten()?;
        first_of(found.take(ADDRESSES).collect()).await
    }

    /// An address of version 6 stands in brackets.
    fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Whoever mends the certificate, or its authority here, gets what waits.
    fn dubious(&self, error: &io::Error) -> Failure {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
        let Some(TlsError::InvalidCertificate(why)) = inner else { return self.silent(error) };
        use CertificateError::{
            BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, UnknownIssuer,
        };
        // A bad signature is that of another authority of the same name.
        let why = if matches!(why, UnknownIssuer | BadSignature) {
            "signed by nobody whom this machine trusts; `SSL_CERT_FILE` may name its authority".to_owned()
        } else if matches!(why, NotValidForName | NotValidForNameContext { .. }) {
            "for another name".to_owned()
        } else if matches!(why, Expired | ExpiredContext { .. }) {
            "no longer valid".to_owned()
        } else {
            format!("not valid: {why}")
        };
        Failure::later(format!("`{}` gets nothing: its certificate is {why}", self.shown))
    }

    fn silent(&self, why: &dyn std::fmt::Display) -> Failure {
        Failure::later(format!("`{}` does not answer: {why}", self.shown))
    }
}

async fn first_of(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut left = addresses.into_iter();
    let mut trying = JoinSet::new();
    let mut said = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    loop {
        left.next().into_iter().for_each(|address| drop(trying.spawn(TcpStream::connect(address))));
        let is_last = left.len() == 0;
        tokio::select! {
            Some(done) = trying.join_next() => match done.map_err(io::Error::other).flatten() {
                Ok(stream) => return Ok(stream),
                Err(error) => said = error,
            },
            () = tokio::time::sleep(NEXT_ADDRESS), if !is_last => {}
            else => return Err(said),
        }
    }
}

fn request(
    uri: &Uri,
    target: &Target,
    headers: &[(String, String)],
    body: Vec<u8>,
) -> Result<Request<Full<Bytes>>, Failure> {
    let path = uri.path_and_query().cloned().unwrap_or_else(|| uri::PathAndQuery::from_static("/"));
    let mut request =
        Request::post(path).body(Full::new(Bytes::from(body))).map_err(|_| Failure::never("its address is none"))?;
    let bad = |_| Failure::never("a header holds what none can");
    let all: &mut HeaderMap = request.headers_mut();
    all.insert(HOST, HeaderValue::from_str(&target.shown).map_err(bad)?);
    all.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    all.insert(USER_AGENT, HeaderValue::from_static(concat!("supervisor/", env!("CARGO_PKG_VERSION"))));
    if let Some(login) = &target.login {
        let value = format!("Basic {}", STANDARD.encode(unescaped(login)));
        all.insert(AUTHORIZATION, HeaderValue::from_str(&value).map_err(bad)?);
    }
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Failure::never("a header has no name"))?;
        let mut value = HeaderValue::from_str(value).map_err(bad)?;
        value.set_sensitive(true);
        all.insert(name, value);
    }
    Ok(request)
}

/// `%40` stands for `@` in a user or a password (RFC 3986, 2.1).
pub(super) fn unescaped(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let escaped = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        plain.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    plain
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>, target: &Target) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| target.silent(&error))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| target.silent(&error))?;
        let (parts, body) = response.into_parts();
        if parts.status.is_success() {
            return Ok(());
        }
        let body = Limited::new(body, ANSWER).collect().await.map(http_body_util::Collected::to_bytes);
        Err(refused(target, parts.status, &parts.headers, &body.unwrap_or_default()))
    };
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // It has ended; what had arrived by then is in the answer, or is an error there.
        _ = connection => answer.await,
    }
}

fn refused(target: &Target, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let said = String::from_utf8_lossy(body);
    let said = if said.trim().is_empty() { String::new() } else { format!(": {}", said.trim()) };
    let hint = if status.is_redirection() { " (redirects are not followed)" } else { "" };
    let why = format!("`{}` answers {}{hint}{said}", target.shown, status.as_u16());
    let passing = status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS);
    if !passing {
        return Failure::never(why);
    }
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let after = seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER));
    Failure { after, ..Failure::later(why) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsRawFd, OwnedFd};

    use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, getsockname, listen, socket};

    use super::*;

    /// Nobody answers there, and nobody refuses: what may wait for an answer is full.
    fn dead() -> (OwnedFd, Vec<std::net::TcpStream>, SocketAddr) {
        let listener = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(listener.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
        listen(&listener, Backlog::new(0).unwrap()).unwrap();
        let at: SockaddrIn = getsockname(listener.as_raw_fd()).unwrap();
        let address = SocketAddr::from((at.ip(), at.port()));
        let within = Duration::from_millis(200);
        let filling = std::iter::from_fn(|| std::net::TcpStream::connect_timeout(&address, within).ok());
        let full = filling.take(100).collect();
        (listener, full, address)
    }

    #[tokio::test]
    async fn a_dead_address_of_a_name_costs_a_moment_and_one_that_refuses_not_even_that() {
        let (_listener, _full, dead) = dead();
        let alive = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = alive.local_addr().unwrap();
        let refusing = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for before in [vec![dead, dead], vec![refusing, refusing], vec![]] {
            let addresses = before.into_iter().chain([good]).collect();
            let met = tokio::time::timeout(Duration::from_secs(20), first_of(addresses)).await;
            assert_eq!(met.expect("it does not wait for the dead").unwrap().peer_addr().unwrap(), good);
        }
        assert_eq!(first_of(vec![refusing]).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(first_of(Vec::new()).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_login_in_an_address_becomes_a_header_and_no_part_of_the_host() {
        let uri: Uri = "https://user:p%40ss@hooks.example.org:8443/a/b?c=d".parse().unwrap();
        let target = Target::of(&uri).unwrap();
        assert_eq!((target.shown.as_str(), target.port), ("hooks.example.org:8443", 8443));
        let request = request(&uri, &target, &[], Vec::new()).unwrap();
        assert_eq!(request.uri().to_string(), "/a/b?c=d");
        assert_eq!(request.headers()[HOST], "hooks.example.org:8443");
        assert_eq!(request.headers()[AUTHORIZATION], format!("Basic {}", STANDARD.encode("user:p@ss")));
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_cannot_is_not() {
        let target = Target::of(&"https://h/".parse().unwrap()).unwrap();
        let of = |status: u16, headers: &HeaderMap| {
            refused(&target, StatusCode::from_u16(status).unwrap(), headers, b" no ")
        };
        for status in [408, 425, 429, 500, 502, 503, 504] {
            assert!(of(status, &HeaderMap::new()).again, "{status}");
        }
        for status in [301, 307, 400, 401, 403, 404, 410, 413] {
            assert!(!of(status, &HeaderMap::new()).again, "{status}");
        }
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("99999"))]);
        let failure = of(429, &headers);
        assert_eq!(failure.after, Some(LONGEST_RETRY_AFTER));
        assert_eq!(failure.why, "`h` answers 429: no");
        assert_eq!(of(308, &headers).why, "`h` answers 308 (redirects are not followed): no");
    }
}
