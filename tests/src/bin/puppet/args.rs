//! The words of a command line, taken one by one.
//! Not here: what they mean.

use std::str::FromStr;
use std::time::Duration;

/// What is left of the command line.
pub(crate) struct Args {
    words: Vec<String>,
}

impl Args {
    pub(crate) fn of_process() -> Self {
        Self { words: std::env::args().skip(1).collect() }
    }

    /// The next word, which must be there.
    pub(crate) fn word(&mut self, what: &str) -> String {
        assert!(!self.words.is_empty(), "missing: {what}");
        self.words.remove(0)
    }

    /// The next word as a number.
    pub(crate) fn number<N: FromStr>(&mut self, what: &str) -> N {
        self.word(what).parse().unwrap_or_else(|_| panic!("not a number: {what}"))
    }

    /// The value of `--NAME VALUE`, wherever it stands.
    pub(crate) fn option(&mut self, name: &str) -> Option<String> {
        let at = self.words.iter().position(|word| word.strip_prefix("--") == Some(name))?;
        self.words.remove(at);
        assert!(at < self.words.len(), "--{name} needs a value");
        Some(self.words.remove(at))
    }

    /// The value of `--NAME NUMBER`.
    pub(crate) fn option_number<N: FromStr>(&mut self, name: &str) -> Option<N> {
        self.option(name).map(|value| value.parse().unwrap_or_else(|_| panic!("--{name} needs a number")))
    }

    /// The value of `--NAME MS`.
    pub(crate) fn option_millis(&mut self, name: &str) -> Option<Duration> {
        self.option_number(name).map(Duration::from_millis)
    }

    /// Whether `--NAME` was given.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let at = self.words.iter().position(|word| word.strip_prefix("--") == Some(name));
        at.map(|at| self.words.remove(at)).is_some()
    }

    /// All that is left.
    pub(crate) fn rest(self) -> Vec<String> {
        self.words
    }
}
