//! The pipe on which a run says that it is ready by a newline, as with s6 (`notification-fd`).
//! Not here: what follows from it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use supervisor_core::{Event, Sign};
use tokio::io::Interest;
use tokio::sync::mpsc;

use crate::control::signs::notify::{PAUSE, Told};
use crate::platform;

/// Whoever ends closes all that it has; that it has ended is the better reason, and comes within this.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// Reads until the pipe is closed or nobody listens. A newline stays in the pipe until it has been taken in: if this
/// control dies before, the next one finds it. Whatever comes after it is read, too: nobody must wait for us.
pub(crate) async fn listen(pipe: OwnedFd, run: u64, number: u32, told: mpsc::Sender<Told>) -> io::Result<()> {
    let pipe = platform::readable(pipe)?;
    let mut buffer = [0; 4096];
    loop {
        let seen = pipe.async_io(Interest::READABLE, |pipe| platform::peek(pipe.as_fd(), &mut buffer)).await?;
        if seen == 0 {
            break;
        }
        if buffer[..seen].contains(&b'\n') && !Told::tell(&told, Event::SignSeen { run, sign: Sign::Newline }).await {
            return Ok(());
        }
        platform::take(pipe.as_fd(), &mut buffer[..seen])?;
        tokio::time::sleep(PAUSE).await;
    }
    tokio::time::sleep(LAST_WORDS).await;
    let reason = format!("descriptor {number} was closed without a newline");
    Told::tell(&told, Event::SignLost { run, sign: Sign::Newline, reason }).await;
    Ok(())
}
