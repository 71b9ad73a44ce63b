//! `logs -f`: logs as they grow. One thread waits for each, so that nothing is polled.
//! Not here: reading back (`supervisor_logs` does).

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use supervisor_logs::{Follower, tail_then_follow};

use super::failure::{Exit, Failure};
use super::logs::Source;
use super::terminal::write;

const MAX_TAIL: usize = 64 * 1024 * 1024;
/// Read at once; more only grows our memory.
const PASS: usize = 256 * 1024;
const WAIT: Duration = Duration::from_secs(3600);

/// Until stdout is gone, or someone ends us.
pub(crate) fn follow(sources: Vec<Source>, lines: usize) -> Result<Exit, Failure> {
    // Small, so that a slow reader slows the threads, and nothing is kept but what the files keep.
    let (sender, receiver) = sync_channel::<Result<Vec<u8>, String>>(4);
    for source in sources {
        let sender = sender.clone();
        let path = source.path.clone();
        let spawned = std::thread::Builder::new().name(source.name.clone()).spawn(move || {
            if let Err(error) = follow_one(source, lines, &sender) {
                let _ = sender.send(Err(format!("failed to follow {}: {error}", path.display())));
            }
        });
        spawned.map_err(|error| Failure::of_system("start a thread", &error))?;
    }
    drop(sender);
    for lines in receiver {
        match lines {
            Ok(lines) => write(io::stdout().lock(), &lines),
            Err(message) => return Err(Failure::new(Exit::Failed, message)),
        }
    }
    Ok(Exit::Done)
}

fn follow_one(mut source: Source, lines: usize, sender: &SyncSender<Result<Vec<u8>, String>>) -> io::Result<()> {
    let (mut text, mut follower): (Vec<u8>, Follower) = tail_then_follow(&source.path, lines, MAX_TAIL)?;
    loop {
        let shown = match &mut source.prefixer {
            None => std::mem::take(&mut text),
            Some(prefixer) => prefixer.lines(&text),
        };
        if !shown.is_empty() && sender.send(Ok(shown)).is_err() {
            return Ok(());
        }
        text.clear();
        while follower.read(&mut text, PASS)? == 0 {
            follower.wait(WAIT)?;
        }
    }
}
