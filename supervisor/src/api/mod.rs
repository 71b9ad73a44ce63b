//! The HTTP server of control: answers from the latest view, passes requests on to the loop.
//! Not here: decisions, and anything that blocks the loop; a slow client costs only itself.

mod access;
mod act;
mod alerts;
mod answer;
mod bare;
mod cache;
mod change;
mod document;
mod doors;
mod events;
mod exits;
mod families;
mod follow;
mod guest;
mod indent;
mod input;
mod logs;
mod metrics;
mod openapi;
mod operations;
pub(crate) mod origin;
mod paced;
mod page;
mod places;
mod policy;
mod problem;
mod rate;
mod read;
mod reload;
mod render;
mod route;
mod router;
mod routes;
mod serve;
mod site;
mod stream;
#[cfg(test)]
mod tests;
mod words;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};

pub(crate) use access::Token;
pub(crate) use change::*;
pub(crate) use document::*;
pub(crate) use events::EventsDocument;
pub(crate) use exits::ExitsDocument;
pub(crate) use policy::RestartDocument;
pub(crate) use rate::Rate;
pub(crate) use serve::{Listeners, serve};
pub(crate) use site::change_rate;
pub(crate) use words::{Name, OutOfMemoryWord, RolloutResultWord, StateWord};

use crate::alerts::TestAsk;
use crate::control::{Ask, Instruments, ReloadAsk, View};
use crate::journal::Reader;

/// What the server works with.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) view: Arc<ArcSwap<View>>,
    /// The version of the view, to wait for another one.
    pub(crate) shown: watch::Receiver<u64>,
    pub(crate) asks: mpsc::Sender<Ask>,
    pub(crate) alert_tests: mpsc::Sender<TestAsk>,
    pub(crate) journal: Reader,
    pub(crate) reloads: mpsc::Sender<ReloadAsk>,
    /// How often anything may be changed, over all listeners together.
    pub(crate) changes: Arc<Rate>,
    pub(crate) token: Token,
    pub(crate) instruments: Instruments,
    /// What to add now to a monotonic time to get milliseconds since 1970.
    pub(crate) wall_offset_ms: fn() -> i64,
}
