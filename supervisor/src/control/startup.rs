//! How a control comes up: from nothing, or from what an earlier one left with the keeper.
//! Not here: what happens after (`run_loop`).

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use supervisor_core::{Event, Fleet, GraphError, Memory, Recovered, ServiceName, ServiceSpec};
use supervisor_keeper::Request;

use super::ControlArgs;
use super::api::asks::Haste;
use super::api::sockets;
use super::keeper::inventory::{self, Inventory};
use super::keeper::link::{Link, Purpose};
use super::launch::listeners::{Listener, service_of_listener};
use super::launch::prepare::{Places, RunRecord, held_name, record_key};
use super::launch::programs::Programs;
use super::reload::in_force::{InForce, Kept};
use super::run::{Ends, OUTPUTS, Output, Run, stage_of};
use super::run_loop::Control;
use super::telling::foreground::Foreground;
use super::telling::history::History;
use super::telling::log_files;
use super::telling::ownlog;
use crate::config::{Diagnostics, Stack, Surroundings};
use crate::exits::Writer;
use crate::journal::Journal;
use crate::platform::controllers::Controllers;
use crate::platform::groups::Groups;
use crate::state::{self, StateError};

/// The record that holds the configuration in force.
pub(crate) const CONFIG: &str = "config";
/// The records that hold those before it begin with this: what is new may have to be taken back.
const CONFIG_BEFORE: &str = "config/before/";
/// The record that holds where that was: variables and directories. A logout may change them.
const SURROUNDINGS: &str = "surroundings";
/// The record that holds the beginning of every cookie of this keeper.
const COOKIE: &str = "cookie";
/// The record of a service's `Memory` begins with this.
pub(crate) const MEMORY: &str = "service/";

/// The record that holds an earlier configuration.
pub(crate) fn before(revision: u64) -> String {
    format!("{CONFIG_BEFORE}{revision}")
}

/// Why control could not come up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartupError {
    #[error("{0}")]
    Config(Diagnostics),
    #[error("{0}")]
    Graph(GraphError),
    #[error("{0}")]
    Sockets(sockets::SocketError),
    #[error("{0}")]
    State(StateError),
    #[error("{0}")]
    System(io::Error),
}

impl StartupError {
    /// Trying again at once would not help.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Self::Config(_) | Self::Graph(_) | Self::Sockets(_) | Self::State(_) => true,
            Self::System(_) => false,
        }
    }
}

impl From<io::Error> for StartupError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// Tells whoever started us; after `ownlog` began, that is the own log.
#[expect(clippy::print_stderr, reason = "before the own log exists, and for the one who waits for the start")]
pub(crate) fn complain(error: &StartupError) {
    eprintln!("{error}");
}

/// Takes over from the keeper, then runs until the supervisor is to end.
pub(crate) async fn run(args: ControlArgs, channel: OwnedFd, read: Option<InForce>) -> Result<(), StartupError> {
    let mut link = Link::new(channel)?;
    let mut inventory = inventory::take(&mut link).await?;
    let in_force = configuration(&args.config, &mut link, &inventory, read)?;
    let stack = Arc::clone(&in_force.stack);
    let timeout = shutdown_timeout(&stack, longest_shutdown(&inventory));
    let shutdown_timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    link.send(Purpose::Note("configure"), &Request::Configure { shutdown_timeout_ms }, Vec::new())?;
    let pump = log_files::pump(&mut link, &mut inventory);
    let cookie = cookie(&stack, &mut link, &inventory)?;
    let groups = Groups::below_ours(&cookie);
    let trees = trees(&groups);
    let groups = groups.ok();
    let controllers = controllers(groups.as_ref(), &cookie, &inventory);
    let places =
        Places { runtime_dir: stack.runtime_dir.clone(), cookie, groups, controllers, oom_kills: Arc::default() };
    let first = !inventory.records.keys().any(|key| key.starts_with(MEMORY));
    let (token, trouble) = token(&stack, first)?;
    let sockets = sockets::open(&stack, &mut link, &mut inventory).map_err(StartupError::Sockets)?;
    // Before the first byte goes to any log.
    let foreground = args
        .foreground
        .then(|| Foreground::start(&stack, &pump, (!args.quiet).then(|| greeting(&inventory, &sockets))))
        .flatten();
    log_files::declare(&pump, &stack);
    let _log = ownlog::start(&mut link, &mut inventory, &pump, &stack.logs_dir)?;
    tracing::info!(
        epoch = inventory.epoch,
        pid = std::process::id(),
        keeper = inventory.keeper_pid,
        trees,
        limits = places.controllers.in_words(),
        "control starts"
    );
    let known = stack.services.iter().map(|service| service.spec.name.clone()).collect();
    let history = History::new(Journal::start(&stack.state_dir)?, Writer::start(&stack.state_dir, known)?);
    history.begins(first, &inventory);
    if let Some(error) = trouble {
        tracing::warn!(%error, "the API has a token that nobody can read");
    }
    forget_recorded_ends(&mut inventory);
    let runs = runs(&mut inventory, &places);
    let earlier = configurations_before(&in_force, &inventory);
    let (fleet, commands) = fleet(&stack, &earlier, &inventory).map_err(StartupError::Graph)?;
    let listeners = listeners(&mut inventory);
    let programs = Programs::recovered(&mut inventory.held);
    let notices = std::mem::take(&mut inventory.notices);
    let mut control =
        Control::new(args, in_force, fleet, link, pump, places, sockets, token, history, timeout, &inventory);
    control.foreground = foreground;
    control.programs = programs;
    for before in &earlier {
        control.catalogue.add_earlier(&before.stack, before.revision);
    }
    control.note_recorded_ends(&inventory);
    control.recover_reports(&inventory);
    control.take_over(runs, listeners, &commands);
    control.take_over_limits();
    control.carry_out_all(commands);
    control.hear_early(notices);
    match Haste::recorded(&inventory.records) {
        Some(haste) => control.shut_down(haste),
        None if first => control.begin_first(),
        None => control.resume_operations(),
    }
    control.run().await.map_err(StartupError::System)
}

/// The first that is shown in the foreground.
fn greeting(inventory: &Inventory, sockets: &sockets::Sockets) -> String {
    match (inventory.epoch, sockets.address) {
        (0 | 1, Some(http)) => format!("status at http://{http}/; ^C stops everything"),
        (0 | 1, None) => "^C stops everything".to_owned(),
        (_, _) => "control was replaced; all goes on".to_owned(),
    }
}

/// What can keep runs within their limits.
fn controllers(groups: Option<&Groups>, cookie: &str, inventory: &Inventory) -> Controllers {
    let roles = [inventory.keeper_pid, std::process::id().cast_signed()];
    let stack = cookie.split_once('.').map_or(cookie, |(stack, _)| stack);
    Controllers::found(groups.map(Groups::dir), &roles, stack)
}

/// By what trees are known, for the own log.
fn trees(groups: &io::Result<Groups>) -> String {
    match groups {
        Ok(groups) => format!("control groups below {}", groups.dir().display()),
        Err(error) => format!("sessions and cookies ({error})"),
    }
}

/// The configuration that is in force: what an earlier control went by, else what the files say now.
fn configuration(
    file: &Path,
    link: &mut Link,
    inventory: &Inventory,
    read: Option<InForce>,
) -> Result<InForce, StartupError> {
    if let Some((kept, surroundings)) = inventory.records.get(CONFIG).zip(inventory.records.get(SURROUNDINGS)) {
        let kept: Kept = serde_json::from_slice(kept).map_err(io::Error::other)?;
        let surroundings: Surroundings = serde_json::from_slice(surroundings).map_err(io::Error::other)?;
        return InForce::recalled(file, kept, surroundings).map_err(StartupError::Config);
    }
    let in_force = read.map_or_else(|| InForce::of_file(file), Ok).map_err(StartupError::Config)?;
    keep(link, SURROUNDINGS, &*in_force.surroundings)?;
    keep(link, CONFIG, &in_force.kept())?;
    Ok(in_force)
}

/// Those before that of which something may live, the oldest first. What cannot be read cannot be gone back to, and
/// everything else goes on.
fn configurations_before(in_force: &InForce, inventory: &Inventory) -> Vec<InForce> {
    let records = inventory.records.iter().filter(|(key, _)| key.starts_with(CONFIG_BEFORE));
    let recalled = |value: &[u8]| {
        let kept = serde_json::from_slice(value).ok()?;
        InForce::recalled(&in_force.said.file, kept, Surroundings::clone(&in_force.surroundings)).ok()
    };
    let mut all: Vec<InForce> = records.filter_map(|(_, value)| recalled(value)).collect();
    all.sort_by_key(|before| before.revision);
    all
}

fn keep(link: &mut Link, key: &str, value: &impl Serialize) -> io::Result<()> {
    let value = serde_json::to_vec(value).map_err(io::Error::other)?;
    link.send(Purpose::Note("keep the configuration"), &Request::Put { key: key.to_owned(), value }, Vec::new())
}

/// As PID 1 a container's engine kills us ten seconds after it asked.
pub(crate) fn longest_shutdown(inventory: &Inventory) -> Option<Duration> {
    inventory.pid_one.then_some(Duration::from_millis(7500))
}

pub(crate) fn shutdown_timeout(stack: &Stack, longest: Option<Duration>) -> Duration {
    stack.shutdown_timeout.min(longest.unwrap_or(Duration::MAX))
}

/// This stack, then this keeper: with the number of a run, the cookie of that run.
fn cookie(stack: &Stack, link: &mut Link, inventory: &Inventory) -> Result<String, StartupError> {
    // Not the file again: what runs bears this one, whatever has become of the state directory.
    if let Some(cookie) = inventory.records.get(COOKIE) {
        return Ok(String::from_utf8_lossy(cookie).into_owned());
    }
    let stack = state::stack_cookie(&stack.state_dir).map_err(StartupError::State)?;
    let cookie = format!("{stack}.{}", state::random_hex::<8>()?);
    let value = cookie.clone().into_bytes();
    link.send(Purpose::Note("keep the cookie"), &Request::Put { key: COOKIE.to_owned(), value }, Vec::new())?;
    Ok(cookie)
}

/// The token of the API. A supervisor that already looks after services does so without its file, too.
fn token(stack: &Stack, first: bool) -> Result<(String, Option<StateError>), StartupError> {
    // Someone may have removed it meanwhile.
    let made = state::private_dir(&stack.runtime_dir).and_then(|()| state::token(&stack.runtime_dir));
    match made {
        Ok(token) => Ok((token, None)),
        Err(error) if first => Err(StartupError::State(error)),
        Err(error) => Ok((state::random_hex::<32>()?, Some(error))),
    }
}

fn fleet(
    stack: &Stack,
    earlier: &[InForce],
    inventory: &Inventory,
) -> Result<(Fleet, Vec<supervisor_core::Command>), GraphError> {
    let specs: Vec<ServiceSpec> = stack.services.iter().map(|service| service.spec.clone()).collect();
    let seed = u64::from(std::process::id()) ^ super::now().0.rotate_left(32);
    let mut recovered: BTreeMap<ServiceName, Recovered> = BTreeMap::new();
    let mut next_run = 1;
    for (key, value) in &inventory.records {
        if let Some(name) = key.strip_prefix(MEMORY).and_then(|name| ServiceName::new(name).ok())
            && let Ok(memory) = serde_json::from_slice::<Memory>(value)
        {
            next_run = next_run.max(memory.run + 1);
            recovered.entry(name).or_default().memory = memory;
        }
        if let Some((run, record)) = run_record(key, value) {
            next_run = next_run.max(run + 1);
            if let Some((pid, started)) = inventory.runs.get(&run) {
                recovered.entry(record.service).or_default().runs.push((run, *pid, *started));
            }
        }
    }
    // The newest words about a revision count.
    for spec in earlier.iter().rev().flat_map(|before| before.specs()) {
        if let Some(recovered) = recovered.get_mut(&spec.name)
            && !recovered.older.iter().any(|known| known.revision == spec.revision)
        {
            recovered.older.push(spec);
        }
    }
    Fleet::recover(stack.settings(seed), specs, recovered, next_run, super::now())
}

/// An exit that an earlier control recorded, but did not come to acknowledge, is told again. It must not count twice.
fn forget_recorded_ends(inventory: &mut Inventory) {
    let Inventory { records, runs, .. } = inventory;
    for (key, value) in records.iter().filter(|(key, _)| key.starts_with(MEMORY)) {
        let Ok(memory) = serde_json::from_slice::<Memory>(value) else { continue };
        runs.retain(|run, _| {
            let service = records.get(&record_key(*run)).and_then(|value| serde_json::from_slice(value).ok());
            let ours = service.is_some_and(|RunRecord { service, .. }| key[MEMORY.len()..] == *service.as_str());
            let over = *run <= memory.run && memory.runs().all(|live| live.run != *run);
            !(ours && over)
        });
    }
}

fn run_record(key: &str, value: &[u8]) -> Option<(u64, RunRecord)> {
    let run = key.strip_prefix("run/")?.parse().ok()?;
    Some((run, serde_json::from_slice(value).ok()?))
}

/// The runs that the keeper knows, with their descriptors. Those without a process wait for their tree to be gone.
fn runs(inventory: &mut Inventory, places: &Places) -> BTreeMap<u64, Run> {
    let records: Vec<(u64, RunRecord)> =
        inventory.records.iter().filter_map(|(key, value)| run_record(key, value)).collect();
    let mut runs = BTreeMap::new();
    for (number, record) in records {
        let mut take = |what: &str| inventory.held.remove(&held_name(number, what));
        let outputs = OUTPUTS.into_iter().filter_map(|what| {
            let stage = take(&stage_of(what));
            take(what).map(|pipe| Output { pipe, stage })
        });
        let outputs = outputs.collect();
        let ends = Ends { outputs, notify: take("notify").map(UnixDatagram::from), newline: take("newline") };
        let pid = inventory.runs.get(&number).map(|(pid, _)| *pid);
        runs.insert(number, Run::recovered(number, record, pid, ends, places));
    }
    runs
}

/// Every listener that is held, whether its service still wants it or not.
fn listeners(inventory: &mut Inventory) -> BTreeMap<ServiceName, Vec<Arc<Listener>>> {
    let mut all: BTreeMap<ServiceName, Vec<Arc<Listener>>> = BTreeMap::new();
    let names: Vec<String> =
        inventory.held.keys().filter(|name| service_of_listener(name).is_some()).cloned().collect();
    for held in names {
        if let Some((service, name)) = service_of_listener(&held)
            && let Some(fd) = inventory.held.remove(&held)
            && let Some(listener) = Listener::held(name, fd)
        {
            all.entry(service).or_default().push(Arc::new(listener));
        }
    }
    all
}

/// The first wish of a fresh supervisor.
pub(crate) fn first_wish(args: &ControlArgs, stack: &Stack) -> Event {
    if args.only.is_empty() {
        return Event::StartRequested(autostart(stack));
    }
    let named = |name: &&ServiceName| args.only.iter().any(|only| only == name.as_str());
    Event::StartRequested(stack.services.iter().map(|service| &service.spec.name).filter(named).cloned().collect())
}

/// Everything with `autostart` is wanted.
pub(crate) fn autostart(stack: &Stack) -> Vec<ServiceName> {
    let wanted = stack.services.iter().filter(|service| service.spec.autostart);
    wanted.map(|service| service.spec.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use supervisor_core::{RunMemory, SlotMemory};

    use super::*;

    fn inventory(memory: &Memory) -> Inventory {
        let record = serde_json::json!({ "service": "t", "generation": 3, "revision": 1, "uid": null, "program": "/t",
            "executable": null, "notify": null, "probe": null, "logs": [] });
        Inventory {
            records: BTreeMap::from([
                (format!("{MEMORY}t"), serde_json::to_vec(memory).unwrap()),
                (record_key(7), serde_json::to_vec(&record).unwrap()),
            ]),
            runs: BTreeMap::from([(7, (100, supervisor_core::Time(5)))]),
            ..Inventory::default()
        }
    }

    /// A service whose newest run is `run`; these are not over.
    fn remembering(run: u64, live: &[u64]) -> Memory {
        let leaving = live.iter().map(|run| RunMemory { run: *run, ..RunMemory::default() }).collect();
        let slots = vec![SlotMemory { leaving, ..SlotMemory::default() }];
        Memory { run, generation: 3, slots, ..Memory::default() }
    }

    fn is_over(memory: &Memory) -> bool {
        let mut inventory = inventory(memory);
        forget_recorded_ends(&mut inventory);
        inventory.runs.is_empty()
    }

    #[test]
    fn a_run_whose_end_is_recorded_is_over_although_its_exit_is_told_again() {
        assert!(is_over(&Memory { run: 7, generation: 3, ..Memory::default() }));
        assert!(is_over(&remembering(8, &[8])));
    }

    #[test]
    fn a_run_without_a_recorded_end_goes_on() {
        assert!(!is_over(&remembering(7, &[7])));
        assert!(!is_over(&remembering(8, &[8, 7])), "one drains while another serves");
        assert!(!is_over(&Memory { run: 6, generation: 2, ..Memory::default() }));
    }
}
