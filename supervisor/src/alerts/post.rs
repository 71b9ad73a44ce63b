//! One request to a server that the operator has named: its own connection, no redirect, no proxy.
//! Not here: what is said. The address is the operator's own, so it may lead anywhere, into the own network too.

use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error as TlsError, RootCertStore};

use super::failure::Failure;

/// Of an answer, so much is read; of a refusal that tells why.
const ANSWER: usize = 64 * 1024;
/// So long is waited when a server asks for more patience.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Sends JSON, and is content with any answer of success.
pub(super) async fn post(address: &str, headers: &[(String, String)], body: Vec<u8>) -> Result<(), Failure> {
    let uri: Uri = address.parse().map_err(|_| Failure::never("its address is none"))?;
    let target = Target::of(&uri)?;
    let request = request(&uri, &target, headers, body)?;
    let stream = TcpStream::connect((target.bare_host(), target.port)).await.map_err(|error| target.silent(&error))?;
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

/// Whether a request to this address would be, if it is one.
pub(super) fn is_encrypted(address: &str) -> Result<bool, Failure> {
    let uri: Uri = address.parse().map_err(|_| Failure::never("its address is none"))?;
    Target::of(&uri).map(|target| target.encrypted)
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

    /// An address of version 6 stands in brackets.
    fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Whoever mends the certificate, or its authority here, gets what waits.
    fn dubious(&self, error: &std::io::Error) -> Failure {
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
    let why = format!("`{}` answers {}{said}", target.shown, status.as_u16());
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
    use super::*;

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
    }
}
