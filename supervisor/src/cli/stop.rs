//! `stop`: services down, or everything.
//! Not here: how a service is stopped.

use std::time::{Duration, Instant};

use super::args::{Global, Stop};
use super::failure::{Exit, Failure};
use super::progress::{Ending, Verdict, Watch};
use super::status::chosen;
use super::terminal::Screen;
use super::{locate, lock};
use crate::api::{OperationEntry, ServiceDocument, StopRequest};
use crate::client::{Client, ClientError};
use crate::platform;
use crate::spans::elapsed;

const POLL: Duration = Duration::from_millis(20);

pub(crate) fn stop(global: &Global, screen: Screen, stop: &Stop) -> Result<Exit, Failure> {
    let place = locate::place(global)?;
    let began = Instant::now();
    let before = place.client.status()?;
    chosen(&before, &stop.services)?;
    let services = locate::names(&stop.services)?;
    let request = StopRequest { services, now: stop.now };
    let operation = match place.client.stop(&request) {
        // It ended before it could tell us: that is what was asked for.
        Err(ClientError::Broken(..)) if request.services.is_empty() => None,
        answer => Some(answer?),
    };
    let named = operation.filter(|_| !request.services.is_empty());
    let ending = match named {
        Some(operation) => wait_for(&place.client, screen, stop.timeout.limit, &operation)?,
        None => {
            // What counts from the next start only, its name perhaps, says nothing of where the lock is now.
            let same = before.config.pending.is_empty();
            let state_dir = place.stack.as_ref().ok().filter(|_| same).map(|stack| stack.state_dir.as_path());
            let keeper = before.supervisor.keeper_pid;
            wait_for_the_end(&place.client, screen, stop.timeout.limit, keeper, state_dir)?
        }
    };
    match ending {
        Ending::Failed => Err(Failure::new(Exit::Failed, "not all stayed down: someone started them again meanwhile")),
        Ending::Reached => {
            screen.tell(&format!("stopped in {}\n", elapsed(began)));
            Ok(Exit::Done)
        }
        Ending::TimedOut => {
            screen.complain(&format!("error: still stopping after {:?}; `--now` kills", stop.timeout.limit));
            Ok(Exit::TimedOut)
        }
    }
}

/// Until each service of it is down.
pub(crate) fn wait_for(
    client: &Client,
    screen: Screen,
    limit: Duration,
    operation: &OperationEntry,
) -> Result<Ending, Failure> {
    let judge = |service: &ServiceDocument| operation.services.contains(&service.name).then(|| verdict(service));
    let operation = Some(operation);
    Ok(Watch { client, screen, limit, judge: &judge, operation, phases: None, is_dead: &mut || None }.wait()?.0)
}

fn verdict(service: &ServiceDocument) -> Verdict {
    if service.state.is_down() && service.pid.is_none() { Verdict::Reached } else { Verdict::Pending }
}

/// Until every service is down, nobody answers, and the keeper is gone.
fn wait_for_the_end(
    client: &Client,
    screen: Screen,
    limit: Duration,
    keeper: i32,
    state_dir: Option<&std::path::Path>,
) -> Result<Ending, Failure> {
    let began = Instant::now();
    // The number of a keeper in a container means somebody else out here, so it counts only when the lock is unknown; and
    // in another mount namespace the lock may be another file, while the socket, by which we came, is the right one.
    let locked = || state_dir.map_or_else(|| platform::process(keeper).is_some(), lock::is_held);
    let alive = || locked() || client.is_held();
    let judge = |service: &ServiceDocument| Some(verdict(service));
    let gone = || Failure::new(Exit::NotRunning, "gone");
    let is_dead = &mut || (!alive()).then(gone);
    let watch = Watch { client, screen, limit, judge: &judge, operation: None, phases: None, is_dead };
    match watch.wait() {
        Ok((Ending::TimedOut, _)) => return Ok(Ending::TimedOut),
        Ok((Ending::Reached | Ending::Failed, _)) => {}
        Err(failure) if failure.exit == Exit::NotRunning => {}
        Err(failure) => return Err(failure),
    }
    while alive() {
        if began.elapsed() > limit {
            return Ok(Ending::TimedOut);
        }
        std::thread::sleep(POLL);
    }
    Ok(Ending::Reached)
}
