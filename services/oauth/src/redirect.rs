//! Addresses that browsers are sent back to: which may be registered, which count as registered, how they are put together.
//! Not here: whose they are.

use axum::http::Uri;

/// Longer ones are no addresses but attempts.
const MAX_LENGTH: usize = 2000;

/// What an operator allows.
#[derive(Debug, Clone, Default)]
pub struct RedirectPolicy {
    /// Schemes besides `https` and `http` on loopback: `cursor`.
    pub schemes: Vec<String>,
    /// Hosts; empty: any.
    pub hosts: Vec<String>,
}

/// Why an address may not be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRedirect(&'static str);

/// An address, taken apart.
struct Parts {
    scheme: String,
    /// As it is in the address, brackets included.
    host: String,
    rest: String,
}

impl RedirectPolicy {
    /// Whether `uri` may be registered.
    ///
    /// # Errors
    /// With the reason, when it may not.
    pub fn check(&self, uri: &str) -> Result<(), BadRedirect> {
        let parts = parts(uri)?;
        let loopback = is_loopback_host(&parts.host);
        match parts.scheme.as_str() {
            "https" => {}
            "http" if loopback => {}
            "http" => return Err(BadRedirect("plain http is for loopback addresses only")),
            other if self.schemes.iter().any(|allowed| allowed == other) => return Ok(()),
            _ => return Err(BadRedirect("its scheme is not https, nor one that this server allows")),
        }
        if !loopback && !self.hosts.is_empty() && !self.hosts.contains(&parts.host) {
            return Err(BadRedirect("its host is not one that this server allows"));
        }
        Ok(())
    }
}

/// Whether `asked` is `registered`, letter by letter; on loopback the port does not count (RFC 8252, 7.3).
#[must_use]
pub fn matches(registered: &str, asked: &str) -> bool {
    if registered == asked {
        return true;
    }
    let (Ok(registered), Ok(asked)) = (parts(registered), parts(asked)) else {
        return false;
    };
    registered.scheme == "http"
        && asked.scheme == "http"
        && is_loopback_host(&registered.host)
        && registered.host == asked.host
        && registered.rest == asked.rest
}

/// Whether it leads to a program on the user's own machine, which any other program there could pose as.
#[must_use]
pub fn is_local(uri: &str) -> bool {
    parts(uri).is_ok_and(|parts| parts.scheme != "https" || is_loopback_host(&parts.host))
}

/// What to show of it to people: the host, or the scheme where there is none.
#[must_use]
pub fn shown(uri: &str) -> String {
    match parts(uri) {
        Ok(parts) if parts.scheme == "https" || parts.scheme == "http" => {
            uri.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default().to_owned()
        }
        Ok(parts) => format!("{}:", parts.scheme),
        Err(_) => String::new(),
    }
}

/// How a content security policy names it.
#[must_use]
pub fn csp_source(uri: &str) -> String {
    match parts(uri) {
        // The grammar of such policies has no IPv6 addresses.
        Ok(parts) if parts.host.starts_with('[') => format!("{}:", parts.scheme),
        Ok(parts) if parts.scheme == "https" || parts.scheme == "http" => {
            format!("{}://{}", parts.scheme, shown(uri))
        }
        Ok(parts) => format!("{}:", parts.scheme),
        Err(_) => String::new(),
    }
}

/// `uri` with these parameters added to its query.
#[must_use]
pub fn with_parameters(uri: &str, parameters: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let separator = match uri.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    format!("{uri}{separator}{query}")
}

/// Takes an address apart. Only what RFC 3986 allows is let through, so that no browser reads it differently.
fn parts(uri: &str) -> Result<Parts, BadRedirect> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte);
    if uri.contains('#') {
        return Err(BadRedirect("it has a fragment"));
    }
    if uri.len() > MAX_LENGTH {
        return Err(BadRedirect("it is longer than 2,000 bytes"));
    }
    if !uri.bytes().all(allowed) {
        return Err(BadRedirect("it has characters that no address has"));
    }
    let (scheme, rest) = uri.split_once(':').ok_or(BadRedirect("it is not absolute"))?;
    let scheme_like = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    if !scheme.starts_with(|c: char| c.is_ascii_lowercase()) || !scheme.bytes().all(scheme_like) {
        return Err(BadRedirect("its scheme is not in lower case letters"));
    }
    if scheme != "https" && scheme != "http" {
        return Ok(Parts { scheme: scheme.to_owned(), host: String::new(), rest: rest.to_owned() });
    }
    let parsed: Uri = uri.parse().map_err(|_| BadRedirect("it is no address"))?;
    let authority = parsed.authority().ok_or(BadRedirect("it has no host"))?;
    if authority.as_str().contains('@') {
        return Err(BadRedirect("it has a user"));
    }
    let host = authority.host();
    // Stricter than the RFC: what else it allows here could end a source in a content security policy.
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name_like = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_:".contains(&byte);
    if bare.is_empty() || !bare.bytes().all(name_like) {
        return Err(BadRedirect("its host is not a name or number in lower case"));
    }
    if authority.as_str() != host && authority.port_u16().is_none() {
        return Err(BadRedirect("its port is no number"));
    }
    let path = rest.trim_start_matches('/').strip_prefix(authority.as_str()).unwrap_or_default();
    Ok(Parts { scheme: scheme.to_owned(), host: host.to_owned(), rest: path.to_owned() })
}

fn is_loopback_host(host: &str) -> bool {
    host == "localhost" || host == "127.0.0.1" || host == "[::1]"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_loopback_may_be_registered() {
        let policy = RedirectPolicy::default();
        for uri in [
            "https://claude.ai/api/mcp/auth_callback",
            "https://a.example:8443/cb?x=1",
            "http://127.0.0.1/cb",
            "http://localhost:3000/cb",
            "http://[::1]:1/",
        ] {
            assert_eq!(policy.check(uri), Ok(()), "{uri}");
        }
        for uri in [
            "http://a.example/cb",
            "http://127.0.0.2/cb",
            "http://localhost.evil.example/",
            "https://a.example/cb#x",
            "https://user@a.example/",
            "https://a.example\\@evil.example/",
            "https://*.example/",
            "https://a.example;script-src/",
            "https://a.example,b.example/",
            "https://a.example'/",
            "https://a.example:/",
            "https://a.example:99999/",
            "https://a%2eexample/",
            "https://A.example/",
            "https:///cb",
            "https://",
            "HTTPS://a.example/",
            "javascript:alert(1)",
            "data:text/html,x",
            "cursor://x",
            "//a.example/",
            "a.example",
            "",
            "https://a.example/\u{1f600}",
            "https://a.example/ x",
            "https://a.example/\r\nx",
        ] {
            assert!(policy.check(uri).is_err(), "{uri}");
        }
        assert!(policy.check(&format!("https://a.example/{}", "x".repeat(2000))).is_err());
    }

    #[test]
    fn an_operator_may_allow_a_scheme_and_limit_the_hosts() {
        let policy = RedirectPolicy { schemes: vec!["cursor".to_owned()], hosts: vec!["claude.ai".to_owned()] };
        assert_eq!(policy.check("cursor://anysphere.cursor/cb"), Ok(()));
        assert_eq!(policy.check("https://claude.ai/cb"), Ok(()));
        assert_eq!(policy.check("http://127.0.0.1:3/cb"), Ok(()));
        assert!(policy.check("https://claude.ai.evil.example/cb").is_err());
    }

    #[test]
    fn an_address_matches_letter_by_letter_and_on_loopback_with_any_port() {
        for (registered, asked) in [
            ("https://a.example/cb", "https://a.example/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:4711/cb"),
            ("http://localhost:1/cb?x", "http://localhost:2/cb?x"),
            ("http://[::1]:1/cb", "http://[::1]/cb"),
        ] {
            assert!(matches(registered, asked), "{registered} {asked}");
        }
        for (registered, asked) in [
            ("https://a.example/cb", "https://a.example/cb/"),
            ("https://a.example/cb", "https://a.example:444/cb"),
            ("https://a.example/cb", "https://a.example/cb?x"),
            ("https://a.example/cb", "https://a.example/CB"),
            ("http://127.0.0.1/cb", "http://localhost/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:1/other"),
            ("http://127.0.0.1/cb", "https://127.0.0.1/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:1@evil.example/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:1/cb#x"),
        ] {
            assert!(!matches(registered, asked), "{registered} {asked}");
        }
    }

    #[test]
    fn parameters_are_added_to_whatever_query_there_is() {
        for (uri, whole) in [
            ("https://a/cb", "https://a/cb?code=a%26b"),
            ("https://a/cb?x=1", "https://a/cb?x=1&code=a%26b"),
            ("https://a/cb?", "https://a/cb?code=a%26b"),
        ] {
            assert_eq!(with_parameters(uri, &[("code", "a&b")]), whole);
        }
    }

    #[test]
    fn people_are_shown_the_host_and_policies_the_origin() {
        assert_eq!(shown("https://a.example:8443/cb?x"), "a.example:8443");
        assert_eq!(csp_source("https://a.example/cb"), "https://a.example");
        assert_eq!(csp_source("http://[::1]:1/cb"), "http:");
        assert_eq!((shown("cursor://x"), csp_source("cursor://x")), ("cursor:".to_owned(), "cursor:".to_owned()));
    }
}
