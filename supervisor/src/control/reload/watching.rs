//! Notices that a file of the configuration may have changed, however it was saved.
//! Not here: whether it has (`reload`), where to look (`spots`).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::control::reload::spots::{Looks, spots};
use crate::control::run_loop::News;
use crate::platform::Watches;

/// Whoever saves does it in several steps; the last one is waited for.
const DEBOUNCE: Duration = Duration::from_millis(250);
/// Who never stops saving is not waited for any longer.
const LONGEST: Duration = Duration::from_secs(2);
/// Between two looks where the kernel tells us nothing.
const POLL: Duration = Duration::from_secs(2);

/// What is to be watched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Targets {
    /// Files, there or not; absolute.
    pub(crate) files: Vec<PathBuf>,
    /// Patterns of files.
    pub(crate) patterns: Vec<PathBuf>,
}

/// Sends `News::FilesTouched` until `targets` has no sender any more: once for each change of the targets, as they may
/// have changed before they were watched, then whenever something happens to them.
pub(crate) async fn keep_watch(mut targets: watch::Receiver<Targets>, news: mpsc::Sender<News>) -> io::Result<()> {
    let mut watches = Watches::new().map(Arc::new).inspect_err(warn).ok();
    loop {
        let wanted = targets.borrow_and_update().clone();
        if let Some(kept) = &watches
            && let Err(error) = set(kept, &wanted).await
        {
            warn(&error);
            watches = None;
        }
        if news.send(News::FilesTouched).await.is_err() {
            break;
        }
        let happened = async {
            match &watches {
                Some(watches) => happened(watches).await,
                None => looked_different(&wanted).await,
            }
        };
        tokio::select! {
            changed = targets.changed() => if changed.is_err() { break },
            result = happened => if let Err(error) = result {
                warn(&error);
                watches = None;
            },
        }
    }
    // The kernel takes its time to let go of a watch.
    tokio::task::spawn_blocking(move || drop(watches));
    Ok(())
}

fn warn(error: &io::Error) {
    tracing::warn!(%error, every = ?POLL, "files cannot be watched, so they are looked at from time to time instead");
}

async fn set(watches: &Arc<Watches>, wanted: &Targets) -> io::Result<()> {
    let (watches, wanted) = (Arc::clone(watches), wanted.clone());
    tokio::task::spawn_blocking(move || watches.set(&spots(&wanted)?)).await.map_err(io::Error::other)?
}

/// Until something happened, and then nothing more for a while.
async fn happened(watches: &Watches) -> io::Result<()> {
    watches.wait().await?;
    let last = Instant::now() + LONGEST;
    loop {
        match tokio::time::timeout_at(last.min(Instant::now() + DEBOUNCE), watches.wait()).await {
            Ok(result) => result?,
            Err(_) => return Ok(()),
        }
    }
}

/// Until the files look different from before, and stay as they are for a while.
async fn looked_different(wanted: &Targets) -> io::Result<()> {
    let before = look(wanted).await?;
    let mut now = before.clone();
    while now == before {
        tokio::time::sleep(POLL).await;
        now = look(wanted).await?;
    }
    let last = Instant::now() + LONGEST;
    loop {
        tokio::time::sleep(DEBOUNCE).await;
        let then = std::mem::replace(&mut now, look(wanted).await?);
        if then == now || Instant::now() >= last {
            return Ok(());
        }
    }
}

async fn look(wanted: &Targets) -> io::Result<Looks> {
    let wanted = wanted.clone();
    tokio::task::spawn_blocking(move || Looks::of(&wanted)).await.map_err(io::Error::other)
}
