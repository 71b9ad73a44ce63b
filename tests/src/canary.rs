//! Words that must not be seen.
//! Not here: where they are planted.

use crate::Done;

/// Every planted secret holds this.
pub const CANARY: &str = "c4n4ry";

/// What gives a secret away.
#[derive(Debug, Clone, Copy)]
pub struct Secrets(pub &'static [&'static str]);

impl Secrets {
    #[track_caller]
    pub fn not_in(self, what: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let leak = text.lines().find(|line| self.0.iter().any(|secret| line.contains(secret)));
        assert_eq!(leak, None, "{what} gives a secret away");
    }

    /// On neither stream.
    #[track_caller]
    pub fn not_said(self, what: &str, done: &Done) {
        self.not_in(&format!("{what} (stdout)"), done.stdout.as_bytes());
        self.not_in(&format!("{what} (stderr)"), done.stderr.as_bytes());
    }
}
