//! The foreground mode: the output of every service, interleaved and prefixed, on our stdout.
//! Not here: the log files themselves; they are followed like any reader would, so a slow terminal holds nothing up.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use supervisor_logs::{Follower, From};

use super::ownlog;
use super::prepare::log_paths;
use crate::cli::output::Prefixer;
use crate::config::Stack;

/// In one pass, so much of one log is shown.
const PASS: usize = 256 * 1024;
/// Between two passes over the logs: nobody reads faster.
const PAUSE: Duration = Duration::from_millis(50);
/// Without news, the directories are looked at again after this long.
const WAIT: Duration = Duration::from_secs(3600);

/// Shows everything that is logged from now on. One thread for each directory of logs.
pub(crate) fn start(stack: &Stack) {
    let mut by_dir: BTreeMap<PathBuf, Vec<(String, PathBuf)>> = BTreeMap::new();
    let mut add = |name: &str, path: PathBuf| {
        let dir = path.parent().unwrap_or(Path::new("/")).to_owned();
        by_dir.entry(dir).or_default().push((name.to_owned(), path));
    };
    add("supervisor", ownlog::path(&stack.logs_dir));
    for service in &stack.services {
        for path in log_paths(&service.launch) {
            add(service.spec.name.as_str(), path);
        }
    }
    let width = stack.services.iter().map(|service| service.spec.name.as_str().len()).max().unwrap_or(0).max(10);
    for logs in by_dir.into_values() {
        let followers: Vec<Shown> = logs
            .into_iter()
            .map(|(name, path)| Shown {
                prefixer: Prefixer::new(&name, width, io::stdout().is_terminal()),
                follower: Follower::new(&path, From::End),
            })
            .collect();
        let spawned = std::thread::Builder::new().name("foreground".to_owned()).spawn(move || show(followers));
        if let Err(error) = spawned {
            tracing::warn!(%error, "the output of services is not shown here");
        }
    }
}

struct Shown {
    prefixer: Prefixer,
    follower: Follower,
}

/// Until stdout is gone; then the files still have everything.
fn show(mut all: Vec<Shown>) {
    let mut buffer = Vec::new();
    loop {
        let mut busy = false;
        for one in &mut all {
            buffer.clear();
            busy |= one.follower.read(&mut buffer, PASS).is_ok_and(|n| n > 0);
            let text = one.prefixer.lines(&buffer);
            if io::stdout().write_all(&text).and_then(|()| io::stdout().flush()).is_err() {
                return;
            }
        }
        if !busy && let Some(first) = all.first() {
            let _ = first.follower.wait(WAIT);
        }
        std::thread::sleep(PAUSE);
    }
}
