//! Who listens on a service's ports.
//! Not here: whether the ports are free for it; only its start tells.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde::Serialize;

use crate::api::{ServiceDocument, StatusDocument};
use crate::cli::locate::Place;
use crate::config::Handoff;
use crate::platform;

/// So long for a connection to this machine.
const PATIENCE: Duration = Duration::from_millis(300);

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Port {
    pub(super) port: u16,
    pub(super) holder: Holder,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "who")]
pub(super) enum Holder {
    Nobody,
    /// A process of this service.
    Itself {
        pid: i32,
    },
    /// The supervisor, for this service.
    Supervisor,
    /// Another service of this stack.
    Service {
        name: String,
        pid: i32,
        command: String,
    },
    /// No process of this stack.
    Stranger {
        pid: i32,
        command: String,
    },
    /// Someone whose processes we may not look into.
    Unknown,
}

pub(super) fn ports(service: &ServiceDocument, status: &StatusDocument, place: &Place) -> Vec<Port> {
    let Ok(bind) = service.bind.parse::<IpAddr>() else { return Vec::new() };
    let cookie =
        place.stack.as_ref().ok().and_then(|stack| std::fs::read_to_string(stack.state_dir.join("cookie")).ok());
    let all = service.port.iter().chain(service.ports.values());
    let holder = |port: u16| {
        let address = SocketAddr::new(bind, port);
        seen(address, service, status, cookie.as_deref()).unwrap_or_else(|| unseen(address, service, place))
    };
    all.map(|port| Port { port: *port, holder: holder(*port) }).collect()
}

/// A process that we may look into.
fn seen(
    address: SocketAddr,
    service: &ServiceDocument,
    status: &StatusDocument,
    cookie: Option<&str>,
) -> Option<Holder> {
    let platform::Holder { pid, command } = platform::port_holder(address)?;
    let roles = [Some(status.supervisor.keeper_pid), i32::try_from(status.supervisor.control_pid).ok()];
    if roles.contains(&Some(pid)) {
        return Some(Holder::Supervisor);
    }
    let main = status.services.iter().find(|one| one.pid == Some(pid)).map(|one| one.name.to_string());
    Some(match main.or_else(|| service_of(pid, cookie)) {
        Some(name) if name == service.name.as_str() => Holder::Itself { pid },
        Some(name) => Holder::Service { name, pid, command },
        None => Holder::Stranger { pid, command },
    })
}

/// The supervisor's own roles let nobody but root look into them.
fn unseen(address: SocketAddr, service: &ServiceDocument, place: &Place) -> Holder {
    if inherits(service, place) && platform::is_held_by_our_user(address) {
        return Holder::Supervisor;
    }
    let answers = TcpStream::connect_timeout(&reachable(address), PATIENCE).is_ok();
    if answers { Holder::Unknown } else { Holder::Nobody }
}

fn inherits(service: &ServiceDocument, place: &Place) -> bool {
    let services = place.stack.iter().flat_map(|stack| &stack.services);
    services.filter(|one| one.spec.name == service.name).any(|one| one.launch.handoff == Handoff::Socket)
}

/// By what it was started with: our cookie, and the name of a service.
fn service_of(pid: i32, cookie: Option<&str>) -> Option<String> {
    let environment = platform::Environments::default().of(pid)?;
    let value = |name: &str| {
        let entries = environment.split(|byte| *byte == 0);
        let mut values = entries.filter_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
        values.next().map(|value| String::from_utf8_lossy(value).into_owned())
    };
    let ours = value("SUPERVISOR_COOKIE")?.starts_with(cookie?);
    if ours { value("SUPERVISOR_SERVICE") } else { None }
}

fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    address
}
