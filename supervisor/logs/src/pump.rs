//! The handle: sends each pipe to the thread that serves the file system of its log.
//! Not here: touching a disk on the caller's thread.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::inbox::{Inbox, Order};
use crate::ledger::Ledger;
use crate::onlooker::Onlooker;
use crate::registry::{Registry, Trouble, lock};
use crate::settings::{Budget, Settings, Stats};
use crate::worker::{self, House};

/// Most threads for the logs of one file system; there are no more than processors.
const LANES: usize = 4;
/// How long `Pump::shutdown` waits for threads, which may be stuck in a dead disk.
const SHUTDOWN: Duration = Duration::from_millis(500);

/// Moves bytes from pipes to rotated log files, on threads of its own, some for each file system. Cheap to clone; the
/// threads end with the last clone.
#[derive(Clone, Default)]
pub struct Pump {
    inner: Arc<Inner>,
}

/// A pipe, and where its bytes go.
pub struct Feed {
    /// Names the pipe until `finish`; not `u64::MAX`.
    pub id: u64,
    /// The read end. It is made non-blocking, which concerns who shares this very end, never the writer.
    pub pipe: OwnedFd,
    /// From `stage`, for this pipe alone, or none. What a pump that was killed left in it comes before what it left in the
    /// pipe: who keeps the one for another pump keeps both.
    pub stage: Option<OwnedFd>,
    /// The log.
    pub path: PathBuf,
    /// Of the service that writes; 0: of none. The index of the log tells it.
    pub generation: u64,
    /// Of the log, from now on.
    pub settings: Settings,
}

#[derive(Default)]
struct Inner {
    registry: Arc<Registry>,
    routes: Arc<Mutex<Routes>>,
}

/// Which thread serves what.
#[derive(Default)]
struct Routes {
    /// The directory of each attached pipe's log, and the number of that log.
    pipes: HashMap<u64, (PathBuf, usize)>,
    directories: HashMap<PathBuf, Route>,
    /// By device number.
    workers: HashMap<u64, Lanes>,
}

enum Route {
    /// A thread is finding out the file system; orders wait here, with the numbers of their logs.
    Unknown(Vec<(usize, Order)>),
    Known(Lanes),
}

/// The workers of a file system. A log is always served by the same one.
#[derive(Clone)]
struct Lanes(Arc<[Arc<Inbox>]>);

impl Pump {
    /// Starts nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One whose logs go on counting what they drop where an earlier process was.
    #[must_use]
    pub fn with(ledger: Ledger) -> Self {
        let registry = Arc::new(Registry::with(ledger));
        Self { inner: Arc::new(Inner { registry, routes: Arc::default() }) }
    }

    /// Moves what comes out of a pipe to its log until `finish`. Several pipes may feed one log. Returns at once: that
    /// the log cannot be opened is told by `stats`, and tried again.
    pub fn attach(&self, feed: Feed) {
        self.feed(feed, None);
    }

    /// The same; `onlooker` sees what is in the pipe before it leaves it.
    pub fn attach_watched(&self, feed: Feed, onlooker: Onlooker) {
        self.feed(feed, Some(onlooker));
    }

    fn feed(&self, feed: Feed, onlooker: Option<Onlooker>) {
        let Feed { id, pipe, stage, path, generation, settings } = feed;
        let log = self.inner.registry.enter(&path, settings);
        let target = (log.place.directory().to_owned(), log.number);
        self.inner.send(id, target, Order::Attach { id, pipe, stage, generation, log, onlooker });
    }

    /// The settings of the log at `path`, which is ours from now on: its archives count, and may be deleted.
    pub fn configure(&self, path: &Path, settings: Settings) {
        self.inner.registry.enter(path, settings);
        self.inner.look();
    }

    /// What all logs together may take. By default it is not limited.
    pub fn set_budget(&self, budget: Budget) {
        self.inner.registry.set_budget(budget);
        self.inner.look();
    }

    /// The writers are gone: moves what the pipe still holds, closes it, then calls `done` on the pump's thread (on
    /// this one if no pipe is attached as `id`).
    pub fn finish(&self, id: u64, done: Box<dyn FnOnce() + Send>) {
        let target = lock(&self.inner.routes).pipes.remove(&id);
        match target {
            Some(target) => self.inner.send(id, target, Order::Finish { id, done }),
            None => done(),
        }
    }

    /// Stops at once and closes the pipes; what they hold stays in them for whoever has them still.
    pub fn shutdown(self) {
        let deadline = Instant::now() + SHUTDOWN;
        for worker in self.inner.stop() {
            worker.wait_for_end(deadline.saturating_duration_since(Instant::now()));
        }
    }

    /// Waits until some log may have grown since `seen` was returned (0 at first), or `timeout` is over; returns what to
    /// pass the next time. For readers within this process: it costs no watch on any directory.
    #[must_use]
    pub fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        self.inner.registry.activity.wait(seen, timeout)
    }

    /// A number that is another one whenever the log at `path` may have grown: tells the few that have from the many
    /// that have not, without a look at a disk.
    #[must_use]
    pub fn writes(&self, path: &Path) -> u64 {
        self.inner.registry.find(path).map_or(0, |log| log.counters.writes.load(Ordering::Relaxed))
    }

    /// Waits until some log got into trouble, dropped bytes or is well again since `seen` was returned (0 at first), or
    /// `timeout` is over; returns what to pass the next time. `stats` tells what it is.
    #[must_use]
    pub fn wait_for_trouble(&self, seen: u64, timeout: Duration) -> u64 {
        self.inner.registry.alarm.wait(seen, timeout)
    }

    /// What has become of the bytes for the log at `path`; `None` if this pump was never told of it.
    #[must_use]
    pub fn stats(&self, path: &Path) -> Option<Stats> {
        self.inner.registry.find(path).map(|log| log.counters.stats())
    }
}

impl Inner {
    fn send(&self, id: u64, (directory, log): (PathBuf, usize), order: Order) {
        let mut routes = lock(&self.routes);
        if matches!(order, Order::Attach { .. }) {
            routes.pipes.insert(id, (directory.clone(), log));
        }
        match routes.directories.get_mut(&directory) {
            Some(Route::Known(lanes)) => lanes.send(log, order),
            Some(Route::Unknown(waiting)) => waiting.push((log, order)),
            None => {
                routes.directories.insert(directory.clone(), Route::Unknown(vec![(log, order)]));
                drop(routes);
                self.explore(directory);
            }
        }
    }

    /// Finds out the file system of a directory on a thread of its own, as even asking can wait for a dead disk.
    fn explore(&self, directory: PathBuf) {
        let (routes, registry) = (Arc::clone(&self.routes), Arc::clone(&self.registry));
        let explorer = move |directory: PathBuf| {
            let device = device_of(&directory);
            settle(&mut lock(&routes), directory, device, &registry);
        };
        let (here, there) = (explorer.clone(), directory.clone());
        let builder = thread::Builder::new().name("log-route".to_owned()).stack_size(128 << 10);
        if builder.spawn(move || explorer(there)).is_err() {
            here(directory);
        }
    }

    fn look(&self) {
        lock(&self.routes).workers.values().for_each(|lanes| lanes.send(0, Order::Look));
    }

    fn stop(&self) -> Vec<Arc<Inbox>> {
        let mut routes = lock(&self.routes);
        routes.directories.clear();
        let workers: Vec<_> = routes.workers.drain().flat_map(|(_, lanes)| lanes.0.to_vec()).collect();
        workers.iter().for_each(|worker| worker.send(Order::Stop));
        workers
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Lanes {
    /// As many as can be had.
    fn start(registry: &Arc<Registry>) -> io::Result<Self> {
        let most = thread::available_parallelism().map_or(1, usize::from).min(LANES);
        let house = House::new(registry);
        let mut lanes = Vec::new();
        for _ in 0..most {
            match start_worker(&house) {
                Ok(inbox) => lanes.push(inbox),
                Err(error) if lanes.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(Self(lanes.into()))
    }

    fn send(&self, log: usize, order: Order) {
        self.0[log % self.0.len()].send(order);
    }
}

/// Hands the orders that waited for the file system of `directory` to its workers.
fn settle(routes: &mut Routes, directory: PathBuf, device: u64, registry: &Arc<Registry>) {
    let Some(Route::Unknown(waiting)) = routes.directories.remove(&directory) else {
        return;
    };
    let known = routes.workers.get(&device).cloned();
    let lanes = known.map_or_else(|| Lanes::start(registry), Ok);
    match lanes {
        Ok(lanes) => {
            waiting.into_iter().for_each(|(log, order)| lanes.send(log, order));
            routes.workers.insert(device, lanes.clone());
            routes.directories.insert(directory, Route::Known(lanes));
        }
        Err(error) => waiting.into_iter().for_each(|(_, order)| refuse(order, &error)),
    }
}

fn start_worker(house: &House) -> io::Result<Arc<Inbox>> {
    let inbox = Arc::new(Inbox::new()?);
    worker::start(Arc::clone(&inbox), house.clone())?;
    Ok(inbox)
}

/// There is no thread for it. The next pipe for the directory tries again.
fn refuse(order: Order, error: &io::Error) {
    match order {
        Order::Attach { log, .. } => log.counters.trouble(Trouble::Writing, format!("no thread: {error}")),
        Order::Finish { done, .. } => done(),
        Order::Seen { .. } | Order::Look | Order::Stop => {}
    }
}

/// The device of the directory, which is made if it can be, or of the nearest one above it.
fn device_of(directory: &Path) -> u64 {
    // What fails here fails again in the worker, and is told there.
    let _ = fs::DirBuilder::new().recursive(true).mode(0o750).create(directory);
    directory.ancestors().find_map(|above| fs::metadata(above).ok()).map_or(0, |found| found.dev())
}
