//! What the keeper tells a new control: runs, records, file descriptors.
//! Not here: what is made of it (`startup`).

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use supervisor_core::Time;
use supervisor_keeper::{MAX_FDS, Notice, Reply, Request, VERSION};

use crate::control::keeper::link::{Heard, Link, Purpose};

/// Everything that the keeper holds for us.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    pub(crate) keeper_pid: i32,
    pub(crate) pid_one: bool,
    /// Grows with each control.
    pub(crate) epoch: u64,
    /// Runs of services: main process and its start.
    pub(crate) runs: BTreeMap<u64, (i32, Time)>,
    pub(crate) records: BTreeMap<String, Vec<u8>>,
    pub(crate) held: BTreeMap<String, OwnedFd>,
    /// What was told meanwhile, to be dealt with as soon as the loop runs.
    pub(crate) notices: Vec<(u64, Notice)>,
}

/// Takes everything over.
pub(crate) async fn take(link: &mut Link) -> io::Result<Inventory> {
    let mut inventory = Inventory::default();
    let mut names = Vec::new();
    loop {
        let (seq, notice) = match link.next().await? {
            Heard::Notice { seq, notice } => (seq, notice),
            Heard::Reply { .. } => continue,
            Heard::Closed => return Err(keeper_gone()),
        };
        match notice {
            Notice::Welcome { version, epoch, keeper_pid, pid_one } => {
                if version != VERSION {
                    return Err(io::Error::other(format!("the keeper speaks version {version}, not {VERSION}")));
                }
                (inventory.epoch, inventory.keeper_pid, inventory.pid_one) = (epoch, keeper_pid, pid_one);
            }
            Notice::Run { helper: true, .. } => {}
            Notice::Run { run, pid, started_ms, helper: false } => {
                inventory.runs.insert(run, (pid, Time(started_ms)));
            }
            Notice::Record { key, value } => {
                inventory.records.insert(key, value);
            }
            Notice::Held { name } => names.push(name),
            Notice::Ready => {
                link.acknowledge(seq)?;
                break;
            }
            early @ (Notice::Exited(_) | Notice::OrphanReaped | Notice::Shutdown { .. } | Notice::Reload) => {
                inventory.notices.push((seq, early));
                continue;
            }
        }
        link.acknowledge(seq)?;
    }
    for batch in names.chunks(MAX_FDS) {
        fetch(link, batch, &mut inventory).await?;
    }
    Ok(inventory)
}

async fn fetch(link: &mut Link, names: &[String], inventory: &mut Inventory) -> io::Result<()> {
    link.send(Purpose::Fetch, &Request::Fetch { names: names.to_vec() }, Vec::new())?;
    loop {
        match link.next().await? {
            Heard::Notice { seq, notice } => inventory.notices.push((seq, notice)),
            Heard::Reply { reply: Reply::Fds { names }, fds, .. } => {
                inventory.held.extend(names.into_iter().zip(fds));
                return Ok(());
            }
            Heard::Reply { purpose: Purpose::Fetch, reply: Reply::Failed { errno }, .. } => {
                return Err(io::Error::from_raw_os_error(errno));
            }
            Heard::Reply { .. } => {}
            Heard::Closed => return Err(keeper_gone()),
        }
    }
}

/// The keeper is the parent of everything: without it there is nothing to control.
pub(crate) fn keeper_gone() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the keeper is gone")
}
