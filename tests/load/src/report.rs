//! What clients have seen.
//! Not here: seeing it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::Kind;

/// How a request was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// Nobody listened.
    Refused,
    /// The connection was reset.
    Reset,
    /// It ended before the answer.
    Eof,
    /// The answer was not the right one, 5xx for example.
    Status,
    /// The answer ended before its end.
    Short,
    /// No answer in time.
    Late,
    /// Something else.
    Other,
}

impl From<&io::Error> for Failure {
    fn from(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            Self::Refused
        } else if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) {
            Self::Reset
        } else if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::Eof
        } else {
            Self::Other
        }
    }
}

/// What clients of one kind have seen.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// How long each answer took, in microseconds.
    pub took: Vec<u32>,
    /// What was lost.
    pub failures: BTreeMap<Failure, usize>,
    /// Requests of HTTP/2 that the server said it had not looked at, and that were sent anew.
    pub sent_anew: usize,
    /// Answers without an end that came to one in good order.
    pub seen_off: usize,
}

impl Tally {
    pub(crate) fn answered(&mut self, took: Duration) {
        self.took.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    pub(crate) fn lost(&mut self, failure: Failure) {
        *self.failures.entry(failure).or_default() += 1;
    }

    fn add(&mut self, other: Self) {
        self.took.extend(other.took);
        self.sent_anew += other.sent_anew;
        self.seen_off += other.seen_off;
        for (failure, count) in other.failures {
            *self.failures.entry(failure).or_default() += count;
        }
    }

    /// All that was lost.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.failures.values().sum()
    }

    /// The time within which `share` of all answers came.
    #[must_use]
    pub fn quantile(&mut self, share: f64) -> Duration {
        self.took.sort_unstable();
        let last = self.took.len().saturating_sub(1);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
        #[expect(clippy::cast_precision_loss, reason = "there are not so many answers")]
        let place = (last as f64 * share).ceil() as usize;
        Duration::from_micros(self.took.get(place).copied().unwrap_or_default().into())
    }
}

/// What all have seen, by kind.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// One for each kind that was there.
    pub kinds: BTreeMap<Kind, Tally>,
}

impl Report {
    pub(crate) fn add(&mut self, kind: Kind, tally: Tally) {
        self.kinds.entry(kind).or_default().add(tally);
    }

    /// That of all kinds together.
    #[must_use]
    pub fn whole(&self) -> Tally {
        let mut whole = Tally::default();
        self.kinds.values().for_each(|tally| whole.add(tally.clone()));
        whole
    }

    /// Answers to all.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.kinds.values().map(|tally| tally.took.len()).sum()
    }

    /// All that was lost.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.kinds.values().map(Tally::failed).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| clients | answered | lost | p50 ms | p99 ms | p99.9 ms | longest ms | seen off | sent anew |")?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|")?;
        for (kind, tally) in &self.kinds {
            let mut tally = tally.clone();
            let [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1.0].map(|share| tally.quantile(share).as_secs_f64() * 1e3);
            let Tally { took, failures, sent_anew, seen_off } = &tally;
            let lost = failures.iter().map(|(failure, count)| format!(", {count} {failure:?}")).collect::<String>();
            writeln!(
                f,
                "| {kind} | {} | {}{lost} | {p50:.2} | {p99:.2} | {p999:.2} | {max:.2} | {seen_off} | {sent_anew} |",
                took.len(),
                tally.failed(),
            )?;
        }
        Ok(())
    }
}
