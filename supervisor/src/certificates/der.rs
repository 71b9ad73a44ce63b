//! The two times of a certificate, out of its DER: all that is needed of it, so no library for the rest.
//! Not here: whether they are good. Whatever the bytes say, nothing is read beyond them.

use super::Validity;
use crate::timestamp;

/// Tags of X.690: universal ones, and the version of a certificate (RFC 5280, 4.1).
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
/// A length of more bytes is none of a certificate.
const MOST_LENGTH_BYTES: usize = 3;

/// What it says of the time in which it is good; `None` when it is no certificate.
pub(crate) fn validity(certificate: &[u8]) -> Option<Validity> {
    let mut certificate = expect(&mut { certificate }, SEQUENCE)?;
    let mut signed = expect(&mut certificate, SEQUENCE)?;
    // The oldest have none.
    if signed.first() == Some(&VERSION) {
        expect(&mut signed, VERSION)?;
    }
    // Its number, how it is signed, by whom.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        expect(&mut signed, tag)?;
    }
    let mut times = expect(&mut signed, SEQUENCE)?;
    Some(Validity { not_before: time(&mut times)?, not_after: time(&mut times)? })
}

/// The content of the next element, which must bear this tag.
fn expect<'a>(rest: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (found, content) = element(rest)?;
    (found == tag).then_some(content)
}

/// The next element (X.690, 8.1): tag, length, content.
fn element<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let [tag, first, after @ ..] = *rest else { return None };
    let (length, after) = match usize::from(*first) {
        short @ ..0x80 => (short, after),
        long => {
            let (bytes, after) = after.split_at_checked(long - 0x80)?;
            if bytes.is_empty() || bytes.len() > MOST_LENGTH_BYTES {
                return None;
            }
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), after)
        }
    };
    let content;
    (content, *rest) = after.split_at_checked(length)?;
    Some((*tag, content))
}

/// Seconds since 1970 of `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`; nothing else is allowed (RFC 5280, 4.1.2.5).
fn time(rest: &mut &[u8]) -> Option<i64> {
    let (tag, content) = element(rest)?;
    let text = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let text = match (tag, text.len()) {
        (UTC_TIME, 12) if text < "50" => format!("20{text}"),
        (UTC_TIME, 12) => format!("19{text}"),
        (GENERALIZED_TIME, 14) => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize| &text[from..from + 2];
    let (month, day, hour, minute, second) = (part(4), part(6), part(8), part(10), part(12));
    let exists = ("01"..="12").contains(&month) && ("01"..="31").contains(&day) && hour < "24" && minute < "60";
    let ms = timestamp::parse(&format!("{}-{month}-{day}T{hour}:{minute}:{second}Z", &text[..4]))?;
    (exists && second < "61").then_some(ms / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], length.as_slice(), content].concat()
    }

    /// As far as it is read.
    fn certificate(version: &[u8], not_before: (u8, &str), not_after: (u8, &str)) -> Vec<u8> {
        let times = [wrap(not_before.0, not_before.1.as_bytes()), wrap(not_after.0, not_after.1.as_bytes())].concat();
        let parts = [version, &[INTEGER, 1, 7], &wrap(SEQUENCE, &[0; 300]), &[SEQUENCE, 0], &wrap(SEQUENCE, &times)];
        wrap(SEQUENCE, &wrap(SEQUENCE, &parts.concat()))
    }

    fn until(not_after: (u8, &str)) -> Option<i64> {
        validity(&certificate(&[VERSION, 3, INTEGER, 1, 2], (UTC_TIME, "500101000000Z"), not_after))
            .map(|validity| validity.not_after)
    }

    #[test]
    fn both_times_are_read_in_both_forms() {
        let bytes = certificate(&[], (UTC_TIME, "491231235959Z"), (GENERALIZED_TIME, "20500101000000Z"));
        assert_eq!(validity(&bytes), Some(Validity { not_before: 2_524_607_999, not_after: 2_524_608_000 }));
        assert_eq!(until((UTC_TIME, "700101000001Z")), Some(1));
        assert_eq!(until((UTC_TIME, "500101000000Z")), Some(-631_152_000));
        assert_eq!(until((GENERALIZED_TIME, "99991231235959Z")), Some(253_402_300_799));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", "Z", "7001010000Z", "700101000001", "70010100000+Z", "701301000000Z", "700132000000Z"] {
            assert_eq!(until((UTC_TIME, text)), None, "{text}");
        }
        for text in ["700101240000Z", "700101006000Z", "700101000061Z", "7001010000é"] {
            assert_eq!(until((UTC_TIME, text)), None, "{text}");
        }
        assert_eq!(until((GENERALIZED_TIME, "700101000001Z")), None);
        assert_eq!(until((INTEGER, "700101000001Z")), None);
    }

    #[test]
    fn a_certificate_that_ends_early_or_lies_about_a_length_is_none() {
        let whole = certificate(&[], (UTC_TIME, "260101000000Z"), (UTC_TIME, "270101000000Z"));
        assert!(validity(&whole).is_some());
        for end in 0..whole.len() {
            assert_eq!(validity(&whole[..end]), None, "{end} bytes");
        }
        // Of no length, of one that nobody can hold, of one that is told in more bytes than there are.
        for length in [&[0x80][..], &[0x84, 0, 0, 0, 1], &[0x83, 0xff, 0xff, 0xff], &[0xff], &[]] {
            assert_eq!(validity(&[&[SEQUENCE], length, &whole].concat()), None, "{length:x?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_it_is_nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..60_usize) {
            let _ = validity(&bytes);
            let mut changed = certificate(&[], (UTC_TIME, "260101000000Z"), (UTC_TIME, "270101000000Z"));
            let end = changed.len() - at;
            bytes.iter().zip(&mut changed[end - 60.min(end)..]).for_each(|(byte, place)| *place = *byte);
            let _ = validity(&changed);
        }
    }
}
