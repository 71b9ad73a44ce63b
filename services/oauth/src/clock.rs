//! What time it is: seconds since 1970, as tokens and certificates count.
//! Not here: how the runtime waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds since 1970-01-01T00:00:00Z, or a number of them.
pub type Seconds = i64;

/// The clocks, which a test may set forward or back.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    offset: Arc<AtomicI64>,
    standing: Option<(SystemTime, Instant)>,
}

impl Clock {
    /// Clocks that stand still between two calls of `advance`: what is promised to the second can be seen to the second,
    /// however slow the machine.
    #[must_use]
    pub fn standing() -> Self {
        Self { standing: Some((SystemTime::now(), Instant::now())), ..Self::default() }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Seconds {
        let date = self.standing.map_or_else(SystemTime::now, |(date, _)| date);
        let since = date.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        i64::try_from(since).unwrap_or(i64::MAX).saturating_add(self.offset.load(Ordering::Relaxed))
    }

    /// For what has to pass, whatever the date is.
    #[must_use]
    pub fn instant(&self) -> Instant {
        let offset = self.offset.load(Ordering::Relaxed);
        let now = self.standing.map_or_else(Instant::now, |(_, now)| now);
        let apart = Duration::from_secs(offset.unsigned_abs());
        let moved = if offset < 0 { now.checked_sub(apart) } else { now.checked_add(apart) };
        moved.unwrap_or(now)
    }

    /// Sets the clock forward, or back where `seconds` is negative.
    pub fn advance(&self, seconds: Seconds) {
        self.offset.fetch_add(seconds, Ordering::Relaxed);
    }
}
