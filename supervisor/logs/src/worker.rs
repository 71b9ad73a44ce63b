//! A thread that serves pipes whose logs are on one file system, so that a dead disk stalls no other.
//! Not here: which thread serves which log.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::compress::Compressor;
use crate::copying::{self, PATIENCE, Tools, Turn, VISIBLE};
use crate::inbox::{Inbox, Order};
use crate::log::{Log, describe};
use crate::onlooker::{Onlooker, Watched};
use crate::pace::{Fullness, Pace};
use crate::pipe::Pipe;
use crate::platform::{Peeker, Poller};
use crate::registry::{Registry, Shared, Trouble, lock};
use crate::stage;
use crate::upkeep::Upkeep;

/// How often an outage is looked at when nothing else happens.
const LOOK_AFTER: Duration = Duration::from_secs(1);

struct Worker {
    poller: Poller,
    inbox: Arc<Inbox>,
    pipes: HashMap<u64, Pipe>,
    logs: Vec<Log>,
    by_path: HashMap<PathBuf, usize>,
    /// Pipes that may hold something, in the order of their turns.
    ready: VecDeque<u64>,
    /// Pipes that hold the beginning of a line.
    held: Vec<u64>,
    next_look: Option<Instant>,
    /// When entries of an index have waited long enough.
    next_flush: Option<Instant>,
    pace: Pace,
    tools: Tools,
}

/// What the workers of a file system share.
#[derive(Clone)]
pub(crate) struct House {
    pub(crate) registry: Arc<Registry>,
    pub(crate) upkeep: Arc<Mutex<Upkeep>>,
    pub(crate) compressor: Compressor,
}

impl House {
    pub(crate) fn new(registry: &Arc<Registry>) -> Self {
        let upkeep = Arc::new(Mutex::new(Upkeep::new(Arc::clone(registry))));
        Self { registry: Arc::clone(registry), upkeep, compressor: Compressor::default() }
    }
}

/// Starts a worker that lives until it is told to stop.
pub(crate) fn start(inbox: Arc<Inbox>, house: House) -> io::Result<()> {
    let poller = Poller::new(&inbox.waker)?;
    let tools = Tools { peeker: Peeker::new(VISIBLE)?, buffer: vec![0; VISIBLE].into_boxed_slice(), house };
    let worker = Worker {
        poller,
        inbox,
        pipes: HashMap::new(),
        logs: Vec::new(),
        by_path: HashMap::new(),
        ready: VecDeque::new(),
        held: Vec::new(),
        next_look: None,
        next_flush: None,
        pace: Pace::new(),
        tools,
    };
    thread::Builder::new().name("log-pump".to_owned()).stack_size(256 << 10).spawn(move || worker.run())?;
    Ok(())
}

impl Worker {
    fn run(mut self) {
        let inbox = Arc::clone(&self.inbox);
        while self.cycle() {}
        self.tools.house.compressor.stop();
        // The pipes are closed before anyone is told that this is over.
        drop(self);
        inbox.close();
    }

    /// Waits, then does what there is to do. False: told to stop.
    fn cycle(&mut self) -> bool {
        let timeout = self.timeout(Instant::now());
        let (pipes, ready) = (&mut self.pipes, &mut self.ready);
        let woken = self.poller.wait(timeout, |id| queue(pipes, ready, id)).unwrap_or_else(|_| {
            // Not known to happen. Looking at everything keeps the services going.
            thread::sleep(Duration::from_millis(10));
            pipes.keys().copied().collect::<Vec<_>>().into_iter().for_each(|id| queue(pipes, ready, id));
            true
        });
        if woken && !self.take_orders() {
            return false;
        }
        self.look_after(Instant::now());
        let served = !self.ready.is_empty();
        let most = self.serve_ready();
        if served {
            self.tools.house.registry.activity.tell();
        }
        let rest = self.pace.after_look(Instant::now(), most);
        if self.ready.is_empty() && !rest.is_zero() {
            thread::sleep(rest);
        }
        true
    }

    fn timeout(&self, now: Instant) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let held = (!self.held.is_empty()).then_some(PATIENCE);
        let next = self.next_look.into_iter().chain(self.next_flush).chain(self.next_upkeep()).min();
        held.into_iter().chain(next.map(|next| next.saturating_duration_since(now))).min()
    }

    fn next_upkeep(&self) -> Option<Instant> {
        lock(&self.tools.house.upkeep).next()
    }

    /// False: told to stop.
    fn take_orders(&mut self) -> bool {
        for order in self.inbox.take() {
            match order {
                Order::Attach { id, pipe, stage, generation, log, onlooker } => {
                    self.attach(id, (pipe, stage), generation, log);
                    self.watch_pipe(id, onlooker);
                }
                Order::Seen { id, bytes, enough } => self.seen(id, bytes, enough),
                Order::Finish { id, done } => {
                    self.finish(id);
                    done();
                }
                Order::Look => lock(&self.tools.house.upkeep).look_soon(Instant::now()),
                Order::Stop => return false,
            }
        }
        true
    }

    fn attach(&mut self, id: u64, (fd, stage): (OwnedFd, Option<OwnedFd>), generation: u64, shared: Arc<Shared>) {
        self.detach(id);
        lock(&self.tools.house.upkeep).knows(shared.place.directory().to_owned(), Instant::now());
        let (logs, house) = (&mut self.logs, &self.tools.house);
        let log = *self.by_path.entry(shared.place.live()).or_insert_with(|| {
            let log = Log::new(shared, house.registry.ledger.as_ref());
            log.tidy(&house.registry, &house.compressor);
            logs.push(log);
            logs.len() - 1
        });
        // Only reads need it, splice does not; the writer's end is a description of its own.
        let unblocked = fcntl(&fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(io::Error::from);
        // What it holds already counts as written now: a log without a byte costs no file.
        let watched = unblocked.and_then(|_| self.poller.add(fd.as_fd(), id));
        self.logs[log].pipes += 1;
        let pipe = Pipe::new(fd, stage, log, generation);
        // Nobody tells of what is in its stage already.
        let untold = pipe.is_staged() || watched.is_err();
        self.pipes.insert(id, pipe);
        if let Err(error) = watched {
            let what = format!("watch the pipe: {}", describe(&error));
            self.logs[log].shared.counters.trouble(Trouble::Writing, what);
        }
        if untold {
            queue(&mut self.pipes, &mut self.ready, id);
        }
        // An earlier process may have dropped what is not told of yet.
        self.watch(id);
    }

    fn watch_pipe(&mut self, id: u64, onlooker: Option<Onlooker>) {
        if let Some(pipe) = self.pipes.get_mut(&id) {
            pipe.watched = onlooker.map(|onlooker| Watched::new(id, onlooker, Arc::clone(&self.inbox)));
        }
    }

    fn seen(&mut self, id: u64, bytes: usize, enough: bool) {
        if let Some(pipe) = self.pipes.get_mut(&id) {
            match &mut pipe.watched {
                Some(watched) if !enough => watched.looked(bytes),
                watched => *watched = None,
            }
            queue(&mut self.pipes, &mut self.ready, id);
        }
    }

    /// Moves what the pipe holds, at most what it and its stage can hold, and closes it.
    fn finish(&mut self, id: u64) {
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return;
        };
        pipe.finishing = true;
        pipe.watched = None;
        let log = &mut self.logs[pipe.log];
        let mut left = if pipe.holds_something() { (pipe.capacity + stage::CAPACITY) as u64 } else { 0 };
        while left > 0 {
            let (turn, moved) = copying::turn(pipe, log, &mut self.tools);
            left = left.saturating_sub(moved);
            if turn != Turn::More {
                break;
            }
        }
        log.refresh();
        log.torn |= !log.ends_line();
        log.recorder.flush();
        self.watch(id);
        self.detach(id);
    }

    fn detach(&mut self, id: u64) {
        let Some(pipe) = self.pipes.remove(&id) else {
            return;
        };
        self.poller.remove(pipe.fd.as_fd());
        self.held.retain(|held| *held != id);
        let log = &mut self.logs[pipe.log];
        log.pipes -= 1;
        if log.pipes == 0 {
            log.close();
        }
    }

    /// Gives a turn to each pipe that is ready now; returns how full the fullest was.
    fn serve_ready(&mut self) -> Fullness {
        let mut most = Fullness::EMPTY;
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else {
                break;
            };
            most = most.max(self.serve(id));
        }
        most
    }

    fn serve(&mut self, id: u64) -> Fullness {
        let Some(pipe) = self.pipes.get_mut(&id) else { return Fullness::EMPTY };
        pipe.queued = false;
        let (capacity, log) = (pipe.capacity, pipe.log);
        let (turn, moved) = copying::turn(pipe, &mut self.logs[pipe.log], &mut self.tools);
        match turn {
            Turn::Drained => {}
            Turn::More => queue(&mut self.pipes, &mut self.ready, id),
            Turn::Held if pipe.held.is_some() && !self.held.contains(&id) => self.held.push(id),
            Turn::Held => {}
            Turn::Ended => self.poller.remove(pipe.fd.as_fd()),
        }
        self.watch(id);
        self.next_flush = self.next_flush.or_else(|| self.logs[log].recorder.due());
        Fullness::of(moved, capacity)
    }

    /// If the pipe's log is in trouble, it is looked after from now on.
    fn watch(&mut self, id: u64) {
        let troubled = self.pipes.get(&id).is_some_and(|pipe| self.logs[pipe.log].unsettled());
        if troubled && self.next_look.is_none() {
            self.next_look = Some(Instant::now() + LOOK_AFTER);
        }
    }

    /// Writes down the index entries that wait, all at once.
    fn flush(&mut self) {
        self.logs.iter_mut().for_each(|log| log.recorder.flush());
        self.next_flush = None;
    }

    /// What has to be done although no pipe was written to: unfinished lines, and outages that may be over.
    fn look_after(&mut self, now: Instant) {
        for id in std::mem::take(&mut self.held) {
            queue(&mut self.pipes, &mut self.ready, id);
        }
        if self.next_flush.is_some_and(|next| now >= next) {
            self.flush();
        }
        let mut upkeep = lock(&self.tools.house.upkeep);
        if upkeep.next().is_some_and(|next| now >= next) {
            upkeep.look(now);
        }
        drop(upkeep);
        if self.next_look.is_none_or(|next| now < next) {
            return;
        }
        let waiting: Vec<u64> =
            self.pipes.iter().filter(|(_, pipe)| self.logs[pipe.log].unsettled()).map(|(id, _)| *id).collect();
        for id in waiting {
            self.serve(id);
        }
        let mut unsettled = false;
        for log in self.logs.iter_mut().filter(|log| log.unsettled()) {
            if log.ready(now, &self.tools.house) {
                log.settle();
                if log.pipes == 0 {
                    log.close();
                }
            }
            unsettled |= log.unsettled();
        }
        self.next_look = unsettled.then(|| now + LOOK_AFTER);
    }
}

/// Puts a pipe in the line, once.
fn queue(pipes: &mut HashMap<u64, Pipe>, ready: &mut VecDeque<u64>, id: u64) {
    if let Some(pipe) = pipes.get_mut(&id)
        && !pipe.queued
    {
        pipe.queued = true;
        ready.push_back(id);
    }
}
