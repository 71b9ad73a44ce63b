//! `logs -f`: logs as they grow. One thread waits for each, so that nothing is polled.
//! Not here: reading back (`supervisor_logs` does).

use std::io;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use supervisor_logs::{Mark, Next, Query, Tracker, tail_then_follow};

use super::failure::{Exit, Failure};
use super::logs::{MAX_BYTES, Source, complain};
use super::terminal::{Screen, write};

/// Read at once; more only grows our memory.
const PASS: usize = 256 * 1024;
const WAIT: Duration = Duration::from_secs(3600);

/// One log as it is, until stdout is gone, or someone ends us.
pub(super) fn bytes(source: &Source, screen: Screen, lines: usize) -> Result<Exit, Failure> {
    let failed = |error: io::Error| failed(&source.path, &error);
    let (mut text, mut follower, trouble) = tail_then_follow(&source.path, lines, MAX_BYTES).map_err(failed)?;
    trouble.iter().for_each(|trouble| complain(screen, source, trouble));
    loop {
        write(&text);
        text.clear();
        while follower.read(&mut text, PASS).map_err(failed)? == 0 {
            follower.wait(WAIT).map_err(failed)?;
        }
    }
}

/// Further lines of each log, behind where it ended; until the last moment that is wanted, if one is named.
pub(super) fn lines(sources: Vec<Source>, ends: Vec<Option<Mark>>, query: &Query) -> Result<Exit, Failure> {
    // Small, so that a slow reader slows the threads, and nothing is kept but what the files keep.
    let (sender, receiver) = sync_channel::<Result<Vec<u8>, Failure>>(4);
    for (source, end) in sources.into_iter().zip(ends) {
        let (sender, query) = (sender.clone(), query.clone());
        let spawned = std::thread::Builder::new().name(source.name.clone()).spawn(move || {
            let path = source.path.clone();
            if let Err(error) = track(source, end, query, &sender) {
                let _ = sender.send(Err(failed(&path, &error)));
            }
        });
        spawned.map_err(|error| Failure::of_system("start a thread", &error))?;
    }
    drop(sender);
    for lines in receiver {
        write(&lines?);
    }
    Ok(Exit::Done)
}

fn track(
    mut source: Source,
    end: Option<Mark>,
    query: Query,
    sender: &SyncSender<Result<Vec<u8>, Failure>>,
) -> io::Result<()> {
    let resumed = end.map(|end| Tracker::resume(&source.path, query.clone(), end)).transpose()?.flatten();
    let mut tracker = resumed.unwrap_or_else(|| Tracker::of_all(&source.path, query));
    let mut lines = Vec::new();
    loop {
        let next = tracker.next(&mut lines, WAIT)?;
        let mut shown = Vec::new();
        lines.drain(..).for_each(|line| source.show(&line, &mut shown));
        if (!shown.is_empty() && sender.send(Ok(shown)).is_err()) || next == Next::Over {
            return Ok(());
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("failed to follow {}: {error}", path.display()))
}
