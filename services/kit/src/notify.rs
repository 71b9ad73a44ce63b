//! Telling the supervisor how we are, by datagrams to `NOTIFY_SOCKET` (the protocol of sd_notify).
//! Not here: deciding when to tell what.

use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use crate::env::{ConfigError, Env};
use crate::platform;

/// How long a datagram may wait for room in the supervisor's queue (the kernel's default is 10 of them). Long
/// enough for a supervisor that is just being replaced.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where to tell. Cheap to clone; without a supervisor it says nothing.
#[derive(Clone)]
pub(crate) struct Notifier {
    target: Option<Arc<(UnixDatagram, SocketAddr)>>,
}

impl Notifier {
    pub(crate) fn from_env() -> Self {
        let target = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()).and_then(|name| {
            let opened = platform::notify_address(&name).and_then(|address| {
                let socket = UnixDatagram::unbound()?;
                socket.set_write_timeout(Some(PATIENCE))?;
                Ok(Arc::new((socket, address)))
            });
            match opened {
                Ok(target) => Some(target),
                Err(error) => {
                    tracing::warn!(%error, socket = ?name, "NOTIFY_SOCKET cannot be used; nobody is told of readiness");
                    None
                }
            }
        });
        Self { target }
    }

    /// Sends `message`. That nobody listens is no reason to stop serving, so a failure is logged only.
    pub(crate) async fn send(&self, message: String) {
        let Some(target) = self.target.clone() else {
            return;
        };
        let sending = tokio::task::spawn_blocking(move || {
            let (socket, address) = &*target;
            socket.send_to_addr(message.as_bytes(), address)
        });
        if let Ok(Err(error)) = sending.await {
            tracing::warn!(%error, "the supervisor could not be told");
        }
    }

    /// Says `WATCHDOG=1` for ever. It runs where requests run, so a runtime that is stuck falls silent.
    pub(crate) async fn keep_watchdog_quiet(self, period: Duration) {
        loop {
            self.send("WATCHDOG=1".to_owned()).await;
            tokio::time::sleep(period).await;
        }
    }
}

/// How often the watchdog wants to hear from us: twice in `WATCHDOG_USEC`, if that is meant for this process.
pub(crate) fn watchdog_period(env: &Env) -> Result<Option<Duration>, ConfigError> {
    let Some(microseconds) = env.number::<u64>("WATCHDOG_USEC", "a number of microseconds")? else {
        return Ok(None);
    };
    let pid: Option<u32> = env.number("WATCHDOG_PID", "a process id")?;
    let ours = pid.is_none_or(|pid| pid == std::process::id());
    Ok((ours && microseconds > 0).then(|| Duration::from_micros(microseconds / 2).max(Duration::from_millis(1))))
}
