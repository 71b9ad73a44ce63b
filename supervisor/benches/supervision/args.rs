//! The command line: which measures, at which sizes, how thoroughly.
//! Not here: what a measure does with that.

use std::time::Duration;

const USAGE: &str = "usage: cargo bench -p supervisor --bench supervision -- [a b c d e f g] [--sizes N,N…] [--quick]
  a  crash to respawn          b  start             c  memory
  d  idle                      e  GET /api/v1/status  f  stop
  g  streams of events";

pub(crate) struct Args {
    letters: String,
    sizes: Option<Vec<usize>>,
    pub(crate) pace: Pace,
}

/// How much each measure takes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    Full,
    /// A smoke test: small, short, and no figure to quote.
    Quick,
}

impl Args {
    pub(crate) fn parse(words: &[String]) -> Result<Self, String> {
        let mut args = Self { letters: String::new(), sizes: None, pace: Pace::Full };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                // Cargo adds it.
                "--bench" => {}
                "--quick" => args.pace = Pace::Quick,
                "--sizes" => args.sizes = Some(sizes(words.next().map_or("", String::as_str))?),
                letters if letters.chars().all(|letter| ('a'..='g').contains(&letter)) => args.letters += letters,
                other => return Err(format!("unknown argument `{other}`\n{USAGE}")),
            }
        }
        Ok(args)
    }

    pub(crate) fn wants(&self, letter: char) -> bool {
        self.letters.is_empty() || self.letters.contains(letter)
    }

    /// The sizes of one measure, `full` when nothing else was said.
    pub(crate) fn sizes(&self, full: &[usize]) -> Vec<usize> {
        match (&self.sizes, self.pace) {
            (Some(sizes), _) => sizes.clone(),
            (None, Pace::Full) => full.to_vec(),
            (None, Pace::Quick) => vec![10],
        }
    }
}

impl Pace {
    pub(crate) fn crashes(self) -> usize {
        match self {
            Self::Full => 200,
            Self::Quick => 20,
        }
    }

    /// How often a start and stop of `size` services is done.
    pub(crate) fn rounds(self, size: usize) -> usize {
        match (self, size) {
            (Self::Full, ..=100) => 9,
            (Self::Full, _) => 5,
            (Self::Quick, _) => 1,
        }
    }

    /// How long a fleet is left alone before it counts as idle.
    pub(crate) fn settle(self) -> Duration {
        match self {
            Self::Full => Duration::from_secs(5),
            Self::Quick => Duration::from_secs(1),
        }
    }

    pub(crate) fn idle(self) -> Duration {
        match self {
            Self::Full => Duration::from_secs(20),
            Self::Quick => Duration::from_secs(2),
        }
    }

    /// Spells of load, each on ours and then on the baseline.
    pub(crate) fn spells(self) -> (usize, Duration) {
        match self {
            Self::Full => (3, Duration::from_secs(2)),
            Self::Quick => (1, Duration::from_millis(500)),
        }
    }
}

fn sizes(list: &str) -> Result<Vec<usize>, String> {
    let all = list.split(',').map(|size| size.parse().ok().filter(|size| *size <= 2000));
    all.collect::<Option<_>>().ok_or_else(|| format!("`{list}` is no list of sizes up to 2000\n{USAGE}"))
}
