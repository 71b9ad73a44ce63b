//! Wall-clock times as text: RFC 3339 in UTC, with milliseconds.
//! Not here: durations (they are never made from wall-clock times, but by clients for display).

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// Milliseconds since 1970, by the wall clock.
pub(crate) fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// This moment, as `format` tells it.
pub(crate) fn now() -> String {
    format(now_ms())
}

/// `2026-11-23T00:21:01.000Z` of milliseconds since 1970.
pub(crate) fn format(unix_ms: i64) -> String {
    let (days, of_day) = (unix_ms.div_euclid(DAY), unix_ms.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let (seconds, ms) = (of_day / 1000, of_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Milliseconds since 1970 of a text as `format` makes it, with or without the milliseconds; `None` for any other.
pub(crate) fn parse(text: &str) -> Option<i64> {
    if let Some(whole) = text.strip_suffix('Z').filter(|whole| whole.len() == 19) {
        return parse(&format!("{whole}.000Z"));
    }
    let bytes = text.as_bytes();
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (23, b'Z')];
    if bytes.len() != 24 || marks.iter().any(|(at, mark)| bytes[*at] != *mark) {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<i64>().ok())?
    };
    let days = days(number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let seconds = (number(11, 13)? * 60 + number(14, 16)?) * 60 + number(17, 19)?;
    Some(days * DAY + seconds * 1000 + number(20, 23)?)
}

/// Year, month and day of a day since 1970-01-01 in the Gregorian calendar. Years begin in March here, so that the
/// leap day is the last, and 400 of them are one era of 146,097 days.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, of_year - (153 * from_march + 2) / 5 + 1)
}

/// The inverse of `civil`.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_moments_have_their_known_names() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_795_393_261_042, "2026-11-23T00:21:01.042Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(format(ms), text);
            assert_eq!(parse(text), Some(ms));
        }
    }

    #[test]
    fn other_texts_are_not_parsed() {
        assert_eq!(parse("2026-11-23T00:21:01Z"), parse("2026-11-23T00:21:01.000Z"));
        for text in ["", "2026-11-23", "2026-11-23T00:21:01", "2026-11-23T00:21:01.04+Z", "2026-11-23 00:21:01.042Z"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_moment_survives_the_way_there_and_back(ms in 0..253_402_300_799_999_i64) {
            prop_assert_eq!(parse(&format(ms)), Some(ms));
        }
    }
}
