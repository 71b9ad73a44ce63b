//! Points of time as people here read and write them: in the time zone of whoever asks (`TZ`, else the machine's).
//! Not here: JSON, the API and everything that is kept: they are in UTC (`timestamp`).

use crate::platform::local_offset;
use crate::{log_lines, timestamp};

/// `2026-11-23T01:21:01.042+01:00` of a time in UTC; ends with `Z` where that is the time zone.
pub(crate) fn local(at: &str) -> String {
    timestamp::parse(at).map_or_else(|| at.to_owned(), |ms| told(ms, local_offset(ms.div_euclid(1000))))
}

/// How long ago (`10m`) or a time, in milliseconds since 1970: with `Z` or an offset, or by the clock here; without a
/// date today's. Seconds may be left out.
pub(crate) fn moment(text: &str) -> Option<u64> {
    log_lines::moment(text).or_else(|| {
        let now = timestamp::now_ms();
        let today = told(now, local_offset(now.div_euclid(1000)));
        u64::try_from(read(text, &today, local_offset)?).ok()
    })
}

/// What `moment` takes, for errors and help.
pub(crate) const MOMENT: &str = "how long ago (10m), or a time (14:30, 2026-11-23T14:30:00, 2026-11-23T13:30:00Z)";

fn told(ms: i64, offset: i64) -> String {
    let shown = timestamp::format(ms.saturating_add(offset * 1000));
    let minutes = offset.abs() / 60;
    match (shown.strip_suffix('Z'), offset) {
        (Some(clock), offset) if offset != 0 => {
            let sign = if offset < 0 { '-' } else { '+' };
            format!("{clock}{sign}{:02}:{:02}", minutes / 60, minutes % 60)
        }
        (_, _) => shown,
    }
}

fn read(text: &str, today: &str, offset_at: impl Fn(i64) -> i64) -> Option<i64> {
    let (date, rest) = text.split_once(['T', ' ']).unwrap_or((today.get(..10)?, text));
    let (clock, offset) = match rest.find(['+', '-']) {
        Some(at) => (&rest[..at], Some(offset(&rest[at..])?)),
        None => (rest, None),
    };
    let clock = if clock.len() == "14:30".len() { format!("{clock}:00") } else { clock.to_owned() };
    let as_utc = timestamp::parse(&format!("{date}T{clock}Z"))?;
    let by = |offset: i64| as_utc - offset * 1000;
    let Some(offset) = offset else {
        // Of the moments that this may be, one at which the offset is the one that it was read with. In the hour that
        // a clock skips there is none, and either will do.
        let near = offset_at(as_utc.div_euclid(1000));
        let candidates = [by(near), by(offset_at(by(near).div_euclid(1000)))];
        let fits = |ms: &&i64| by(offset_at(ms.div_euclid(1000))) == **ms;
        return Some(candidates.iter().find(fits).copied().unwrap_or(candidates[0]));
    };
    Some(by(offset))
}

/// Seconds of `+01:00`.
fn offset(text: &str) -> Option<i64> {
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let number = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<i64>().ok())?
    };
    let seconds = (number(hours)? * 60 + number(minutes)?) * 60;
    Some(if text.starts_with('-') { -seconds } else { seconds })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TODAY: &str = "2026-11-23T09:00:00.000+01:00";
    /// Summer in Berlin ended on 2026-10-25 at 01:00 UTC.
    const WINTER: i64 = 1_792_890_000;

    fn berlin(unix: i64) -> i64 {
        if unix < WINTER { 7200 } else { 3600 }
    }

    fn ms(utc: &str) -> Option<i64> {
        Some(timestamp::parse(utc).expect("a time"))
    }

    #[test]
    fn a_time_is_told_with_the_offset_that_was_then() {
        let at = |unix: i64| told(unix * 1000 + 42, berlin(unix));
        assert_eq!(at(WINTER - 1), "2026-10-25T02:59:59.042+02:00");
        assert_eq!(at(WINTER), "2026-10-25T02:00:00.042+01:00");
        assert_eq!(told(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(told(0, -12_600), "1969-12-31T20:30:00.000-03:30");
        assert_eq!(local("soon"), "soon");
    }

    #[test]
    fn a_time_is_read_by_the_clock_here_unless_it_says_otherwise() {
        let read = |text: &str| read(text, TODAY, berlin);
        for (text, utc) in [
            ("14:30", "2026-11-23T13:30:00Z"),
            ("14:30:01", "2026-11-23T13:30:01Z"),
            ("2026-07-01 14:30", "2026-07-01T12:30:00Z"),
            ("2026-07-01T14:30:01.042", "2026-07-01T12:30:01.042Z"),
            ("2026-07-01T14:30:00-03:30", "2026-07-01T18:00:00Z"),
            ("2026-10-25T01:30", "2026-10-24T23:30:00Z"),
            ("2026-10-25T03:30", "2026-10-25T02:30:00Z"),
        ] {
            assert_eq!(read(text), ms(utc), "{text}");
        }
        let twice = read("2026-10-25T02:30");
        assert!(twice == ms("2026-10-25T00:30:00Z") || twice == ms("2026-10-25T01:30:00Z"), "{twice:?}");
        for text in ["", "yesterday", "14", "14:3", "2026-11-23", "2026-11-23T", "14:30+1", "14:30+01:0x", "14:30-é"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_told_is_read_as_the_same_moment(ms in 0..4_102_444_800_000_i64, minutes in -840..840_i64) {
            let told = told(ms, minutes * 60);
            prop_assert_eq!(timestamp::parse(&told).or_else(|| read(&told, TODAY, |_| 0)), Some(ms), "{}", told);
        }

        #[test]
        fn nothing_that_is_typed_panics(text in "[0-9TZ: +-é.]{0,30}") {
            let _ = moment(&text);
        }
    }
}
