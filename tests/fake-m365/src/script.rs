//! What is to happen out of the ordinary: an error, a delay, a lost answer; once or several times.
//! Not here: what lasts (`settings`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::entra::fault::Fault;

/// Where something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The OpenID configuration.
    Discovery,
    /// The published keys.
    Keys,
    /// The beginning of a login.
    Authorize,
    /// The token endpoint, for a code.
    Redeem,
    /// The token endpoint, for a refresh token.
    Refresh,
    /// Graph.
    Graph,
}

/// An answer of the test's own making.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canned {
    /// 100 to 999.
    pub status: u16,
    /// `Retry-After` and the like.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// As it goes out.
    #[serde(default)]
    pub body: String,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// What would have happened anyway: for a delay.
    Proceed,
    /// An error in Entra's words. Not for Graph.
    Error(Fault),
    /// This answer.
    Reply(Canned),
    /// The connection ends, and nothing was done.
    HangUp,
    /// Everything is done, and the connection ends before the answer.
    LoseAnswer,
}

/// What happens, where, how often and how late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Where.
    pub on: Place,
    /// Only where the path begins so: `/v1.0/me`.
    #[serde(default)]
    pub path: String,
    /// What.
    pub then: Then,
    /// How often.
    #[serde(default = "once")]
    pub times: u32,
    /// How long it waits before, in milliseconds; at most 60,000.
    #[serde(default)]
    pub delay_ms: u32,
}

fn once() -> u32 {
    1
}

impl Script {
    /// Once, at once.
    #[must_use]
    pub fn once(on: Place, then: Then) -> Self {
        Self { on, path: String::new(), then, times: 1, delay_ms: 0 }
    }

    /// Why it can never be carried out, if so.
    pub(crate) fn complaint(&self) -> Option<String> {
        match &self.then {
            Then::Error(_) if matches!(self.on, Place::Graph | Place::Discovery | Place::Keys) => {
                Some("`error` is for authorize, redeem and refresh; use `reply` here".to_owned())
            }
            Then::Reply(canned) if !(100..=999).contains(&canned.status) => {
                Some(format!("{} is no status", canned.status))
            }
            Then::Proceed | Then::Error(_) | Then::Reply(_) | Then::HangUp | Then::LoseAnswer => None,
        }
    }
}

/// Takes the first script for a place.
pub(crate) fn next(scripts: &mut Vec<Script>, place: Place, path: &str) -> Option<Script> {
    let at = scripts.iter().position(|one| one.on == place && path.starts_with(&one.path))?;
    let found = scripts[at].clone();
    scripts[at].times = found.times.saturating_sub(1);
    scripts.retain(|one| one.times > 0);
    Some(found)
}
