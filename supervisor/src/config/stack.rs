//! `[supervisor]` and `[http]`.
//! Not here: services.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use supervisor_core::ServiceName;

use super::model::{Http, Listen, OpenGroup};
use super::reader::Reader;
use super::section::Section;
use super::surroundings::Surroundings;
use super::tree::Node;

/// A socket's path fits into 104 bytes with its NUL, on every system.
const MAX_SOCKET_PATH: usize = 103;
/// The longest name of a socket within the runtime directory: `/notify/` and the number of a run.
const MAX_SOCKET_NAME: usize = 8 + 12;
/// What of the stack's name is in the names of its directories.
const MAX_DIR_NAME: usize = 20;

/// `[supervisor]`.
pub(super) struct Whole {
    pub(super) name: String,
    pub(super) runtime_dir: PathBuf,
    pub(super) state_dir: PathBuf,
    pub(super) auto_reload: bool,
    pub(super) shutdown_timeout: Duration,
    pub(super) max_parallel_starts: usize,
    pub(super) max_parallel_launches: usize,
}

pub(super) fn whole(file: &Path, section: &Section<'_>, surroundings: &Surroundings, reader: &mut Reader<'_>) -> Whole {
    let name = name(file, section, reader);
    let starts = reader.count(section, "max_parallel_starts", 0, 0..=100_000);
    let cores = surroundings.cores.max(1);
    let own_dir = dir_name(&name, file);
    Whole {
        runtime_dir: runtime_dir(section, &own_dir, surroundings, reader),
        state_dir: state_dir(file, section, &own_dir, surroundings, reader),
        auto_reload: reader.flag(section, "auto_reload", true),
        shutdown_timeout: reader.duration(section, "shutdown_timeout", Duration::from_secs(30), Duration::ZERO),
        max_parallel_starts: if starts == 0 { cores * 2 } else { starts },
        // One that is ready as soon as it runs is in between for a millisecond, in which it mostly waits for others.
        max_parallel_launches: if starts == 0 { cores * 8 } else { starts },
        name,
    }
}

fn name(file: &Path, section: &Section<'_>, reader: &mut Reader<'_>) -> String {
    let said = section.get("name").and_then(|node| Some((node.span, reader.text(node)?)));
    if let Some((span, name)) = said {
        if let Err(why) = ServiceName::new(&name) {
            reader.problems.add_with_help(span, format!("`{name}` is no name of a stack"), why.to_string());
        }
        return name;
    }
    let directory = file.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().to_lowercase();
    let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' { c } else { '-' };
    let name: String = directory.chars().map(plain).take(63).collect();
    let name = name.trim_matches(['-', '_']);
    if name.is_empty() { "stack".to_owned() } else { name.to_owned() }
}

/// `NAME-HASH`: a person recognises it by the name, and the hash of the file's path makes it unique.
fn dir_name(name: &str, file: &Path) -> String {
    let short: String = name.chars().take(MAX_DIR_NAME).collect();
    let hash = fnv1a(file.as_os_str().as_bytes());
    format!("{short}-{:08x}", (hash ^ (hash >> 32)) & 0xffff_ffff)
}

/// FNV-1a, 64 bits: the same in every version, unlike the standard library's hashes.
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The directory that was said, unless that is `auto`.
fn said_dir(section: &Section<'_>, key: &str, reader: &mut Reader<'_>) -> Option<PathBuf> {
    let node = section.get(key)?;
    if node.value.as_text() == Some("auto") { None } else { reader.path(node) }
}

fn runtime_dir(section: &Section<'_>, own_dir: &str, surroundings: &Surroundings, reader: &mut Reader<'_>) -> PathBuf {
    let Some(said) = said_dir(section, "runtime_dir", reader) else {
        let mut auto = surroundings.runtime_bases.iter().map(|base| base.join(own_dir)).collect::<Vec<_>>();
        let fits = auto.iter().position(|dir| dir.as_os_str().len() + MAX_SOCKET_NAME <= MAX_SOCKET_PATH);
        // The last one is the shortest there is.
        return auto.swap_remove(fits.unwrap_or(auto.len() - 1));
    };
    if said.as_os_str().len() + MAX_SOCKET_NAME > MAX_SOCKET_PATH
        && let Some(node) = section.get("runtime_dir")
    {
        let most = MAX_SOCKET_PATH - MAX_SOCKET_NAME;
        let message = format!("`{}` is too long for sockets: it may have {most} bytes", said.display());
        reader.problems.add_with_help(node.span, message, "use a shorter directory, or `auto`");
    }
    said
}

fn state_dir(
    file: &Path,
    section: &Section<'_>,
    own_dir: &str,
    surroundings: &Surroundings,
    reader: &mut Reader<'_>,
) -> PathBuf {
    if let Some(said) = said_dir(section, "state_dir", reader) {
        return said;
    }
    match &surroundings.state_base {
        Some(base) => base.join(own_dir),
        None => {
            let message =
                "no place for state: neither `HOME` nor `XDG_STATE_HOME` is set, and `state_dir` is not given";
            reader.problems.add_for_file(file, message);
            PathBuf::new()
        }
    }
}

/// `[http]`.
pub(super) fn http(section: &Section<'_>, reader: &mut Reader<'_>) -> Http {
    let listen = section.get("listen").and_then(|node| listen(node, reader)).unwrap_or(Listen::Auto);
    let expose = reader.flag(section, "expose", false);
    if let (Listen::At(address), Some(node)) = (listen, section.get("listen"))
        && !address.ip().is_loopback()
        && !expose
    {
        let help =
            "set `expose = true` in `[http]` if that is meant; changes still need the token, `open` groups do not";
        reader.problems.add_with_help(node.span, "this address can be reached from other machines", help);
    }
    Http { listen, open: open(section, reader), allowed_hosts: allowed_hosts(section, reader) }
}

fn listen(node: &Node, reader: &mut Reader<'_>) -> Option<Listen> {
    const EXPECTED: &str = "an address like `127.0.0.1:9700`, a port, `auto` or `off`";
    let Some(text) = node.value.as_digits() else { return reader.wrong_type(node, EXPECTED) };
    reader.parse(node.span, &text, EXPECTED, |text| {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let at_local = |port: &str| port.parse().map(|port| SocketAddr::new(local, port)).map_err(|_| String::new());
        match text {
            "auto" => Ok(Listen::Auto),
            "off" => Ok(Listen::Off),
            _ if text.bytes().all(|byte| byte.is_ascii_digit()) => at_local(text).map(Listen::At),
            _ => match text.strip_prefix("localhost:") {
                Some(port) => at_local(port).map(Listen::At),
                None => text.parse().map(Listen::At).map_err(|_| String::new()),
            },
        }
    })
}

fn open(section: &Section<'_>, reader: &mut Reader<'_>) -> Vec<OpenGroup> {
    let words = [("health", OpenGroup::Health), ("status", OpenGroup::Status), ("metrics", OpenGroup::Metrics)];
    let Some(node) = section.get("open") else { return words.map(|(_, group)| group).to_vec() };
    let mut open: Vec<OpenGroup> = Vec::new();
    for item in reader.items(node, "an array of `health`, `status` and `metrics`") {
        open.extend(reader.choice_of(item, &words).filter(|group| !open.contains(group)));
    }
    open
}

fn allowed_hosts(section: &Section<'_>, reader: &mut Reader<'_>) -> Vec<String> {
    let hosts = reader.texts(section, "allowed_hosts").unwrap_or_default();
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.[:]".contains(&byte);
    for (span, host) in &hosts {
        let port = host.contains(':') && !host.starts_with('[');
        if host.is_empty() || port || host.ends_with(':') || !host.bytes().all(known) {
            let message = format!("`{host}` is no name of a host");
            reader.problems.add_with_help(*span, message, "a name like `mcp.example.org`, without a port");
        }
    }
    hosts.into_iter().map(|(_, host)| host.to_ascii_lowercase()).collect()
}
