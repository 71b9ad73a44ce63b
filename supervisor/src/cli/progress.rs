//! Waiting for services, and showing how they get on.
//! Not here: what is waited for; callers judge.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::SIGINT;
use signal_hook::{SigId, flag, low_level};
use supervisor_core::{ServiceName, State};

use super::failure::Failure;
use super::output::clean;
use super::rollout::Phases;
use super::status::tone;
use super::table::{columns, cut, painted};
use super::terminal::Screen;
use crate::api::{OperationEntry, ServiceDocument, StatusDocument};
use crate::client::{Client, ClientError};
use crate::control::Outcome;

const POLL: Duration = Duration::from_millis(50);

/// Is a service where it should be?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pending,
    Reached,
    Failed,
}

/// How the waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Reached,
    Failed,
    TimedOut,
}

/// What is waited for, and how long.
pub(crate) struct Watch<'a> {
    pub(crate) client: &'a Client,
    pub(crate) screen: Screen,
    pub(crate) limit: Duration,
    /// `None`: this service is not waited for.
    pub(crate) judge: &'a dyn Fn(&ServiceDocument) -> Option<Verdict>,
    /// What was asked for; its end is the end of the waiting. Without it the verdicts say when that is.
    pub(crate) operation: Option<&'a OperationEntry>,
    /// Rollouts that follow from it are told phase by phase.
    pub(crate) phases: Option<Phases<'a>>,
    /// Says when nobody will ever answer again.
    pub(crate) is_dead: &'a mut dyn FnMut() -> Option<Failure>,
}

impl Watch<'_> {
    /// Until all are reached or failed, or time is up. Control may be replaced meanwhile.
    pub(crate) fn wait(mut self) -> Result<(Ending, StatusDocument), Failure> {
        let began = Instant::now();
        let mut display = Display::new(self.screen);
        let keys = Keys::heard();
        let mut last = None;
        loop {
            if keys.interrupted() {
                // What was drawn stays: it was so when the waiting ended.
                self.screen.tell("no longer waiting; it goes on in the background: `supervisor status` shows how\n");
                keys.give_way();
            }
            // Before the status, so that the last one that is shown is not older than the end.
            let known = self.known();
            match self.client.status() {
                Ok(status) => {
                    let verdicts: Vec<(&ServiceDocument, Verdict)> =
                        status.services.iter().filter_map(|service| Some((service, (self.judge)(service)?))).collect();
                    let judged: Vec<&ServiceDocument> = verdicts.iter().map(|(service, _)| *service).collect();
                    if let Some(phases) = &mut self.phases {
                        display.say(&phases.news(&judged));
                    }
                    display.show(&verdicts, began.elapsed(), self.phases.as_ref());
                    let ending = match known {
                        Known::Ended(ending) => Some(ending),
                        Known::Running => None,
                        Known::Nothing => sum(verdicts.iter().map(|(_, verdict)| *verdict)),
                    };
                    if let Some(ending) = ending {
                        display.end();
                        if let Some(phases) = &mut self.phases {
                            display.say(&phases.last(&judged));
                        }
                        return Ok((ending, status));
                    }
                    last = Some(status);
                }
                Err(ClientError::NotRunning(_) | ClientError::Broken(..) | ClientError::Timeout(_))
                    if began.elapsed() < self.limit =>
                {
                    if let Some(failure) = (self.is_dead)() {
                        display.end();
                        return Err(failure);
                    }
                }
                Err(error) => return Err(error.into()),
            }
            if began.elapsed() >= self.limit
                && let Some(status) = last
            {
                display.end();
                return Ok((Ending::TimedOut, status));
            }
            std::thread::sleep(POLL);
        }
    }

    fn known(&self) -> Known {
        let Some(operation) = self.operation else { return Known::Nothing };
        match self.client.operation(&operation.id).map(|operation| operation.state) {
            Ok(Outcome::Running) => Known::Running,
            Ok(Outcome::Succeeded) => Known::Ended(Ending::Reached),
            Ok(Outcome::Failed | Outcome::Unknown) => Known::Ended(Ending::Failed),
            Err(ClientError::Refused { .. }) => Known::Nothing,
            // It is asked again in a moment, with the status.
            Err(_) => Known::Running,
        }
    }
}

/// ^C ends the waiting and nothing else, which is said; a second one does not wait for that.
struct Keys {
    interrupted: Arc<AtomicBool>,
    handlers: Vec<SigId>,
}

impl Keys {
    fn heard() -> Self {
        let interrupted = Arc::new(AtomicBool::new(false));
        let handlers = [
            flag::register_conditional_default(SIGINT, Arc::clone(&interrupted)),
            flag::register(SIGINT, Arc::clone(&interrupted)),
        ];
        Self { interrupted, handlers: handlers.into_iter().filter_map(Result::ok).collect() }
    }

    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Ends as whoever waits for us expects of ^C.
    fn give_way(&self) {
        let _ = low_level::emulate_default_handler(SIGINT);
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            low_level::unregister(handler);
        }
    }
}

/// What the supervisor knows of an operation.
enum Known {
    /// None was named, or it is forgotten.
    Nothing,
    Running,
    Ended(Ending),
}

/// `None` while something may still happen.
fn sum(verdicts: impl Iterator<Item = Verdict> + Clone) -> Option<Ending> {
    let any = |wanted: Verdict| verdicts.clone().any(|verdict| verdict == wanted);
    if any(Verdict::Pending) {
        return None;
    }
    Some(if any(Verdict::Failed) { Ending::Failed } else { Ending::Reached })
}

/// One line per service, redrawn in place on a terminal; else one line per change.
struct Display {
    screen: Screen,
    shown: BTreeMap<ServiceName, (State, String)>,
    drawn_rows: usize,
}

impl Display {
    fn new(screen: Screen) -> Self {
        Self { screen, shown: BTreeMap::new(), drawn_rows: 0 }
    }

    fn show(&mut self, verdicts: &[(&ServiceDocument, Verdict)], elapsed: Duration, phases: Option<&Phases<'_>>) {
        match self.screen.live_rows {
            // One row stays free for the cursor.
            Some(rows) if verdicts.len() < rows => self.draw(verdicts, elapsed),
            Some(_) | None => self.tell_changes(verdicts, phases),
        }
    }

    fn draw(&mut self, verdicts: &[(&ServiceDocument, Verdict)], elapsed: Duration) {
        const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
        let frame = SPINNER[usize::try_from(elapsed.as_millis() / 80).unwrap_or(0) % SPINNER.len()];
        let width = verdicts.iter().map(|(service, _)| columns(service.name.as_str())).max().unwrap_or(0);
        let (mut text, colour) = (self.back(), self.screen.live_colour);
        for (service, verdict) in verdicts {
            let mark = match verdict {
                Verdict::Pending => frame,
                Verdict::Reached => "✓",
                Verdict::Failed => "✗",
            };
            let tone = tone(service.state);
            let state = format!("{:<10}", service.state.as_str());
            // Mark, spaces and state take 15 columns; a line that wraps would spoil the next redraw.
            let room = self.screen.live_columns.saturating_sub(width + 16);
            let why = cut(&clean(&service.cause), room);
            let (mark, state) = (painted(mark, tone, colour), painted(&state, tone, colour));
            text.push_str(&format!("{mark} {:width$}  {state} {why}\x1b[K\n", service.name.as_str()));
        }
        self.drawn_rows = verdicts.len();
        self.screen.tell(&text);
    }

    /// Lines that stay.
    fn say(&mut self, lines: &[String]) {
        if !lines.is_empty() {
            self.end();
            self.screen.tell(&lines.concat());
        }
    }

    /// To the first of the lines that were drawn last.
    fn back(&self) -> String {
        if self.drawn_rows == 0 { String::new() } else { format!("\x1b[{}A\r", self.drawn_rows) }
    }

    fn tell_changes(&mut self, verdicts: &[(&ServiceDocument, Verdict)], phases: Option<&Phases<'_>>) {
        for (service, _) in verdicts {
            let now = (service.state, service.cause.clone());
            if phases.is_some_and(|phases| phases.tell_of(service)) {
                // They tell more.
                continue;
            }
            if self.shown.get(&service.name) != Some(&now) {
                let (state, cause) = (service.state.as_str(), clean(&service.cause));
                let told = match cause.strip_prefix(state) {
                    Some(rest) => rest.to_owned(),
                    None if cause.is_empty() => cause,
                    None => format!(": {cause}"),
                };
                self.screen.tell(&format!("{} {state}{told}\n", service.name));
                self.shown.insert(service.name.clone(), now);
            }
        }
    }

    /// What was drawn gives way to what the command says at its end.
    fn end(&mut self) {
        if self.drawn_rows > 0 {
            self.screen.tell(&format!("{}\x1b[J", self.back()));
            self.drawn_rows = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_when_nothing_more_can_happen() {
        use Verdict::{Failed, Pending, Reached};
        for (verdicts, ending) in [
            (vec![], Some(Ending::Reached)),
            (vec![Reached, Reached], Some(Ending::Reached)),
            (vec![Reached, Pending], None),
            (vec![Failed, Pending], None),
            (vec![Failed, Reached], Some(Ending::Failed)),
        ] {
            assert_eq!(sum(verdicts.iter().copied()), ending, "{verdicts:?}");
        }
    }
}
