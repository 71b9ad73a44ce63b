//! The desk: reads events, keeps the ledger, sends letters out and hears what became of them.
//! Not here: which letters there are (`ledger`), one try (`send`).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::clock::Clock;
use super::failure::Failure;
use super::ledger::{Audience, LONGEST_WAIT_MS, Ledger, Letter, OLDEST_MS, ToKeep};
use super::message::{Message, Sender};
use super::scene::Scene;
use super::send::{Office, send};
use super::store::Store;
use super::under_way::UnderWay;
use super::{AlertState, TESTS, TestAsk, Tested};
use crate::config::Alert;
use crate::control::{News, View};
use crate::journal::{self, Filter, Kind, STARTED, Since};
use crate::slots::Slots;
use crate::timestamp;

/// The last output of a run that has just ended is in its log by then.
const SETTLE: Duration = Duration::from_millis(300);
/// Of the end of a log, so many bytes are looked at.
const LOG_BYTES: usize = 64 * 1024;
/// So many logs are read at once; one that cannot be read within so long is left out of its letter.
static LOGS: Slots = Slots::new(2, Duration::from_secs(2));
/// The first wait between two tries; each further one is twice as long …
const FIRST_WAIT_MS: i64 = 1_000;
/// … up to this.
const LAST_WAIT_MS: i64 = 5 * 60_000;
/// When the journal cannot be read, it is tried again after this.
const BREATH: Duration = Duration::from_secs(5);
/// A deadline is looked at again at least so often: the wall clock may have been moved.
const LOOK: Duration = Duration::from_secs(60);
/// Events of the supervisor itself that are looked through for its start.
const STARTS: usize = 100;

/// Where the desk stands.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    pub(crate) state_dir: PathBuf,
    pub(crate) view: Arc<ArcSwap<View>>,
    /// Changes with the view.
    pub(crate) shown: watch::Receiver<u64>,
    pub(crate) journal: journal::Reader,
    pub(crate) news: mpsc::Sender<News>,
    pub(crate) from: Beginning,
}

/// Where to begin, when no earlier desk has left its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// With the start of this supervisor.
    Start,
    /// With what happens from now on.
    Now,
}

/// A letter: of which alert, which message.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// Its key.
    alert: String,
    id: String,
}

impl Place {
    fn of(letter: &Letter) -> Self {
        Self { alert: letter.alert.clone(), id: letter.message.id.clone() }
    }
}

struct Desk<'a> {
    surroundings: &'a Surroundings,
    store: Store,
    ledger: Ledger,
    shown: Arc<Vec<AlertState>>,
    sending: UnderWay<Place, Result<(), Failure>>,
    /// The ends of logs, for letters that wait for them.
    reading: UnderWay<Place, io::Result<Vec<u8>>>,
    testing: JoinSet<()>,
    /// It was said that the ledger cannot be written.
    troubled: bool,
    clock: Clock,
}

/// Until control is gone.
pub(super) async fn run(surroundings: &Surroundings, from: Beginning, tests: &mut mpsc::Receiver<TestAsk>) {
    let store = Store::new(&surroundings.state_dir);
    let mut desk = Desk {
        surroundings,
        ledger: store.load(),
        store,
        shown: Arc::default(),
        sending: UnderWay::new(),
        reading: UnderWay::new(),
        testing: JoinSet::new(),
        troubled: false,
        clock: Clock::new(),
    };
    let mut journal = surroundings.journal.clone();
    let mut shown = surroundings.shown.clone();
    desk.find_place(&mut journal, from).await;
    loop {
        let view = surroundings.view.load_full();
        desk.look(&view);
        desk.tell().await;
        let cursor = desk.ledger.cursor.unwrap_or(0);
        let following = !view.stack.alerts.is_empty();
        let pause = desk.pause(&view);
        tokio::select! {
            read = journal.next(cursor), if following => match read {
                Ok(lines) => desk.take(&lines, &view),
                Err(error) => {
                    tracing::warn!(%error, "alerts cannot read the journal");
                    tokio::time::sleep(BREATH).await;
                }
            },
            Some((place, result)) = desk.sending.next() => desk.hear(&place, result),
            Some((place, text)) = desk.reading.next() => desk.add_log(&place, text),
            Some(_) = desk.testing.join_next() => {}
            ask = tests.recv(), if desk.testing.len() < TESTS => match ask {
                Some(ask) => desk.test(ask, &view),
                None => return,
            },
            // Whom to tell may be others now.
            changed = shown.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(pause) => {}
        }
        let follows = !surroundings.view.load().stack.alerts.is_empty();
        if follows != following {
            let audience = if follows { Audience::Somebody } else { Audience::Nobody };
            desk.ledger.turn(journal.last_noted().await, audience);
            desk.save();
        }
    }
}

impl Desk<'_> {
    async fn find_place(&mut self, journal: &mut journal::Reader, from: Beginning) {
        // The start that is looked for may have been noted only now.
        let last = journal.last_noted().await;
        let filter = Filter { services: Vec::new(), kinds: vec![Kind::Supervisor] };
        let starts = journal.page(Since::Newest, filter, STARTS).await.map(|page| page.events).unwrap_or_default();
        let start = starts.iter().rev().find(|entry| entry.note.cause.starts_with(STARTED));
        let now = self.now();
        self.ledger.begin(from, last, start.map(|entry| entry.seq), now);
        self.save();
    }

    /// Milliseconds since 1970; the ledger has followed the clock if it was set.
    fn now(&mut self) -> i64 {
        let look = self.clock.look();
        if look.set_by_ms != 0 {
            self.ledger.shift(look.set_by_ms);
        }
        look.now_ms
    }

    fn take(&mut self, lines: &[Arc<journal::Line>], view: &View) {
        let (scene, now) = (scene(view), self.now());
        let to_keep = lines.iter().map(|line| self.ledger.take(&line.entry, &scene, now));
        if to_keep.fold(ToKeep::Nothing, ToKeep::or) == ToKeep::Something {
            self.save();
        }
    }

    /// Whatever its time has come for.
    fn look(&mut self, view: &View) {
        let now = self.now();
        if self.ledger.look(&scene(view), now) == ToKeep::Something {
            self.save();
        }
        self.read_logs(view);
        let office = office(view, self.surroundings);
        for alert in &view.stack.alerts {
            let Some(letter) = self.ledger.next(&alert.key) else { continue };
            if !self.is_idle(letter) || letter.due_ms > now {
                continue;
            }
            let (alert, message, office) = (alert.clone(), letter.message.clone(), office.clone());
            self.sending.spawn(Place::of(letter), async move { send(&alert, &message, &office).await });
        }
    }

    /// It has all that it needs, and nothing is on its way to that alert.
    fn is_idle(&self, letter: &Letter) -> bool {
        !letter.wants_log && !self.sending.is_any(|place| place.alert == letter.alert)
    }

    /// The ends of logs, as they are once what a run said last has arrived there.
    fn read_logs(&mut self, view: &View) {
        for letter in self.ledger.fresh() {
            let place = Place::of(letter);
            if self.reading.is_any(|other| *other == place) {
                continue;
            }
            let lines = view.stack.alerts.iter().find(|alert| alert.key == letter.alert).map(|alert| alert.log_lines);
            let facts = letter.message.service.as_ref().and_then(|name| view.facts.get(name));
            // Where there are two, what went to stderr says more.
            let (Some(lines), Some(path)) = (lines, facts.and_then(|facts| facts.logs.last()).cloned()) else {
                letter.wants_log = false;
                continue;
            };
            self.reading.spawn(place, async move {
                tokio::time::sleep(SETTLE).await;
                LOGS.run(move || supervisor_logs::tail(&path, lines, LOG_BYTES)).await.flatten()
            });
        }
    }

    /// A letter may go without.
    fn add_log(&mut self, place: &Place, text: Option<io::Result<Vec<u8>>>) {
        let Some(letter) = self.ledger.fresh().find(|letter| Place::of(letter) == *place) else { return };
        letter.wants_log = false;
        let alert = name(&self.surroundings.view.load(), &place.alert);
        match text {
            Some(Ok(text)) => letter.message.set_log(&text),
            Some(Err(error)) => tracing::warn!(alert, %error, "an alert goes without the end of a log"),
            None => tracing::error!(alert, "an alert goes without the end of a log: a defect"),
        }
        self.save();
    }

    /// No result: a defect of ours, which must not become a flood.
    fn hear(&mut self, place: &Place, result: Option<Result<(), Failure>>) {
        let Place { alert, id } = place;
        let now = self.now();
        let name = name(&self.surroundings.view.load(), alert);
        let result = result.unwrap_or_else(|| Err(Failure::later("a defect of the supervisor")));
        // It may have been pushed out, or its alert taken away.
        let Some(letter) = self.ledger.next_mut(alert).filter(|letter| letter.message.id == *id) else { return };
        match result {
            Ok(()) => {
                if letter.tries > 0 {
                    tracing::info!(alert = name, tries = letter.tries + 1, "an alert has arrived");
                }
                self.ledger.done(alert, id, None);
            }
            Err(failure) => {
                let old = now.saturating_sub(letter.written_ms) >= OLDEST_MS;
                if !failure.again || old {
                    tracing::warn!(alert = name, why = failure.why, "an alert is given up");
                    self.ledger.done(alert, id, Some(failure.why));
                } else {
                    if letter.tries == 0 {
                        tracing::warn!(alert = name, why = failure.why, "an alert does not arrive; it is tried again");
                    }
                    put_off(letter, &failure, now);
                    self.ledger.note_error(alert, failure.why);
                }
            }
        }
        self.save();
    }

    /// Told at once, once, past the queue.
    fn test(&mut self, ask: TestAsk, view: &View) {
        let office = office(view, self.surroundings);
        let named = |alert: &&Alert| ask.alerts.is_empty() || ask.alerts.contains(&alert.name);
        let alerts: Vec<Alert> = view.stack.alerts.iter().filter(named).cloned().collect();
        self.testing.spawn(async move {
            let message = Message::test(timestamp::now());
            let mut tests = JoinSet::new();
            for (place, alert) in alerts.into_iter().enumerate() {
                let (message, office) = (message.clone(), office.clone());
                tests.spawn(async move {
                    let error = send(&alert, &message, &office).await.err().map(|failure| failure.why);
                    (place, Tested { alert: alert.name, error })
                });
            }
            let mut tested = tests.join_all().await;
            tested.sort_by_key(|(place, _)| *place);
            let _ = ask.answer.send(tested.into_iter().map(|(_, tested)| tested).collect());
        });
    }

    /// Until something is due.
    fn pause(&self, view: &View) -> Duration {
        let letters = view.stack.alerts.iter().filter_map(|alert| self.ledger.next(&alert.key));
        let due = letters
            .filter(|letter| self.is_idle(letter))
            .map(|letter| letter.due_ms)
            .chain(self.ledger.deadline(&scene(view)))
            .min();
        let Some(due) = due else { return Duration::from_secs(3600) };
        let left = u64::try_from(due.saturating_sub(timestamp::now_ms())).unwrap_or(0);
        Duration::from_millis(left.max(1)).min(LOOK)
    }

    /// A disk that cannot be written costs memory of what was told, and nothing else.
    fn save(&mut self) {
        match self.store.save(&self.ledger) {
            Ok(()) => self.troubled = false,
            Err(error) => {
                if !self.troubled {
                    tracing::warn!(%error, "alerts that wait cannot be kept; a new control will not know of them");
                }
                self.troubled = true;
            }
        }
    }

    /// Shows how alerts stand, when that has changed.
    async fn tell(&mut self) {
        let view = self.surroundings.view.load_full();
        let state = |alert: &Alert| {
            let account = self.ledger.account(&alert.key);
            AlertState {
                name: alert.name.clone(),
                way: alert.way.as_str(),
                queued: self.ledger.waiting(&alert.key) as u64,
                sent: account.sent,
                lost: account.lost,
                sent_at: account.sent_at,
                error: account.error,
            }
        };
        let states: Vec<AlertState> = view.stack.alerts.iter().map(state).collect();
        if states != *self.shown {
            self.shown = Arc::new(states);
            let _ = self.surroundings.news.send(News::Alerts(Arc::clone(&self.shown))).await;
        }
    }
}

fn scene(view: &View) -> Scene<'_> {
    Scene { alerts: &view.stack.alerts, services: &view.stack.services }
}

/// As it is called, which has that key.
fn name(view: &View, key: &str) -> String {
    let alert = view.stack.alerts.iter().find(|alert| alert.key == key);
    alert.map_or_else(|| key.to_owned(), |alert| alert.name.clone())
}

fn office(view: &View, surroundings: &Surroundings) -> Office {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let sender = Sender { stack: view.stack.name.clone(), host: host.unwrap_or_else(|| "localhost".to_owned()) };
    let dir = view.stack.file.parent().map_or_else(|| PathBuf::from("/"), PathBuf::from);
    Office { dir, sender, news: surroundings.news.clone() }
}

/// The next try waits for half to all of a time that doubles.
fn put_off(letter: &mut Letter, failure: &Failure, now_ms: i64) {
    let longest = FIRST_WAIT_MS.saturating_mul(1 << letter.tries.min(20)).min(LAST_WAIT_MS);
    let nanoseconds =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    let wait = longest / 2 + i64::from(nanoseconds / 1000) % (longest / 2).max(1);
    let asked = failure.after.map_or(0, |after| i64::try_from(after.as_millis()).unwrap_or(LONGEST_WAIT_MS));
    letter.tries = letter.tries.saturating_add(1);
    letter.due_ms = now_ms.saturating_add(wait.max(asked).min(LONGEST_WAIT_MS));
}
