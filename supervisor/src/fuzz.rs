//! The program's entries for fuzzers, one for each kind of text that comes from outside.
//! Not here: choosing the texts; `supervisor/fuzz` has the targets.

use std::net::SocketAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use supervisor_core::{Event, Fleet, ServiceName, ServiceSpec};

use crate::api::origin;
use crate::config;
use crate::control::signs::notify;

/// `supervisor.toml`; what follows the first NUL is its includes and env files.
pub fn configuration(text: &str) {
    if let Some(stack) = config::fuzz::configuration(text) {
        let specs: Vec<ServiceSpec> = stack.services.iter().map(|service| service.spec.clone()).collect();
        let settings = stack.settings(1);
        assert!(Fleet::new(settings, specs).is_ok(), "what is accepted can be started");
    }
}

/// An env file.
pub fn env_file(text: &str) {
    config::fuzz::env_file(text);
}

/// A duration or a size.
pub fn quantity(text: &str) {
    config::fuzz::quantities(text);
}

/// A service's name.
pub fn name(text: &str) {
    if let Ok(name) = ServiceName::new(text) {
        let text = name.as_str();
        assert!(text.len() <= 63 && !text.contains(['/', '.', '\0', '\n', ' ', '%']) && !text.starts_with('-'));
    }
}

/// A datagram to a notify socket.
pub fn notification(text: &str) {
    for event in notify::parse(text, 1) {
        if let Event::NotifiedStatus { status, .. } = event {
            assert!(status.len() <= 256 && !status.chars().any(char::is_control), "{status:?}");
        }
    }
}

/// The output of a service, as a terminal sees it.
pub fn output(bytes: &[u8]) {
    let shown = crate::cli::output::sanitised(bytes);
    let mut rest = shown.as_str();
    while let Some(at) = rest.find(|c: char| c.is_control() && c != '\t') {
        // Colours only: ESC [ digits and semicolons m.
        let sequence = rest[at..].strip_prefix("\x1b[").unwrap_or_else(|| panic!("{shown:?}"));
        let end = sequence.find('m').unwrap_or_else(|| panic!("{shown:?}"));
        assert!(sequence[..end].bytes().all(|byte| byte.is_ascii_digit() || byte == b';' || byte == b':'), "{shown:?}");
        rest = &sequence[end + 1..];
    }
}

/// The head of a request: its target, then a header on each line. Whoever is let in named us, and nobody else.
pub fn request(text: &str) {
    let mut lines = text.lines();
    let Ok(uri) = lines.next().unwrap_or("/").parse::<Uri>() else { return };
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let (name, value) = (HeaderName::try_from(name), HeaderValue::from_str(value.trim()));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let bound = SocketAddr::from(([127, 0, 0, 1], 9700));
    if origin::admit(bound, &["dev.example".to_owned()], &uri, &headers).is_err() {
        return;
    }
    let hosts: Vec<&HeaderValue> = headers.get_all("host").iter().collect();
    let [host] = hosts.as_slice() else { panic!("{} hosts", hosts.len()) };
    let host = host.to_str().expect("it was understood").to_ascii_lowercase();
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        Some(_) | None => (host.as_str(), None),
    };
    match name {
        "localhost" | "127.0.0.1" | "[::1]" => {
            assert!(port.is_none_or(|port| port.parse() == Ok(9700u16)), "{host}");
        }
        "dev.example" => assert!(port.is_none_or(|port| port.parse::<u16>().is_ok()), "{host}"),
        _ => panic!("`{host}` was let in"),
    }
    for origin in headers.get_all("origin") {
        let origin = origin.to_str().expect("it was understood").to_ascii_lowercase();
        assert!(origin == format!("http://{host}") || origin == format!("https://{host}"), "{origin} at {host}");
    }
    assert!(headers.get_all("sec-fetch-site").iter().all(|site| site == "none" || site == "same-origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_right_and_what_is_odd_passes_every_entry() {
        for text in ["[services.a]\ncommand = \"/bin/true\"\nenv_file = \"e\"\n\0A=1", "\0", "[", "x = 1"] {
            configuration(text);
        }
        for text in ["A=1\nexport B='x y'", "=", "A=\"${"] {
            env_file(text);
        }
        for text in ["10s", "1h30m", "10MiB", "-1", "999999999999999999999s"] {
            quantity(text);
        }
        for text in ["a-1", "-a", "../a", ""] {
            name(text);
        }
        for text in ["READY=1\nSTATUS=\u{1b}[2J\nWATCHDOG=1", "=", "STATUS="] {
            notification(text);
        }
        for text in ["a \u{1b}[31mred\u{1b}[0m \u{1b}]0;t\u{7}", "\u{9b}31m", "\u{1b}["] {
            output(text.as_bytes());
        }
        for host in ["localhost:9700", "LOCALHOST", "dev.example:1", "evil.example", "[::1]:9700", "127.0.0.1:99999"] {
            request(&format!("/\nHost: {host}\nOrigin: http://{host}\nSec-Fetch-Site: none"));
        }
    }
}
