//! Restarts as a command tells them: each phase of a rollout as it happens, and at the end what came of each service.
//! Not here: waiting for that (`progress`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use supervisor_core::{RolloutPhase, RolloutResult, ServiceName};

use super::output::clean;
use super::table::{Cell, Tone, fitted};
use super::terminal::Screen;
use crate::api::{RolloutDocument, ServiceDocument, StatusDocument};
use crate::client::Client;
use crate::spans::short;
use crate::{rollouts, timestamp};

/// An event is shown once it has been written; so often it is asked for again before the last phase is told without it.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(20);

/// What ran when a command was given.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    generations: BTreeMap<ServiceName, u64>,
    rollouts: BTreeMap<ServiceName, u64>,
    /// In milliseconds since 1970.
    at: i64,
}

impl Before {
    pub(crate) fn of(status: &StatusDocument) -> Self {
        let named = |number: fn(&ServiceDocument) -> u64| {
            status.services.iter().map(|service| (service.name.clone(), number(service))).collect()
        };
        Self {
            generations: named(|service| service.generation),
            rollouts: named(|service| service.rollout.as_ref().map_or(0, |rollout| rollout.number)),
            at: timestamp::now_ms(),
        }
    }

    /// As if the command had been given before the rollouts that `joined` are in the middle of, or have failed in.
    pub(crate) fn joining(status: &StatusDocument, joined: &BTreeSet<ServiceName>) -> Self {
        let mut before = Self::of(status);
        for service in status.services.iter().filter(|service| joined.contains(&service.name)) {
            let current = service.rollout.as_ref().filter(|rollout| !is_settled(service, rollout));
            let earlier = current.map_or(service.generation.saturating_sub(1), |rollout| rollout.from);
            before.generations.insert(service.name.clone(), earlier);
            if let Some(rollout) = current {
                before.rollouts.insert(service.name.clone(), rollout.number.saturating_sub(1));
            }
        }
        before
    }

    /// The newest generation then.
    pub(crate) fn generation(&self, service: &ServiceDocument) -> u64 {
        self.generations.get(&service.name).copied().unwrap_or(0)
    }

    /// The newest rollout, if it has begun since.
    pub(crate) fn rollout<'a>(&self, service: &'a ServiceDocument) -> Option<&'a RolloutDocument> {
        let before = self.rollouts.get(&service.name).copied().unwrap_or(0);
        service.rollout.as_ref().filter(|rollout| rollout.number > before)
    }
}

/// Nothing of it is left to be done or mended.
pub(crate) fn is_settled(service: &ServiceDocument, rollout: &RolloutDocument) -> bool {
    let failed = rollout.result == Some(RolloutResult::RolledBack) && service.revision != service.wanted_revision;
    rollout.phase == RolloutPhase::Over && !failed
}

/// Tells each phase once.
pub(crate) struct Phases<'a> {
    client: &'a Client,
    before: &'a Before,
    /// The number of the last event that was looked at.
    seen: u64,
    /// The last words about each service.
    told: BTreeMap<ServiceName, String>,
}

impl<'a> Phases<'a> {
    /// Those from now on.
    pub(crate) fn new(client: &'a Client, before: &'a Before) -> Self {
        // Without the number, old news would be told again; then the end alone is told.
        let seen = client.events("limit=1").map_or(u64::MAX, |page| page.next);
        Self { client, before, seen, told: BTreeMap::new() }
    }

    /// Whether it is in a rollout, or has been since the command was given.
    pub(crate) fn tell_of(&self, service: &ServiceDocument) -> bool {
        self.before.rollout(service).is_some()
    }

    /// What has been told of these services since the last call.
    pub(crate) fn news(&mut self, services: &[&ServiceDocument]) -> Vec<String> {
        let meant: BTreeSet<&ServiceName> =
            services.iter().filter(|one| self.before.rollout(one).is_some()).map(|one| &one.name).collect();
        if meant.is_empty() || self.seen == u64::MAX {
            return Vec::new();
        }
        // When control is being replaced, it is asked again with the next look.
        let Ok(page) = self.client.events(&format!("kind=rollout&limit=1000&since={}", self.seen)) else {
            return Vec::new();
        };
        self.seen = page.next.max(self.seen);
        let mut lines = Vec::new();
        let mut events = page.events.into_iter().map(|event| event.note).peekable();
        while let Some(note) = events.next() {
            // That it is to begin is no news once it has begun.
            let begins = events.peek().is_some_and(|next| next.service == note.service);
            if begins && note.cause.starts_with(rollouts::WAITS) {
                continue;
            }
            if let Some(service) = note.service.filter(|service| meant.contains(service)) {
                lines.push(line(&service, &note.cause));
                self.told.insert(service, note.cause);
            }
        }
        lines
    }

    /// The rest: whatever is known of the end of each rollout has been told after it.
    pub(crate) fn last(&mut self, services: &[&ServiceDocument]) -> Vec<String> {
        let mut lines = self.news(services);
        let before = self.before;
        let rollouts = || services.iter().filter_map(|one| Some((one, before.rollout(one)?)));
        for _ in 0..TRIES {
            if rollouts().all(|(one, rollout)| self.told.get(&one.name) == Some(&rollout.text)) {
                return lines;
            }
            std::thread::sleep(PAUSE);
            lines.extend(self.news(services));
        }
        for (one, rollout) in rollouts().filter(|(one, rollout)| self.told.get(&one.name) != Some(&rollout.text)) {
            lines.push(line(&one.name, &rollout.text));
        }
        lines
    }
}

fn line(service: &ServiceName, text: &str) -> String {
    format!("{service}: {}\n", clean(text))
}

/// What came of each of these services since the command was given; nothing when nothing did.
pub(crate) fn outcomes(services: &[&ServiceDocument], before: &Before, screen: Screen) -> String {
    let rows: Vec<_> = services.iter().filter_map(|service| outcome(service, before)).collect();
    if rows.is_empty() {
        return String::new();
    }
    let head = ["SERVICE", "RESULT", "GENERATION", "READY", "SERVES", "OLD GONE", "DRAINED", "CUT", "WHY"];
    fitted(head, &rows, screen.width, screen.colour, &[3, 4, 2, 6])
}

fn outcome(service: &ServiceDocument, before: &Before) -> Option<[Cell; 9]> {
    let old = before.generation(service);
    let rolled = before.rollout(service);
    if rolled.is_none() && service.generation <= old {
        return None;
    }
    let (result, tone) = match rolled.map(|rollout| rollout.result) {
        Some(Some(RolloutResult::Done)) => ("rolled", Tone::Good),
        Some(Some(RolloutResult::RolledBack)) => ("rolled back", Tone::Bad),
        Some(Some(RolloutResult::Superseded)) => ("superseded", Tone::Busy),
        Some(Some(RolloutResult::Abandoned)) => ("given up", Tone::Bad),
        Some(None) => ("rolling", Tone::Busy),
        None if service.state.is_well() && old == 0 => ("started", Tone::Good),
        None if service.state.is_well() => ("restarted", Tone::Good),
        None => (service.state.as_str(), Tone::Bad),
    };
    let why = match rolled {
        Some(rollout) if rollout.result != Some(RolloutResult::Done) => {
            rollout.text.strip_prefix(&format!("{result}: ")).unwrap_or(&rollout.text)
        }
        None if !service.state.is_well() => &service.cause,
        Some(_) | None => "",
    };
    let spans = rolled.map_or_else(|| restarted(service, before), |rollout| spans(service, rollout));
    let count = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let generation = match rolled {
        Some(rollout) if rollout.to > 0 => format!("{} -> {}", rollout.from, rollout.to),
        Some(_) => String::new(),
        None if old == 0 => service.generation.to_string(),
        None => format!("{old} -> {}", service.generation),
    };
    let [ready, serves, gone] = spans.map(|span| Cell::plain(span.map(short).unwrap_or_default()));
    Some([
        Cell::plain(service.name.as_str()),
        Cell { text: result.to_owned(), tone },
        Cell::plain(generation),
        ready,
        serves,
        gone,
        Cell::plain(count(rolled.and_then(|rollout| rollout.drained))),
        Cell::plain(count(rolled.and_then(|rollout| rollout.cut))),
        Cell::plain(clean(why)),
    ])
}

/// From the request until the new one was ready, until it served, and until the old one was gone.
fn spans(service: &ServiceDocument, rollout: &RolloutDocument) -> [Option<u64>; 3] {
    let done = rollout.result == Some(RolloutResult::Done);
    let gone = match (rollout.phase, rollout.draining_ms) {
        (RolloutPhase::Over, draining) => Some(draining.unwrap_or(0)),
        (
            RolloutPhase::Waiting | RolloutPhase::Starting | RolloutPhase::Baking | RolloutPhase::Draining,
            Some(_) | None,
        ) => None,
    };
    let ready = rollout.starting_ms.zip(rollout.waited_ms).map(|(starting, waited)| starting.saturating_add(waited));
    let serves = rollout.took_ms.filter(|_| done);
    // Of several instances it is only that of the last.
    let ready = ready.filter(|_| service.instances == 1);
    [ready, serves, serves.zip(gone).map(|(took, draining)| took.saturating_add(draining))]
}

/// The same of one that was stopped, then started.
fn restarted(service: &ServiceDocument, before: &Before) -> [Option<u64>; 3] {
    let since = |at: Option<&str>| {
        let at = timestamp::parse(at?)?;
        u64::try_from(at.saturating_sub(before.at)).ok()
    };
    let old = service.last_exit.as_ref().filter(|exit| exit.generation == before.generation(service));
    let serves = since(service.ready_since.as_deref());
    [serves, serves, since(old.map(|exit| exit.at.as_str()))]
}
