//! One service, from its table.
//! Not here: what concerns several services (see `across`).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use supervisor_core::{Condition, Dependency, Kind, ServiceName, ServiceSpec, Sign};

use super::checks::{self, Reach};
use super::diagnostics;
use super::environment::{self, Desk, EnvFiles};
use super::expand::{Own, Scope};
use super::model::{Handoff, Launch, Log, LogBudget, SecretSource, Service, Template};
use super::policy;
use super::reader::Reader;
use super::section::Section;
use super::source::Span;
use super::tree::{Entry, Table};

/// Each is a process that somebody meant to write down.
const MOST_INSTANCES: u32 = 64;

/// A service as it stands in a file.
pub(super) struct Declared<'t> {
    pub(super) name: ServiceName,
    /// Where its name stands.
    pub(super) at: Span,
    pub(super) own: &'t Table,
    /// The `defaults` that count for it, the nearest first.
    pub(super) defaults: Vec<&'t Table>,
}

/// A service, and where things stand that only all services together can show to be wrong.
pub(super) struct Built {
    pub(super) service: Service,
    pub(super) at: Span,
    pub(super) dependencies: Vec<(Dependency, Span)>,
    pub(super) ports: Vec<(u16, Span)>,
}

/// `[logs]`, which every service's `log` lies over.
pub(super) struct Logs<'t> {
    pub(super) section: Section<'t>,
    pub(super) default_dir: PathBuf,
}

pub(super) fn build(declared: &Declared<'_>, logs: &Logs<'_>, env_files: &mut EnvFiles, desk: &mut Desk<'_>) -> Built {
    let service = Section::new(std::iter::once(declared.own).chain(declared.defaults.iter().copied()));
    let nothing = BTreeMap::new();
    let scope = Scope { env_files: &nothing, environment: &desk.surroundings.env, own: Own::NotYet };
    let mut reader = Reader { scope, sources: &*desk.sources, problems: &mut *desk.problems };
    let paths = env_file_paths(&service, &mut reader);
    let read: Vec<PathBuf> = paths.iter().map(|(_, path)| environment::required(path)).collect();
    let values = env_files.values(paths, desk);
    let scope = Scope { env_files: &values, ..scope };
    let mut reader = Reader { scope, sources: &*desk.sources, problems: &mut *desk.problems };
    let port = service.get("port").and_then(|node| reader.integer(node, 1..=u16::MAX));
    reader.scope.own = Own::Service { port };
    let mut built = with_port(declared, &service, port, logs, &mut reader);
    let launch = Arc::make_mut(&mut built.service.launch);
    launch.env_files = read;
    for source in launch.secrets.values_mut() {
        match source {
            SecretSource::File { path, mark } => *mark = desk.files.mark(path),
            SecretSource::Command(_) | SecretSource::Env(_) => {}
        }
    }
    built
}

fn env_file_paths(service: &Section<'_>, reader: &mut Reader<'_>) -> Vec<(Span, PathBuf)> {
    let texts = reader.texts(service, "env_file").unwrap_or_default();
    texts.into_iter().filter_map(|(span, text)| Some((span, reader.resolve(span, &text)?))).collect()
}

fn with_port(
    declared: &Declared<'_>,
    service: &Section<'_>,
    port: Option<u16>,
    logs: &Logs<'_>,
    reader: &mut Reader<'_>,
) -> Built {
    let kind = policy::kind(service, reader);
    let handoff = handoff(service, reader);
    // A oneshot is ready when it has completed: what `defaults` say of services that stay does not suit it.
    let checked = match kind {
        Kind::Service => service.clone(),
        Kind::Oneshot => Section::new([declared.own]),
    };
    let ports = ports(service, reader);
    let further = u32::try_from(ports.len()).unwrap_or(u32::MAX);
    let checks = checks::checks(
        &checked,
        Reach { handoff, port, names_port: service.get("port").is_some(), ports: further },
        reader,
    );
    let dependencies = dependencies(service, reader);
    let spec = ServiceSpec {
        name: declared.name.clone(),
        revision: 1,
        kind,
        autostart: reader.flag(service, "autostart", true),
        critical: reader.flag(service, "critical", true),
        depends_on: dependencies.iter().map(|(dependency, _)| dependency.clone()).collect(),
        restart: policy::restart(service, reader),
        stop: policy::stop(service, reader),
        ready: checks.ready,
        live: checks.live,
        rollout: policy::rollout(service, kind, handoff, reader),
        instances: instances(service, handoff, port, reader),
    };
    let command = service.get("command");
    let base = reader.sources.dir(command.map_or(declared.at, |node| node.span).file).to_owned();
    let launch = Launch {
        name: declared.name.clone(),
        command: command_of(declared, service, reader),
        base,
        cwd: cwd(declared, service, reader),
        env: environment::env(service, reader),
        env_files: Vec::new(),
        secrets: environment::secrets(service, reader),
        inherit_env: environment::inherit_env(service, reader),
        user: account(service, "user", reader),
        group: account(service, "group", reader),
        umask: umask(service, reader),
        handoff,
        bind: bind(service, reader),
        port,
        ports: ports.iter().map(|(name, (port, _))| (name.clone(), *port)).collect(),
        limits: policy::limits(service, reader),
        notify: spec.ready.signs.contains_key(&Sign::Notify) || checks.watchdog.is_some(),
        ready_line: checks.signs.line,
        ready_fd: checks.signs.descriptor,
        probes: checks.probes,
        watchdog: checks.watchdog,
        long_lived: policy::long_lived(service, reader),
        log: log(service, logs, reader),
    };
    let main_port = port.zip(service.get("port").map(|node| node.span));
    Built {
        service: Service { spec, launch: Arc::new(launch), at: diagnostics::place(declared.at, reader.sources) },
        at: declared.at,
        dependencies,
        ports: main_port.into_iter().chain(ports.into_values()).collect(),
    }
}

fn command_of(declared: &Declared<'_>, service: &Section<'_>, reader: &mut Reader<'_>) -> Vec<Template> {
    let Some(node) = service.get("command") else {
        let message = format!("service `{}` has no `command`", declared.name);
        reader.problems.add_with_help(declared.at, message, "add one, like `command = [\"./server\"]`");
        return Vec::new();
    };
    if reader.flag(service, "shell", false) {
        let Some(script) = node.value.as_text() else {
            reader.problems.add(node.span, "with `shell = true`, the command is one string");
            return Vec::new();
        };
        let script = reader.shell_script(node.span, script);
        let shell = ["/bin/sh", "-c"].map(Template::of_text);
        return shell.into_iter().chain(script).collect();
    }
    let before = reader.problems.count();
    let command = reader.command(node);
    if command.is_empty() && reader.problems.count() == before {
        reader.problems.add(node.span, "the command is empty");
    }
    command
}

fn cwd(declared: &Declared<'_>, service: &Section<'_>, reader: &mut Reader<'_>) -> PathBuf {
    let said = service.get("cwd").and_then(|node| reader.path(node));
    said.unwrap_or_else(|| reader.sources.dir(declared.at.file).to_owned())
}

fn handoff(service: &Section<'_>, reader: &mut Reader<'_>) -> Handoff {
    let rollout = service.table("rollout", reader.problems);
    let Some(node) = rollout.get("handoff") else { return Handoff::Own };
    if node.value.as_text() == Some("proxy") {
        let message = "`proxy` is not available in this version";
        reader.problems.add_with_help(node.span, message, "use `socket` or `own`");
        return Handoff::Own;
    }
    let words = [("socket", Handoff::Socket), ("own", Handoff::Own), ("auto", Handoff::Own)];
    reader.choice_of(node, &words).unwrap_or(Handoff::Own)
}

/// Several can share a port only when the supervisor holds it.
fn instances(service: &Section<'_>, handoff: Handoff, port: Option<u16>, reader: &mut Reader<'_>) -> u32 {
    let instances = reader.count(service, "instances", 1, 1..=MOST_INSTANCES);
    if instances > 1
        && port.is_some()
        && handoff == Handoff::Own
        && let Some(node) = service.get("instances")
    {
        let help = "let them inherit one listener with `rollout.handoff = \"socket\"`";
        reader.problems.add_with_help(node.span, "several instances cannot bind one port", help);
    }
    instances
}

fn ports(service: &Section<'_>, reader: &mut Reader<'_>) -> BTreeMap<String, (u16, Span)> {
    let mut ports = BTreeMap::new();
    for (name, entry) in service.table("ports", reader.problems).entries() {
        let head = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        let tail = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !head || !tail || name.len() > 63 {
            let help = "a-z, 0-9 and `_`, beginning with a letter, as it becomes `PORT_NAME`";
            reader.problems.add_with_help(entry.key, format!("`{name}` is no name of a port"), help);
        } else if name == "http" {
            reader.problems.add(entry.key, "`http` is the name of the main port");
        }
        let port = reader.integer(&entry.node, 1..=u16::MAX);
        ports.extend(port.map(|port| (name.to_owned(), (port, entry.node.span))));
    }
    ports
}

fn dependencies(service: &Section<'_>, reader: &mut Reader<'_>) -> Vec<(Dependency, Span)> {
    let Some(node) = service.get("depends_on") else { return Vec::new() };
    let mut found: BTreeMap<ServiceName, (Condition, Span)> = BTreeMap::new();
    let mut add = |name: &str, condition, span, reader: &mut Reader<'_>| match ServiceName::new(name) {
        Ok(name) => drop(found.insert(name, (condition, span))),
        Err(why) => reader.problems.add_with_help(span, format!("`{name}` is no name of a service"), why.to_string()),
    };
    if node.value.as_table().is_some() {
        let words = [("ready", Condition::Ready), ("started", Condition::Started), ("completed", Condition::Completed)];
        let mut entries: Vec<(&str, &Entry)> = service.table_if_any("depends_on").entries().into_iter().collect();
        entries.sort_by_key(|(_, entry)| entry.key);
        for (name, entry) in entries {
            let condition = reader.choice_of(&entry.node, &words).unwrap_or(Condition::Ready);
            add(name, condition, entry.key, reader);
        }
    } else {
        for item in reader.items(node, "an array of names, or a table") {
            if let Some(name) = reader.text(item) {
                add(&name, Condition::Ready, item.span, reader);
            }
        }
    }
    found.into_iter().map(|(on, (condition, span))| (Dependency { on, condition }, span)).collect()
}

fn bind(service: &Section<'_>, reader: &mut Reader<'_>) -> IpAddr {
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let Some(node) = service.get("bind") else { return local };
    let Some(text) = node.value.as_text() else {
        return reader.wrong_type(node, "an address like `127.0.0.1`").unwrap_or(local);
    };
    let bind = reader.parse(node.span, text, "an address like `127.0.0.1`", |text| {
        if text == "localhost" { Ok(local) } else { text.parse().map_err(|_| String::new()) }
    });
    bind.unwrap_or(local)
}

/// A user or group: a name or a number.
fn account(service: &Section<'_>, key: &str, reader: &mut Reader<'_>) -> Option<String> {
    let node = service.get(key)?;
    let Some(text) = node.value.as_digits() else { return reader.wrong_type(node, "a name or a number") };
    let account = reader.parse(node.span, &text, "a name or a number", |text| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-@$\\".contains(&byte);
        if text.starts_with('-') || !text.bytes().all(known) { Err(String::new()) } else { Ok(text.to_owned()) }
    });
    account.filter(|account| !account.is_empty())
}

fn umask(service: &Section<'_>, reader: &mut Reader<'_>) -> u32 {
    const DEFAULT: u32 = 0o022;
    let Some(node) = service.get("umask") else { return DEFAULT };
    let Some(text) = node.value.as_text() else {
        return reader.wrong_type(node, "a string like `\"022\"`").unwrap_or(DEFAULT);
    };
    let umask = reader.parse(node.span, text, "an octal mask like `022`", |text| {
        let octal = (1..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        u32::from_str_radix(text, 8).ok().filter(|mask| octal && *mask <= 0o777).ok_or_else(String::new)
    });
    umask.unwrap_or(DEFAULT)
}

fn log(service: &Section<'_>, logs: &Logs<'_>, reader: &mut Reader<'_>) -> Log {
    let section = service.table("log", reader.problems).over(&logs.section);
    log_settings(&section, &logs.default_dir, reader)
}

/// What `logs` and `log` have in common.
pub(super) fn log_settings(section: &Section<'_>, default_dir: &Path, reader: &mut Reader<'_>) -> Log {
    Log {
        dir: section.get("dir").and_then(|node| reader.path(node)).unwrap_or_else(|| default_dir.to_owned()),
        max_size: reader.size(section, "max_size", 10 << 20),
        keep: match reader.count(section, "keep", 5, 0..=1_000_000) {
            0 => u32::MAX,
            keep => keep,
        },
        gzip: reader.choice(section, "compress", &[("gzip", true), ("none", false)]),
        split: reader.choice(section, "streams", &[("merged", false), ("split", true)]),
        max_age: reader.duration(section, "max_age", Duration::ZERO, Duration::ZERO),
        block: reader.choice(section, "on_full", &[("drop", false), ("block", true)]),
    }
}

/// What concerns all logs together.
pub(super) fn log_budget(logs: &Section<'_>, reader: &mut Reader<'_>) -> LogBudget {
    LogBudget { total: reader.size(logs, "total", 1 << 30), min_free: reader.size(logs, "min_free", 200 << 20) }
}
