//! What is not well, and when that is over.
//! Not here: who is told of it (`ledger`). All times are milliseconds since 1970.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use supervisor_core::ServiceName;

use super::message::Message;
use super::scene::{Area, Scene};
use crate::config::Occasion;
use crate::journal::{Kind, Note};
use crate::timestamp;

/// A log is well once it could be written for so long.
const LOG_GOOD_MS: i64 = 10_000;

/// What is not well, until it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Trouble {
    pub(super) service: ServiceName,
    pub(super) area: Area,
    /// The event it began with.
    pub(super) seq: u64,
    pub(super) at: String,
    pub(super) occasion: Occasion,
    /// It has been well since then; it is over when that lasts.
    pub(super) well_since_ms: Option<i64>,
    /// Alerts that were told.
    pub(super) told: BTreeSet<String>,
}

impl Trouble {
    pub(super) fn is(&self, service: &ServiceName, area: Area) -> bool {
        self.service == *service && self.area == area
    }

    /// When it will have been well for long enough. Whoever was killed at a limit keeps within it while it is down.
    pub(super) fn over_ms(&self, scene: &Scene<'_>, ill: &BTreeSet<ServiceName>) -> Option<i64> {
        let good = match self.area {
            Area::Limits if ill.contains(&self.service) => return None,
            Area::Runs | Area::Limits => scene.good_ms(&self.service),
            Area::Log => LOG_GOOD_MS,
            // Another one is good from when it is seen.
            Area::Certificate | Area::Nothing => 0,
        };
        self.well_since_ms.map(|since| since.saturating_add(good))
    }

    pub(super) fn recovered(&self, now_ms: i64) -> Message {
        let since = timestamp::format(self.well_since_ms.unwrap_or(now_ms));
        let cause = format!("well since {since}; before that {}, since {}", self.occasion.as_str(), self.at);
        let note = Note::new(timestamp::format(now_ms), Kind::State, &cause).of(&self.service, 0);
        Message::recovered((&self.at, self.seq), &note)
    }
}
