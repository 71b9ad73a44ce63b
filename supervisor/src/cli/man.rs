//! `man`: manual pages, made from the command line as it is.
//! Not here: the command line itself (`args`).

use clap::CommandFactory;

use super::args::{Line, Man};
use super::failure::{Exit, Failure};
use super::terminal::Screen;

pub(crate) fn man(screen: Screen, man: &Man) -> Result<Exit, Failure> {
    let line = Line::command().disable_help_subcommand(true);
    let Some(dir) = &man.dir else {
        let mut page = Vec::new();
        let written = clap_mangen::Man::new(line).render(&mut page);
        written.map_err(|error| Failure::of_system("make the page", &error))?;
        screen.data(&String::from_utf8_lossy(&page));
        return Ok(Exit::Done);
    };
    let failed = |error: std::io::Error| Failure::of_system(&format!("write pages into {}", dir.display()), &error);
    std::fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(line, dir).map_err(failed)?;
    screen.tell(&format!("wrote the pages to {0}; `man {0}/supervisor.1` shows the first\n", dir.display()));
    Ok(Exit::Done)
}
