//! The program's first step.
//! Not here: the others (see `lib.rs`).

use std::process::ExitCode;

fn main() -> ExitCode {
    supervisor::main()
}
