//! `reload`: the files are read again; what differs is done, and shown.
//! Not here: what differs and what it takes (`control::reload`).

use std::collections::BTreeMap;
use std::time::Instant;

use supervisor_core::{ServiceName, State};

use super::args::{Global, Reload};
use super::clock::local;
use super::failure::{Exit, Failure};
use super::joining::join;
use super::locate::{self, Place};
use super::output::clean;
use super::progress::{Ending, Verdict, Watch};
use super::restart::judge_new_run;
use super::rollout::{Before, Phases, outcomes};
use super::start::{complain, verdict};
use super::status::why;
use super::table::{Cell, Tone, render};
use super::terminal::Screen;
use crate::api::{ReloadDocument, ReloadResult, ServiceDocument, StatusDocument};
use crate::client::ReloadAnswer;
use crate::config::{Changed, Effect};
use crate::control::Deed;
use crate::spans::short;
use crate::timestamp;

pub(crate) fn reload(global: &Global, screen: Screen, reload: &Reload) -> Result<Exit, Failure> {
    let place = locate::place(global)?;
    let began = Instant::now();
    let status = place.client.status()?;
    let before = Before::of(&status);
    let phases = Some(Phases::new(&place.client, &before));
    let document = match place.client.reload(reload.dry_run)? {
        ReloadAnswer::Done(document) => document,
        ReloadAnswer::Rejected { errors, detail } => return Err(rejected(&place, &errors, detail)),
    };
    match document.result {
        ReloadResult::Planned => {
            show(screen, &document, None);
            return Ok(Exit::Done);
        }
        ReloadResult::Unchanged => {
            show(screen, &document, None);
            if reload.dry_run {
                tell_unchanged(screen, &status, "nothing would be done");
                return Ok(Exit::Done);
            }
            return join(&place.client, screen, &reload.wait);
        }
        ReloadResult::Applied => {
            let revision = document.revision.unwrap_or_default();
            screen.tell(&format!("revision {revision} is in force after {}ms\n", document.took_ms));
        }
    }
    let deeds: BTreeMap<&ServiceName, Deed> =
        document.plan.services.iter().map(|planned| (&planned.name, planned.deed)).collect();
    let judge = |service: &ServiceDocument| judge(*deeds.get(&service.name)?, service, &before);
    if reload.wait.no_wait {
        show(screen, &document, None);
        return Ok(Exit::Done);
    }
    let limit = reload.wait.timeout.limit.saturating_sub(began.elapsed());
    let watch =
        Watch { client: &place.client, screen, limit, judge: &judge, operation: None, phases, is_dead: &mut || None };
    let (ending, status) = watch.wait()?;
    show(screen, &document, Some(&status));
    if !screen.json {
        let restarted = |service: &&ServiceDocument| deeds.get(&service.name) == Some(&Deed::Restart);
        let restarted: Vec<_> = status.services.iter().filter(restarted).collect();
        screen.show(&outcomes(&restarted, &before, screen));
    }
    complain(&status, &judge, screen);
    match ending {
        Ending::Reached => Ok(Exit::Done),
        Ending::Failed => Ok(Exit::Failed),
        Ending::TimedOut => {
            Err(Failure::new(Exit::TimedOut, "not all are ready, or what they replace is not gone; it goes on"))
        }
    }
}

pub(super) fn tell_unchanged(screen: Screen, status: &StatusDocument, so: &str) {
    screen.tell(&format!("the files say what is in force since {}; {so}\n", local(&status.config.loaded_at)));
}

/// With its lines, if the file is as broken for us; else as the supervisor tells it.
fn rejected(place: &Place, errors: &[crate::config::Diagnostic], detail: String) -> Failure {
    let told: String = match &place.stack {
        Err(diagnostics) => diagnostics.to_string(),
        Ok(_) if errors.is_empty() => detail,
        Ok(_) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    };
    Failure::new(Exit::Usage, format!("{}\nnothing has changed", told.trim_end()))
}

/// `None`: it is not waited for.
fn judge(deed: Deed, service: &ServiceDocument, before: &Before) -> Option<Verdict> {
    match deed {
        Deed::Start => Some(verdict(service)),
        Deed::Restart => Some(judge_new_run(service, before)),
        // It is still there, so it is still on its way out.
        Deed::Remove => Some(Verdict::Pending),
        Deed::Update => judge_update(service, before),
        Deed::Add => None,
    }
}

/// What runs goes on; what is waited for is a further instance, and what was given up and is tried again.
fn judge_update(service: &ServiceDocument, before: &Before) -> Option<Verdict> {
    let comes_up = matches!(service.state, State::Starting | State::Waiting);
    (service.wanted && (comes_up || service.generation > before.generation(service))).then(|| verdict(service))
}

fn show(screen: Screen, document: &ReloadDocument, status: Option<&StatusDocument>) {
    if screen.json {
        let mut json = serde_json::to_value(document).unwrap_or_default();
        if let Some(status) = status {
            add_outcomes(&mut json, status);
        }
        screen.data(&format!("{json:#}\n"));
    } else if !screen.quiet && document.result != ReloadResult::Unchanged {
        screen.data(&text(screen, document, status));
    }
}

/// What became of each service, for programs.
fn add_outcomes(json: &mut serde_json::Value, status: &StatusDocument) {
    for planned in json["services"].as_array_mut().into_iter().flatten() {
        let found = status.services.iter().find(|service| planned["name"] == service.name.as_str());
        if let Some(service) = found {
            planned["state"] = service.state.as_str().into();
            planned["cause"] = service.cause.clone().into();
            planned["ready_after_ms"] = ready_after_ms(service).into();
        }
    }
}

fn text(screen: Screen, document: &ReloadDocument, status: Option<&StatusDocument>) -> String {
    let planned = document.result == ReloadResult::Planned;
    let word = |deed: Deed| if planned { format!("would {}", deed.present()) } else { deed.past().to_owned() };
    let mut rows = Vec::new();
    for planned in &document.plan.services {
        let service = status.and_then(|status| status.services.iter().find(|one| one.name == planned.name));
        let tone = match planned.deed {
            Deed::Start | Deed::Add => Tone::Good,
            Deed::Restart => Tone::Busy,
            Deed::Update => Tone::Plain,
            Deed::Remove => Tone::Faint,
        };
        rows.push([
            Cell { text: word(planned.deed), tone },
            Cell::plain(planned.name.as_str()),
            Cell::plain(clean(&keys(&planned.keys))),
            Cell::plain(service.map(now).unwrap_or_default()),
        ]);
    }
    let (live, later): (Vec<&Changed>, Vec<&Changed>) =
        document.plan.supervisor.iter().partition(|changed| changed.effect != Effect::NextStart);
    for (word, changed) in [(word(Deed::Update), live), ("at its next start".to_owned(), later)] {
        if !changed.is_empty() {
            let keys = changed.iter().map(|changed| changed.key.as_str()).collect::<Vec<_>>().join(", ");
            let keys = Cell::plain(clean(&keys));
            rows.push([Cell::plain(word), Cell::plain("the supervisor"), keys, Cell::plain("")]);
        }
    }
    let mut text = render(["CHANGE", "SERVICE", "KEYS", "STATE"], &rows, screen.width, screen.colour);
    match document.plan.kept {
        0 => {}
        1 => text.push_str("1 other service stays as it is\n"),
        kept => text.push_str(&format!("{kept} other services stay as they are\n")),
    }
    text
}

fn keys(keys: &[Changed]) -> String {
    let word = |changed: &Changed| match changed.effect {
        Effect::Live | Effect::Restart => changed.key.clone(),
        Effect::NextStart => format!("{} (at its next start)", changed.key),
    };
    keys.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn now(service: &ServiceDocument) -> String {
    let state = service.state.as_str();
    let is_new = service.revision == service.wanted_revision;
    match ready_after_ms(service) {
        Some(ms) if service.state.is_well() && is_new => format!("{state}, {}", ready(ms)),
        Some(_) | None => format!("{state}: {}", clean(&why(service))),
    }
}

fn ready(ms: u64) -> String {
    if ms == 0 { "ready at once".to_owned() } else { format!("ready after {}", short(ms)) }
}

fn ready_after_ms(service: &ServiceDocument) -> Option<u64> {
    let started = timestamp::parse(service.started.as_deref()?)?;
    let ready = timestamp::parse(service.ready_since.as_deref()?)?;
    Some(u64::try_from(ready.saturating_sub(started)).unwrap_or(0))
}
