//! Durations and sizes as text.
//! Not here: which of them a key takes.

use std::time::Duration;

/// One year: what is longer is a mistake, and sums of such spans cannot overflow.
pub(super) const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// 1 PiB.
pub(super) const MAX_SIZE: u64 = 1 << 50;

const DURATION_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// `300ms`, `10s`, `1m30s`, `0`: numbers with a unit each, the greater units first. The error says what is wrong
/// without the text itself.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut units = DURATION_UNITS.iter();
    while !rest.is_empty() {
        let (number, after) = number(rest)?;
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let Some((_, scale)) = units.by_ref().find(|(name, _)| *name == unit) else {
            return Err(match DURATION_UNITS.iter().any(|(name, _)| *name == unit) {
                true => "each unit may be used once, the greater ones first".to_owned(),
                false => "its units must be among `ms`, `s`, `m`, `h` and `d`".to_owned(),
            });
        };
        let span = number.checked_mul(*scale).and_then(|span| total.checked_add(span));
        total = span.filter(|span| u128::from(*span) <= MAX_DURATION.as_millis()).ok_or("it is longer than `365d`")?;
        rest = after;
    }
    Ok(Duration::from_millis(total))
}

/// `10MiB`, `100KB`, `512B`, `512`. The error says what is wrong without the text itself.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = number(text)?;
    let scale = match (unit, SIZE_UNITS.iter().find(|(name, _)| *name == unit)) {
        ("", _) => 1,
        (_, Some((_, scale))) => *scale,
        (_, None) => {
            return Err("its unit must be `B`, `KB`, `MB`, `GB`, `TB`, `KiB`, `MiB`, `GiB` or `TiB`".to_owned());
        }
    };
    number.checked_mul(scale).filter(|size| *size <= MAX_SIZE).ok_or_else(|| "it is more than `1024TiB`".to_owned())
}

/// The number that `text` begins with, and what follows it.
fn number(text: &str) -> Result<(u64, &str), String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    match digits.parse() {
        Ok(number) => Ok((number, rest)),
        Err(_) if digits.is_empty() => Err("a number is missing".to_owned()),
        Err(_) => Err("its number is too great".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("300ms", 300),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("1m30s", 90_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("365d", 31_536_000_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "10",
            "s",
            "10 s",
            "-1s",
            "1.5s",
            "1s1m",
            "1s1s",
            "366d",
            "99999999999999999999s",
            "10S",
            "1m 30s",
            "٣s",
            "00",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_numbers_with_a_unit_or_bytes() {
        for (text, bytes) in
            [("0", 0), ("512", 512), ("512B", 512), ("100KB", 100_000), ("10MiB", 10_485_760), ("1024TiB", MAX_SIZE)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "10 MiB", "1.5GB", "-1", "10mb", "1025TiB", "99999999999999999999", "10MiB5"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*", near in "[0-9]{0,25}[a-zA-Z]{0,3}[0-9]{0,25}[a-zA-Z]{0,3}") {
            for text in [text, near] {
                let _ = duration(&text);
                let _ = size(&text);
            }
        }

        #[test]
        fn a_duration_that_is_written_is_read_back(millis in 1..=31_536_000_000u64) {
            prop_assert_eq!(duration(&format!("{}s{}ms", millis / 1000, millis % 1000)), Ok(Duration::from_millis(millis)));
        }
    }
}
