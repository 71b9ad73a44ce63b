//! The Unix sockets of a run, by its number: for probes, and for what it tells.
//! Not here: who inherits them (`prepare`), what is told (`signs`).

use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};

use crate::config::{Handoff, ProbeHow};
use crate::control::launch::Identity;
use crate::control::launch::prepare::{Order, Places};
use crate::platform;

const PROBE: &str = "probe";
const NOTIFY: &str = "notify";

pub(super) fn probe_listener(order: &Order, places: &Places) -> io::Result<Option<(PathBuf, UnixListener)>> {
    let http = order.launch.probes.values().any(|probe| match probe.how {
        ProbeHow::Http { .. } => true,
        ProbeHow::Tcp | ProbeHow::Command(_) => false,
    });
    if order.launch.handoff != Handoff::Socket || !http {
        return Ok(None);
    }
    let path = socket_path(&places.runtime_dir, PROBE, order)?;
    let listener = UnixListener::bind(&path)?;
    listener.set_nonblocking(true)?;
    Ok(Some((path, listener)))
}

pub(super) fn notify_socket(
    order: &Order,
    places: &Places,
    identity: Option<&Identity>,
) -> io::Result<Option<(PathBuf, UnixDatagram)>> {
    if !order.launch.notify {
        return Ok(None);
    }
    let path = socket_path(&places.runtime_dir, NOTIFY, order)?;
    let socket = UnixDatagram::bind(&path)?;
    socket.set_nonblocking(true)?;
    platform::pass_credentials(&socket)?;
    if let Some(identity) = identity {
        // The one thing in the runtime directory that another user must reach: the way there may be passed, not read.
        nix::unistd::chown(&path, Some(identity.uid.into()), Some(identity.gid.into()))?;
        for dir in [places.runtime_dir.join(NOTIFY), places.runtime_dir.clone()] {
            std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711))?;
        }
    }
    Ok(Some((path, socket)))
}

fn socket_path(runtime_dir: &Path, kind: &str, order: &Order) -> io::Result<PathBuf> {
    let dir = runtime_dir.join(kind);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
    let path = dir.join(order.run.to_string());
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(path),
    }
}

/// Those that a start has made that came to nothing.
pub(super) fn remove(runtime_dir: &Path, run: u64) {
    for kind in [PROBE, NOTIFY] {
        let _ = std::fs::remove_file(runtime_dir.join(kind).join(run.to_string()));
    }
}
