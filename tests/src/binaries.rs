//! Where the programs under test lie.
//! Not here: building them; cargo does not build other packages' programs for a test, so the test command does.

use std::path::{Path, PathBuf};

/// The supervisor.
#[must_use]
pub fn supervisor() -> PathBuf {
    program("supervisor")
}

/// The misbehaving program.
#[must_use]
pub fn puppet() -> PathBuf {
    program("puppet")
}

/// The well-behaved program, a service on the kit.
#[must_use]
pub fn exemplar() -> PathBuf {
    program("exemplar")
}

/// The program of that name, of this workspace.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let profile = test.parent().and_then(Path::parent).expect("tests lie in target/PROFILE/deps");
    let program = profile.join(name);
    assert!(program.exists(), "{} is not there: first run `cargo build --workspace --bins`", program.display());
    program
}
