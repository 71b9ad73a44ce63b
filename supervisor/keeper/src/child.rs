//! From `Spawn` to a running program: the fork, and what the child does up to `exec`.
//! Not here: what becomes of the process afterwards.

#![expect(unsafe_code, reason = "fork, and descriptors by number in a process about to exec")]

use std::ffi::CString;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, fork, setsid, write};

use crate::message::{BY_DESCRIPTOR, Spawn, Step};
use crate::platform::{Forked, Handlers, Spared};
use crate::{FirstControl, platform, signals};

pub(crate) type Failure = (Step, Errno);

/// With what Rust's own runtime exits after a panic.
const PANICKED: i32 = 101;

/// What the keeper was started with and changed for itself and for control; children get the original.
pub(crate) struct Origin {
    pub(crate) nofile: (u64, u64),
    core: (u64, u64),
    /// Not the original: the out-of-memory killer is to prefer the children.
    spared: Option<Spared>,
    scheduled_plainly: bool,
}

impl Origin {
    /// Notes the originals. From now on the keeper may have as many open files as the kernel grants, leaves no core,
    /// is closed to others of its user, and is one of the last that the out-of-memory killer takes.
    pub(crate) fn note() -> Self {
        let nofile = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((256, 256));
        let core = getrlimit(Resource::RLIMIT_CORE).unwrap_or((0, 0));
        // Where the hard limit is more than the kernel grants, the soft one stays as it is.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, nofile.1, nofile.1);
        let _ = setrlimit(Resource::RLIMIT_CORE, 0, core.1);
        // In this order: a process that is closed to others of its user cannot write what tells the killer.
        let spared = Spared::above_children();
        platform::keep_to_ourselves();
        Self { nofile, core, spared, scheduled_plainly: platform::is_scheduled_plainly() }
    }

    /// In the child, which is like the keeper but for this.
    fn restore(&self) -> Result<(), Errno> {
        if !self.scheduled_plainly {
            platform::schedule_plainly();
        }
        setrlimit(Resource::RLIMIT_CORE, self.core.0, self.core.1)
    }
}

/// A child on its way to `exec`.
pub(crate) struct Launched {
    pub(crate) pid: i32,
    pub(crate) progress: Progress,
}

/// The status pipe: closed by `exec`, or written by the step that failed.
pub(crate) struct Progress(PipeReader);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    NotYet,
    Exec,
    Failed { step: Step, errno: i32 },
}

impl Progress {
    pub(crate) fn read(&mut self) -> Reached {
        let mut report = [0; 5];
        match self.0.read(&mut report) {
            Ok(5) => {
                let [step, errno @ ..] = report;
                // The number is one that `report_and_exit` wrote.
                let step = Step::numbered(step).unwrap_or(Step::Fork);
                Reached::Failed { step, errno: i32::from_le_bytes(errno) }
            }
            // Five bytes are written to a pipe as one.
            Ok(_) => Reached::Exec,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Reached::NotYet,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Reached::NotYet,
            Err(_) => Reached::Exec,
        }
    }
}

impl AsFd for Progress {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The control groups of a child.
#[derive(Clone, Copy, Default)]
pub(crate) struct Groups<'a> {
    /// Where it begins (version 2).
    pub(crate) begin: Option<BorrowedFd<'a>>,
    /// `cgroup.procs` of those that it joins.
    pub(crate) join: &'a [BorrowedFd<'a>],
}

/// What a child becomes once everything is in its place.
pub(crate) enum Becomes<'o> {
    /// A program, for which is changed back what the keeper changed for itself.
    Service(&'o Origin),
    /// A program that stays like the keeper.
    Control,
    /// No other program: it does this, and exits with the code.
    FirstControl(FirstControl),
}

/// Forks. `fds` are the child's, as `spawn.fds` numbers them.
pub(crate) fn launch(
    spawn: &Spawn,
    fds: &[BorrowedFd<'_>],
    groups: Groups<'_>,
    becomes: Becomes<'_>,
) -> Result<Launched, Failure> {
    let image = Image::of(spawn, fds).ok_or((Step::Exec, Errno::EINVAL))?;
    let forking = |errno| (Step::Fork, errno);
    let (reader, writer) = io::pipe().map_err(|error| forking(errno_of(&error)))?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(forking)?;

    // A signal must find either our handlers in the parent or the defaults in the child.
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).map_err(forking)?;
    let beside = match &becomes {
        Becomes::Service(origin) => origin.spared.as_ref().map(Spared::beside_a_child),
        Becomes::Control | Becomes::FirstControl(_) => None,
    };
    // SAFETY: the keeper has one thread, so the child's copy of memory and locks is consistent.
    let forked = unsafe {
        match becomes {
            Becomes::Service(_) | Becomes::Control => platform::fork_to_exec(groups.begin),
            // It goes on with the C library, which is to know of it.
            Becomes::FirstControl(_) => fork().map(Forked::from),
        }
    };
    if let Ok(Forked::Child(handlers)) = forked {
        drop(reader);
        image.go_on(groups.join, becomes, handlers, writer.into_raw_fd());
    }
    drop(beside);
    // It cannot fail: this mask was read a moment ago.
    let _ = mask.thread_set_mask();
    match forked.map_err(forking)? {
        Forked::Parent { child } => Ok(Launched { pid: child.as_raw(), progress: Progress(reader) }),
        Forked::Child(_) => Err(forking(Errno::ENOTRECOVERABLE)),
    }
}

pub(crate) fn errno_of(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

fn report_and_exit(status: RawFd, step: Step, errno: Errno) -> ! {
    let mut report = [0; 5];
    report[0] = step as u8;
    report[1..].copy_from_slice(&(errno as i32).to_le_bytes());
    // SAFETY: `report` is valid for its length; _exit runs nothing of the parent's.
    unsafe {
        libc::write(status, report.as_ptr().cast(), report.len());
        libc::_exit(127)
    }
}

/// All that can be refused or prepared before the fork.
struct Image<'s> {
    spawn: &'s Spawn,
    program: CString,
    cwd: CString,
    argv: Vec<*const libc::c_char>,
    env: Vec<*const libc::c_char>,
    /// Descriptor here, number there.
    fds: Vec<(RawFd, RawFd)>,
}

impl<'s> Image<'s> {
    fn of(spawn: &'s Spawn, fds: &[BorrowedFd<'_>]) -> Option<Self> {
        let numbers = spawn.fds.iter().map(|number| RawFd::try_from(*number).ok());
        let pairs = fds.iter().zip(numbers).map(|(fd, number)| Some((fd.as_raw_fd(), number?)));
        Some(Self {
            spawn,
            program: CString::new(spawn.program.as_slice()).ok()?,
            cwd: CString::new(spawn.cwd.as_slice()).ok()?,
            argv: spawn.argv.pointers()?,
            env: spawn.env.pointers()?,
            fds: pairs.collect::<Option<_>>()?,
        })
    }

    /// The program is one of the descriptors, which it is not to inherit.
    fn descriptor(&self) -> Option<RawFd> {
        let number = self.program.to_bytes().strip_prefix(BY_DESCRIPTOR.as_bytes())?;
        let number = std::str::from_utf8(number).ok()?.parse().ok()?;
        self.fds.iter().any(|(_, placed)| *placed == number).then_some(number)
    }

    /// In the child. A panic must not unwind into the parent's loop.
    fn go_on(mut self, join: &[BorrowedFd<'_>], becomes: Becomes<'_>, handlers: Handlers, mut status: RawFd) -> ! {
        let (origin, first) = match becomes {
            Becomes::Service(origin) => (Some(origin), None),
            Becomes::Control => (None, None),
            Becomes::FirstControl(first) => (None, Some(first)),
        };
        let attempt = || {
            match handlers {
                Handlers::Inherited => signals::reset_signals(),
                // Nothing is ignored: the keeper reset itself when it began.
                Handlers::Cleared => signals::unblock_signals(),
            }
            self.prepare(join, origin, &mut status)?;
            if first.is_none() {
                return Err(self.exec());
            }
            // What `exec` would close.
            let placed: Vec<_> = self.fds.iter().map(|(_, number)| (*number, *number)).chain([(0, 0)]).collect();
            close_others(&placed, status).map_err(|errno| (Step::Fds, errno))
        };
        let failure = match (catch_unwind(AssertUnwindSafe(attempt)), first) {
            (Ok(Ok(())), Some(first)) => {
                // SAFETY: `prepare` has left this number to the status pipe alone; for the keeper its end is that of
                // the launch, as with `exec`.
                unsafe { libc::close(status) };
                std::process::exit(catch_unwind(AssertUnwindSafe(first)).map_or(PANICKED, i32::from));
            }
            (Ok(Err(failure)), _) => failure,
            (Ok(Ok(())), None) | (Err(_), _) => (Step::Fork, Errno::ENOTRECOVERABLE),
        };
        report_and_exit(status, failure.0, failure.1)
    }

    /// Limits come after the descriptors: a low one must not stand in the way of placing them.
    fn prepare(&mut self, join: &[BorrowedFd<'_>], origin: Option<&Origin>, status: &mut RawFd) -> Result<(), Failure> {
        let spawn = self.spawn;
        setsid().map_err(|errno| (Step::Setsid, errno))?;
        for group in join {
            // The kernel takes 0 for whoever writes it.
            write(group, b"0").map_err(|errno| (Step::Limits, errno))?;
        }
        if let Some(origin) = origin {
            origin.restore().map_err(|errno| (Step::Limits, errno))?;
        }
        let mode = libc::mode_t::try_from(spawn.umask).map_err(|_| (Step::Limits, Errno::EINVAL))?;
        umask(Mode::from_bits_truncate(mode));
        if !spawn.cwd.is_empty() {
            chdir(self.cwd.as_c_str()).map_err(|errno| (Step::Chdir, errno))?;
        }
        place(&mut self.fds, status).map_err(|errno| (Step::Fds, errno))?;
        if let Some((soft, hard)) = spawn.nofile.or(origin.map(|origin| origin.nofile)) {
            setrlimit(Resource::RLIMIT_NOFILE, soft, hard).map_err(|errno| (Step::Limits, errno))?;
        }
        if let Some((uid, gid, groups)) = &spawn.user {
            platform::become_user(*uid, *gid, groups)?;
        }
        if origin.is_some() {
            platform::keep_no_capabilities_unless_root().map_err(|errno| (Step::Capabilities, errno))?;
        }
        if let Some(number) = self.descriptor() {
            // SAFETY: F_SETFD takes an integer, and the number is one of those that were placed.
            Errno::result(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })
                .map_err(|errno| (Step::Fds, errno))?;
        }
        Ok(())
    }

    /// Returns only when it fails.
    fn exec(&mut self) -> Failure {
        let listen_pid = self.spawn.listen_pid.then(|| format!("LISTEN_PID={}\0", std::process::id()));
        if let Some(variable) = &listen_pid {
            self.env.insert(0, variable.as_ptr().cast());
        }
        // SAFETY: the lists are those of `Strings`, which live in `spawn`, and of a string that lives until then.
        unsafe { libc::execve(self.program.as_ptr(), self.argv.as_ptr(), self.env.as_ptr()) };
        (Step::Exec, Errno::last())
    }
}

/// Puts each descriptor at its number, `/dev/null` at 0 unless it is given, and closes all others but `status`,
/// which closes on `exec`.
fn place(fds: &mut [(RawFd, RawFd)], status: &mut RawFd) -> Result<(), Errno> {
    // First make room: the table may be nearly full of what the keeper holds.
    close_others(fds, *status)?;
    // Then out of the way of every number, so that none is overwritten before it is copied.
    let floor = fds.iter().map(|(_, number)| *number).max().unwrap_or(0).max(2) + 1;
    *status = duplicate(*status, floor)?;
    for (fd, _) in &mut *fds {
        *fd = duplicate(*fd, floor)?;
    }
    close_others(fds, *status)?;
    if fds.iter().all(|(_, number)| *number != 0) {
        // SAFETY: the path ends with a null. 0 was just closed and is the lowest, so that is what open returns.
        Errno::result(unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY) })?;
    }
    for (fd, number) in fds {
        // SAFETY: nothing in this process owns `number`: all below the floor was closed.
        Errno::result(unsafe { libc::dup2(*fd, *number) })?;
    }
    Ok(())
}

fn close_others(fds: &[(RawFd, RawFd)], status: RawFd) -> Result<(), Errno> {
    let mut kept: Vec<RawFd> = fds.iter().map(|(fd, _)| *fd).chain([status]).collect();
    kept.sort_unstable();
    let mut first = 0;
    for fd in kept {
        if first < fd {
            platform::close_range(first, fd - 1)?;
        }
        first = fd + 1;
    }
    platform::close_range(first, RawFd::MAX)
}

fn duplicate(fd: RawFd, floor: RawFd) -> Result<RawFd, Errno> {
    // SAFETY: F_DUPFD_CLOEXEC takes an integer.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, floor) })
}
