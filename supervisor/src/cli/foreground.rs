//! `run`: this process becomes the supervisor.
//! Not here: what it does then.

use std::os::unix::process::CommandExt;

use super::args::Global;
use super::failure::{Exit, Failure};
use super::roles::First;
use super::terminal::Screen;
use super::{locate, roles};
use crate::control::InForce;
use crate::platform;

pub(crate) fn run(global: &Global, screen: Screen, services: &[String]) -> Result<Exit, Failure> {
    let (stack, recorded, surroundings) = locate::trusted(global)?;
    locate::named(&stack, services)?;
    let first = First { foreground: true, only: services.to_vec(), mirror: services.len() == 1 };
    let mut command =
        roles::keeper_command(&stack, &first).map_err(|error| Failure::of_system("find this program", &error))?;
    command.args(screen.quiet.then_some("--quiet"));
    if platform::retitle(&roles::keeper_words(&stack, &first)) {
        let global = Global { config: Some(stack.file.clone()), quiet: screen.quiet, json: screen.json };
        let keeper = roles::Keeper::of(&stack, first);
        let in_force = InForce::first(stack, recorded, surroundings);
        std::process::exit(roles::keeper(&global, keeper, Some(in_force)).into());
    }
    // Only returns when it fails.
    Err(Failure::of_system("become the supervisor", &command.exec()))
}
