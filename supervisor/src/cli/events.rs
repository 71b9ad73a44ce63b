//! `events`: what happened, and what happens; of the supervisor that runs, else of the journal that it left.
//! Not here: what is worth an event.

use std::collections::BTreeSet;
use std::time::Duration;

use supervisor_core::State;

use super::args::{Events, Global};
use super::clock::{MOMENT, local, moment};
use super::ends::details;
use super::failure::{Exit, Failure};
use super::locate::{self, Place};
use super::output::clean;
use super::status::tone;
use super::table::{Tone, painted, wrapped};
use super::terminal::Screen;
use crate::client::ClientError;
use crate::config::Stack;
use crate::journal::{Entry, Files, Filter, Kind, Note, Page, Since};
use crate::timestamp;

/// Asked for at once; the API gives no more.
const PAGE: usize = 1000;
/// A stream that ends is asked for again, so often in a row without anything new.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);
/// A terminal with fewer columns shows each day once, so that more is left for what happened.
const WIDE: usize = 100;

pub(crate) fn events(global: &Global, screen: Screen, events: &Events) -> Result<Exit, Failure> {
    let place = locate::place(global)?;
    // Without a supervisor nothing was rejected, and its journal is read all the same.
    if let Ok(status) = place.client.status() {
        place.warn_of_rejection(&status, screen);
    }
    let filter = Filter { services: services(&place, &events.services)?, kinds: events.kinds.clone() };
    let mut past = Past { place: &place, filter: &filter };
    let mut printer = Printer::new(&place, &filter, screen);
    let mut cursor = match since(events.since.as_deref())? {
        Since::Newest => {
            let page = past.page(Since::Newest, events.lines)?;
            printer.print(&page.events);
            page.next
        }
        since @ (Since::Seq(_) | Since::Time(_)) => past.all(since, &mut printer)?,
    };
    if events.follow {
        follow(&mut past, &mut cursor, &mut printer)?;
    }
    Ok(Exit::Done)
}

/// Until the supervisor ends, or someone ends us. When control is replaced, the next one goes on where it was.
fn follow(past: &mut Past<'_>, cursor: &mut u64, printer: &mut Printer) -> Result<(), Failure> {
    let query = past.query();
    let mut tries = TRIES;
    loop {
        let before = *cursor;
        let ended = past.place.client.follow(*cursor, &query, |message| {
            if let Ok(entry) = serde_json::from_str::<Entry>(&message.data) {
                *cursor = entry.seq;
                printer.print(&[entry]);
            }
        });
        tries = if *cursor == before { tries - 1 } else { TRIES };
        match ended {
            Err(ClientError::NotRunning(_)) => {
                // What happened after the stream ended.
                *cursor = past.all(Since::Seq(*cursor), printer)?;
                return Ok(());
            }
            Err(error @ (ClientError::Denied(..) | ClientError::Refused { .. })) => return Err(error.into()),
            Err(error) if tries == 0 => return Err(error.into()),
            Ok(()) if tries == 0 => {
                return Err(Failure::new(Exit::Failed, "the stream of events ends again and again"));
            }
            Ok(()) | Err(ClientError::Timeout(_) | ClientError::Broken(..)) => std::thread::sleep(PAUSE),
        }
    }
}

/// Asks the supervisor; when none runs, reads what it left.
struct Past<'a> {
    place: &'a Place,
    filter: &'a Filter,
}

impl Past<'_> {
    /// Everything from there on. Gives the number to go on behind.
    fn all(&mut self, mut since: Since, printer: &mut Printer) -> Result<u64, Failure> {
        loop {
            let page = self.page(since, PAGE)?;
            printer.print(&page.events);
            if !page.more {
                return Ok(page.next);
            }
            since = Since::Seq(page.next);
        }
    }

    fn page(&mut self, since: Since, limit: usize) -> Result<Page, Failure> {
        let query = format!("{}&limit={limit}", self.query());
        let query = match since {
            Since::Newest => query,
            Since::Seq(seq) => format!("{query}&since={seq}"),
            Since::Time(time) => format!("{query}&since={}", timestamp::format(time)),
        };
        match (self.place.client.events(&query), &self.place.stack) {
            (Ok(document), _) => {
                Ok(Page { events: document.events, next: document.next, more: document.more, oldest: document.oldest })
            }
            (Err(ClientError::NotRunning(_)), Ok(stack)) => left(stack, since, self.filter, limit),
            (Err(error), _) => Err(error.into()),
        }
    }

    fn query(&self) -> String {
        let services: Vec<&str> = self.filter.services.iter().map(|name| name.as_str()).collect();
        let kinds: Vec<&str> = self.filter.kinds.iter().map(|kind| kind.as_str()).collect();
        let part = |key: &str, words: &[&str]| {
            if words.is_empty() { String::new() } else { format!("{key}={}", words.join(",")) }
        };
        let parts = [part("service", &services), part("kind", &kinds)];
        parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("&")
    }
}

fn left(stack: &Stack, since: Since, filter: &Filter, limit: usize) -> Result<Page, Failure> {
    let read = Files::new(&stack.state_dir).page(since, filter, limit, []);
    read.map_err(|error| Failure::of_system("read the journal of events", &error))
}

/// Names of services that are, or that were once.
fn services(place: &Place, names: &[String]) -> Result<Vec<supervisor_core::ServiceName>, Failure> {
    let parsed = locate::names(names)?;
    let Ok(stack) = &place.stack else { return Ok(parsed) };
    let known: BTreeSet<&str> = stack.services.iter().map(|service| service.spec.name.as_str()).collect();
    let stranger = parsed.iter().find(|name| !known.contains(name.as_str()));
    let kept = |name: &supervisor_core::ServiceName| {
        let filter = Filter { services: vec![name.clone()], kinds: vec![Kind::State] };
        left(stack, Since::Newest, &filter, PAGE)
            .is_ok_and(|page| page.events.iter().any(|entry| entry.note.service.as_ref() == Some(name)))
    };
    match stranger {
        Some(name) if !kept(name) => locate::one_named(stack, name.as_str()).map(|_| Vec::new()),
        Some(_) | None => Ok(parsed),
    }
}

/// A number, a time, or how long ago.
fn since(text: Option<&str>) -> Result<Since, Failure> {
    let Some(text) = text else { return Ok(Since::Newest) };
    if let Ok(seq) = text.parse() {
        return Ok(Since::Seq(seq));
    }
    let wrong = || Failure::new(Exit::Usage, format!("`--since` takes the number of an event, {MOMENT}"));
    let time = moment(text).ok_or_else(wrong)?;
    Ok(Since::Time(i64::try_from(time).unwrap_or(i64::MAX)))
}

/// One line for each event.
pub(super) struct Printer {
    screen: Screen,
    width: usize,
    /// The one that was shown last.
    day: String,
}

impl Printer {
    pub(super) fn new(place: &Place, filter: &Filter, screen: Screen) -> Self {
        let all = place.stack.iter().flat_map(|stack| &stack.services).map(|service| &service.spec.name);
        let shown = all.filter(|name| filter.services.is_empty() || filter.services.contains(name));
        let width = shown.map(|name| name.as_str().len()).max().unwrap_or(0).max("supervisor".len());
        Self { screen, width, day: String::new() }
    }

    pub(super) fn print(&mut self, events: &[Entry]) {
        for entry in events {
            self.width = self.width.max(entry.note.service.as_ref().map_or(0, |name| name.as_str().len()));
            if self.screen.json {
                let json = serde_json::to_string(entry).unwrap_or_default();
                self.screen.data(&format!("{json}\n"));
            } else {
                let at = local(&entry.note.at);
                self.begin_day(&at);
                let line = line(&at, &entry.note, self.width, self.screen.width, self.screen.colour);
                self.screen.data(&format!("{line}\n"));
            }
        }
    }

    fn begin_day(&mut self, at: &str) {
        let Some((day, _)) = at.split_once('T').filter(|(day, _)| is_narrow(self.screen.width) && *day != self.day)
        else {
            return;
        };
        day.clone_into(&mut self.day);
        self.screen.data(&format!("{}\n", painted(&clean(day), Tone::Faint, self.screen.colour)));
    }
}

/// Aligned, and harmless: a service's own words may be in it.
/// `room`: the columns of the terminal; where they are few, the day is not told.
fn line(at: &str, note: &Note, width: usize, room: Option<usize>, colour: bool) -> String {
    let at = clean(at);
    let at = if is_narrow(room) { at.split_once('T').map_or(at.as_str(), |(_, time)| time) } else { &at };
    // State, gaps and perhaps the date; a column of a few letters would be no help.
    let indent = width + at.len() + 16;
    let at = painted(at, Tone::Faint, colour);
    let who = note.service.as_ref().map_or("supervisor", |name| name.as_str());
    let (what, mood) = headline(note);
    let what = painted(&format!("{what:<10}"), mood, colour);
    let mut cause = clean(&note.cause);
    if let Some(check) = &note.check {
        cause = format!("{}: {cause}", clean(check));
    }
    if let Some(exit) = &note.exit {
        cause = format!("{cause} ({})", details(exit));
    }
    let generation = note.generation.map(|generation| format!("[{generation}]")).unwrap_or_default();
    let room = room.filter(|room| indent + 20 <= *room);
    let text = wrapped(format!("{cause} {generation}").trim_end(), room, indent);
    let text = text.strip_suffix(&generation).unwrap_or(&text);
    format!("{at}  {who:<width$}  {what}  {text}{}", painted(&generation, Tone::Faint, colour))
}

fn is_narrow(room: Option<usize>) -> bool {
    room.is_some_and(|room| room < WIDE)
}

fn headline(note: &Note) -> (&'static str, Tone) {
    let state = |state: State| (state.as_str(), tone(state));
    match note.kind {
        Kind::State => note.to.map_or(("state", Tone::Plain), state),
        Kind::Exit if note.exit.as_ref().is_some_and(|exit| exit.asked || exit.code == Some(0)) => {
            ("exit", Tone::Plain)
        }
        Kind::Exit => ("exit", Tone::Bad),
        Kind::Probe if note.passed == Some(true) => ("probe ok", Tone::Good),
        Kind::Probe => ("probe bad", Tone::Busy),
        Kind::Gap => ("gap", Tone::Bad),
        Kind::Listener => ("listener", Tone::Bad),
        Kind::Disk if note.passed == Some(true) => ("disk ok", Tone::Good),
        Kind::Disk => ("disk bad", Tone::Bad),
        Kind::Limit if note.passed == Some(true) => ("limit ok", Tone::Good),
        Kind::Limit => ("limit", Tone::Bad),
        Kind::Certificate if note.passed == Some(false) => ("cert bad", Tone::Bad),
        Kind::Certificate => ("cert ok", Tone::Good),
        Kind::Request | Kind::Reload | Kind::Rollout | Kind::Supervisor | Kind::Control | Kind::Other => {
            (note.kind.as_str(), Tone::Plain)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Ended;
    use clap::CommandFactory;
    use supervisor_core::ServiceName;

    fn note(kind: Kind, cause: &str) -> Note {
        Note::new("2026-11-23T00:21:01.042Z".to_owned(), kind, cause)
    }

    #[test]
    fn lines_are_aligned_and_say_who_what_and_why() {
        let mail = ServiceName::new("mail").unwrap();
        let exit = Ended { pid: Some(42), code: Some(1), cpu_ms: 40, max_rss_bytes: 2048, ..Ended::default() };
        let lines = [
            note(Kind::State, "ready after 12ms").of(&mail, 3).change(State::Starting, State::Running),
            note(Kind::Exit, "exited with code 1 after 5s").of(&mail, 3).ended(exit),
            note(Kind::Probe, "status 503: \u{9b}2J").of(&mail, 3).probed("http /health", false),
            note(Kind::Control, "took over, pid 7"),
        ];
        assert_eq!(
            lines.map(|note| line(&note.at, &note, 10, None, false)),
            [
                "2026-11-23T00:21:01.042Z  mail        running     ready after 12ms [3]",
                "2026-11-23T00:21:01.042Z  mail        exit        exited with code 1 after 5s (pid 42, cpu 40ms, 2K) [3]",
                "2026-11-23T00:21:01.042Z  mail        probe bad   http /health: status 503: 2J [3]",
                "2026-11-23T00:21:01.042Z  supervisor  control     took over, pid 7",
            ]
        );
    }

    #[test]
    fn on_a_terminal_long_causes_go_on_below_their_beginning() {
        let web = ServiceName::new("web").unwrap();
        let long = note(Kind::Probe, "connection refused again").of(&web, 3).probed("tcp 80", false);
        let shown = line(&long.at, &long, 3, Some(53), false);
        assert_eq!(shown, format!("00:21:01.042Z  web  probe bad   tcp 80: connection\n{:32}refused again [3]", ""));
        assert!(!line(&long.at, &long, 3, Some(40), false).contains('\n'), "there is no room for that");
        assert!(line(&long.at, &long, 3, Some(WIDE), false).starts_with(&long.at), "there is room for the day");
    }

    #[test]
    fn help_names_every_kind() {
        let mut line = super::super::args::Line::command();
        let help = line.find_subcommand_mut("events").unwrap().render_help().to_string();
        let (_, kinds) = help.split_once("--kind").unwrap();
        Kind::ALL.into_iter().for_each(|kind| assert!(kinds.contains(kind.as_str()), "{help}"));
    }

    #[test]
    fn since_is_a_number_a_time_or_a_while_ago() {
        assert_eq!(since(None), Ok(Since::Newest));
        assert_eq!(since(Some("42")), Ok(Since::Seq(42)));
        assert_eq!(since(Some("1970-01-01T00:00:01Z")), Ok(Since::Time(1000)));
        let Ok(Since::Time(time)) = since(Some("10m")) else { panic!("a time") };
        assert!((timestamp::now_ms() - 600_000 - time).abs() < 60_000);
        assert_eq!(since(Some("yesterday")).unwrap_err().exit, Exit::Usage);
    }
}
