//! The program: it becomes one of the roles, or carries out a command.
//! Not here: either of them.

mod api;
mod cli;
mod client;
mod config;
mod control;
mod journal;
mod platform;
mod resources;
mod signals;
mod sse;
mod state;
mod timestamp;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Whoever started us may have left signals ignored or blocked, and our children would inherit that.
    supervisor_keeper::reset_signals();
    cli::main()
}
