//! The commands: they look at the file, ask the running supervisor, and show what comes of it.
//! Not here: decisions about services.

mod alerts;
mod args;
mod check;
mod clock;
mod complete;
mod disks;
mod ends;
mod events;
mod exec;
mod failure;
mod follow;
mod foreground;
mod joining;
mod list;
mod live;
mod locate;
mod lock;
mod logs;
mod man;
pub(crate) mod output;
mod progress;
mod reload;
mod restart;
mod roles;
mod rollout;
mod signal;
mod start;
mod status;
mod stop;
mod table;
mod terminal;
mod watch;
mod why;

use std::process::ExitCode;

use args::{Command, Line};
use failure::{Exit, Failure};
use terminal::Screen;

use crate::config;

/// Made of the table of keys, like the checks themselves.
fn schema(screen: Screen) -> Result<Exit, Failure> {
    let text = serde_json::to_string_pretty(&config::schema()).map_err(|error| Failure::new(Exit::Failed, error))?;
    screen.data(&format!("{text}\n"));
    Ok(Exit::Done)
}

/// Carries out a line.
pub(crate) fn main() -> ExitCode {
    complete::answer();
    let Line { global, command } = <Line as clap::Parser>::parse();
    let screen = Screen::new(global.quiet, global.json);
    let done = match command {
        Command::Keeper(keeper) => return roles::keeper(&global, keeper, None).into(),
        Command::Control(control) => return roles::control(&global, control, None).into(),
        Command::Start(start) => start::start(&global, screen, &start),
        Command::Run(run) => foreground::run(&global, screen, &run.services),
        Command::Stop(stop) => stop::stop(&global, screen, &stop),
        Command::Restart(restart) => restart::restart(&global, screen, &restart),
        Command::Reload(reload) => reload::reload(&global, screen, &reload),
        Command::Status(status) => status::status(&global, screen, &status),
        Command::Why(why) => why::why(&global, screen, &why.service, why.exit),
        Command::Logs(logs) => logs::logs(&global, screen, &logs),
        Command::Events(events) => events::events(&global, screen, &events),
        Command::Alerts(alerts) => alerts::alerts(&global, screen, &alerts),
        Command::Signal(signal) => signal::signal(&global, screen, &signal),
        Command::Exec(exec) => exec::exec(&global, &exec),
        Command::Check => check::check(&global, screen),
        Command::List => list::list(screen),
        Command::Schema => schema(screen),
        Command::Completions(completions) => complete::completions(screen, completions.shell),
        Command::Man(man) => man::man(screen, &man),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(Failure { exit, message }) => {
            // Diagnostics begin with that word already.
            let prefix = if message.starts_with("error: ") { "" } else { "error: " };
            screen.complain(&format!("{prefix}{message}"));
            exit.into()
        }
    }
}
