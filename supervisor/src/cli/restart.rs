//! `restart`: new runs of services that should run.
//! Not here: how a service is restarted.

use std::time::Instant;

use supervisor_core::{RolloutResult, State};

use super::args::{Global, Restart};
use super::failure::{Exit, Failure};
use super::progress::{Ending, Verdict, Watch};
use super::rollout::{Before, Phases, outcomes};
use super::start::{complain, report, verdict};
use super::status::chosen;
use super::terminal::Screen;
use super::{locate, stop};
use crate::api::{ServiceDocument, ServicesRequest, StopRequest};
use crate::spans::elapsed;

pub(crate) fn restart(global: &Global, screen: Screen, restart: &Restart) -> Result<Exit, Failure> {
    let place = locate::place(global)?;
    let began = Instant::now();
    let before = place.client.status()?;
    place.warn_of_rejection(&before, screen);
    let meant = chosen(&before, &restart.services)?;
    let meant: Vec<String> = meant
        .into_iter()
        .filter(|service| !restart.services.is_empty() || service.wanted)
        .map(|service| service.name.to_string())
        .collect();
    let services = locate::names(&meant)?;
    let change = ServicesRequest { services };
    if meant.is_empty() {
        screen.tell("nothing should run, so nothing is restarted\n");
        return Ok(Exit::Done);
    }
    let old = Before::of(&before);
    let phases = Phases::new(&place.client, &old);
    let limit = restart.wait.timeout.limit;
    let operation = if restart.hard {
        let stop = place.client.stop(&StopRequest { services: change.services.clone(), now: false })?;
        if stop::wait_for(&place.client, screen, limit, &stop)? == Ending::TimedOut {
            return Err(Failure::new(Exit::TimedOut, "not all stopped in time; nothing was started"));
        }
        place.client.start(&change)?
    } else {
        place.client.restart(&change)?
    };
    if restart.wait.no_wait {
        return Ok(Exit::Done);
    }
    let judge = |service: &ServiceDocument| {
        let is_meant = meant.iter().any(|name| name == service.name.as_str());
        is_meant.then(|| judge_new_run(service, &old))
    };
    let limit = limit.saturating_sub(began.elapsed());
    let (operation, phases) = (Some(&operation), Some(phases));
    let watch = Watch { client: &place.client, screen, limit, judge: &judge, operation, phases, is_dead: &mut || None };
    let (ending, status) = watch.wait()?;
    if screen.json {
        report(&status, &judge, screen);
    } else {
        let meant: Vec<_> = status.services.iter().filter(|service| judge(service).is_some()).collect();
        screen.show(&outcomes(&meant, &old, screen));
        complain(&status, &judge, screen);
    }
    match ending {
        Ending::Reached => {
            screen.tell(&format!("restarted in {}\n", elapsed(began)));
            Ok(Exit::Done)
        }
        Ending::Failed => Ok(Exit::Failed),
        Ending::TimedOut => {
            Err(Failure::new(Exit::TimedOut, "not all are ready, or what they replace is not gone; it goes on"))
        }
    }
}

/// The old run does not count, however well it is, and is waited for until it is gone.
pub(crate) fn judge_new_run(service: &ServiceDocument, before: &Before) -> Verdict {
    let old = before.generation(service);
    if before.rollout(service).is_some_and(|rollout| rollout.result == Some(RolloutResult::RolledBack)) {
        return Verdict::Failed;
    }
    let old_lives = service.generations.iter().any(|one| one.generation <= old);
    match (service.generation > old, service.state) {
        (true, State::Rolling) => Verdict::Pending,
        (true, _) if old_lives && verdict(service) == Verdict::Reached => Verdict::Pending,
        (true, _) | (false, State::Failed | State::CrashLoop | State::Waiting) => verdict(service),
        (
            false,
            State::Running
            | State::Rolling
            | State::Completed
            | State::Stopped
            | State::Starting
            | State::Unhealthy
            | State::Backoff
            | State::Stopping,
        ) => Verdict::Pending,
    }
}
