//! What the keeper promises, with a real keeper, real children, and the test as control.
//! Not here: the wire (unit tests), and what control makes of it all.

#![expect(clippy::unwrap_used, reason = "also in what the tests share")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks for one answer among all")]
#![expect(clippy::print_stdout, reason = "a test that is skipped says why")]

mod control;
mod exits;
mod first;
mod holding;
mod joining;
mod rig;
mod roles;
mod shutdown;
mod spawn;
