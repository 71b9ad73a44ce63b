//! The sockets that a service answers on: inherited, or bound by itself.
//! Not here: accepting from them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use nix::sys::socket::{Backlog, getsockopt, listen, sockopt};

use crate::env::{ConfigError, Env};
use crate::{Service, StartError};

/// The public socket is called this in `LISTEN_FDNAMES`.
const MAIN: &str = "http";
/// A socket that only the supervisor knows: probes on it cannot be answered by another generation.
const PROBE: &str = "supervisor-probe";
/// A socket for programs of this machine.
const PRIVATE: &str = "private";
/// More inherited descriptors than this are a mistake.
const MAX_INHERITED: usize = 32;
/// Connections that may wait in the kernel; `somaxconn` bounds it too.
const BACKLOG: i32 = 4096;

/// The sockets of one run.
pub(crate) struct Listeners {
    pub(crate) main: Main,
    pub(crate) private: Option<Main>,
    pub(crate) probe: Option<Socket>,
}

/// The public socket, and whose it is.
pub(crate) struct Main {
    pub(crate) socket: Socket,
    pub(crate) owner: Owner,
}

impl Main {
    fn of(
        inherited: Option<Socket>,
        bind: impl FnOnce() -> Result<TcpListener, StartError>,
    ) -> Result<Self, StartError> {
        Ok(match inherited {
            Some(socket) => Self { socket, owner: Owner::Supervisor },
            None => Self { socket: Socket::Tcp(bind()?), owner: Owner::Us },
        })
    }
}

/// Who keeps the socket open when we close it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Nobody: what waits in its queue is lost unless we accept it.
    Us,
    /// A supervisor: what waits in its queue is for the next generation.
    Supervisor,
}

/// A listening socket, not blocking.
pub(crate) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Why there is no socket to answer on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Someone else has the port.
    #[error(
        "cannot listen on {address}: the port is taken, perhaps by another `{service}`; see who has it with \
         `ss -ltnp 'sport = :{port}'`, and stop that or set {variable} to a free port",
        port = address.port()
    )]
    Busy {
        /// Where.
        address: SocketAddr,
        /// Who wanted it.
        service: &'static str,
        /// The variable that says the port.
        variable: String,
    },
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}; {variable} says the port and {host_variable} the address")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// The variable that says the port.
        variable: String,
        /// The variable that says the address.
        host_variable: String,
        /// What the system said.
        source: io::Error,
    },
    /// What was passed is not a listening socket.
    #[error("cannot use inherited descriptor {fd} (`{name}`): {source}; LISTEN_FDS promises a listening socket there")]
    Inherited {
        /// Its number.
        fd: usize,
        /// Its name in `LISTEN_FDNAMES`.
        name: String,
        /// What is wrong with it.
        source: io::Error,
    },
}

/// Takes what was inherited, else binds. To be called while the process has one thread.
pub(crate) fn obtain(service: &Service, env: &Env) -> Result<Listeners, StartError> {
    let mut inherited = Inherited::from_env(env)?;
    let probe = inherited.take(|name| name == PROBE)?;
    let main = match inherited.take(|name| name == MAIN)? {
        Some(socket) => Some(socket),
        None => inherited.take(|name| name != PROBE && name != PRIVATE)?,
    };
    let main = Main::of(main, || bind(service, env))?;
    let private = match service.private_port {
        Some(port) => Some(Main::of(inherited.take(|name| name == PRIVATE)?, || bind_private(service, port, env))?),
        None => None,
    };
    Ok(Listeners { main, private, probe })
}

/// Descriptors passed as systemd does it: numbers from 3, `LISTEN_FDS` of them, named by `LISTEN_FDNAMES`.
struct Inherited {
    fds: ListenFd,
    names: Vec<String>,
}

impl Inherited {
    fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let none = Self { fds: ListenFd::empty(), names: Vec::new() };
        let Some(count) = env.number::<usize>("LISTEN_FDS", "a count of descriptors")? else {
            return Ok(none);
        };
        if env.number("LISTEN_PID", "a process id")? != Some(std::process::id()) {
            // Meant for a process before us, which forgot to take it out of its environment.
            return Ok(none);
        }
        if count > MAX_INHERITED {
            return Err(env.error("LISTEN_FDS", &format!("is more than the {MAX_INHERITED} that can be meant")));
        }
        let mut names: Vec<String> =
            env.text("LISTEN_FDNAMES").unwrap_or_default().split(':').map(str::to_owned).collect();
        names.resize(count, String::new());
        Ok(Self { fds: ListenFd::from_env(), names })
    }

    fn take(&mut self, wanted: impl Fn(&str) -> bool) -> Result<Option<Socket>, ListenError> {
        let Some(index) = self.names.iter().position(|name| wanted(name)) else {
            return Ok(None);
        };
        let name = &self.names[index];
        let refused = |source| ListenError::Inherited { fd: 3 + index, name: name.clone(), source };
        let socket = match self.fds.take_tcp_listener(index) {
            Ok(tcp) => tcp.map(Socket::Tcp),
            Err(_) => self.fds.take_unix_listener(index).map_err(refused)?.map(Socket::Unix),
        };
        let Some(socket) = socket else {
            return Ok(None);
        };
        socket.check().map_err(refused)?;
        Ok(Some(socket))
    }
}

impl Socket {
    /// It listens, and never blocks: all who share it expect that.
    fn check(&self) -> io::Result<()> {
        let listens = match self {
            Self::Tcp(tcp) => getsockopt(tcp, sockopt::AcceptConn)?,
            Self::Unix(unix) => getsockopt(unix, sockopt::AcceptConn)?,
        };
        if !listens {
            return Err(io::Error::other("it is a socket, but does not listen"));
        }
        match self {
            Self::Tcp(tcp) => tcp.set_nonblocking(true),
            Self::Unix(unix) => unix.set_nonblocking(true),
        }
    }

    /// The TCP address, if it is a TCP socket.
    pub(crate) fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(tcp) => tcp.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }
}

fn bind(service: &Service, env: &Env) -> Result<TcpListener, StartError> {
    let (own_port, own_host) = (format!("{}_PORT", service.name.to_uppercase()), own_host(service));
    let wanted = "a port number from 0 (any free one) to 65535";
    let (port, port_variable) = match env.number("PORT", wanted)? {
        Some(port) => (port, "PORT".to_owned()),
        None => (env.number(&own_port, wanted)?.unwrap_or(service.port), own_port),
    };
    // HOST alone means nothing: some shells keep the machine's name there.
    let host_variable =
        if port_variable == "PORT" && env.text("HOST").is_some() { "HOST".to_owned() } else { own_host };
    let host = env.text(&host_variable).unwrap_or("127.0.0.1");
    let addresses = (host, port)
        .to_socket_addrs()
        .map_err(|error| env.error(&host_variable, &format!("is no address of this machine: {error}")))?;

    let mut failure = env.error(&host_variable, "is no address").into();
    for address in addresses {
        match bind_one(address) {
            Ok(listener) => return Ok(listener),
            Err(source) => {
                failure = bind_error(service, address, &port_variable, &host_variable, source).into();
            }
        }
    }
    Err(failure)
}

/// Always on loopback.
fn bind_private(service: &Service, default: u16, env: &Env) -> Result<TcpListener, StartError> {
    let own_port = format!("{}_PRIVATE_PORT", service.name.to_uppercase());
    let variable = if env.text("PORT_PRIVATE").is_some() { "PORT_PRIVATE".to_owned() } else { own_port };
    let port = env.number(&variable, "a port number from 0 (any free one) to 65535")?.unwrap_or(default);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    bind_one(address).map_err(|source| bind_error(service, address, &variable, "127.0.0.1", source).into())
}

pub(crate) fn own_host(service: &Service) -> String {
    format!("{}_HOST", service.name.to_uppercase())
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // The standard library asks for a backlog of 128; asking again only changes that.
    listen(&listener, Backlog::new(BACKLOG)?)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn bind_error(
    service: &Service,
    address: SocketAddr,
    variable: &str,
    host_variable: &str,
    source: io::Error,
) -> ListenError {
    if source.kind() == io::ErrorKind::AddrInUse {
        ListenError::Busy { address, service: service.name, variable: variable.to_owned() }
    } else {
        let (variable, host_variable) = (variable.to_owned(), host_variable.to_owned());
        ListenError::Bind { address, variable, host_variable, source }
    }
}
