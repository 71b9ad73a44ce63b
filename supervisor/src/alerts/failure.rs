//! Why a message did not arrive, and whether it may arrive later.
//! Not here: what is done about it.

use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// Trying again may help.
    pub(super) again: bool,
    /// Not sooner than after this.
    pub(super) after: Option<Duration>,
    pub(super) why: String,
}

impl Failure {
    pub(super) fn later(why: impl Into<String>) -> Self {
        Self { again: true, after: None, why: why.into() }
    }

    pub(super) fn never(why: impl Into<String>) -> Self {
        Self { again: false, after: None, why: why.into() }
    }
}
