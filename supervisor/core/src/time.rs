//! Points and spans of time as plain numbers.
//! Not here: reading a clock. The shell does that and passes the result in.

use serde::{Deserialize, Serialize};

/// A span of time in milliseconds.
pub type Millis = u64;

/// A point on the monotonic clock, in milliseconds. The origin is the machine's (`CLOCK_MONOTONIC`), so a value
/// survives a restart of control on the same boot and tests can make values up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Time(pub u64);

impl Time {
    /// This point plus `span`, saturating.
    #[must_use]
    pub fn after(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// How long ago `earlier` was; zero when it lies in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Millis {
        self.0.saturating_sub(earlier.0)
    }
}
