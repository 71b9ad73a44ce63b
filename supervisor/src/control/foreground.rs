//! The foreground mode: the output of every service, interleaved and prefixed, on our stdout.
//! Not here: the log files themselves; they are followed like any reader would, so a slow terminal holds nothing up.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use supervisor_logs::{Follower, From, Pump};

use super::ownlog;
use super::prepare::log_paths;
use crate::cli::output::Prefixer;
use crate::config::Stack;

/// In one pass, so much of one log is shown.
const PASS: usize = 256 * 1024;
/// Between two passes over the logs: nobody reads faster.
const PAUSE: Duration = Duration::from_millis(50);
/// Without news, the logs are looked at again after this long.
const WAIT: Duration = Duration::from_secs(3600);

/// Shows everything that is logged from now on.
pub(crate) fn start(stack: &Stack, pump: &Pump) {
    let services = stack.services.iter().flat_map(|service| {
        let name = service.spec.name.as_str();
        log_paths(&service.launch).into_iter().map(move |path| (name, path))
    });
    let width = stack.services.iter().map(|service| service.spec.name.as_str().len()).max().unwrap_or(0).max(10);
    let terminal = io::stdout().is_terminal();
    let followers =
        std::iter::once(("supervisor", ownlog::path(&stack.logs_dir))).chain(services).map(|(name, path)| Shown {
            prefixer: Prefixer::new(name, width, terminal),
            follower: Follower::new(&path, From::End),
        });
    let (followers, pump) = (followers.collect(), pump.clone());
    let spawned = std::thread::Builder::new().name("foreground".to_owned()).spawn(move || show(followers, &pump));
    if let Err(error) = spawned {
        tracing::warn!(%error, "the output of services is not shown here");
    }
}

struct Shown {
    prefixer: Prefixer,
    follower: Follower,
}

/// Until stdout is gone; then the files still have everything.
fn show(mut all: Vec<Shown>, pump: &Pump) {
    let mut buffer = Vec::new();
    let mut seen = 0;
    loop {
        let mut busy = false;
        for one in &mut all {
            buffer.clear();
            busy |= one.follower.read(&mut buffer, PASS).is_ok_and(|n| n > 0);
            let text = one.prefixer.lines(&buffer);
            if !text.is_empty() && io::stdout().write_all(&text).and_then(|()| io::stdout().flush()).is_err() {
                return;
            }
        }
        if !busy {
            seen = pump.wait(seen, WAIT);
        }
        std::thread::sleep(PAUSE);
    }
}
