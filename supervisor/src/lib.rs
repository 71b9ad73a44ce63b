//! All of the program but its name: it becomes one of the roles, or carries out a command.
//! Not here: anything for other programs; what is public is for `main` and for the fuzzers.

mod alerts;
mod api;
mod certificates;
mod cli;
mod client;
mod config;
mod control;
mod exits;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod journal;
#[cfg(test)]
mod json_schema;
mod log_lines;
mod platform;
mod resources;
mod rollouts;
mod signals;
mod slots;
mod spans;
mod sse;
mod state;
mod timestamp;
mod untrusted;

use std::process::ExitCode;

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    // Whoever started us may have left signals ignored or blocked, and our children would inherit that.
    supervisor_keeper::reset_signals();
    cli::main()
}
