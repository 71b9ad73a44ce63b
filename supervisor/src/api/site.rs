//! What handlers work with: readers see the latest documents, actors can also ask the loop for something.
//! Not here: which handler is which (`route`).

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::cache::Cache;
use super::rate::Rate;
use crate::alerts::TestAsk;
use crate::control::{Ask, ReloadAsk};
use crate::journal;

/// More are refused with 429: whoever wants that many is out of its mind.
const CHANGES_PER_SECOND: u64 = 20;
const BURST: u64 = 20;

/// All that the routes need.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) reader: Reader,
    pub(crate) actor: Arc<Actor>,
}

/// For routes that read: nothing in here can change anything.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pub(crate) cache: Arc<Cache>,
    /// The version of the view, to wait for another one.
    pub(crate) shown: watch::Receiver<u64>,
    pub(crate) journal: journal::Reader,
}

/// For routes that change something.
#[derive(Debug)]
pub(crate) struct Actor {
    pub(crate) reader: Reader,
    pub(crate) asks: mpsc::Sender<Ask>,
    pub(crate) reloads: mpsc::Sender<ReloadAsk>,
    pub(crate) alert_tests: mpsc::Sender<TestAsk>,
    pub(super) changes: Arc<Rate>,
}

/// How often anything may be changed, over all doors together.
pub(crate) fn change_rate() -> Arc<Rate> {
    Arc::new(Rate::new(BURST, CHANGES_PER_SECOND))
}
