//! Certificates that services show: how long they are good, how they stand, and that in words.
//! Not here: meeting one (`control::probe`), what is told of it and when (`control::telling`).

mod der;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::timestamp;

pub(crate) use der::validity;

/// A certificate is due this long before its end, in seconds: people need days …
const DUE: i64 = 14 * DAY;
/// … and programs renew those that are short-lived earlier than in the last quarter.
const SHARE: i64 = 4;

const DAY: i64 = 86_400;
const HOUR: i64 = 3_600;
const MINUTE: i64 = 60;

/// From when until when it is good, in seconds since 1970; the last one still counts (RFC 5280, 4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Validity {
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "CertificateState")]
pub(crate) enum Standing {
    Good,
    /// It should be renewed.
    Due,
    Expired,
}

/// The certificate that a service shows, as a check saw it last. Times are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Certificate {
    pub(crate) state: Standing,
    /// The name that the check asks for, if it says one.
    pub(crate) host: Option<String>,
    pub(crate) not_before: String,
    pub(crate) not_after: String,
}

impl Validity {
    pub(crate) fn standing(self, now: i64) -> Standing {
        let left = self.not_after.saturating_sub(now);
        let due = (self.not_after.saturating_sub(self.not_before) / SHARE).min(DUE);
        match left {
            ..0 => Standing::Expired,
            left if left < due => Standing::Due,
            _ => Standing::Good,
        }
    }
}

impl Certificate {
    pub(crate) fn of(validity: Validity, state: Standing, host: &str) -> Self {
        let time = |seconds: i64| timestamp::format(seconds.saturating_mul(1000));
        let host = (!host.is_empty()).then(|| host.to_owned());
        Self { state, host, not_before: time(validity.not_before), not_after: time(validity.not_after) }
    }

    /// `its certificate ends in 13 days, at 2026-12-06T10:00:00.000Z`
    pub(crate) fn in_words(&self, now_ms: i64) -> String {
        let host = self.host.as_ref().map(|host| format!(" for `{host}`")).unwrap_or_default();
        let left = timestamp::parse(&self.not_after).unwrap_or(now_ms).saturating_sub(now_ms) / 1000;
        let (until, span) = (&self.not_after, span(left));
        match self.state {
            Standing::Good => format!("its certificate{host} is good until {until}"),
            // The clock may go on while nobody asks the service.
            Standing::Due | Standing::Expired if left < 0 => {
                format!("its certificate{host} expired {span} ago, at {until}")
            }
            Standing::Due | Standing::Expired => format!("its certificate{host} ends in {span}, at {until}"),
        }
    }
}

/// What whoever is told that one is not good should do.
pub(crate) fn todo(service: &str) -> String {
    format!("renew it; if the service goes on with the old one, `supervisor restart {service}` gives it the new one")
}

/// In the largest unit of which there are at least two.
fn span(seconds: i64) -> String {
    let seconds = seconds.abs();
    let units = [(DAY, "days"), (HOUR, "hours"), (MINUTE, "minutes")];
    let unit = units.into_iter().find(|(unit, _)| seconds >= 2 * unit);
    unit.map_or_else(|| format!("{seconds} seconds"), |(unit, name)| format!("{} {name}", seconds / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lasting(seconds: i64) -> Validity {
        Validity { not_before: 1_000_000, not_after: 1_000_000 + seconds }
    }

    #[test]
    fn a_certificate_is_due_in_its_last_quarter_and_never_sooner_than_two_weeks_before_its_end() {
        for (lifetime, due) in
            [(365 * DAY, 14 * DAY), (90 * DAY, 14 * DAY), (6 * DAY, 36 * HOUR), (12 * HOUR, 3 * HOUR)]
        {
            let certificate = lasting(lifetime);
            let standing = |left: i64| certificate.standing(certificate.not_after - left);
            assert_eq!(standing(due), Standing::Good, "{lifetime}");
            assert_eq!((standing(due - 1), standing(0)), (Standing::Due, Standing::Due), "{lifetime}");
            assert_eq!(standing(-1), Standing::Expired, "{lifetime}");
        }
    }

    #[test]
    fn times_that_make_no_sense_make_no_harm() {
        let most = Validity { not_before: i64::MIN, not_after: i64::MAX };
        assert_eq!((most.standing(0), most.standing(i64::MIN)), (Standing::Good, Standing::Good));
        let backwards = Validity { not_before: 10, not_after: 5 };
        assert_eq!((backwards.standing(5), backwards.standing(6)), (Standing::Good, Standing::Expired));
    }

    #[test]
    fn words_say_how_long_and_until_when() {
        let words = |left: i64, host: &str| {
            let validity = Validity { not_before: 1_700_000_000 - 100 * DAY, not_after: 1_700_000_000 };
            let now = validity.not_after - left;
            Certificate::of(validity, validity.standing(now), host).in_words(now * 1000)
        };
        assert_eq!(words(40 * DAY, ""), "its certificate is good until 2023-11-14T22:13:20.000Z");
        assert_eq!(words(13 * DAY + 5, ""), "its certificate ends in 13 days, at 2023-11-14T22:13:20.000Z");
        assert_eq!(
            words(HOUR * 47, "a.test"),
            "its certificate for `a.test` ends in 47 hours, at 2023-11-14T22:13:20.000Z"
        );
        assert_eq!(words(-90, ""), "its certificate expired 90 seconds ago, at 2023-11-14T22:13:20.000Z");
    }
}
