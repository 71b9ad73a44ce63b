//! Spans of time for people.
//! Not here: points of time (`timestamp`), the spans of a configuration (`config`).

use std::time::Instant;

/// Two units at most: `5s`, `3m 20s`, `4h 05m`, `2d 3h`.
pub(crate) fn span(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h {:02}m", minutes % 60),
        (_, _, _) => format!("{days}d {}h", hours % 24),
    }
}

/// `40ms`, `1.2s`, then as `span` tells it.
pub(crate) fn short(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms}ms"),
        1000..60_000 if ms % 1000 < 100 => format!("{}s", ms / 1000),
        1000..60_000 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        _ => span(i64::try_from(ms).unwrap_or(i64::MAX)),
    }
}

/// The same, since then.
pub(crate) fn elapsed(began: Instant) -> String {
    short(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        for (ms, text) in [
            (-5, "0s"),
            (59_999, "59s"),
            (60_000, "1m 00s"),
            (3_599_000, "59m 59s"),
            (3_600_000, "1h 00m"),
            (86_399_000, "23h 59m"),
            (200_000_000, "2d 7h"),
        ] {
            assert_eq!(span(ms), text);
        }
    }

    #[test]
    fn spans_are_short() {
        assert_eq!([0, 999, 1250, 3099, 61_000].map(short), ["0ms", "999ms", "1.2s", "3s", "1m 01s"]);
    }
}
