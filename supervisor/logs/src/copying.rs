//! One turn of one pipe: its bytes into the log, rotating on the way.
//! Not here: when it is a pipe's turn.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::boundary::Step;
use crate::log::{After, Log, errno};
use crate::onlooker;
use crate::outage;
use crate::pipe::{Pipe, Way};
use crate::platform::{self, Peeker};
use crate::settings::OnFull;
use crate::stage::PIECE;
use crate::worker::House;

/// At most this much is moved from pipe to file at once. The writer waits meanwhile, as the kernel locks the pipe.
const CHUNK: usize = 64 << 10;
/// After this much it is the next pipe's turn.
const QUANTUM: u64 = 1 << 20;
/// As much as can be looked at; control gives pipes this capacity.
pub(crate) const VISIBLE: usize = 256 << 10;
/// While several pipes feed one log, a line without its end is waited for this long: on a busy machine a writer may
/// be stopped in the middle of it.
pub(crate) const PATIENCE: Duration = Duration::from_millis(250);
/// A line longer than this is not waited for.
pub(crate) const LONG_LINE: usize = 64 << 10;

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The pipe is empty.
    Drained,
    /// There is more to move.
    More,
    /// What is there has to wait: for the end of its line, or of an outage.
    Held,
    /// The pipe is empty and has no writer.
    Ended,
}

/// What a worker uses for all its pipes.
pub(crate) struct Tools {
    pub(crate) peeker: Peeker,
    pub(crate) buffer: Box<[u8]>,
    pub(crate) house: House,
}

/// Gives `pipe` a turn; returns how it ended and how many bytes left the pipe.
pub(crate) fn turn(pipe: &mut Pipe, log: &mut Log, tools: &mut Tools) -> (Turn, u64) {
    // A pipe that hung up without a word asks for no file.
    if log.target().is_none() && !pipe.holds_something() {
        return (Turn::Drained, 0);
    }
    let now = Instant::now();
    log.refresh();
    let mut moved = 0;
    loop {
        // What is staged was seen, or is not looked at.
        let unseen = !pipe.is_staged();
        if unseen && let Some(turn) = onlooker::show(pipe, tools, now) {
            return (turn, moved);
        }
        let before = moved;
        let ended = match pipe.way {
            Way::Splice => splice_some(pipe, log, tools, now, &mut moved),
            Way::Copy => copy_some(pipe, log, tools, now, &mut moved),
        };
        if let Some(watched) = pipe.watched.as_mut().filter(|_| unseen) {
            watched.left(usize::try_from(moved - before).unwrap_or(usize::MAX));
        }
        match ended {
            Ok(()) if moved < QUANTUM => {}
            Ok(()) => return (Turn::More, moved),
            Err(Stop::At(turn)) => return (turn, moved),
            // Not a pipe, or a file system or a system without splice.
            Err(Stop::Because(Errno::EINVAL | Errno::ENOSYS)) if pipe.way == Way::Splice => {
                pipe.way = Way::Copy;
            }
            Err(Stop::Because(Errno::EINTR)) => {}
            Err(Stop::Because(Errno::EAGAIN)) => return (Turn::Drained, moved),
            // The pipe cannot be read now. Not known to happen; told, and tried again, like a disk that fails.
            Err(Stop::Because(error)) => {
                log.failed(error, now, &tools.house);
                return (Turn::Held, moved);
            }
        }
    }
}

/// Copies what comes next, as much as may be taken now, to the tools' buffer. `Ok(0)`: no writer is left. What is seen can
/// leave in one step: a kill in the middle of a drop must not leave the second half of a line.
pub(crate) fn peek(pipe: &mut Pipe, tools: &mut Tools) -> nix::Result<usize> {
    let Tools { peeker, buffer, .. } = tools;
    if let Some(staged) = pipe.gather().map(|stage| stage.peek(peeker, buffer)) {
        match staged? {
            0 => {}
            staged => return Ok(staged),
        }
    }
    let most = buffer.len().min(pipe.allowed());
    peeker.peek(pipe.fd.as_fd(), &mut buffer[..most])
}

/// Why not to go on with a pipe now.
pub(crate) enum Stop {
    At(Turn),
    Because(Errno),
}

impl From<Errno> for Stop {
    fn from(error: Errno) -> Self {
        Self::Because(error)
    }
}

fn splice_some(pipe: &mut Pipe, log: &mut Log, tools: &mut Tools, now: Instant, moved: &mut u64) -> Result<(), Stop> {
    if pipe.skip {
        return outage::skip_line(pipe, log, tools, moved);
    }
    if !log.ready(now, &tools.house) {
        return outage::relieve(pipe, log, tools, now, moved);
    }
    let alone = log.pipes < 2 || pipe.finishing;
    let (len, ends_line) = match log.unlooked(now).filter(|_| alone) {
        Some(room) => {
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            pipe.advance(room.min(log.piece()))?;
            (room.min(if pipe.is_staged() { PIECE } else { CHUNK.min(pipe.allowed()) }), None)
        }
        None => match look(pipe, log, tools, now)? {
            Some(piece) => piece,
            None => return Ok(()),
        },
    };
    log.writes(pipe.generation);
    let Some((file, end)) = log.target() else {
        return Err(Stop::At(Turn::Held));
    };
    match pipe.take(|fd| platform::splice(fd, file, end, len)) {
        Ok(0) => Err(Stop::At(Turn::Ended)),
        Ok(count) => {
            log.wrote(count, ends_line.filter(|_| count == len));
            pipe.held = None;
            *moved += count as u64;
            Ok(())
        }
        Err(error @ (Errno::EAGAIN | Errno::EINTR | Errno::EINVAL | Errno::ENOSYS)) => Err(error.into()),
        Err(error) => match log.failed(error, now, &tools.house) {
            After::Retry => Ok(()),
            After::Outage => outage::relieve(pipe, log, tools, now, moved),
        },
    }
}

/// Looks at what the pipe holds. `Some`: this much may be moved, and whether it ends a line; `None`: look again, the
/// next file was begun.
fn look(
    pipe: &mut Pipe,
    log: &mut Log,
    tools: &mut Tools,
    now: Instant,
) -> Result<Option<(usize, Option<bool>)>, Stop> {
    let seen = peek(pipe, tools)?;
    if seen == 0 {
        return Err(Stop::At(Turn::Ended));
    }
    let mut visible = &tools.buffer[..seen];
    if log.pipes > 1 && !pipe.finishing {
        match visible.iter().rposition(|&byte| byte == b'\n') {
            Some(last) => {
                pipe.held = None;
                visible = &visible[..=last];
            }
            None if seen < LONG_LINE && *pipe.held.get_or_insert(now) + PATIENCE > now => {
                return Err(Stop::At(Turn::Held));
            }
            None => pipe.held = None,
        }
    }
    match log.filling(now).step(visible) {
        Step::Move(len) => Ok(Some((len, Some(visible[len - 1] == b'\n')))),
        Step::Rotate => {
            log.rotate(now, &tools.house);
            Ok(None)
        }
    }
}

fn copy_some(pipe: &mut Pipe, log: &mut Log, tools: &mut Tools, now: Instant, moved: &mut u64) -> Result<(), Stop> {
    let blocks = log.shared.settings().on_full == OnFull::Block && !pipe.finishing;
    if blocks && !log.ready(now, &tools.house) {
        return Err(Stop::At(Turn::Held));
    }
    let most = pipe.allowed().min(64 << 10);
    let count = pipe.take(|fd| nix::unistd::read(fd, &mut tools.buffer[..most]))?;
    if count == 0 {
        return Err(Stop::At(Turn::Ended));
    }
    onlooker::show_afterwards(pipe, &tools.buffer[..count]);
    *moved += count as u64;
    let mut hand = 0..count;
    if pipe.skip {
        let end = tools.buffer[hand.clone()].iter().position(|&byte| byte == b'\n');
        pipe.skip = end.is_none();
        hand.start = end.map_or(count, |end| end + 1);
        log.drop_bytes(&tools.buffer[..hand.start]);
    }
    while !hand.is_empty() {
        if !log.ready(now, &tools.house) {
            log.drop_bytes(&tools.buffer[hand]);
            pipe.skip = tools.buffer[count - 1] != b'\n';
            return Ok(());
        }
        match log.filling(now).step(&tools.buffer[hand.clone()]) {
            Step::Rotate => log.rotate(now, &tools.house),
            Step::Move(len) => match write(log, &tools.buffer[hand.start..hand.start + len], pipe.generation) {
                Ok(written) => hand.start += written,
                Err(Errno::EINTR) => {}
                // An outage is seen by the next `ready`.
                Err(error) => match log.failed(error, now, &tools.house) {
                    After::Retry | After::Outage => {}
                },
            },
        }
    }
    Ok(())
}

fn write(log: &mut Log, bytes: &[u8], generation: u64) -> Result<usize, Errno> {
    use std::os::unix::fs::FileExt;
    log.writes(generation);
    let Some((file, end)) = log.target() else {
        return Err(Errno::EBADF);
    };
    let written = file.write_at(bytes, end).map_err(|error| errno(&error))?;
    if written == 0 {
        return Err(Errno::ENOSPC);
    }
    log.wrote(written, Some(bytes[..written].ends_with(b"\n")));
    Ok(written)
}
