//! The listeners of the API: a unix socket in the runtime directory, and `[http] listen`. The keeper holds them, so
//! that clients wait rather than fail while control is replaced.
//! Not here: who may ask what (`api`).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use supervisor_keeper::Request;

use crate::config::{Listen, Stack};
use crate::control::keeper::inventory::Inventory;
use crate::control::keeper::link::{Link, Purpose};
use crate::platform;

const UNIX: &str = "http/unix";
const TCP: &str = "http/tcp";
/// Tried in order when `[http] listen` is not given.
const AUTO_PORTS: std::ops::RangeInclusive<u16> = 9700..=9719;

/// What the API listens on.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) unix: UnixListener,
    pub(crate) tcp: Option<TcpListener>,
    pub(crate) address: Option<SocketAddr>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    #[error("cannot listen on {path}: {source}")]
    Unix { path: PathBuf, source: io::Error },
    #[error("`[http] listen`: {address} is held by {holder}; choose another or set `listen = \"off\"`")]
    Busy { address: SocketAddr, holder: String },
    #[error("`[http] listen`: cannot listen on {address}: {source}")]
    Tcp { address: SocketAddr, source: io::Error },
    #[error("cannot hand the API's listeners to the keeper: {0}")]
    Keeper(io::Error),
}

/// Where the API's unix socket is.
pub(crate) fn api_socket(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("api.sock")
}

/// Takes over what is held, and makes and hands over what is not.
pub(crate) fn open(stack: &Stack, link: &mut Link, inventory: &mut Inventory) -> Result<Sockets, SocketError> {
    let held = inventory.held.remove(TCP).map(TcpListener::from);
    let address = held.as_ref().and_then(|tcp| tcp.local_addr().ok());
    let tcp = match swap(stack.http.listen, address)? {
        Swap::Keep => held,
        Swap::To(tcp) => tcp,
    };
    // After what may fail, so that a start that is refused leaves no socket behind.
    let path = api_socket(&stack.runtime_dir);
    let unix = match inventory.held.remove(UNIX) {
        // Should it have been removed under us, the one that watches it makes it again.
        Some(fd) => UnixListener::from(fd),
        None => bind_unix(&path)?,
    };
    hold(link, &unix).and_then(|()| hold_tcp(link, tcp.as_ref())).map_err(SocketError::Keeper)?;
    let address = tcp.as_ref().and_then(|tcp| tcp.local_addr().ok());
    Ok(Sockets { unix, tcp, address })
}

/// Tells when the socket file is removed, by a cleaner of temporary files perhaps. Keep what is returned.
pub(crate) fn watch(
    runtime_dir: &Path,
    removed: impl Fn() + Send + 'static,
) -> notify::Result<notify::RecommendedWatcher> {
    let socket = api_socket(runtime_dir);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let ours = event.is_ok_and(|event| event.kind.is_remove() && event.paths.contains(&socket));
        if ours && !socket.exists() {
            removed();
        }
    })?;
    notify::Watcher::watch(&mut watcher, runtime_dir, notify::RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// Makes the unix socket anew and hands it to the keeper.
pub(crate) fn open_again(runtime_dir: &Path, link: &mut Link) -> Result<UnixListener, SocketError> {
    let unix = bind_unix(&api_socket(runtime_dir))?;
    hold(link, &unix).map_err(SocketError::Keeper)?;
    Ok(unix)
}

fn hold(link: &mut Link, unix: &UnixListener) -> io::Result<()> {
    unix.set_nonblocking(true)?;
    let fds = vec![unix.try_clone()?.into()];
    link.send(Purpose::Note("hold the API's socket"), &Request::Hold { names: vec![UNIX.to_owned()] }, fds)
}

/// What is held until now is let go.
pub(crate) fn hold_tcp(link: &mut Link, tcp: Option<&TcpListener>) -> io::Result<()> {
    let names = vec![TCP.to_owned()];
    match tcp {
        Some(tcp) => {
            tcp.set_nonblocking(true)?;
            let fds = vec![tcp.try_clone()?.into()];
            link.send(Purpose::Note("hold the API's listener"), &Request::Hold { names }, fds)
        }
        None => link.send(Purpose::Note("let go of the API's listener"), &Request::Drop { names }, Vec::new()),
    }
}

/// What `[http] listen` asks for, beside what is there.
#[derive(Debug)]
pub(crate) enum Swap {
    Keep,
    To(Option<TcpListener>),
}

/// A new listener, unless the one at `address` is what is wanted.
pub(crate) fn swap(listen: Listen, address: Option<SocketAddr>) -> Result<Swap, SocketError> {
    let fits = match (listen, address) {
        (Listen::Off, None) => true,
        (Listen::At(wanted), Some(address)) => {
            wanted.ip() == address.ip() && (wanted.port() == address.port() || wanted.port() == 0)
        }
        (Listen::Auto, Some(address)) => {
            address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) && AUTO_PORTS.contains(&address.port())
        }
        (Listen::Off, Some(_)) | (Listen::At(_) | Listen::Auto, None) => false,
    };
    if fits { Ok(Swap::Keep) } else { bind_tcp(listen).map(Swap::To) }
}

/// We hold the lock of the stack, so a socket at `path` is no living supervisor's; anything else is not ours to remove.
fn bind_unix(path: &Path) -> Result<UnixListener, SocketError> {
    let failed = |source| SocketError::Unix { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => std::fs::remove_file(path).map_err(failed)?,
        Ok(_) => return Err(failed(io::Error::other("something that is no socket is in its place; remove it"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    // The directory lets nobody else in, and the umask took the rest; this takes the pointless right to execute.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

fn bind_tcp(listen: Listen) -> Result<Option<TcpListener>, SocketError> {
    match listen {
        Listen::Off => Ok(None),
        Listen::At(address) => match TcpListener::bind(address) {
            Ok(listener) => Ok(Some(listener)),
            Err(source) if source.kind() == io::ErrorKind::AddrInUse => {
                let holder = platform::port_holder(address)
                    .map_or("another process".to_owned(), |holder| format!("pid {} ({})", holder.pid, holder.command));
                Err(SocketError::Busy { address, holder })
            }
            Err(source) => Err(SocketError::Tcp { address, source }),
        },
        Listen::Auto => {
            let mut addresses = AUTO_PORTS.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            // With all of them taken, the unix socket still answers.
            Ok(addresses.find_map(|address| TcpListener::bind(address).ok()))
        }
    }
}
