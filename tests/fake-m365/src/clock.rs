//! What time Entra thinks it is, and how it writes it.
//! Not here: measuring spans.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970, moved by `offset_s`.
pub(crate) fn now(offset_s: i64) -> i64 {
    let real = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |span| span.as_secs());
    i64::try_from(real).unwrap_or(i64::MAX).saturating_add(offset_s)
}

/// `2026-11-23 03:00:00Z`, as in Entra's errors.
pub(crate) fn stamp(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// `2026-11-23T03:00:00`, as in Graph's errors.
pub(crate) fn graph_stamp(seconds: i64) -> String {
    stamp(seconds).replace(' ', "T").trim_end_matches('Z').to_owned()
}

/// The day of the Gregorian calendar, counted in eras of 400 years from 1 March (Hinnant, "chrono-compatible
/// low-level date algorithms").
fn date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_entra_and_graph_write_them() {
        assert_eq!(stamp(0), "1970-01-01 00:00:00Z");
        assert_eq!(stamp(951_827_696), "2000-02-29 12:34:56Z");
        assert_eq!(stamp(1_795_402_800), "2026-11-23 03:00:00Z");
        assert_eq!(graph_stamp(1_795_402_800), "2026-11-23T03:00:00");
    }
}
