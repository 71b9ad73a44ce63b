//! What supervision costs, each time beside what a bare loop of spawn and wait costs in the same run.
//! Not here: whether the supervisor does what it promises (see the end-to-end tests).
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the table is the purpose, and progress is for whoever waits for it"
)]

mod args;
mod bare;
mod child;
mod clock;
mod http;
mod measures;
mod procs;
mod reports;
mod streams;
mod subject;
mod table;

use std::process::ExitCode;

/// Anything that keeps a figure from being taken; it is only ever shown.
type Error = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // The children of the measures are this program, too: their part comes first, so that it costs the least.
    if let Some(role) = child::Role::of(&words) {
        return role.play();
    }
    match args::Args::parse(&words) {
        Ok(args) => measure(&args),
        Err(usage) => {
            eprintln!("{usage}");
            ExitCode::from(2)
        }
    }
}

fn measure(args: &args::Args) -> ExitCode {
    if let Err(error) = procs::adopt_orphans() {
        eprintln!("cannot become the parent of orphans: {error}");
        return ExitCode::FAILURE;
    }
    let _sweep = (procs::Sweep, subject::Sweep);
    println!("{}", procs::machine());
    match measures::all(args) {
        Ok(rows) => {
            println!("{}", table::render(&rows));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
