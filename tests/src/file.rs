//! The configuration file of a stack, edited as its user does.
//! Not here: what comes of it.

use std::fs;
use std::path::PathBuf;

use crate::Stack;

impl Stack {
    /// Where it is.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.path("supervisor.toml")
    }

    #[must_use]
    pub fn text(&self) -> String {
        fs::read_to_string(self.file()).expect("it is there")
    }

    /// In place: it stays its owner's, with its mode.
    pub fn save(&self, text: &str) {
        fs::write(self.file(), text).expect("it can be written");
    }

    /// Everywhere, and at least once.
    #[track_caller]
    pub fn edit(&self, old: &str, new: &str) {
        let before = self.text();
        assert!(before.contains(old), "{before}");
        self.save(&before.replace(old, new));
    }
}
