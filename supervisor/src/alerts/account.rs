//! What was told to one alert, and what is held back from it: nothing twice, nothing too often.
//! Not here: what is not well (`ledger`). All times are milliseconds since 1970.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use supervisor_core::ServiceName;

use super::message::Message;
use super::scene::Area;
use crate::config::Occasion;

/// To one alert, so many letters are written …
const LETTERS: u32 = 20;
/// … within so long.
const WITHIN_MS: i64 = 5 * 60_000;
/// So much is held back for one alert; what is beyond is only counted.
const HELD: usize = 256;
/// What goes on and on is told again after twice as long each time, but at least so often.
const LONGEST_MS: i64 = 24 * 3_600_000;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Account {
    /// By service and occasion.
    told: BTreeMap<String, Told>,
    window_ms: i64,
    in_window: u32,
    left_out: u64,
    pub(super) sent: u64,
    /// Given up, or pushed out.
    pub(super) lost: u64,
    pub(super) sent_at: Option<String>,
    /// Of the letter that is being tried, or the last one that was given up; without secrets.
    pub(super) error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Told {
    at_ms: i64,
    /// Not again sooner than after this.
    wait_ms: i64,
    repeated: u64,
    /// The latest that was not told; told when the wait is over and it still holds.
    held: Option<Box<Message>>,
}

impl Account {
    /// Its own wait is over, and the window has room.
    pub(super) fn may_tell(&self, message: &Message, at_ms: i64) -> bool {
        self.due(&key(message), at_ms) <= at_ms
    }

    /// It is told later, if it still holds then.
    pub(super) fn hold_back(&mut self, message: &Message, at_ms: i64) {
        let key = key(message);
        let due = self.due(&key, at_ms);
        let held = Some(Box::new(message.clone()));
        if let Some(told) = self.told.get_mut(&key) {
            told.repeated += 1;
            told.held = held;
        } else if self.told.len() < HELD {
            self.told.insert(key, Told { at_ms, wait_ms: due - at_ms, repeated: 0, held });
        } else {
            self.left_out += 1;
        }
    }

    /// A letter is written: it tells, too, what was held back before it.
    pub(super) fn note(&mut self, message: &mut Message, min_ms: i64, at_ms: i64) {
        if message.occasion != Occasion::Recovered {
            let told = self.told.entry(key(message)).or_insert(Told { at_ms, wait_ms: 0, repeated: 0, held: None });
            message.repeated = std::mem::take(&mut told.repeated);
            told.held = None;
            // What cannot be over cannot go on: each is news.
            let goes_on = Area::of(message.occasion) != Area::Nothing;
            let longer = if goes_on { told.wait_ms.saturating_mul(2) } else { 0 };
            told.wait_ms = longer.clamp(min_ms, LONGEST_MS.max(min_ms));
            told.at_ms = at_ms;
        }
        if at_ms >= self.window_ms + WITHIN_MS || at_ms < self.window_ms {
            (self.window_ms, self.in_window) = (at_ms, 0);
        }
        self.in_window += 1;
        message.left_out = std::mem::take(&mut self.left_out);
    }

    /// What was held back and may be told now. What was told long ago is forgotten.
    pub(super) fn take_due(&mut self, now_ms: i64) -> Vec<Message> {
        let due = self.told.values_mut().filter(|told| told.due_ms() <= now_ms);
        let taken = due.filter_map(|told| told.held.take()).map(|message| *message).collect();
        self.told.retain(|_, told| told.held.is_some() || told.due_ms() > now_ms - LONGEST_MS);
        taken
    }

    /// It waits on: for the end of the window.
    pub(super) fn hold_on(&mut self, message: Message, now_ms: i64) {
        let until = self.window_ms + WITHIN_MS;
        if let Some(told) = self.told.get_mut(&key(&message)) {
            (told.at_ms, told.wait_ms) = (now_ms, until - now_ms);
            told.held = Some(Box::new(message));
        }
    }

    /// It is over: should it come again, it is news again, though no sooner than `min_ms` after it was told.
    pub(super) fn calm_down(&mut self, service: &ServiceName, area: Area, min_ms: i64) {
        for told in self.of(service, area) {
            told.wait_ms = told.wait_ms.min(min_ms);
            told.held = None;
        }
    }

    /// It is no news any more.
    pub(super) fn drop_held(&mut self, service: &ServiceName, area: Area) {
        self.of(service, area).for_each(|told| told.held = None);
    }

    fn of(&mut self, service: &ServiceName, area: Area) -> impl Iterator<Item = &mut Told> {
        let of_it = move |key: &str| {
            let word = key.strip_prefix(service.as_str()).and_then(|rest| rest.strip_prefix(' '));
            Occasion::TOLD.iter().any(|one| word == Some(one.as_str()) && Area::of(*one) == area)
        };
        self.told.iter_mut().filter(move |(key, _)| of_it(key)).map(|(_, told)| told)
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Option<i64> {
        self.told.values().filter(|told| told.held.is_some()).map(Told::due_ms).min()
    }

    pub(super) fn shift(&mut self, by_ms: i64) {
        let told = self.told.values_mut().map(|told| &mut told.at_ms);
        told.chain([&mut self.window_ms]).for_each(|time| *time = time.saturating_add(by_ms));
    }

    /// Nothing was told later than now.
    pub(super) fn follow_clock(&mut self, now_ms: i64) {
        self.told.values_mut().for_each(|told| told.at_ms = told.at_ms.min(now_ms));
    }

    pub(super) fn is_full(&self, at_ms: i64) -> bool {
        self.in_window >= LETTERS && (self.window_ms..self.window_ms + WITHIN_MS).contains(&at_ms)
    }

    /// When there is room, if not at once.
    pub(super) fn room_ms(&self) -> i64 {
        if self.in_window >= LETTERS { self.window_ms.saturating_add(WITHIN_MS) } else { 0 }
    }

    /// At once, or after its own wait, or when the window has room again.
    fn due(&self, key: &str, at_ms: i64) -> i64 {
        let own = self.told.get(key).map_or(at_ms, Told::due_ms);
        if self.is_full(at_ms) { own.max(self.window_ms + WITHIN_MS) } else { own }
    }
}

impl Told {
    fn due_ms(&self) -> i64 {
        self.at_ms.saturating_add(self.wait_ms)
    }
}

fn key(message: &Message) -> String {
    let service = message.service.as_ref().map_or("", |name| name.as_str());
    format!("{service} {}", message.occasion.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::crash;
    use super::*;

    #[test]
    fn each_bad_generation_is_news_however_many_there_were() {
        let (mut account, mut now, min) = (Account::default(), 0, WITHIN_MS);
        let mut message = Message { occasion: Occasion::RolledBack, ..crash("no good") };
        for _ in 0..10 {
            assert!(account.may_tell(&message, now));
            account.note(&mut message, min, now);
            assert!(!account.may_tell(&message, now + min - 1));
            now += min;
        }
    }
}
