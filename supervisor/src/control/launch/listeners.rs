//! Listeners of services: made, named, recognised, handed to the keeper and let go of.
//! Not here: who inherits them (`prepare`), how long they are held (the core says).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrIn6, bind, listen, setsockopt, socket, sockopt,
};
use supervisor_core::{Failure, ServiceName};
use supervisor_keeper::Request;

use crate::config::{Handoff, Launch};
use crate::control::keeper::link::Purpose;
use crate::control::launch::hangup::Guard;
use crate::control::launch::prepare::Order;
use crate::control::run_loop::Control;
use crate::platform::{self, Holder};

/// Clients wait in a queue this long while nobody accepts; the kernel caps it at `net.core.somaxconn`.
pub(crate) const BACKLOG: i32 = 4096;
/// So often a port that nobody is seen to hold is tried again, and this long after.
const TRIES: u32 = 25;
const PAUSE: Duration = Duration::from_millis(10);

/// A held listener.
#[derive(Debug)]
pub(crate) struct Listener {
    /// `http`, or the name in `ports`.
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) fd: OwnedFd,
    /// Notices when somebody shuts it.
    pub(crate) guard: OnceLock<Guard>,
}

impl Listener {
    pub(crate) fn new(name: &str, address: SocketAddr, fd: OwnedFd) -> Self {
        Self { name: name.to_owned(), address, fd, guard: OnceLock::new() }
    }

    /// One that is held by the keeper; `None` when it is no TCP listener.
    pub(crate) fn held(name: &str, fd: OwnedFd) -> Option<Self> {
        let fd = std::net::TcpListener::from(fd);
        let address = fd.local_addr().ok()?;
        Some(Self::new(name, address, fd.into()))
    }

    /// From here on clients may connect.
    pub(crate) fn open(&self) -> Result<(), Failure> {
        let backlog = Backlog::new(BACKLOG).unwrap_or(Backlog::MAXCONN);
        listen(&self.fd, backlog).map_err(|error| busy(self.address, &error.into()))
    }

    /// The same, by another name.
    pub(crate) fn under(&self, name: &str) -> Option<Self> {
        Some(Self::new(name, self.address, self.fd.try_clone().ok()?))
    }

    /// The name under which the keeper holds it for a service. With the address: while a port moves, generations on the
    /// old one and on the new one live side by side.
    pub(crate) fn held_as(&self, service: &ServiceName) -> String {
        format!("listen/{service}/{}/{}", self.name, self.address)
    }

    /// This launch wants just this listener to be held.
    pub(crate) fn fits(&self, launch: &Launch) -> bool {
        held_addresses(launch).any(|(name, address)| name == self.name && address == self.address)
    }
}

impl Control {
    pub(crate) fn hold_listener(&mut self, service: &ServiceName, listener: &Listener) {
        let names = vec![listener.held_as(service)];
        let held = listener
            .fd
            .try_clone()
            .and_then(|fd| self.link.send(Purpose::Keep("hold a listener"), &Request::Hold { names }, vec![fd]));
        if let Err(error) = held {
            tracing::warn!(%service, %error, "a listener will not outlive this control");
        }
    }

    pub(crate) fn close_listeners(&mut self, service: &ServiceName) {
        let Some(listeners) = self.listeners.remove(service) else { return };
        self.drop_listeners(listeners.iter().map(|listener| listener.held_as(service)).collect());
    }

    /// Closes what nothing of this service lives on, comes up on or would be started on next. What nobody knows any more
    /// may be on any of them.
    pub(crate) fn release_listeners(&mut self, service: &ServiceName) {
        let Some(listeners) = self.listeners.get_mut(service) else { return };
        let revisions = self.fleet.revisions(service);
        let known = revisions.iter().map(|revision| self.catalogue.of(service, *revision));
        let Some(launches) = known.map(|known| Some(&known?.launch)).collect::<Option<Vec<_>>>() else { return };
        let needless = |listener: &mut Arc<Listener>| !launches.iter().any(|launch| listener.fits(launch));
        let closed: Vec<String> =
            listeners.extract_if(.., needless).map(|listener| listener.held_as(service)).collect();
        self.drop_listeners(closed);
    }

    pub(crate) fn release_all_listeners(&mut self) {
        for service in self.listeners.keys().cloned().collect::<Vec<_>>() {
            self.release_listeners(&service);
        }
    }

    fn drop_listeners(&mut self, names: Vec<String>) {
        if !names.is_empty() {
            self.ask_keeper("close listeners", &Request::Drop { names });
        }
    }

    /// The keeper holds it for this service from now on.
    pub(crate) fn take_listener(&mut self, service: &ServiceName, listener: Listener) {
        self.hold_listener(service, &listener);
        self.listeners.entry(service.clone()).or_default().push(Arc::new(listener));
        self.guard_listeners(service);
    }
}

/// What is to be held for a service, by name.
pub(crate) fn held_addresses(launch: &Launch) -> impl Iterator<Item = (&str, SocketAddr)> {
    let held = match launch.handoff {
        Handoff::Socket => Some(addresses(launch)),
        Handoff::Own => None,
    };
    held.into_iter().flatten()
}

/// Every port of a service, by name.
pub(crate) fn addresses(launch: &Launch) -> impl Iterator<Item = (&str, SocketAddr)> {
    let main = launch.port.map(|port| ("http", port));
    let all = main.into_iter().chain(launch.ports.iter().map(|(name, port)| (name.as_str(), *port)));
    all.map(|(name, port)| (name, SocketAddr::new(launch.bind, port)))
}

/// Whose listener is held under this name, and which one it is.
pub(crate) fn service_of_listener(held: &str) -> Option<(ServiceName, &str)> {
    let (service, rest) = held.strip_prefix("listen/")?.split_once('/')?;
    let (name, _address) = rest.split_once('/')?;
    Some((ServiceName::new(service).ok()?, name))
}

/// With handoff `socket` the listeners that are not held yet; with `own` only the proof that the port is free.
pub(super) fn listeners(order: &Order) -> Result<Vec<Arc<Listener>>, Failure> {
    let launch = &order.launch;
    let mut made = Vec::new();
    for (name, address) in addresses(launch) {
        if order.held.iter().any(|held| held.name == name) {
            continue;
        }
        let fd = settled(address)?;
        match launch.handoff {
            Handoff::Own => {}
            Handoff::Socket => {
                let listener = Listener::new(name, address, fd);
                listener.open()?;
                made.push(Arc::new(listener));
            }
        }
    }
    Ok(made)
}

/// As `bound`. What we have just closed, the keeper may hold for a moment yet.
pub(crate) fn settled(address: SocketAddr) -> Result<OwnedFd, Failure> {
    let in_use =
        |tried: &io::Result<OwnedFd>| tried.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse);
    let mut tried = bound(address);
    // All processes are looked at for it: once now, and once more at the end.
    let stranger = |holder: &Holder| holder.pid != nix::unistd::getppid().as_raw();
    if in_use(&tried)
        && let Some(holder) = platform::port_holder(address).filter(stranger)
    {
        return Err(held_by(address, Some(&holder)));
    }
    for _ in 0..TRIES {
        if !in_use(&tried) {
            break;
        }
        std::thread::sleep(PAUSE);
        tried = bound(address);
    }
    tried.map_err(|error| busy(address, &error))
}

/// A bound TCP socket, not listening. `SO_REUSEADDR` lets it follow an earlier one at once; `SO_REUSEPORT` would let
/// a stranger share the port.
fn bound(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = match address.ip() {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    use std::os::fd::AsRawFd;
    match address {
        SocketAddr::V4(v4) => bind(fd.as_raw_fd(), &SockaddrIn::from(v4))?,
        SocketAddr::V6(v6) => bind(fd.as_raw_fd(), &SockaddrIn6::from(v6))?,
    }
    Ok(fd)
}

fn busy(address: SocketAddr, error: &io::Error) -> Failure {
    if error.kind() != io::ErrorKind::AddrInUse {
        return Failure::Launch { message: format!("cannot listen on {address}: {error}") };
    }
    held_by(address, platform::port_holder(address).as_ref())
}

fn held_by(address: SocketAddr, holder: Option<&Holder>) -> Failure {
    let port = address.port();
    let message = match holder {
        Some(holder) => format!("port {port} is held by pid {} ({})", holder.pid, holder.command),
        None => format!("port {port} is held by another process"),
    };
    Failure::PortBusy { message }
}
