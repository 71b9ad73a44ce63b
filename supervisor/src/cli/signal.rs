//! `signal`: one signal to one service.
//! Not here: stopping; that is more than a signal.

use super::args::{Global, Signal};
use super::failure::{Exit, Failure};
use super::locate;
use super::output::clean;
use super::status::chosen;
use super::terminal::Screen;
use crate::signals;

pub(crate) fn signal(global: &Global, screen: Screen, signal: &Signal) -> Result<Exit, Failure> {
    let Some(number) = signals::parse(&signal.signal) else {
        let message = format!("`{}` is no signal; use a name as HUP, or a number", clean(&signal.signal));
        return Err(Failure::new(Exit::Usage, message));
    };
    let place = locate::place(global)?;
    let status = place.client.status()?;
    for service in chosen(&status, std::slice::from_ref(&signal.service))? {
        place.client.signal(service.name.as_str(), number)?;
        screen.tell(&format!("{} sent to {}\n", signals::name(number), service.name));
    }
    Ok(Exit::Done)
}
