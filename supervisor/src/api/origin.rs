//! Is a request meant for us, and not sent by a web page of someone else? A page that rebinds its name to loopback
//! reaches our port, but cannot lie about `Host`, `Origin` and `Sec-Fetch-Site`.
//! Not here: who may do what (see `access`).

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};

use super::problem::Problem;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Lets a request in that names the address that we are bound to, a name of loopback, or one of `allowed`, and that no
/// other origin has sent.
pub(crate) fn admit(bound: SocketAddr, allowed: &[String], uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let host = single(headers, &HOST).filter(|host| is_ours(host, bound, allowed));
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

/// Loopback's names and the bound address, without a port or with ours; configured names with any port, as a proxy in
/// front has its own.
fn is_ours(host: &str, bound: SocketAddr, allowed: &[String]) -> bool {
    let Some((name, port)) = split_port(host) else { return false };
    let name = name.to_ascii_lowercase();
    if allowed.contains(&name) {
        return true;
    }
    let address = match bound.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let ours = matches!(name.as_str(), "localhost" | "127.0.0.1" | "[::1]")
        || (name == address && !bound.ip().is_unspecified());
    ours && port.is_none_or(|port| port == bound.port())
}

/// The only value of a header; `None` when there is none, or more than one.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
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
