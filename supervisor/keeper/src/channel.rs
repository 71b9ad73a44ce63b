//! Frames with file descriptors over a non-blocking unix stream socket.
//! Not here: what a frame means, waiting, and retrying.

#![expect(unsafe_code, reason = "recvmsg by hand: nix leaks the descriptors of a truncated message")]

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::libc;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use crate::message::MAX_FDS;
use crate::platform;

/// A longer body is refused by either side.
pub(crate) const MAX_BODY: usize = 4 << 20;
/// A longer value of a record may not fit into a frame, whatever its key.
pub const MAX_RECORD: usize = MAX_BODY - 4096;
/// Body length (u32), operation (u8), number of file descriptors (u8), request id or notice number (u64).
const HEADER: usize = 14;
const READ: usize = 8 * 1024;
/// Frames without descriptors are sent together with what is before them up to so many bytes.
const TOGETHER: usize = READ;
/// Sets of file descriptors that came before the ends of their frames: one, unless the sender is broken.
const MAX_SETS: usize = 4;

/// One frame, as it came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) operation: u8,
    pub(crate) id: u64,
    pub(crate) body: Vec<u8>,
    pub(crate) fds: Vec<OwnedFd>,
    /// The kernel had no room in our table for all of `fds`.
    pub(crate) fds_lost: bool,
}

/// What came of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filled {
    Some,
    WouldBlock,
    Closed,
}

pub(crate) struct Channel {
    socket: OwnedFd,
    outgoing: VecDeque<Outgoing>,
    queued: usize,
    incoming: Vec<u8>,
    /// One for each frame with descriptors, in order: a frame's set travels with its first byte, and the kernel
    /// ends a read after a set.
    sets: VecDeque<FdSet>,
}

/// A frame, and those after it that bring no descriptors: they are sent as one.
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    fds: Vec<OwnedFd>,
}

struct FdSet {
    fds: Vec<OwnedFd>,
    truncated: bool,
}

impl Channel {
    /// Makes `socket` non-blocking and close-on-exec.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        let flags = OFlag::from_bits_retain(fcntl(&socket, FcntlArg::F_GETFL)?);
        fcntl(&socket, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        let (outgoing, incoming, sets) = (VecDeque::new(), Vec::new(), VecDeque::new());
        Ok(Self { socket, outgoing, queued: 0, incoming, sets })
    }

    /// Queues a frame; nothing is written before `flush`.
    ///
    /// # Errors
    /// `InvalidInput` when there are too many bytes or descriptors for one frame.
    pub(crate) fn queue(&mut self, operation: u8, id: u64, body: &[u8], fds: Vec<OwnedFd>) -> io::Result<()> {
        let (Ok(length), Ok(count)) = (u32::try_from(body.len()), u8::try_from(fds.len())) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if body.len() > MAX_BODY || fds.len() > MAX_FDS {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let total = HEADER + body.len();
        let outgoing = match self.outgoing.back_mut() {
            Some(last) if fds.is_empty() && last.bytes.len() + total <= TOGETHER => last,
            Some(_) | None => self.outgoing.push_back_mut(Outgoing { bytes: Vec::with_capacity(total), sent: 0, fds }),
        };
        outgoing.bytes.extend_from_slice(&length.to_le_bytes());
        outgoing.bytes.extend_from_slice(&[operation, count]);
        outgoing.bytes.extend_from_slice(&id.to_le_bytes());
        outgoing.bytes.extend_from_slice(body);
        self.queued += total;
        Ok(())
    }

    /// Writes what the socket takes now.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while let Some(frame) = self.outgoing.front_mut() {
            let raw: Vec<RawFd> = frame.fds.iter().map(AsRawFd::as_raw_fd).collect();
            let rights = [ControlMessage::ScmRights(&raw)];
            let rights = if raw.is_empty() { &rights[..0] } else { &rights[..] };
            let bytes = [IoSlice::new(&frame.bytes[frame.sent..])];
            let flags = MsgFlags::MSG_NOSIGNAL;
            match sendmsg::<()>(self.socket.as_raw_fd(), &bytes, rights, flags, None) {
                Ok(sent) => {
                    frame.fds.clear();
                    frame.sent += sent;
                    self.queued -= sent;
                    if frame.sent == frame.bytes.len() {
                        self.outgoing.pop_front();
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Reads once. Frames that are complete then wait in `next_frame`.
    pub(crate) fn fill(&mut self) -> io::Result<Filled> {
        let mut buffer = [0; READ];
        let (length, set) = loop {
            match receive(self.socket.as_fd(), &mut buffer) {
                Ok(received) => break received,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(Filled::WouldBlock),
                Err(Errno::ECONNRESET) => return Ok(Filled::Closed),
                Err(errno) => return Err(errno.into()),
            }
        };
        if length == 0 {
            return Ok(Filled::Closed);
        }
        self.incoming.extend_from_slice(&buffer[..length]);
        if !set.fds.is_empty() || set.truncated {
            self.sets.push_back(set);
        }
        Ok(Filled::Some)
    }

    /// The next complete frame of those that were read.
    ///
    /// # Errors
    /// `InvalidData` when the other side does not keep to the protocol; the channel is of no use after that.
    pub(crate) fn next_frame(&mut self) -> io::Result<Option<Frame>> {
        let Some((header, rest)) = self.incoming.split_first_chunk::<HEADER>() else {
            return if self.sets.len() > MAX_SETS { Err(broken("stray descriptors")) } else { Ok(None) };
        };
        let [l0, l1, l2, l3, operation, count, id @ ..] = *header;
        let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        if length > MAX_BODY || usize::from(count) > MAX_FDS || self.sets.len() > MAX_SETS {
            return Err(broken("frame over its limits"));
        }
        let Some(body) = rest.get(..length).map(<[u8]>::to_vec) else {
            return Ok(None);
        };
        let mut set = FdSet { fds: Vec::new(), truncated: false };
        if count > 0 {
            set = self.sets.pop_front().ok_or_else(|| broken("descriptors are missing"))?;
            if set.fds.len() != usize::from(count) && !set.truncated {
                return Err(broken("wrong number of descriptors"));
            }
        }
        self.incoming.drain(..HEADER + length);
        if self.incoming.is_empty() {
            self.incoming.shrink_to(READ);
        }
        let id = u64::from_le_bytes(id);
        Ok(Some(Frame { operation, id, body, fds: set.fds, fds_lost: set.truncated }))
    }

    pub(crate) fn wants_write(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Bytes that the socket did not take yet.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<(usize, FdSet), Errno> {
    // Twice MAX_FDS integers, in words so that it is aligned for a header.
    let mut control = [0_u64; MAX_FDS + 8];
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all zeroes is a valid msghdr: null pointers with lengths of zero.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: `message` points to `buffer` and `control`, which outlive the call, with their true lengths.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, platform::RECEIVE) };
    let length = usize::try_from(Errno::result(length)?).unwrap_or(0);

    let mut fds = Vec::new();
    // SAFETY: `message` was filled by recvmsg; the CMSG functions stay within `msg_controllen`. Descriptors in a
    // SCM_RIGHTS message are new and ours alone.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(found) = header.as_ref() {
            if found.cmsg_level == libc::SOL_SOCKET && found.cmsg_type == libc::SCM_RIGHTS {
                let data = libc::CMSG_DATA(header).cast::<RawFd>();
                #[allow(clippy::unnecessary_cast, reason = "its type is not the same everywhere")]
                let bytes = found.cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let count = bytes / size_of::<RawFd>();
                fds.extend((0..count).map(|i| OwnedFd::from_raw_fd(data.add(i).read_unaligned())));
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    platform::close_on_exec(&fds);
    Ok((length, FdSet { fds, truncated: message.msg_flags & libc::MSG_CTRUNC != 0 }))
}

#[cfg(test)]
mod tests;
