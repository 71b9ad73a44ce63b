//! Held listeners that a service has shut (`shutdown(2)`), which shuts them for everyone who shares them: open again at
//! once, on the same port.
//! Not here: making and closing them (`listeners`).

use std::os::fd::AsFd;
use std::sync::{Arc, Weak};
use std::time::Duration;

use nix::sys::socket::{Backlog, listen};
use supervisor_core::ServiceName;

use crate::control::launch::listeners::{BACKLOG, Listener};
use crate::control::run_loop::{Control, News};
use crate::platform::{Hangups, listens};

/// At least so long between two times that the same one is opened again.
const PAUSE: Duration = Duration::from_millis(50);

/// Ends the watch with its listener.
#[derive(Debug)]
pub(crate) struct Guard(tokio::task::AbortHandle);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Control {
    /// From now on the listeners of this service are opened again when somebody shuts them.
    pub(crate) fn guard_listeners(&mut self, service: &ServiceName) {
        for listener in self.listeners.get(service).into_iter().flatten() {
            if listener.guard.get().is_some() {
                continue;
            }
            let (watched, news, of) = (Arc::downgrade(listener), self.news.0.clone(), service.clone());
            let task = self.tasks.spawn(async move {
                if let Err(error) = guard(watched, news, of).await {
                    tracing::warn!(%error, "whether a listener is shut will not be noticed");
                }
                Ok(())
            });
            // Nobody else sets it.
            let _ = listener.guard.set(Guard(task));
        }
    }

    /// A listener had been shut, and was opened again, so often since this was told last.
    pub(crate) fn reopened_listener(&mut self, service: &ServiceName, name: &str, times: u32) {
        let cause = match times {
            1 => format!("somebody had shut the held socket `{name}`; it is open again"),
            times => format!("somebody had shut the held socket `{name}` {times} times; it is open again"),
        };
        tracing::warn!(%service, "{cause}; a service must close its descriptor, and not shut it down");
        self.history.listener(service, &cause);
    }
}

async fn guard(
    listener: Weak<Listener>,
    news: tokio::sync::mpsc::Sender<News>,
    service: ServiceName,
) -> std::io::Result<()> {
    /// The first time is told at once, further ones together.
    const TELL_AGAIN: Duration = Duration::from_secs(10);
    let Some(hangups) = listener.upgrade().map(|listener| Hangups::of(listener.fd.as_fd())) else { return Ok(()) };
    let hangups = hangups?;
    let (mut times, mut told): (u32, Option<tokio::time::Instant>) = (0, None);
    loop {
        let quiet = told.filter(|_| times > 0).map(|told| told + TELL_AGAIN);
        tokio::select! {
            next = hangups.next() => next?,
            () = until(quiet) => {}
        }
        let Some(listener) = listener.upgrade() else { return Ok(()) };
        if !listens(&listener.fd) {
            listen(&listener.fd, Backlog::new(BACKLOG).unwrap_or(Backlog::MAXCONN))?;
            times = times.saturating_add(1);
        }
        if times > 0 && told.is_none_or(|told| told.elapsed() >= TELL_AGAIN) {
            let name = listener.name.clone();
            drop(listener);
            let _ = news.send(News::Reopened { service: service.clone(), name, times }).await;
            (times, told) = (0, Some(tokio::time::Instant::now()));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn until(when: Option<tokio::time::Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
