//! Alerts: what happened, told to whom the configuration names. A thread of its own with a runtime of its own, which
//! reads the journal at its own pace: a server that does not answer delays nothing but its own letters.
//! Not here: what happens (`journal`), reading `[[alerts]]` (`config`).
//!
//! What is on its way is in the state directory, and outlives this control and the whole supervisor. A control that
//! dies between an answer and the note of it tells again; each message has an id by which a receiver can know that.

mod account;
mod clock;
mod desk;
mod failure;
mod ledger;
mod mail;
mod message;
mod obstacles;
mod post;
mod program;
mod redact;
mod scene;
mod send;
mod store;
mod trouble;
mod under_way;
mod words;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

pub(crate) use desk::{Beginning, Surroundings};
pub(crate) use obstacles::{in_the_clear, obstacles};
pub(crate) use send::TRY as TEST_LIMIT;
pub(crate) use store::forget;

/// Tests that wait, and tests that are under way.
const TESTS: usize = 8;
/// Threads that may block at once: names, secrets, files.
const BLOCKING_THREADS: usize = 8;
/// After a defect of ours, it goes on after this.
const PAUSE: Duration = Duration::from_secs(60);

/// How one alert stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AlertState {
    pub(crate) name: String,
    /// By which key it is told.
    pub(crate) way: &'static str,
    pub(crate) queued: u64,
    pub(crate) sent: u64,
    /// Given up, or pushed out by newer ones.
    pub(crate) lost: u64,
    /// RFC 3339.
    pub(crate) sent_at: Option<String>,
    /// Why the last try failed, without secrets; `None` after one that did not.
    pub(crate) error: Option<String>,
}

/// Tell these alerts, or all, that this is a test.
#[derive(Debug)]
pub(crate) struct TestAsk {
    pub(crate) alerts: Vec<String>,
    pub(crate) answer: oneshot::Sender<Vec<Tested>>,
}

/// What came of the test of one alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tested {
    pub(crate) alert: String,
    pub(crate) error: Option<String>,
}

/// Control's end.
#[derive(Debug)]
pub(crate) struct Alerts {
    pub(crate) tests: mpsc::Sender<TestAsk>,
    pub(crate) shown: Arc<Vec<AlertState>>,
    /// Until there is anyone to tell.
    idle: Option<mpsc::Receiver<TestAsk>>,
}

impl Default for Alerts {
    fn default() -> Self {
        let (tests, receiver) = mpsc::channel(TESTS);
        Self { tests, shown: Arc::default(), idle: Some(receiver) }
    }
}

impl Alerts {
    /// Begins the thread, unless it runs.
    pub(crate) fn begin(&mut self, surroundings: Surroundings) -> io::Result<()> {
        let Some(tests) = self.idle.take() else { return Ok(()) };
        std::thread::Builder::new().name("alerts".to_owned()).spawn(move || work(&surroundings, tests))?;
        Ok(())
    }
}

/// For as long as control lives.
fn work(surroundings: &Surroundings, mut tests: mpsc::Receiver<TestAsk>) {
    let mut from = surroundings.from;
    loop {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        match builder.enable_all().max_blocking_threads(BLOCKING_THREADS).build() {
            Ok(runtime) => {
                let desk = || runtime.block_on(desk::run(surroundings, from, &mut tests));
                let ended = catch_unwind(AssertUnwindSafe(desk));
                // A thread that a disk holds is not waited for.
                runtime.shutdown_background();
                if ended.is_ok() {
                    return;
                }
                // Everything that counts is read from the disk again, and nothing is left out.
                from = Beginning::Start;
                tracing::error!("alerts stand still for a minute: a defect of the supervisor");
            }
            Err(error) => tracing::error!(%error, "alerts stand still for a minute"),
        }
        std::thread::sleep(PAUSE);
    }
}
