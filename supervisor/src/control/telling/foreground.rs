//! The foreground mode: what every service prints, and what the supervisor has to say, line by line on our stdout.
//! Not here: the log files themselves; they are followed like any reader would, so a slow terminal holds nothing up.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use supervisor_logs::{Follower, From, Pump};
use tokio::sync::oneshot;

use crate::cli::output::{Paper, Prefixer};
use crate::config::Stack;
use crate::control::launch::prepare::log_paths;
use crate::control::telling::narrator::Narrator;
use crate::control::telling::ownlog;

/// In one pass, so much of one log is shown.
const PASS: usize = 256 * 1024;
/// Between two passes over the logs: nobody reads faster.
const PAUSE: Duration = Duration::from_millis(50);
/// Without news, the logs are looked at again after this long.
const WAIT: Duration = Duration::from_secs(3600);
/// A line without an end is shown as far as it goes after this long: it may be a question.
const PARTIAL: Duration = Duration::from_secs(1);
/// The last that the supervisor has to say, in its own log.
pub(crate) const LAST_WORDS: &str = "everything is down";
/// At the end a terminal that takes nothing is waited for this long.
const PATIENCE: Duration = Duration::from_secs(1);

/// A thread that shows everything that is logged from now on.
pub(crate) struct Foreground {
    shared: Arc<Shared>,
    done: oneshot::Receiver<()>,
}

#[derive(Default)]
struct Shared {
    /// Logs that the thread does not know yet.
    further: Mutex<Vec<Shown>>,
    /// The logs that were ever among them.
    known: Mutex<BTreeSet<PathBuf>>,
    ending: Mutex<bool>,
    ends: Condvar,
}

struct Shown {
    path: PathBuf,
    /// By what the pump tells that it has grown: what it was before it was read last.
    writes: u64,
    prefixer: Prefixer,
    follower: Follower,
    /// Of our own log, which is told in other words.
    narrator: Option<Narrator>,
    /// Its last words were among what was read.
    has_said_all: bool,
    /// When it last had news.
    since: Instant,
}

impl Foreground {
    /// With a greeting the supervisor speaks, too. `None`, told in the own log, where no thread can be made.
    pub(crate) fn start(stack: &Stack, pump: &Pump, greeting: Option<String>) -> Option<Self> {
        let shared = Arc::new(Shared::default());
        let (told, done) = oneshot::channel();
        let (width, paper) = layout(stack);
        let mut greeted = Vec::new();
        if let Some(greeting) = greeting {
            let mut prefixer = Prefixer::own(width, paper);
            greeted = prefixer.lines(format!("{greeting}\n").as_bytes());
            shared.add(ownlog::path(&stack.logs_dir), prefixer, Some(Narrator::default()));
        }
        shared.follow(stack);
        let (thread, pump) = (Arc::clone(&shared), pump.clone());
        let run = move || {
            // It fails when stdout is gone; the files still have everything.
            let _ = write(&greeted).and_then(|()| show(&thread, &pump));
            let _ = told.send(());
        };
        let spawned = std::thread::Builder::new().name("foreground".to_owned()).spawn(run);
        spawned.inspect_err(|error| tracing::warn!(%error, "the output of services is not shown here")).ok()?;
        Some(Self { shared, done })
    }

    /// Shows the logs of further services, too. Before anything is written to them.
    pub(crate) fn follow(&self, stack: &Stack) {
        self.shared.follow(stack);
    }

    /// Nothing more is written to the logs, but for the last words in the own one: what they hold is shown, if someone
    /// looks.
    pub(crate) fn ends(&self) {
        *lock(&self.shared.ending) = true;
        self.shared.ends.notify_all();
    }

    pub(crate) async fn ended(self) {
        let _ = tokio::time::timeout(PATIENCE, self.done).await;
    }
}

impl Shared {
    fn follow(&self, stack: &Stack) {
        let (width, paper) = layout(stack);
        for (place, service) in stack.services.iter().enumerate() {
            for path in log_paths(&service.launch) {
                self.add(path, Prefixer::new(service.spec.name.as_str(), place, width, paper), None);
            }
        }
    }

    fn is_ending(&self) -> bool {
        *lock(&self.ending)
    }

    /// Until others may have more to show, or all is to be shown at once.
    fn pause(&self) {
        let _ = self.ends.wait_timeout_while(lock(&self.ending), PAUSE, |ending| !*ending);
    }

    /// From its end, unless it is known already.
    fn add(&self, path: PathBuf, prefixer: Prefixer, narrator: Option<Narrator>) {
        let follower = Follower::new(&path, From::End);
        if lock(&self.known).insert(path.clone()) {
            let (has_said_all, since) = (false, Instant::now());
            lock(&self.further).push(Shown { path, writes: 0, prefixer, follower, narrator, has_said_all, since });
        }
    }
}

/// Columns of the names, and what they are written on.
fn layout(stack: &Stack) -> (usize, Paper) {
    let names = stack.services.iter().map(|service| service.spec.name.as_str());
    let width = names.chain(["supervisor"]).map(str::len).max().unwrap_or(0);
    (width, if io::stdout().is_terminal() { Paper::Terminal } else { Paper::File })
}

/// Nothing here panics while it holds one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn show(shared: &Shared, pump: &Pump) -> io::Result<()> {
    let (mut all, mut buffer, mut seen) = (Vec::new(), Vec::new(), 0);
    loop {
        all.append(&mut lock(&shared.further));
        let ending = shared.is_ending();
        let mut busy = false;
        for one in &mut all {
            buffer.clear();
            if one.read(pump, &mut buffer) {
                busy = true;
                write(&one.lines(&buffer))?;
            } else if one.prefixer.is_within_line() && (ending || one.since.elapsed() >= PARTIAL) {
                write(&one.prefixer.finish())?;
            }
        }
        if !busy {
            if ending && all.iter().all(Shown::is_over) {
                return Ok(());
            }
            let partial = all.iter().any(|one| one.prefixer.is_within_line());
            seen = pump.wait(seen, if partial { PARTIAL } else { WAIT });
        }
        shared.pause();
    }
}

impl Shown {
    /// Whether there was anything new; to be asked again then. Of many logs most have nothing to say, and a look at a
    /// file that is not there yet is a look at its directory.
    fn read(&mut self, pump: &Pump, buffer: &mut Vec<u8>) -> bool {
        let writes = pump.writes(&self.path);
        if writes == self.writes {
            return false;
        }
        let read = self.follower.read(buffer, PASS).is_ok_and(|count| count > 0);
        if !read {
            self.writes = writes;
        }
        read
    }

    /// Once the services have ended.
    fn is_over(&self) -> bool {
        self.narrator.is_none() || self.has_said_all
    }

    fn lines(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.since = Instant::now();
        match &mut self.narrator {
            Some(narrator) => {
                self.has_said_all |= bytes.windows(LAST_WORDS.len()).any(|part| part == LAST_WORDS.as_bytes());
                let mut lines = self.prefixer.lines(narrator.told(bytes).as_bytes());
                if io::stdout().is_terminal() && !lines.is_empty() {
                    // Over the `^C` that the terminal may just have shown.
                    lines.insert(0, b'\r');
                }
                lines
            }
            None => self.prefixer.lines(bytes),
        }
    }
}

fn write(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text).and_then(|()| out.flush())
}
