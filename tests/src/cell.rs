//! A cell: a process namespace of its own, in which a program is PID 1 and numbers can be made to repeat.
//! Not here: what happens in it.

use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// How a cell is made on this machine.
#[derive(Debug, Clone)]
pub struct Cell {
    words: Vec<String>,
}

impl Cell {
    /// The words to put before a command so that it runs as PID 1; none where namespaces are forbidden.
    #[must_use]
    pub fn available() -> Option<Self> {
        static FOUND: OnceLock<Option<Cell>> = OnceLock::new();
        FOUND.get_or_init(|| Self::tried(if is_root() { "-pfm" } else { "-cpfm" })).clone()
    }

    /// The words.
    #[must_use]
    pub fn words(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }

    fn tried(namespaces: &str) -> Option<Self> {
        let words = ["unshare", namespaces, "--mount-proc", "--kill-child"];
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg("true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let works = command.status().is_ok_and(|status| status.success());
        works.then(|| Self { words: words.map(str::to_owned).to_vec() })
    }
}

/// Whether this test runs as root.
#[must_use]
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Says that a test was not carried out. The machine that checks every change counts these lines and wants none.
#[expect(clippy::print_stdout, reason = "the runner of the tests reads it there")]
pub fn skip(test: &str, reason: &str) {
    println!("skipped: {test}: {reason}");
}
