//! A `reload` that comes after the watch of the files, or after somebody else's: what was begun is joined, and its end told.
//! Not here: a reload that has something to do (`reload`).

use std::collections::BTreeSet;

use supervisor_core::{RolloutResult, ServiceName, State};

use super::args::Wait;
use super::failure::{Exit, Failure};
use super::progress::{Ending, Verdict, Watch};
use super::reload::tell_unchanged;
use super::rollout::{Before, Phases, is_settled, outcomes};
use super::start::{complain, verdict};
use super::terminal::Screen;
use crate::api::{ServiceDocument, StatusDocument};
use crate::client::Client;

/// Waits for what is on its way to the configuration in force. What was rolled back before counts, too: what runs is
/// not what the files say.
pub(crate) fn join(client: &Client, screen: Screen, wait: &Wait) -> Result<Exit, Failure> {
    let status = client.status()?;
    let joined = unsettled(&status);
    if joined.is_empty() || wait.no_wait {
        tell_unchanged(screen, &status, "nothing was done");
        return Ok(Exit::Done);
    }
    let names = joined.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(", ");
    tell_unchanged(screen, &status, &format!("what that began is not over for: {names}"));
    let before = Before::joining(&status, &joined);
    let judge = |service: &ServiceDocument| (joined.contains(&service.name) && service.wanted).then(|| judge(service));
    let (limit, phases) = (wait.timeout.limit, Some(Phases::new(client, &before)));
    let watch = Watch { client, screen, limit, judge: &judge, operation: None, phases, is_dead: &mut || None };
    let (ending, status) = watch.wait()?;
    if !screen.json {
        let services: Vec<_> = status.services.iter().filter(|service| joined.contains(&service.name)).collect();
        screen.show(&outcomes(&services, &before, screen));
    }
    complain(&status, &judge, screen);
    match ending {
        Ending::Reached => Ok(Exit::Done),
        Ending::Failed => Ok(Exit::Failed),
        Ending::TimedOut => Err(Failure::new(Exit::TimedOut, "not all are ready; it goes on")),
    }
}

/// Services that a reload has begun with, and that do not run by it alone yet.
fn unsettled(status: &StatusDocument) -> BTreeSet<ServiceName> {
    // The first configuration is that of a start, which has somebody who waits for it.
    let newest = Some(status.config.revision).filter(|revision| *revision > 1);
    let is_unsettled = |service: &&ServiceDocument| {
        let has_begun_with = newest == service.wanted_revision;
        let comes_up = match service.state {
            // A further instance is started without another revision.
            State::Starting => has_begun_with || service.generations.iter().any(|one| one.ready_since.is_some()),
            State::Stopping | State::Waiting | State::Backoff | State::Failed | State::CrashLoop => has_begun_with,
            State::Stopped | State::Running | State::Unhealthy | State::Rolling | State::Completed => false,
        };
        let differs = service.revision.is_some() && service.revision != service.wanted_revision;
        let rolls = service.rollout.as_ref().is_some_and(|rollout| !is_settled(service, rollout));
        service.wanted && (comes_up || differs || rolls)
    };
    status.services.iter().filter(is_unsettled).map(|service| service.name.clone()).collect()
}

fn judge(service: &ServiceDocument) -> Verdict {
    let arrived = service.revision == service.wanted_revision;
    let rollout = service.rollout.as_ref();
    if !arrived && rollout.is_some_and(|rollout| rollout.result == Some(RolloutResult::RolledBack)) {
        return Verdict::Failed;
    }
    let settled = arrived && rollout.is_none_or(|rollout| is_settled(service, rollout));
    match verdict(service) {
        Verdict::Reached if !settled => Verdict::Pending,
        verdict @ (Verdict::Pending | Verdict::Reached | Verdict::Failed) => verdict,
    }
}
