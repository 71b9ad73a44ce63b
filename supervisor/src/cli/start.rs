//! `start`: a supervisor in the background, and its services ready.
//! Not here: the foreground.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use supervisor_core::State;

use super::args::{Global, Start};
use super::failure::{Exit, Failure};
use super::output::sanitised;
use super::progress::{Ending, Verdict, Watch};
use super::roles::First;
use super::status::{chosen, page, why};
use super::terminal::Screen;
use super::{foreground, locate, lock, roles};
use crate::api::{ServiceDocument, ServicesRequest, StatusDocument};
use crate::client::{Client, ClientError};
use crate::config::Stack;
use crate::state;

/// A supervisor answers within this, unless it has to end what an earlier one left.
const BOOT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);
/// A process that was killed has let go of its sockets by then.
const SETTLED: Duration = Duration::from_secs(5);
/// What a supervisor says before it answers is short.
const MAX_WORDS: u64 = 64 * 1024;

pub(crate) fn start(global: &Global, screen: Screen, start: &Start) -> Result<Exit, Failure> {
    if start.foreground {
        return foreground::run(global, screen, &start.services);
    }
    let stack = locate::trusted_stack(global)?;
    let client = locate::client(&locate::running_dir(&stack))?;
    let mut boot = match answered(&client) {
        Ok(status) => {
            chosen(&status, &start.services)?;
            screen.tell(&format!("the supervisor is already running (pid {})\n", status.supervisor.keeper_pid));
            None
        }
        Err(ClientError::NotRunning(_)) => {
            locate::named(&stack, &start.services)?;
            let mut boot = Boot::spawn(&stack, &start.services)?;
            boot.wait_until_it_answers(&client, &stack, screen)?;
            Some(boot)
        }
        Err(error) => return Err(error.into()),
    };
    let mut operation = None;
    if boot.as_mut().is_none_or(Boot::is_over) {
        operation = Some(client.start(&ServicesRequest { services: locate::names(&start.services)? })?);
    }
    if start.wait.no_wait {
        return Ok(Exit::Done);
    }
    let named = start.services.clone();
    let judge = |service: &ServiceDocument| {
        let meant =
            if named.is_empty() { service.wanted } else { named.iter().any(|name| name == service.name.as_str()) };
        meant.then(|| verdict(service))
    };
    let mut is_dead = || boot.as_mut().and_then(|boot| boot.failure(&stack));
    let watch = Watch {
        client: &client,
        screen,
        limit: start.wait.timeout.limit,
        judge: &judge,
        operation: operation.as_ref(),
        phases: None,
        is_dead: &mut is_dead,
    };
    let (ending, status) = watch.wait()?;
    report(&with_needs(status, &named), &judge, screen);
    Ok(match ending {
        Ending::Reached => Exit::Done,
        Ending::Failed => Exit::Failed,
        Ending::TimedOut => {
            screen
                .complain(&format!("error: not all are ready after {:?}; they go on trying", start.wait.timeout.limit));
            Exit::TimedOut
        }
    })
}

/// A supervisor that is just ending may take a connection and drop it; a moment later it is plain that none runs.
fn answered(client: &Client) -> Result<StatusDocument, ClientError> {
    let began = Instant::now();
    loop {
        match client.status() {
            Err(ClientError::Broken(..)) if began.elapsed() < SETTLED => std::thread::sleep(POLL),
            answer => return answer,
        }
    }
}

/// Of a service that is meant to be up.
pub(crate) fn verdict(service: &ServiceDocument) -> Verdict {
    match service.state {
        State::Running | State::Rolling | State::Completed => Verdict::Reached,
        State::Failed | State::CrashLoop => Verdict::Failed,
        State::Waiting if service.waits_in_vain => Verdict::Failed,
        State::Stopped | State::Waiting | State::Starting | State::Unhealthy | State::Backoff | State::Stopping => {
            Verdict::Pending
        }
    }
}

/// Of the services only the named ones, if there are any, and what they depend on, at whatever distance.
fn with_needs(mut status: StatusDocument, named: &[String]) -> StatusDocument {
    let mut wanted: Vec<&str> = named.iter().map(String::as_str).collect();
    let mut at = 0;
    while let Some(name) = wanted.get(at) {
        let found = status.services.iter().find(|service| service.name.as_str() == *name);
        for dependency in found.iter().flat_map(|service| &service.depends_on) {
            if !wanted.contains(&dependency.name.as_str()) {
                wanted.push(dependency.name.as_str());
            }
        }
        at += 1;
    }
    let wanted: Vec<String> = wanted.into_iter().map(str::to_owned).collect();
    status.services.retain(|service| wanted.is_empty() || wanted.iter().any(|name| name == service.name.as_str()));
    status
}

/// The table, and what failed and why.
pub(crate) fn report(status: &StatusDocument, judge: &dyn Fn(&ServiceDocument) -> Option<Verdict>, screen: Screen) {
    if screen.json {
        if let Ok(json) = serde_json::to_string_pretty(status) {
            screen.data(&format!("{json}\n"));
        }
    } else {
        screen.show(&page(status, &status.services.iter().collect::<Vec<_>>(), screen));
    }
    complain(status, judge, screen);
}

/// What failed, or waits in vain, and why.
pub(crate) fn complain(status: &StatusDocument, judge: &dyn Fn(&ServiceDocument) -> Option<Verdict>, screen: Screen) {
    let has_failed = |service: &&ServiceDocument| judge(service) == Some(Verdict::Failed);
    for service in status.services.iter().filter(has_failed) {
        let (name, why) = (&service.name, why(service));
        screen.complain(&format!("error: {name}: {why}; `supervisor why {name}` says more"));
    }
}

/// A supervisor that is on its way.
struct Boot {
    keeper: Child,
    /// What it says until its own log is there.
    words: File,
}

impl Boot {
    fn spawn(stack: &Stack, only: &[String]) -> Result<Self, Failure> {
        let refused = |error: state::StateError| Failure::new(Exit::Failed, error);
        state::private_dir(&stack.runtime_dir).map_err(refused)?;
        state::private_dir(&stack.state_dir).map_err(refused)?;
        let failed = |error: std::io::Error| Failure::of_system("start the supervisor", &error);
        // A file, not a pipe: who writes into it later finds neither a full one nor a broken one.
        let path = stack.state_dir.join(format!("start-{}.err", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let words =
            OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        std::fs::remove_file(&path).map_err(failed)?;
        let first = First { foreground: false, only: only.to_vec(), mirror: false };
        let keeper = roles::keeper_command(stack, &first)
            .map_err(failed)?
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(words.try_clone().map_err(failed)?)
            .spawn()
            .map_err(failed)?;
        Ok(Self { keeper, words })
    }

    fn wait_until_it_answers(&mut self, client: &Client, stack: &Stack, screen: Screen) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            match client.status() {
                Ok(_) => break,
                Err(ClientError::NotRunning(_) | ClientError::Broken(..) | ClientError::Timeout(_)) => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(failure) = self.failure(stack) {
                return Err(failure);
            }
            if began.elapsed() > BOOT {
                let message = format!("the supervisor does not answer after {BOOT:?}\n{}", self.said());
                return Err(Failure::new(Exit::TimedOut, message));
            }
            std::thread::sleep(POLL);
        }
        if !self.is_over() {
            screen.tell(&self.said());
        }
        Ok(())
    }

    /// Another start was quicker, or it failed.
    fn is_over(&mut self) -> bool {
        !matches!(self.keeper.try_wait(), Ok(None))
    }

    /// Why nobody will answer: ours is over, and nobody else holds the lock.
    fn failure(&mut self, stack: &Stack) -> Option<Failure> {
        if !self.is_over() || lock::is_held(&stack.state_dir) {
            return None;
        }
        let said = self.said();
        let said = said.trim_end();
        let why = if said.is_empty() { "it ended without a word; see its own log" } else { said };
        Some(Failure::new(Exit::Failed, format!("the supervisor did not start\n{why}")))
    }

    fn said(&mut self) -> String {
        let mut bytes = Vec::new();
        let _ = self.words.rewind().and_then(|()| (&self.words).take(MAX_WORDS).read_to_end(&mut bytes));
        let lines = bytes.split_inclusive(|byte| *byte == b'\n');
        lines.map(|line| format!("{}\n", sanitised(line.strip_suffix(b"\n").unwrap_or(line)))).collect()
    }
}
