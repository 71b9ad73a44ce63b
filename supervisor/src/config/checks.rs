//! `ready` and `live`: what is asked of a run, and how.
//! Not here: asking it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use axum::http::uri::Authority;
use supervisor_core::{Check, CheckId, Liveness, Readiness};
use tokio_rustls::rustls::pki_types::ServerName;

use super::model::{Handoff, Probe, ProbeHow, Template};
use super::reader::Reader;
use super::section::Section;
use super::signs::{self, Signs};
use super::tree::Node;

/// Probing more often is a load, not a check.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);
const LEAST_TIMEOUT: Duration = Duration::from_millis(1);
const LEAST_WATCHDOG: Duration = Duration::from_millis(100);

/// How a service can be reached.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    pub(super) handoff: Handoff,
    pub(super) port: Option<u16>,
    /// Whatever it says: a port that is no number is told once.
    pub(super) names_port: bool,
    /// How many further ones it has.
    pub(super) ports: u32,
}

impl Reach {
    /// Sockets that it gets from us, from descriptor 3 on.
    fn inherited(self, probes: &BTreeMap<CheckId, Probe>) -> u32 {
        let private = probes.values().any(|probe| matches!(probe.how, ProbeHow::Http { .. }));
        match self.handoff {
            Handoff::Own => 0,
            Handoff::Socket => u32::from(self.port.is_some()) + self.ports + u32::from(private),
        }
    }
}

/// All checks of one service.
#[derive(Debug)]
pub(super) struct Checks {
    pub(super) ready: Readiness,
    pub(super) live: Option<Liveness>,
    pub(super) probes: BTreeMap<CheckId, Probe>,
    pub(super) watchdog: Option<Duration>,
    pub(super) signs: Signs,
}

/// The checks of a service that can be reached like this.
pub(super) fn checks(service: &Section<'_>, reach: Reach, reader: &mut Reader<'_>) -> Checks {
    let mut probes = Probes { reach, list: BTreeMap::new() };
    let ready = service.table("ready", reader.problems);
    let mut readiness = Readiness {
        signs: BTreeMap::new(),
        delay: Some(reader.millis(&ready, "delay", Duration::ZERO, Duration::ZERO)).filter(|delay| *delay > 0),
        checks: probes.read(&ready, Duration::from_secs(2), reader),
        interval: reader.millis(&ready, "interval", Duration::from_millis(100), LEAST_INTERVAL),
        deadline: reader.millis(&ready, "deadline", Duration::from_secs(60), Duration::ZERO),
    };
    let live = service.table("live", reader.problems);
    let watchdog = watchdog(&live, reader);
    let liveness = Liveness {
        checks: probes.read(&live, Duration::from_secs(2), reader),
        interval: reader.millis(&live, "interval", Duration::from_secs(10), LEAST_INTERVAL),
        failures: reader.count(&live, "failures", 3, 1..=1_000_000),
        watchdog: watchdog.and_then(|span| u64::try_from(span.as_millis()).ok()),
    };
    let signs = signs::signs(&ready, reach.inherited(&probes.list), reader);
    readiness.signs.clone_from(&signs.wanted);
    let asked = !liveness.checks.is_empty() || liveness.watchdog.is_some();
    Checks { ready: readiness, live: asked.then_some(liveness), probes: probes.list, watchdog, signs }
}

fn watchdog(live: &Section<'_>, reader: &mut Reader<'_>) -> Option<Duration> {
    let watchdog = reader.duration(live, "watchdog", Duration::ZERO, Duration::ZERO);
    if !watchdog.is_zero()
        && watchdog < LEAST_WATCHDOG
        && let Some(node) = live.get("watchdog")
    {
        reader.problems.add(node.span, format!("a watchdog needs at least `{}ms`", LEAST_WATCHDOG.as_millis()));
    }
    Some(watchdog).filter(|watchdog| !watchdog.is_zero())
}

struct Probes {
    reach: Reach,
    list: BTreeMap<CheckId, Probe>,
}

impl Probes {
    /// The active checks of `ready` or `live`.
    fn read(&mut self, section: &Section<'_>, timeout: Duration, reader: &mut Reader<'_>) -> Vec<Check> {
        let timeout = reader.duration(section, "timeout", timeout, LEAST_TIMEOUT);
        let mut checks = Vec::new();
        let mut add = |how: ProbeHow, title: String| {
            // Three kinds, in two lists: at most six.
            let id = CheckId(u8::try_from(self.list.len()).unwrap_or(u8::MAX));
            self.list.insert(id, Probe { how, timeout });
            checks.push(Check { id, title });
        };
        if let Some((how, path)) = http(section, self.reach, reader) {
            // A query may hold a secret, and the title is shown to everyone.
            let shown = path.split(['?', '#']).next().unwrap_or_default().to_owned();
            let scheme = if how.is_encrypted() { "https" } else { "http" };
            add(how, format!("{scheme} {shown}"));
        }
        if let Some(port) = tcp(section, self.reach, reader) {
            add(ProbeHow::Tcp, format!("tcp {port}"));
        }
        let command = section.get("command").map(|node| reader.command(node)).unwrap_or_default();
        if !command.is_empty() {
            let title = command_title(&command);
            add(ProbeHow::Command(command), title);
        }
        checks
    }
}

/// Not to be mistaken for the command of the service. Arguments and directories may hold what is not for everyone.
fn command_title(command: &[Template]) -> String {
    let program = command.first().and_then(Template::as_text).map(Path::new).and_then(Path::file_name);
    program.map_or_else(|| "command".to_owned(), |name| format!("command {}", name.to_string_lossy()))
}

fn http(section: &Section<'_>, reach: Reach, reader: &mut Reader<'_>) -> Option<(ProbeHow, String)> {
    let node = section.get("http")?;
    let table = section.table_if_any("http");
    let (path_node, table) = if node.value.as_text().is_some() {
        (node, Section::default())
    } else if node.value.as_table().is_some() {
        match table.get("path") {
            Some(path) => (path, table),
            None => {
                reader.problems.add(node.span, "`path` is missing");
                return None;
            }
        }
    } else {
        return reader.wrong_type(node, "a path like `/health`, or a table");
    };
    let path = reader.text(path_node)?;
    if path.is_empty() {
        return None;
    }
    let graphic = path.bytes().all(|byte| byte.is_ascii_graphic());
    if !path.starts_with('/') || !graphic {
        reader.problems.add(path_node.span, "a path begins with `/` and has no blanks");
    }
    if !reach.names_port && reach.handoff == Handoff::Own {
        let help = "give the service a `port`, or let it inherit a probe socket with `rollout.handoff = \"socket\"`";
        reader.problems.add_with_help(node.span, "an http check has no port to ask", help);
    }
    let host = host(&table, reader);
    let tls = reader.flag(&table, "tls", false).then(|| asked_name(&table, host.as_deref(), reader)).flatten();
    let (status, headers) = (status(&table, reader), headers(&table, reader));
    let how = ProbeHow::Http { path: path.clone(), status, headers, host, tls };
    Some((how, path))
}

fn status(http: &Section<'_>, reader: &mut Reader<'_>) -> Vec<u16> {
    let Some(node) = http.get("status") else { return vec![200] };
    let Some(items) = node.value.as_list() else {
        return reader.wrong_type(node, "an array of status codes").unwrap_or_default();
    };
    if items.is_empty() {
        reader.problems.add(node.span, "no answer would pass");
    }
    items.iter().filter_map(|item| reader.integer(item, 100..=599)).collect()
}

fn headers(http: &Section<'_>, reader: &mut Reader<'_>) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for (name, entry) in http.table("headers", reader.problems).entries() {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            reader.problems.add(entry.key, format!("`{name}` is no name of a header"));
        }
        let Some(value) = reader.text(&entry.node) else { continue };
        if value.chars().any(char::is_control) {
            reader.problems.add(entry.node.span, "a control character in a header");
        }
        headers.insert(name.to_owned(), value);
    }
    headers
}

fn host(http: &Section<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let host = reader.some_text(http, "host")?;
    if let Some(node) = http.get("host").filter(|_| !host.bytes().all(|byte| byte.is_ascii_graphic())) {
        reader.problems.add(node.span, "this is no name of a host");
    }
    Some(host)
}

/// The name that the handshake asks for: that of the host, which may have a port after it.
fn asked_name(http: &Section<'_>, host: Option<&str>, reader: &mut Reader<'_>) -> Option<ServerName<'static>> {
    let host = host.unwrap_or("localhost");
    let name = host.parse::<Authority>().ok().map(|authority| authority.host().trim_matches(['[', ']']).to_owned());
    let name = name.and_then(|name| ServerName::try_from(name).ok());
    if let Some(node) = http.get("host").filter(|_| name.is_none()) {
        reader.problems.add(node.span, "this is no name that TLS can ask for");
    }
    name
}

fn tcp(section: &Section<'_>, reach: Reach, reader: &mut Reader<'_>) -> Option<u16> {
    let node: &Node = section.get("tcp")?;
    if !reader.flag(section, "tcp", false) {
        return None;
    }
    if reach.handoff == Handoff::Socket {
        let message = "a tcp check cannot be used with `handoff = \"socket\"`";
        let help = "the supervisor holds the port, so it accepts with nobody behind it; use `notify` or `http`";
        reader.problems.add_with_help(node.span, message, help);
        return None;
    }
    if !reach.names_port {
        reader.problems.add_with_help(node.span, "a tcp check has no port to ask", "give the service a `port`");
    }
    reach.port
}
