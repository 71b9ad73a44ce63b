//! The notify socket, used well and badly.
//! Not here: a correct client; that is the service kit's.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use nix::unistd::pipe2;

use crate::args::Args;
use crate::ends;
use crate::output::say;

/// Says `READY=1` after that many milliseconds, or `never`.
pub(crate) fn ready_after(mut args: Args) -> io::Result<()> {
    let after = args.word("milliseconds or `never`");
    if let Ok(ms) = after.parse() {
        thread::sleep(Duration::from_millis(ms));
        send(b"READY=1")?;
        say("ready\n")?;
    }
    ends::wait()
}

/// Sends each named datagram, then waits: `ready`, `garbage`, `empty`, `big`, `fds`, `barrier` (whose descriptor must be
/// closed before the next one is sent), `mainpid=N`, or the text itself.
/// `--socket PATH` instead of `NOTIFY_SOCKET`.
pub(crate) fn notify(mut args: Args) -> io::Result<()> {
    let path = args.option("socket");
    for kind in args.rest() {
        let done = match kind.as_str() {
            "ready" => send_to(path.as_deref(), b"READY=1"),
            "garbage" => send_to(path.as_deref(), &(0..=255).collect::<Vec<u8>>()),
            "empty" => send_to(path.as_deref(), b""),
            "big" => send_to(path.as_deref(), &vec![b'A'; 150_000]),
            "barrier" => barrier(path.as_deref()),
            "fds" => (0..20).try_for_each(|_| send_fds(path.as_deref())),
            text => match text.strip_prefix("mainpid=") {
                Some(pid) => send_to(path.as_deref(), format!("MAINPID={pid}").as_bytes()),
                None => send_to(path.as_deref(), text.as_bytes()),
            },
        };
        match done {
            Ok(()) => say(&format!("sent {kind}\n"))?,
            Err(error) => say(&format!("not sent {kind}: {error}\n"))?,
        }
    }
    ends::wait()
}

/// Ready, then `WATCHDOG=1` every `--interval MS`, and silence after `--stop-after MS`.
pub(crate) fn watchdog(mut args: Args) -> io::Result<()> {
    let interval = args.option_millis("interval").unwrap_or(Duration::from_millis(100));
    let stop_after = args.option_millis("stop-after").unwrap_or(Duration::MAX);
    let began = Instant::now();
    send(b"READY=1")?;
    while began.elapsed() < stop_after {
        send(b"WATCHDOG=1")?;
        thread::sleep(interval);
    }
    say("silent\n")?;
    ends::wait()
}

/// Sends to `NOTIFY_SOCKET`.
pub(crate) fn send(datagram: &[u8]) -> io::Result<()> {
    send_to(None, datagram)
}

fn send_to(path: Option<&str>, datagram: &[u8]) -> io::Result<()> {
    UnixDatagram::unbound()?.send_to(datagram, target(path)?)?;
    Ok(())
}

/// A datagram that carries as many descriptors as the kernel allows.
fn send_fds(path: Option<&str>) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    let address = UnixAddr::new(target(path)?.as_str())?;
    let null = std::fs::File::open("/dev/null")?;
    let fds = vec![null.as_raw_fd(); 250];
    let rights = [ControlMessage::ScmRights(&fds)];
    sendmsg(socket.as_raw_fd(), &[IoSlice::new(b"FDSTORE=1")], &rights, MsgFlags::empty(), Some(&address))?;
    Ok(())
}

/// As `sd_notify_barrier` does it: whoever has read all that came before closes the pipe's end.
fn barrier(path: Option<&str>) -> io::Result<()> {
    let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
    let address = UnixAddr::new(target(path)?.as_str())?;
    let fds = [theirs.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&fds)];
    let socket = UnixDatagram::unbound()?;
    sendmsg(socket.as_raw_fd(), &[IoSlice::new(b"BARRIER=1")], &rights, MsgFlags::empty(), Some(&address))?;
    drop((theirs, socket));
    match poll(&mut [PollFd::new(ours.as_fd(), PollFlags::empty())], PollTimeout::from(10_000_u16))? {
        0 => Err(io::Error::other("nobody has closed it")),
        _ => Ok(()),
    }
}

fn target(path: Option<&str>) -> io::Result<String> {
    match path {
        Some(path) => Ok(path.to_owned()),
        None => std::env::var("NOTIFY_SOCKET").map_err(io::Error::other),
    }
}
