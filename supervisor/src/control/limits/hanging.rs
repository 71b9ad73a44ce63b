//! Looks that hang: the kernel lets whoever reads what a process uses wait for that process.
//! Not here: looking (`super`).

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::Finding;
use crate::control::run_loop::{Control, News};

/// Tells what a look has found; or, after `patience`, at which runs it hangs, and when that is over.
pub(super) async fn await_look(
    mut look: JoinHandle<Vec<Finding>>,
    at: watch::Receiver<BTreeSet<u64>>,
    patience: Duration,
    news: mpsc::Sender<News>,
) -> io::Result<()> {
    let runs = loop {
        if let Ok(found) = tokio::time::timeout(patience, &mut look).await {
            let _ = news.send(News::Looked(found.map_err(io::Error::other)?)).await;
            return Ok(());
        }
        let runs = at.borrow().clone();
        // Without any it still waits for a thread.
        if !runs.is_empty() {
            break runs;
        }
    };
    let _ = news.send(News::LookHangs(runs.clone())).await;
    // What it finds then is too old to count.
    look.await.map_err(io::Error::other)?;
    let _ = news.send(News::LookWentOn(runs)).await;
    Ok(())
}

impl Control {
    /// The others are looked at without them.
    pub(crate) fn look_hangs(&mut self, runs: BTreeSet<u64>) {
        for run in runs.iter().filter_map(|run| self.runs.get(run)) {
            let service = &run.record.service;
            tracing::warn!(%service, pid = run.pid, "its limits are not seen to: reading what its processes use hangs");
        }
        self.watch.armed = false;
        self.watch.hanging += 1;
        self.watch.left_out.extend(runs);
        self.look_at_limits();
    }

    pub(crate) fn look_went_on(&mut self, runs: &BTreeSet<u64>) {
        self.watch.hanging = self.watch.hanging.saturating_sub(1);
        self.watch.left_out.retain(|run| !runs.contains(run));
        self.look_at_limits();
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn a_look_that_hangs_says_at_whom_and_when_it_is_over() {
        let (at, seen) = watch::channel(BTreeSet::new());
        let (go_on, hangs) = std::sync::mpsc::sync_channel::<()>(1);
        let look = tokio::task::spawn_blocking(move || {
            at.send_replace([7].into());
            let _ = hangs.recv();
            Vec::new()
        });
        let (news, mut heard) = mpsc::channel(1);
        let mut waiting = JoinSet::new();
        waiting.spawn(await_look(look, seen, Duration::from_millis(1), news));
        assert!(matches!(heard.recv().await, Some(News::LookHangs(runs)) if runs == [7].into()));
        drop(go_on);
        assert!(matches!(heard.recv().await, Some(News::LookWentOn(runs)) if runs == [7].into()));
        waiting.join_next().await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_look_that_waits_for_a_thread_is_waited_for() {
        let (at, seen) = watch::channel(BTreeSet::new());
        let look = tokio::task::spawn_blocking(move || {
            // Longer than the patience.
            std::thread::park_timeout(Duration::from_millis(50));
            drop(at);
            Vec::new()
        });
        let (news, mut heard) = mpsc::channel(1);
        await_look(look, seen, Duration::from_millis(1), news).await.unwrap();
        assert!(matches!(heard.recv().await, Some(News::Looked(found)) if found.is_empty()));
    }
}
