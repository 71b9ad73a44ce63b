//! What becomes of a pipe's bytes while its log cannot be written: the service must never wait for us.
//! Not here: finding out that the outage is over.

use std::time::{Duration, Instant};

use crate::copying::{LONG_LINE, Stop, Tools, Turn, peek};
use crate::log::Log;
use crate::pipe::Pipe;
use crate::settings::OnFull;

/// So long an outage loses nothing, unless the pipe fills up.
const GRACE: Duration = Duration::from_secs(5);

/// Unless the service is to wait, drops whole lines once the pipe holds a quarter of its capacity (or of what can be
/// seen), the outage lasts, or the pipe ends. (Pages of a pipe may be half full, so a pipe may be full with less than half its capacity.)
pub(crate) fn relieve(
    pipe: &mut Pipe,
    log: &mut Log,
    tools: &mut Tools,
    now: Instant,
    moved: &mut u64,
) -> Result<(), Stop> {
    pipe.held = None;
    if log.shared.settings().on_full == OnFull::Block && !pipe.finishing {
        return Err(Stop::At(Turn::Held));
    }
    let seen = peek(pipe, tools)?;
    if seen == 0 {
        return Err(Stop::At(Turn::Ended));
    }
    let full = pipe.capacity.min(tools.peeker.reach()).min(LONG_LINE * 4) / 4;
    let lasting = log.out_for(now).is_some_and(|lasted| lasted > GRACE);
    if !pipe.finishing && !lasting && seen < full {
        return Err(Stop::At(Turn::Held));
    }
    let len = match tools.buffer[..seen].iter().rposition(|&byte| byte == b'\n') {
        Some(last) => last + 1,
        None if pipe.finishing || seen >= full => seen,
        None => return Err(Stop::At(Turn::Held)),
    };
    pipe.skip = tools.buffer[len - 1] != b'\n';
    take(pipe, log, tools, len, moved)
}

/// Drops up to the end of the line whose beginning was dropped.
pub(crate) fn skip_line(pipe: &mut Pipe, log: &mut Log, tools: &mut Tools, moved: &mut u64) -> Result<(), Stop> {
    let seen = peek(pipe, tools)?;
    if seen == 0 {
        return Err(Stop::At(Turn::Ended));
    }
    let end = tools.buffer[..seen].iter().position(|&byte| byte == b'\n');
    pipe.skip = end.is_none();
    take(pipe, log, tools, end.map_or(seen, |end| end + 1), moved)
}

/// Takes out of the pipe what has been looked at, and counts it as it goes.
fn take(pipe: &mut Pipe, log: &mut Log, tools: &mut Tools, len: usize, moved: &mut u64) -> Result<(), Stop> {
    let mut taken = 0;
    while taken < len {
        let count = pipe.take(|fd| log.drop_seen(fd, &mut tools.buffer[taken..len]))?;
        if count == 0 {
            return Err(Stop::At(Turn::Ended));
        }
        taken += count;
        *moved += count as u64;
    }
    Ok(())
}
