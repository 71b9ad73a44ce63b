//! Linux: a subreaper, its list of children, `close_range`.
//! Not here: what other kernels do instead.

use std::fs::{self, File};
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::libc;
use nix::sys::prctl;
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Pid, Uid, fork, setgroups, setresgid, setresuid, write};

use super::{Forked, Handlers};
use crate::message::Step;

/// `recvmsg`: no descriptor lives for a moment without close-on-exec.
pub(crate) const RECEIVE: libc::c_int = libc::MSG_CMSG_CLOEXEC;
/// Bytes per unit of `ru_maxrss`.
pub(crate) const MAX_RSS_UNIT: u64 = 1024;

/// `linux/sched.h`; libc's own constants are too narrow.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;

const OOM_SCORE_ADJ: &str = "/proc/self/oom_score_adj";
/// Half of what would spare us altogether (-1000), which would leave the killer nobody when we are to blame.
const OOM_SCORE_ADJ_OF_ROLES: i32 = -500;
/// `linux/ioprio.h`.
const IOPRIO_WHO_PROCESS: libc::c_int = 1;
/// `linux/capability.h`.
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

pub(crate) fn close_on_exec(_received: &[OwnedFd]) {}

/// The other end of this socket has read all that was written to it.
pub(crate) fn all_read(socket: BorrowedFd<'_>) -> bool {
    let mut unread: libc::c_int = 0;
    // SAFETY: the kernel writes one int. `SIOCOUTQ` of unix(7) has the number of `TIOCOUTQ`.
    #[expect(unsafe_code, reason = "nix has no wrapper for it")]
    let told = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut unread) };
    told == 0 && unread == 0
}

/// What the first control took with it is of no use here, and each fork would copy the tables of it.
pub(crate) fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it touches only what the allocator has in its hands.
    #[expect(unsafe_code, reason = "the allocator keeps what was freed otherwise")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// From now on orphans of the whole tree become children of this process.
pub(crate) fn become_reaper() {
    // Without it (before Linux 3.4) orphans go to init, and are not ours to see.
    let _ = prctl::set_child_subreaper(true);
    let _ = prctl::set_name(c"keeper");
}

/// The out-of-memory killer prefers our children to us. A child has what its parent has at the fork, and changing it
/// there costs more than all else that a child does: we put ourselves in its place for that moment.
pub(crate) struct Spared {
    adjustment: File,
    own: i32,
    children: i32,
}

impl Spared {
    /// As root we go down to -500 and they have 0; else they have 100 more than we, which everyone may ask for.
    pub(crate) fn above_children() -> Option<Self> {
        // Opened for good: the path is closed to a process that keeps to itself.
        let adjustment = File::options().read(true).write(true).open(OOM_SCORE_ADJ).ok()?;
        let found: i32 = io::read_to_string(&adjustment).ok()?.trim().parse().ok()?;
        let went_down = found > OOM_SCORE_ADJ_OF_ROLES && write_number(&adjustment, OOM_SCORE_ADJ_OF_ROLES).is_ok();
        let own = if went_down { OOM_SCORE_ADJ_OF_ROLES } else { found };
        let children = if own <= OOM_SCORE_ADJ_OF_ROLES { 0 } else { (own.max(0) + 100).min(1000) };
        Some(Self { adjustment, own, children })
    }

    /// A child that is forked before the result goes has what children have.
    pub(crate) fn beside_a_child(&self) -> BesideChild<'_> {
        let _ = write_number(&self.adjustment, self.children);
        BesideChild(self)
    }
}

/// We have what our children have.
pub(crate) struct BesideChild<'s>(&'s Spared);

impl Drop for BesideChild<'_> {
    fn drop(&mut self) {
        // The kernel lets everyone go back to where they have been.
        let _ = write_number(&self.0.adjustment, self.0.own);
    }
}

fn write_number(file: &File, number: i32) -> io::Result<()> {
    file.write_all_at(number.to_string().as_bytes(), 0)
}

/// Others of our user can neither trace us nor read our memory, and no core of it is written. Ends with `exec`.
pub(crate) fn keep_to_ourselves() {
    let _ = prctl::set_dumpable(false);
}

/// We are scheduled as most programs are, with the priority that most have: then children are, too.
pub(crate) fn is_scheduled_plainly() -> bool {
    let itself = 0;
    // SAFETY: the three calls take integers.
    #[expect(unsafe_code, reason = "nix has none of the three")]
    unsafe {
        libc::sched_getscheduler(itself) == libc::SCHED_OTHER
            && libc::getpriority(libc::PRIO_PROCESS, 0) == 0
            && libc::syscall(libc::SYS_ioprio_get, IOPRIO_WHO_PROCESS, itself) == 0
    }
}

/// Ordinary scheduling and priority, whatever we were started with. Only root may raise them, so that is as far as it
/// goes.
pub(crate) fn schedule_plainly() {
    let (itself, plain) = (0, 0);
    // SAFETY: the kernel reads one sched_param, all zeroes; the other calls take integers.
    #[expect(unsafe_code, reason = "nix has none of the three")]
    unsafe {
        let param: libc::sched_param = zeroed();
        libc::sched_setscheduler(itself, libc::SCHED_OTHER, &raw const param);
        libc::setpriority(libc::PRIO_PROCESS, 0, plain);
        libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, itself, plain);
    }
}

/// Only root has capabilities; nobody else can get one back by a program's own.
pub(crate) fn keep_no_capabilities_unless_root() -> Result<(), Errno> {
    if Uid::effective().is_root() {
        return Ok(());
    }
    let header: [u32; 2] = [CAPABILITY_VERSION_3, 0];
    let none = [0_u32; 6];
    // SAFETY: the kernel reads the header and two triples, as that version has them.
    #[expect(unsafe_code, reason = "no wrapper has capset")]
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    Errno::result(result).map(drop)
}

/// No program can give us any of these any more. Needs a capability itself; without it, `no_new_privs` has to do.
fn drop_bounding_set() {
    // SAFETY: prctl with this operation takes an integer.
    #[expect(unsafe_code, reason = "nix has no bounding set")]
    let drop_one = |capability: libc::c_ulong| unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
    // It ends with the first number that the kernel does not know.
    let _ = (0..64).take_while(|capability| drop_one(*capability) == 0).count();
}

/// The C library refuses two signals that it uses itself; ignored ones are inherited all the same.
pub(crate) fn set_default_disposition(signal: i32) {
    // The kernel's sigaction is no longer than that, and all zeroes is the default without flags or mask.
    let default = [0_u64; 16];
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: the kernel reads a sigaction from `default`, and writes nothing.
    #[expect(unsafe_code, reason = "no wrapper lets these two through")]
    unsafe {
        libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), none, size_of::<u64>());
    }
}

/// Closes `first..=last`.
pub(crate) fn close_range(first: i32, last: i32) -> Result<(), Errno> {
    // SAFETY: closing cannot break memory safety here: this runs between fork and exec, and whoever owned these
    // descriptors does not run in this process any more.
    #[expect(unsafe_code, reason = "nix has no close_range")]
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    Errno::result(result).map(drop)
}

/// Forks; the child is in the control group where one is given and we may put it there, else where we are. It is put
/// there by being made there: moving it afterwards would wait for every processor, and is what is left to do where the
/// kernel has no such call (before 5.7), or a sandbox hides it.
///
/// # Safety
/// That of `fork`: this process has one thread. The child calls `exec` or exits: the C library does not know of it.
#[expect(unsafe_code, reason = "no wrapper has clone3")]
pub(crate) unsafe fn fork_to_exec(group: Option<BorrowedFd<'_>>) -> Result<Forked, Errno> {
    // SAFETY: all zeroes is a valid clone_args: no flags, null pointers.
    let mut args: libc::clone_args = unsafe { zeroed() };
    args.flags = CLONE_CLEAR_SIGHAND;
    args.exit_signal = u64::from(libc::SIGCHLD.unsigned_abs());
    if let Some(group) = group {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::from(group.as_raw_fd().unsigned_abs());
    }
    // SAFETY: the kernel reads `args`. Without CLONE_VM the child has its own copy of everything, as after `fork`.
    let made = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) };
    match Errno::result(made) {
        Ok(0) => return Ok(Forked::Child(Handlers::Cleared)),
        Ok(pid) => return Ok(Forked::Parent { child: Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX)) }),
        Err(errno @ (Errno::EAGAIN | Errno::ENOMEM)) => return Err(errno),
        Err(_) => {}
    }
    // SAFETY: as the caller promises.
    let forked = Forked::from(unsafe { fork() }?);
    if let (Forked::Child(_), Some(group)) = (&forked, group) {
        // It may be a group that we may make but not fill: control sees where the process is.
        let _ = join(group);
    }
    Ok(forked)
}

/// This process moves to the control group.
fn join(group: BorrowedFd<'_>) -> Result<(), Errno> {
    let procs = openat(group, "cgroup.procs", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    // The kernel takes 0 for whoever writes it.
    write(procs, b"0").map(drop)
}

/// Becomes the user for good and checks that the way back is closed.
pub(crate) fn become_user(uid: u32, gid: u32, groups: &[u32]) -> Result<(), (Step, Errno)> {
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    if !user.is_root() {
        drop_bounding_set();
    }
    setgroups(&groups).map_err(|errno| (Step::Setgroups, errno))?;
    setresgid(group, group, group).map_err(|errno| (Step::Setgid, errno))?;
    setresuid(user, user, user).map_err(|errno| (Step::Setuid, errno))?;
    let root = Uid::from_raw(0);
    if !user.is_root() && setresuid(root, root, root).is_ok() {
        return Err((Step::Setuid, Errno::EPERM));
    }
    prctl::set_no_new_privs().map_err(|errno| (Step::NoNewPrivs, errno))
}

/// Our children, whoever made them.
pub(crate) struct Children {
    /// The kernel's list for our only thread; some kernels are built without it.
    list: Option<File>,
}

impl Children {
    pub(crate) fn open() -> Self {
        let pid = std::process::id();
        Self { list: File::open(format!("/proc/self/task/{pid}/children")).ok() }
    }

    pub(crate) fn pids(&self) -> Vec<i32> {
        self.listed().unwrap_or_else(scan)
    }

    /// No child is left but those that are `known`, so nothing is left of the trees of those that were just
    /// reaped. A dying process hands its children to us before it can be reaped, hence the proof.
    pub(crate) fn none_but(&self, known: impl Fn(i32) -> bool, _groups: &[i32]) -> bool {
        self.listed().is_some_and(|pids| pids.into_iter().all(known))
    }

    /// The kernel calls this list reliable only while no child is reaped. Only we reap, so it is.
    fn listed(&self) -> Option<Vec<i32>> {
        let file = self.list.as_ref()?;
        let mut text = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            match file.read_at(&mut chunk, text.len() as u64) {
                Ok(0) => break,
                Ok(length) => text.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        Some(numbers(&String::from_utf8_lossy(&text)))
    }
}

fn numbers(text: &str) -> Vec<i32> {
    text.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect()
}

fn scan() -> Vec<i32> {
    let own = std::process::id().to_string();
    // In a namespace of our own under someone else's /proc, its numbers mean nothing to us.
    if !fs::read_link("/proc/self").is_ok_and(|link| link.as_os_str() == own.as_str()) {
        return Vec::new();
    }
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| parent(*pid).is_some_and(|parent| parent == own)).collect()
}

/// The fourth field of `stat`; the second may hold any character, so count from its closing bracket.
fn parent(pid: i32) -> Option<String> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat).into_owned();
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Children, scan};

    #[test]
    fn a_child_is_in_the_list_of_its_parent_and_in_the_scan() {
        // The list is per thread, so only the scan can know a child that a test thread made.
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(scan().contains(&pid));
        assert!(Children { list: None }.pids().contains(&pid));
        assert!(!Children { list: None }.none_but(|_| true, &[]), "without the list there is no proof");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
