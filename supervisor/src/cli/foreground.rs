//! `run`: this process becomes the supervisor.
//! Not here: what it does then.

use std::os::unix::process::CommandExt;

use super::args::Global;
use super::failure::{Exit, Failure};
use super::roles::First;
use super::terminal::Screen;
use super::{locate, roles};

pub(crate) fn run(global: &Global, screen: Screen, services: &[String]) -> Result<Exit, Failure> {
    let stack = locate::trusted_stack(global)?;
    locate::named(&stack, services)?;
    let first = First { foreground: true, only: services.to_vec(), mirror: services.len() == 1 };
    let mut command =
        roles::keeper_command(&stack, &first).map_err(|error| Failure::of_system("find this program", &error))?;
    command.args(screen.quiet.then_some("--quiet"));
    // Only returns when it fails.
    Err(Failure::of_system("become the supervisor", &command.exec()))
}
