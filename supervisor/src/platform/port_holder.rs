//! Who listens on a TCP port.
//! Not here: whether the port is free; only a bind tells.

use std::net::SocketAddr;

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: i32,
    /// Its name, as `ps` shows it.
    pub(crate) command: String,
}

/// The process whose listener stands in the way of `address`. `None` when there is none, or when it belongs to
/// another user whose descriptors we may not see.
#[cfg(target_os = "linux")]
pub(crate) fn port_holder(address: SocketAddr) -> Option<Holder> {
    let inodes: Vec<u64> = linux::listeners(address).into_iter().map(|listener| listener.inode).collect();
    if inodes.is_empty() {
        return None;
    }
    let pid = linux::owner(&inodes)?;
    Some(Holder { pid, command: linux::command(pid) })
}

/// What listens there was opened by the user who asks, whether or not its process may be looked into.
#[cfg(target_os = "linux")]
pub(crate) fn is_held_by_our_user(address: SocketAddr) -> bool {
    let ours = nix::unistd::geteuid().as_raw();
    linux::listeners(address).iter().any(|listener| listener.uid == ours)
}

/// Elsewhere nothing is known without further libraries.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_held_by_our_user(_address: SocketAddr) -> bool {
    false
}

/// Elsewhere nothing is known without further libraries.
#[cfg(not(target_os = "linux"))]
pub(crate) fn port_holder(_address: SocketAddr) -> Option<Holder> {
    None
}

/// A socket that listens.
#[cfg(any(target_os = "linux", test))]
struct Listener {
    /// Whose process has opened it.
    uid: u32,
    inode: u64,
}

/// The sockets in a `/proc/net/tcp` table that listen on the port of `address`, at the same address or where one of the
/// two is the unspecified one.
#[cfg(any(target_os = "linux", test))]
fn listening(table: &str, address: SocketAddr) -> Vec<Listener> {
    /// `TCP_LISTEN` of the kernel's `tcp_states.h`.
    const LISTEN: &str = "0A";
    let conflicts = |ip: std::net::IpAddr| {
        let (theirs, ours) = (ip.to_canonical(), address.ip().to_canonical());
        theirs == ours || theirs.is_unspecified() || ours.is_unspecified()
    };
    let rows = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (ip, port) = fields.get(1)?.split_once(':')?;
        let listens = *fields.get(3)? == LISTEN && u16::from_str_radix(port, 16).ok()? == address.port();
        let is_meant = listens && conflicts(parse_ip(ip)?);
        is_meant.then(|| Some(Listener { uid: fields.get(7)?.parse().ok()?, inode: fields.get(9)?.parse().ok()? }))?
    });
    rows.collect()
}

/// The kernel prints each 32-bit word of the address as it lies in memory.
#[cfg(any(target_os = "linux", test))]
fn parse_ip(hex: &str) -> Option<std::net::IpAddr> {
    let word = |i: usize| Some(u32::from_str_radix(hex.get(i * 8..i * 8 + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(std::net::IpAddr::from(word(0)?)),
        32 => {
            let bytes = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            Some(std::net::IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?))
        }
        _ => None,
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::net::SocketAddr;

    use super::{Listener, listening};

    pub(super) fn listeners(address: SocketAddr) -> Vec<Listener> {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter();
        let tables = tables.filter_map(|table| std::fs::read_to_string(table).ok());
        tables.flat_map(|table| listening(&table, address)).collect()
    }

    /// The first process that has one of these sockets open.
    pub(super) fn owner(inodes: &[u64]) -> Option<i32> {
        let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
        let mut pids: Vec<i32> = std::fs::read_dir("/proc")
            .ok()?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        pids.sort_unstable();
        pids.into_iter().find(|pid| {
            let Ok(fds) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
            fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
                .any(|target| links.iter().any(|link| target.as_os_str() == link.as_str()))
        })
    }

    pub(super) fn command(pid: i32) -> String {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.trim_end().chars().map(|c| if c.is_control() { '?' } else { c }).collect()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_holder_of_a_port_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        assert_eq!(port_holder(address).map(|holder| holder.pid), Some(me));
        let everywhere = SocketAddr::from(([0, 0, 0, 0], address.port()));
        assert_eq!(port_holder(everywhere).map(|holder| holder.pid), Some(me));
        assert!(is_held_by_our_user(address));
        drop(listener);
        assert!(!is_held_by_our_user(address));
    }

    #[test]
    fn another_address_or_a_mere_connection_is_no_holder() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \x20  0: 0100007F:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0\n\
            \x20  1: 0100007F:1F42 0100007F:1F41 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0\n";
        let at = |text: &str| {
            let found = listening(table, text.parse().unwrap());
            found.into_iter().map(|listener| (listener.uid, listener.inode)).collect::<Vec<_>>()
        };
        if cfg!(target_endian = "little") {
            assert_eq!(at("127.0.0.1:8001"), [(1000, 4711)]);
        }
        assert!(at("127.0.0.2:8001").is_empty());
        assert!(at("127.0.0.1:8002").is_empty());
    }
}
