//! Kernels without subreapers: orphans go to init, so a tree is its process group.
//! Not here: any attempt to find processes that left their group.

use std::fs;
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::unistd::{Gid, Uid, fork, setgid, setuid};

use super::Forked;
use crate::message::Step;

pub(crate) const RECEIVE: libc::c_int = 0;
pub(crate) const MAX_RSS_UNIT: u64 = 1;

pub(crate) fn close_on_exec(received: &[OwnedFd]) {
    for fd in received {
        let _ = fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
    }
}

pub(crate) fn all_read(_socket: BorrowedFd<'_>) -> bool {
    false
}

pub(crate) fn give_memory_back() {}

pub(crate) fn become_reaper() {}

/// There is no killer to be spared by.
pub(crate) struct Spared;

impl Spared {
    pub(crate) fn above_children() -> Option<Self> {
        None
    }

    pub(crate) fn beside_a_child(&self) {}
}

pub(crate) fn keep_to_ourselves() {}

pub(crate) fn is_scheduled_plainly() -> bool {
    true
}

pub(crate) fn schedule_plainly() {}

pub(crate) fn keep_no_capabilities_unless_root() -> Result<(), Errno> {
    Ok(())
}

pub(crate) fn set_default_disposition(signal: i32) {
    // SAFETY: the default disposition runs no code of ours.
    #[expect(unsafe_code, reason = "changing a disposition is unsafe as such")]
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
    }
}

/// Closes `first..=last`.
pub(crate) fn close_range(first: i32, last: i32) -> Result<(), Errno> {
    let listed = fs::read_dir("/dev/fd").map_err(|_| Errno::EMFILE)?;
    let open: Vec<i32> = listed.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| (first..=last).contains(fd)) {
        // SAFETY: as for Linux: between fork and exec nobody else owns these descriptors.
        #[expect(unsafe_code, reason = "the descriptors have no owner in this process")]
        unsafe {
            libc::close(fd);
        }
    }
    Ok(())
}

/// Forks; there are no control groups.
///
/// # Safety
/// That of `fork`: this process has one thread.
#[expect(unsafe_code, reason = "fork")]
pub(crate) unsafe fn fork_to_exec(_group: Option<BorrowedFd<'_>>) -> Result<Forked, Errno> {
    // SAFETY: as the caller promises.
    unsafe { fork() }.map(Forked::from)
}

/// Becomes the user for good and checks that the way back is closed.
pub(crate) fn become_user(uid: u32, gid: u32, groups: &[u32]) -> Result<(), (Step, Errno)> {
    let count = libc::c_int::try_from(groups.len()).map_err(|_| (Step::Setgroups, Errno::EINVAL))?;
    // SAFETY: `groups` holds `count` group ids.
    #[expect(unsafe_code, reason = "nix has no setgroups here")]
    let result = unsafe { libc::setgroups(count, groups.as_ptr()) };
    Errno::result(result).map_err(|errno| (Step::Setgroups, errno))?;
    setgid(Gid::from_raw(gid)).map_err(|errno| (Step::Setgid, errno))?;
    setuid(Uid::from_raw(uid)).map_err(|errno| (Step::Setuid, errno))?;
    if uid != 0 && setuid(Uid::from_raw(0)).is_ok() {
        return Err((Step::Setuid, Errno::EPERM));
    }
    Ok(())
}

pub(crate) struct Children;

impl Children {
    pub(crate) fn open() -> Self {
        Self
    }

    /// Only the main processes can be children here, and the keeper knows them.
    pub(crate) fn pids(&self) -> Vec<i32> {
        Vec::new()
    }

    pub(crate) fn none_but(&self, _known: impl Fn(i32) -> bool, groups: &[i32]) -> bool {
        groups.iter().all(|group| crate::process::signal(-group, 0) == Err(Errno::ESRCH))
    }
}
