//! Where the world finds a service: the beginning of every address that it hands out.
//! Not here: where it listens. The two differ behind a proxy.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::http::Uri;

use crate::Service;
use crate::env::{ConfigError, Env};
use crate::listen::Main;

/// `https://mail.example.com`: scheme and authority, no slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

/// Why a text is no base URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotABaseUrl(&'static str);

impl BaseUrl {
    /// Reads `https://host[:port]`; a slash at the end and the usual port are dropped, the host becomes lower case.
    ///
    /// # Errors
    /// When it is not of that form, or is `http` for a host that is not this machine: tokens would cross the
    /// network in the clear.
    pub fn parse(text: &str) -> Result<Self, NotABaseUrl> {
        let no_url = NotABaseUrl("is not of the form https://host or https://host:port");
        if text.contains(['#', '?', '@']) {
            return Err(NotABaseUrl("has a user, a query or a fragment; give scheme and host only"));
        }
        let uri: Uri = text.trim().parse().map_err(|_| no_url)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(no_url);
        };
        if authority.host().is_empty() {
            return Err(no_url);
        }
        if uri.path() != "/" {
            return Err(NotABaseUrl(
                "has a path; each service has a host name of its own, so give scheme and host only",
            ));
        }
        match scheme {
            "https" => {}
            "http" if is_loopback(authority.host()) => {}
            "http" => {
                return Err(NotABaseUrl("must begin with https://: plain http is for this machine only"));
            }
            _ => return Err(no_url),
        }
        let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        // Browsers and clients leave the usual port out, so an address with it would be nobody's.
        let port = match (authority.port_u16(), scheme) {
            (Some(443), "https") | (Some(80), "http") => "",
            (Some(_), _) => port,
            (None, _) if port.is_empty() => port,
            (None, _) => return Err(no_url),
        };
        Ok(Self(format!("{scheme}://{}{port}", authority.host().to_ascii_lowercase())))
    }

    /// `NAME_BASE_URL`, else this machine at `NAME_PORT`, or at `port` where that is not set.
    ///
    /// # Errors
    /// When one of the variables cannot be used.
    pub fn of(name: &str, port: u16, env: &Env) -> Result<Self, ConfigError> {
        let upper = name.to_uppercase();
        let host = env.text(&format!("{upper}_HOST"));
        let port = env.number(&format!("{upper}_PORT"), "a port number")?.filter(|port| *port != 0).unwrap_or(port);
        Self::from_variable(&upper, env).unwrap_or_else(|| Ok(Self::local(host, port)))
    }

    /// As `of`, for the service itself, which knows the port that it really listens on.
    pub(crate) fn of_listener(service: &Service, env: &Env, main: &Main) -> Result<Self, ConfigError> {
        let upper = service.name.to_uppercase();
        if let Some(given) = Self::from_variable(&upper, env) {
            return given;
        }
        match main.socket.tcp_address() {
            // The variable wins where both are known: with a proxy in front, PORT is the port behind it.
            Some(address) if env.text(&format!("{upper}_PORT")).is_none_or(|port| port.trim() == "0") => {
                Ok(Self::local(Some(&address.ip().to_string()), address.port()))
            }
            Some(_) | None => Self::of(service.name, service.port, env),
        }
    }

    fn from_variable(upper: &str, env: &Env) -> Option<Result<Self, ConfigError>> {
        let variable = format!("{upper}_BASE_URL");
        let text = env.text(&variable)?;
        Some(Self::parse(text).map_err(|why| env.error(&variable, &why.to_string())))
    }

    /// This machine; a literal address rather than `localhost`, which may mean `::1` where nothing listens.
    fn local(host: Option<&str>, port: u16) -> Self {
        let ip = match host.and_then(|host| host.parse().ok()) {
            Some(ip) if IpAddr::is_loopback(&ip) => ip,
            Some(IpAddr::V6(_)) => Ipv6Addr::LOCALHOST.into(),
            Some(IpAddr::V4(_)) | None => Ipv4Addr::LOCALHOST.into(),
        };
        Self(format!("http://{}", SocketAddr::new(ip, port)))
    }

    /// The address of `path`, which begins with a slash.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{self}{path}")
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.ends_with(".localhost") || literal.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_at_the_end_and_capitals_make_no_difference() {
        for text in ["https://Mail.Example.com", "https://mail.example.com/", " HTTPS://mail.example.com "] {
            assert_eq!(BaseUrl::parse(text).unwrap().to_string(), "https://mail.example.com", "{text}");
        }
        assert_eq!(BaseUrl::parse("https://a.b:8443").unwrap().join("/x"), "https://a.b:8443/x");
    }

    #[test]
    fn the_usual_port_is_left_out_as_browsers_do() {
        for (text, base) in [
            ("https://a.b:443/", "https://a.b"),
            ("http://localhost:80", "http://localhost"),
            ("http://[::1]:80", "http://[::1]"),
            ("https://a.b:80", "https://a.b:80"),
            ("http://[::1]:443", "http://[::1]:443"),
        ] {
            assert_eq!(BaseUrl::parse(text).unwrap().to_string(), base, "{text}");
        }
        for text in ["https://a.b:", "https://a.b:99999", "https://a.b:x"] {
            assert!(BaseUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for text in ["http://127.0.0.1:8001", "http://[::1]:8001", "http://localhost", "http://mail.localhost:80"] {
            assert!(BaseUrl::parse(text).is_ok(), "{text}");
        }
        for text in ["http://mail.example.com", "http://10.0.0.1", "http://localhost.example.com", "http://0.0.0.0"] {
            assert!(BaseUrl::parse(text).unwrap_err().to_string().contains("must begin with https"), "{text}");
        }
    }

    #[test]
    fn what_is_more_or_less_than_scheme_and_host_is_refused() {
        for text in [
            "",
            "mail.example.com",
            "/x",
            "ftp://a.b",
            "https://",
            "https://a.b/mail",
            "https://u:p@a.b",
            "https://a.b/?x",
            "https://a.b#x",
            "https://a b",
        ] {
            assert!(BaseUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn without_a_variable_it_is_this_machine() {
        let of = |variables: &[(&str, &str)]| {
            BaseUrl::of("mail", 8002, &Env::of(variables.iter().copied())).map(|base| base.to_string())
        };
        assert_eq!(of(&[]).unwrap(), "http://127.0.0.1:8002");
        assert_eq!(of(&[("MAIL_PORT", "9"), ("MAIL_HOST", "0.0.0.0")]).unwrap(), "http://127.0.0.1:9");
        assert_eq!(of(&[("MAIL_HOST", "::")]).unwrap(), "http://[::1]:8002");
        assert_eq!(
            of(&[("MAIL_BASE_URL", "https://m.example.com/"), ("MAIL_PORT", "9")]).unwrap(),
            "https://m.example.com"
        );
        let error = of(&[("MAIL_BASE_URL", "http://m.example.com")]).unwrap_err().to_string();
        assert!(
            error.starts_with("MAIL_BASE_URL (from the environment): `http://m.example.com` must begin"),
            "{error}"
        );
    }
}
