//! The program's entries for fuzzers, one for each kind of text that comes from outside.
//! Not here: choosing the texts; `supervisor/fuzz` has the targets.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use supervisor_core::{Event, Fleet, ServiceName, ServiceSpec};
use supervisor_logs::{Filter, Line, Query, Search, Unfinished, last};

use crate::api::origin;
use crate::certificates::validity;
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

/// The output of a service, as a terminal sees it; after a NUL, the certificate that it shows.
pub fn output(bytes: &[u8]) {
    if let [0, certificate @ ..] = bytes {
        let years = i64::from(i32::MIN)..253_402_300_800;
        let shown = validity(certificate);
        assert!(shown.is_none_or(|it| years.contains(&it.not_before) && years.contains(&it.not_after)), "{shown:?}");
        return;
    }
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

/// Three bytes (what is looked for, how often the log is repeated, how long its index is), then that up to a NUL, then the
/// index and the log. Every line is found once, forwards
/// and backwards, whatever the index says.
pub fn logs(bytes: &[u8]) {
    let [kind, times, length, rest @ ..] = bytes else { return };
    let end = rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len());
    let (wanted, rest) = (String::from_utf8_lossy(&rest[..end]), rest.get(end + 1..).unwrap_or_default());
    let (index, text) = rest.split_at(rest.len().min(usize::from(*length) * 8));
    // Some are longer than what is read at once.
    let text = text.repeat(usize::from(*times) + 1);
    let text = &text[..text.len().min(320 << 10)];
    let filter = match kind % 4 {
        0 => Ok(Filter::default()),
        1 => Filter::default().grep(&wanted),
        2 => Filter::default().field(&wanted),
        _ => Filter::default().level(&wanted),
    };
    let Ok(filter) = filter else { return };
    let Ok(directory) = Directory::new() else { return };
    let path = directory.0.join("a.log");
    let written = std::fs::write(&path, text).and_then(|()| std::fs::write(directory.0.join("a.log.idx"), index));
    written.expect("a directory of our own can be written");
    let all = filter.passes_all();
    let query = Query { filter, generation: (kind & 4 > 0).then_some(1), ..Query::default() };
    let mut forwards = Vec::new();
    let mut search = Search::new(&path, query.clone(), Unfinished::Shown).expect("it is readable");
    while search.read(&mut forwards).expect("it is readable") {}
    let most = (usize::MAX, usize::MAX);
    let backwards = last(&path, &query, most, Unfinished::Shown, &|| false).expect("it is readable").lines;
    let whole = |lines: &[Line]| -> Vec<u8> {
        let end = |line: &Line| if line.whole { b"\n".as_slice() } else { b"" };
        lines.iter().flat_map(|line| [line.text.as_slice(), end(line)].concat()).collect()
    };
    if all && query.generation.is_none() {
        assert!(whole(&forwards) == text && whole(&backwards) == text, "a line is lost, doubled or moved");
    }
    // A long line comes in pieces, which depend on where reading began.
    if text.split(|&byte| byte == b'\n').all(|line| line.len() < 16 << 10) {
        assert_eq!(forwards, backwards);
    }
}

/// One that is removed when this is dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> std::io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("supervisor-fuzz-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).map(|()| Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
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
        output(b"\0\x30\x29\x30\x27\x02\x01\x07\x30\0\x30\0\x30\x1e\x17\x0d260101000000Z\x17\x0d270101000000Z");
        let log = "a=b ERROR\n{\"level\":50}\n".repeat(100);
        for wanted in
            ["\0\u{ff}\0", "\u{1}\u{5}\0^a|b$\0", "\u{2}\u{5}\0a=b\0", "\u{3}\u{5}\u{6}warn\0", "\u{4}\0\u{1}\0"]
        {
            logs(format!("{wanted}{log}").as_bytes());
        }
        logs(&[]);
        for host in ["localhost:9700", "LOCALHOST", "dev.example:1", "evil.example", "[::1]:9700", "127.0.0.1:99999"] {
            request(&format!("/\nHost: {host}\nOrigin: http://{host}\nSec-Fetch-Site: none"));
        }
    }
}
