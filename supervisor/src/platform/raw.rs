//! The few things that only `unsafe` can do. The one file of this package that holds any.
//! Not here: anything that can be done without.

use std::os::fd::{FromRawFd, OwnedFd};

/// Takes the channel that the keeper left at its place. To be called once, first thing in the role of control.
#[expect(unsafe_code, reason = "a descriptor that was inherited has no owner in this process yet")]
pub(crate) fn control_channel() -> std::io::Result<OwnedFd> {
    let fd = supervisor_keeper::CONTROL_FD;
    // SAFETY: `fcntl` with `F_GETFD` reads a flag and touches no memory.
    if unsafe { nix::libc::fcntl(fd, nix::libc::F_GETFD) } == -1 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open, as was just seen, and nothing else in this process owns it: the keeper put it
    // there before `exec`, and this is called once, before anything is opened.
    let channel = unsafe { OwnedFd::from_raw_fd(fd) };
    // Nobody who comes after us is meant to have it.
    nix::fcntl::fcntl(&channel, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
    Ok(channel)
}

/// Tells when there is something to read. Within a runtime only.
#[expect(unsafe_code, reason = "the runtime is told of a descriptor by its number")]
pub(crate) fn readable(fd: OwnedFd) -> std::io::Result<tokio::io::unix::AsyncFd<OwnedFd>> {
    use tokio::io::unix::AsyncFd;
    // SAFETY: the descriptor is owned by what is returned, so it stays open, and the same, as long as that lives.
    unsafe { AsyncFd::register_with_interest(fd, tokio::io::Interest::READABLE) }.map_err(Into::into)
}

/// Columns and rows of the terminal behind a descriptor; `None` when it is none.
#[expect(unsafe_code, reason = "the size of a terminal is asked for by ioctl only")]
pub(crate) fn terminal_size(fd: impl std::os::fd::AsFd) -> Option<(usize, usize)> {
    use std::os::fd::AsRawFd;
    let mut size = nix::libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptor is borrowed, so it is open, and `TIOCGWINSZ` writes one `winsize`, which lives here.
    let answer = unsafe { nix::libc::ioctl(fd.as_fd().as_raw_fd(), nix::libc::TIOCGWINSZ, &raw mut size) };
    (answer == 0 && size.ws_col > 0).then(|| (usize::from(size.ws_col), usize::from(size.ws_row)))
}

/// Seconds that the clock of people here is ahead of UTC at this moment (in seconds since 1970), by `TZ`, else by what
/// the machine is set to; 0 where nobody knows.
#[expect(unsafe_code, reason = "only the C library knows the time zone")]
pub(crate) fn local_offset(unix: i64) -> i64 {
    let unix = unix as nix::libc::time_t;
    let mut told = std::mem::MaybeUninit::<nix::libc::tm>::uninit();
    // SAFETY: it reads a number and writes one `tm`, which live here. It also reads the environment, which nothing in
    // this program changes once there are threads.
    let is_known = unsafe { !nix::libc::localtime_r(&raw const unix, told.as_mut_ptr()).is_null() };
    // SAFETY: it was written, as the answer says.
    if is_known { unsafe { told.assume_init() }.tm_gmtoff } else { 0 }
}

/// What `command` makes ends with the thread that makes it, which must wait for it. What it starts itself does not.
/// Elsewhere than on Linux it goes on by itself.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "only the child itself can ask to be ended with its parent")]
pub(crate) fn ends_with_us(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    let us = nix::unistd::Pid::this();
    let ask = move || {
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
        // Whoever died before that is not told of any more.
        if nix::unistd::getppid() == us { Ok(()) } else { Err(nix::errno::Errno::ESRCH.into()) }
    };
    // SAFETY: between `fork` and `exec` this makes two system calls, and takes no lock and no memory.
    unsafe { command.pre_exec(ask) };
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn ends_with_us(_: &mut std::process::Command) {}

/// Has the threads to come share two heaps instead of one for each: most have little to keep, and a heap keeps what was
/// freed in it.
pub(crate) fn share_heaps() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "the allocator has no other way to be told")]
    // SAFETY: it sets a number of the allocator. It fails only for numbers that make no sense.
    unsafe {
        nix::libc::mallopt(nix::libc::M_ARENA_MAX, 2);
    }
}

/// Puts `title` where the arguments of this process lay, and on where the variables lay, as far as it is long
/// (`setproctitle` of other systems). This process must have one thread.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "there is no call for it that needs no privilege")]
pub(super) fn overwrite_arguments(place: &super::title::Place, title: &[u8]) {
    use std::ffi::{CString, c_char};
    use std::os::unix::ffi::OsStringExt;
    unsafe extern "C" {
        static mut environ: *mut *mut c_char;
    }
    let variables = std::env::vars_os().map(|(key, value)| [key.into_vec(), value.into_vec()].join(&b'='));
    // They hold no null, as they were ended by one.
    let copies = variables.filter_map(|variable| CString::new(variable).ok()).map(CString::into_raw);
    let list: Vec<*mut c_char> = copies.chain([std::ptr::null_mut()]).collect();
    let rest = (place.arguments_end - place.begin).saturating_sub(title.len()).max(1);
    // SAFETY: nobody reads the variables meanwhile, as there is one thread, and nobody afterwards where they lay: the
    // list that takes the place of theirs is never freed. The kernel has mapped the place for us, to be written, and
    // `title::place_for` has seen that the title and its null fit.
    unsafe {
        environ = list.leak().as_mut_ptr();
        let begin: *mut u8 = std::ptr::with_exposed_provenance_mut(place.begin);
        begin.copy_from_nonoverlapping(title.as_ptr(), title.len());
        begin.add(title.len()).write_bytes(0, rest);
    }
}
