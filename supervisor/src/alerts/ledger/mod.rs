//! What is told to whom and when: out of events, letters; nothing twice, nothing too often, and what ends, too.
//! Not here: clocks, files, sending. All times are milliseconds since 1970.

mod addressees;
mod ageing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use supervisor_core::{ServiceName, State};

use super::Beginning;
use super::account::Account;
use super::message::Message;
use super::scene::{Area, Scene};
use super::trouble::Trouble;
use crate::config::{Alert, Occasion};
use crate::journal::{Entry, Kind, Note, STARTED, TOOK_OVER};
use crate::timestamp;
use ageing::Fresh;

/// Of one alert, so many letters may wait; a further one takes the place of the oldest but that which is being tried.
const WAITING: usize = 32;
/// What is older is told to nobody, and a letter that cannot be delivered for so long is thrown away.
pub(super) const OLDEST_MS: i64 = 24 * 3_600_000;
/// Between two tries of a letter, at most so long.
pub(super) const LONGEST_WAIT_MS: i64 = 3_600_000;

/// Everything that must survive this control.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Ledger {
    /// The last event that was taken in; `None`: none ever was.
    pub(super) cursor: Option<u64>,
    /// Since then nobody was to be told.
    #[serde(default)]
    silent: bool,
    troubles: Vec<Trouble>,
    /// By the key of the alert.
    accounts: BTreeMap<String, Account>,
    /// The oldest first.
    letters: Vec<Letter>,
    #[serde(skip)]
    fresh: Option<Fresh>,
}

/// A message on its way to one alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Letter {
    /// Its key.
    pub(super) alert: String,
    pub(super) message: Message,
    pub(super) written_ms: i64,
    pub(super) tries: u32,
    /// When it is tried next.
    pub(super) due_ms: i64,
    /// The end of the service's log has not been added yet.
    pub(super) wants_log: bool,
}

/// Is there anybody to tell?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    Nobody,
    Somebody,
}

/// Has the ledger anything to keep that it had not?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ToKeep {
    Nothing,
    Something,
}

impl ToKeep {
    pub(super) fn or(self, other: Self) -> Self {
        if self == Self::Something { self } else { other }
    }
}

impl Ledger {
    /// Where to go on in a journal that ends at `last`: where an earlier desk stopped, unless nobody was to be told of
    /// what came after that; else with the start of this supervisor.
    pub(super) fn begin(&mut self, beginning: Beginning, last: u64, start: Option<u64>, now_ms: i64) {
        // Beyond the end: the journal is not the one that was read.
        let kept = self.cursor.filter(|cursor| *cursor <= last);
        self.cursor = Some(match (beginning, kept) {
            (Beginning::Now, _) => last,
            (Beginning::Start, Some(kept)) if !self.silent => kept,
            (Beginning::Start, kept) => start.unwrap_or(last).max(kept.unwrap_or(0)),
        });
        self.silent = false;
        self.fresh = Some(Fresh { after: last, since_ms: now_ms });
    }

    /// Now there is somebody to tell, or nobody any more: of what has happened so far, nobody is told.
    pub(super) fn turn(&mut self, last: u64, audience: Audience) {
        self.cursor = Some(last);
        self.silent = audience == Audience::Nobody;
    }

    /// An event. Taken in again after an unexpected end, it has the same effect.
    pub(super) fn take(&mut self, entry: &Entry, scene: &Scene<'_>, now_ms: i64) -> ToKeep {
        self.cursor = Some(entry.seq);
        let note = &entry.note;
        let at_ms = self.time_of(entry, now_ms);
        let Some(service) = &note.service else { return self.begin_anew(note, at_ms) };
        if now_ms.saturating_sub(at_ms) > OLDEST_MS {
            return ToKeep::Nothing;
        }
        if let Some(occasion) = scene.occasion(note) {
            self.trouble(&Message::of(entry.seq, occasion, note), service, entry.seq, at_ms, scene);
            return ToKeep::Something;
        }
        if note.to == Some(State::Stopped) {
            // As somebody wanted: it is no news any more. Whoever was told hears when it is well again.
            self.accounts.values_mut().for_each(|account| account.drop_held(service, Area::Runs));
        }
        let (area, well) = match note.kind {
            Kind::State => (Area::Runs, note.to.is_some_and(State::is_well)),
            Kind::Disk => (Area::Log, true),
            Kind::Limit => (Area::Limits, true),
            // One that is good, while another is not, ends nothing.
            Kind::Certificate => (Area::Certificate, note.passed == Some(true)),
            Kind::Exit
            | Kind::Probe
            | Kind::Request
            | Kind::Reload
            | Kind::Rollout
            | Kind::Listener
            | Kind::Supervisor
            | Kind::Control
            | Kind::Gap
            | Kind::Other => return ToKeep::Nothing,
        };
        let Some(trouble) = self.troubles.iter_mut().find(|one| one.is(service, area)) else { return ToKeep::Nothing };
        trouble.well_since_ms = if well { trouble.well_since_ms.or(Some(at_ms)) } else { None };
        ToKeep::Something
    }

    /// Another control knows nothing of limits that were passed and logs that could not be written, and soon tells of
    /// those of which that still holds.
    fn begin_anew(&mut self, note: &Note, at_ms: i64) -> ToKeep {
        let begins = note.cause.starts_with(STARTED) || note.cause.starts_with(TOOK_OVER);
        if note.kind != Kind::Control || !begins {
            return ToKeep::Nothing;
        }
        for trouble in self.troubles.iter_mut().filter(|one| matches!(one.area, Area::Limits | Area::Log)) {
            trouble.well_since_ms = trouble.well_since_ms.or(Some(at_ms));
        }
        ToKeep::Something
    }

    fn trouble(&mut self, message: &Message, service: &ServiceName, seq: u64, at_ms: i64, scene: &Scene<'_>) {
        let (occasion, area) = (message.occasion, Area::of(message.occasion));
        if area != Area::Nothing {
            match self.troubles.iter_mut().find(|one| one.is(service, area)) {
                Some(trouble) => (trouble.well_since_ms, trouble.occasion) = (None, occasion),
                None => self.troubles.push(Trouble {
                    service: service.clone(),
                    area,
                    seq,
                    at: message.at.clone(),
                    occasion,
                    well_since_ms: None,
                    told: BTreeSet::new(),
                }),
            }
        }
        for alert in
            scene.alerts.iter().filter(|alert| alert.on.contains(&occasion) && alert.is_about(service.as_str()))
        {
            self.tell(alert, message, at_ms);
        }
    }

    /// Now, or once it may be told again.
    fn tell(&mut self, alert: &Alert, message: &Message, at_ms: i64) {
        let account = self.accounts.entry(alert.key.clone()).or_default();
        if account.may_tell(message, at_ms) {
            self.write(alert, message.clone(), at_ms);
        } else {
            account.hold_back(message, at_ms);
        }
    }

    fn write(&mut self, alert: &Alert, mut message: Message, at_ms: i64) {
        let account = self.accounts.entry(alert.key.clone()).or_default();
        account.note(&mut message, millis(alert.min_interval), at_ms);
        for trouble in self.troubles.iter_mut().filter(|one| message.service.as_ref() == Some(&one.service)) {
            if trouble.area == Area::of(message.occasion) {
                trouble.told.insert(alert.key.clone());
            }
        }
        let places = self.letters.iter().enumerate().filter(|(_, letter)| letter.alert == alert.key);
        let waiting: Vec<usize> = places.map(|(place, _)| place).collect();
        // The first may be on its way just now.
        if waiting.len() >= WAITING {
            self.letters.remove(waiting[1]);
            account.lost += 1;
        }
        let wants_log = alert.log_lines > 0 && message.occasion != Occasion::Recovered;
        let letter =
            Letter { alert: alert.key.clone(), message, written_ms: at_ms, tries: 0, due_ms: at_ms, wants_log };
        self.letters.push(letter);
    }

    /// Writes what its time has come for.
    pub(super) fn look(&mut self, scene: &Scene<'_>, now_ms: i64) -> ToKeep {
        self.follow_clock(now_ms);
        let mut to_keep = self.forget(scene).or(self.write_recoveries(scene, now_ms));
        for alert in scene.alerts {
            for message in self.ripe(alert, now_ms) {
                to_keep = ToKeep::Something;
                let account = self.accounts.entry(alert.key.clone()).or_default();
                if account.is_full(now_ms) {
                    // It waits on: for the end of the window.
                    account.hold_on(message, now_ms);
                } else {
                    self.write(alert, message, now_ms);
                }
            }
        }
        to_keep
    }

    /// As far as there is room; a trouble of which somebody is to hear yet that it is over stays until then.
    fn write_recoveries(&mut self, scene: &Scene<'_>, now_ms: i64) -> ToKeep {
        let ill = self.ill();
        let is_over = |one: &mut Trouble| one.over_ms(scene, &ill).is_some_and(|over| over <= now_ms);
        let mut to_keep = ToKeep::Nothing;
        let over: Vec<Trouble> = self.troubles.extract_if(.., is_over).collect();
        for mut trouble in over {
            let told = std::mem::take(&mut trouble.told);
            for alert in scene.alerts {
                let account = self.accounts.entry(alert.key.clone()).or_default();
                account.calm_down(&trouble.service, trouble.area, millis(alert.min_interval));
                if !alert.on.contains(&Occasion::Recovered) || !told.contains(&alert.key) {
                    continue;
                }
                if account.is_full(now_ms) {
                    trouble.told.insert(alert.key.clone());
                } else {
                    self.write(alert, trouble.recovered(now_ms), now_ms);
                    to_keep = ToKeep::Something;
                }
            }
            if trouble.told.is_empty() {
                to_keep = ToKeep::Something;
            } else {
                self.troubles.push(trouble);
            }
        }
        to_keep
    }

    /// What was held back, and may be told now, if it still holds.
    fn ripe(&mut self, alert: &Alert, now_ms: i64) -> Vec<Message> {
        let account = self.accounts.entry(alert.key.clone()).or_default();
        let mut ripe = account.take_due(now_ms);
        let holds = |message: &Message| {
            let area = Area::of(message.occasion);
            let unwell = |one: &Trouble| {
                message.service.as_ref() == Some(&one.service) && one.area == area && one.well_since_ms.is_none()
            };
            area == Area::Nothing || self.troubles.iter().any(unwell)
        };
        ripe.retain(holds);
        ripe
    }

    /// Services whose runs are not well.
    fn ill(&self) -> BTreeSet<ServiceName> {
        self.troubles.iter().filter(|one| one.area == Area::Runs).map(|one| one.service.clone()).collect()
    }

    /// When to look again.
    pub(super) fn deadline(&self, scene: &Scene<'_>) -> Option<i64> {
        let ill = self.ill();
        let room = |trouble: &Trouble| {
            trouble.told.iter().filter_map(|name| self.accounts.get(name)).map(Account::room_ms).min().unwrap_or(0)
        };
        let over = self.troubles.iter().filter_map(|one| one.over_ms(scene, &ill).map(|over| over.max(room(one))));
        over.chain(self.accounts.values().filter_map(Account::deadline)).min()
    }

    /// Letters that want the end of a log.
    pub(super) fn fresh(&mut self) -> impl Iterator<Item = &mut Letter> {
        self.letters.iter_mut().filter(|letter| letter.wants_log)
    }

    /// The letter that is next for an alert: in the order in which they were written.
    pub(super) fn next(&self, alert: &str) -> Option<&Letter> {
        self.letters.iter().find(|letter| letter.alert == alert)
    }

    pub(super) fn next_mut(&mut self, alert: &str) -> Option<&mut Letter> {
        self.letters.iter_mut().find(|letter| letter.alert == alert)
    }

    pub(super) fn waiting(&self, alert: &str) -> usize {
        self.letters.iter().filter(|letter| letter.alert == alert).count()
    }

    pub(super) fn account(&self, alert: &str) -> Account {
        self.accounts.get(alert).cloned().unwrap_or_default()
    }

    /// A letter has arrived, or is given up for this reason.
    pub(super) fn done(&mut self, alert: &str, id: &str, given_up: Option<String>) {
        self.letters.retain(|letter| !(letter.alert == alert && letter.message.id == id));
        let account = self.accounts.entry(alert.to_owned()).or_default();
        match given_up {
            None => {
                account.sent += 1;
                (account.sent_at, account.error) = (Some(timestamp::now()), None);
            }
            Some(error) => {
                account.lost += 1;
                account.error = Some(error);
            }
        }
    }

    pub(super) fn note_error(&mut self, alert: &str, error: String) {
        self.accounts.entry(alert.to_owned()).or_default().error = Some(error);
    }
}

#[cfg(test)]
impl Ledger {
    /// Nothing but a place in the journal.
    pub(super) fn at(cursor: u64) -> Self {
        Self { cursor: Some(cursor), ..Self::default() }
    }
}

fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
