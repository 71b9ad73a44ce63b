//! The loop: waits for a signal, control, a launch or a deadline, and passes on what came.
//! Not here: what each of them leads to (`reap`, `requests`, `shutdown`).

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, umask};
use nix::time::{ClockId, clock_gettime};

use crate::child::Origin;
use crate::control::{ACKNOWLEDGE_MS, Control, MAX_UNSENT, Session, State};
use crate::platform::Children;
use crate::reserve::Reserve;
use crate::shutdown::Stage;
use crate::signals::{Caught, Signals};
use crate::table::{Phase, Table};
use crate::{Setup, platform, process, say};

/// A wake-up later than that was no wake-up of ours: the machine slept, or someone stopped us.
const GAP_MS: u64 = 2_000;

pub(crate) struct Keeper {
    pub(crate) origin: Origin,
    pub(crate) foreground: bool,
    /// The keeper had a controlling terminal at its start.
    terminal: bool,
    pub(crate) shutdown_timeout_ms: u64,
    signals: Signals,
    pub(crate) children: Children,
    pub(crate) reserve: Reserve,
    pub(crate) table: Table,
    pub(crate) control: Control,
    pub(crate) stage: Stage,
    pub(crate) news: News,
    /// The last look found no child at all.
    pub(crate) childless: bool,
}

/// What control is to hear besides exits; told once the channel has room.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) orphans_awaited: bool,
    pub(crate) orphan_reaped: bool,
    pub(crate) shutdown: Option<Urgency>,
    pub(crate) reload: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    InOrder,
    Now,
}

enum Source {
    Signals,
    Control,
    Start,
    Launch(u64),
}

impl Keeper {
    pub(crate) fn new(setup: Setup) -> io::Result<Self> {
        let signals = Signals::hold_back()?;
        platform::become_reaper();
        let origin = Origin::note();
        // Filled once control is started.
        let reserve = Reserve::new(origin.nofile.1)?;
        let mask = umask(Mode::empty());
        umask(mask);
        let stdio = [clone(io::stdout())?, clone(io::stderr())?];
        let hard = origin.nofile.1;
        let mut keeper = Self {
            origin,
            foreground: setup.foreground,
            terminal: has_terminal(),
            shutdown_timeout_ms: u64::try_from(setup.shutdown_timeout.as_millis()).unwrap_or(u64::MAX),
            signals,
            children: Children::open(),
            reserve,
            table: Table::default(),
            control: Control::new(setup.control, stdio, mask.bits(), hard),
            stage: Stage::Serving,
            news: News::default(),
            childless: true,
        };
        // Control sets its own signals, and as a copy of this process it is not to find ours.
        keeper.start_control(now_ms());
        keeper.signals.install()?;
        platform::give_memory_back();
        Ok(keeper)
    }

    pub(crate) fn run(mut self) -> u8 {
        loop {
            let now = now_ms();
            if let Some(code) = self.proceed(now) {
                return code;
            }
            self.tell(now);
            let wake = self.deadline(now);
            let sources = self.wait(wake, now);
            let now = now_ms();
            if wake.is_some_and(|wake| now > wake + GAP_MS)
                && let Some(session) = self.control.session()
            {
                let rearmed = session.acknowledge_by.map(|_| now + ACKNOWLEDGE_MS);
                session.acknowledge_by = rearmed;
            }
            for source in sources {
                self.turn_to(source, now);
            }
            self.enforce_deadlines(now);
        }
    }

    fn wait(&mut self, wake: Option<u64>, now: u64) -> Vec<Source> {
        let mut watched = vec![(Source::Signals, self.signals.as_fd(), PollFlags::POLLIN)];
        if let State::Up(Session { channel, progress, .. }) = &self.control.state {
            let mut interest = PollFlags::empty();
            interest.set(PollFlags::POLLIN, channel.queued() < MAX_UNSENT);
            interest.set(PollFlags::POLLOUT, channel.wants_write());
            watched.push((Source::Control, channel.as_fd(), interest));
            watched.extend(progress.as_ref().map(|p| (Source::Start, p.as_fd(), PollFlags::POLLIN)));
        }
        for (id, run) in &self.table.runs {
            match &run.phase {
                Phase::Launching { progress, .. } => {
                    watched.push((Source::Launch(*id), progress.as_fd(), PollFlags::POLLIN));
                }
                Phase::Running | Phase::Gone { .. } => {}
            }
        }
        let timeout = match wake {
            None => PollTimeout::NONE,
            Some(wake) => PollTimeout::try_from(wake.saturating_sub(now)).unwrap_or(PollTimeout::MAX),
        };
        let mut fds: Vec<PollFd<'_>> = watched.iter().map(|(_, fd, interest)| PollFd::new(*fd, *interest)).collect();
        match poll(&mut fds, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return vec![Source::Signals],
            Err(errno) => {
                // Out of memory, or a bug: neither is helped by spinning.
                say(&format!("poll: {errno}"));
                std::thread::sleep(std::time::Duration::from_millis(100));
                return vec![Source::Signals];
            }
        }
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect();
        watched.into_iter().zip(ready).filter_map(|((source, ..), ready)| ready.then_some(source)).collect()
    }

    fn turn_to(&mut self, source: Source, now: u64) {
        match source {
            Source::Signals => {
                let caught = self.signals.take();
                self.reap(now);
                self.heed(caught, now);
            }
            Source::Control => self.listen(now),
            Source::Start => self.watch_start(now),
            Source::Launch(run) => self.settle(run),
        }
    }

    fn heed(&mut self, caught: Caught, now: u64) {
        if caught.stop || caught.hangup && self.foreground && self.terminal && !has_terminal() {
            self.stop_requested(now);
        } else if caught.hangup {
            self.news.reload = true;
        }
    }

    fn enforce_deadlines(&mut self, now: u64) {
        let due = |at: Option<u64>| at.is_some_and(|at| at <= now);
        let mut late = Vec::new();
        for (id, run) in self.table.runs.iter_mut().filter(|(_, run)| run.lives()) {
            if due(run.kill_at) {
                run.kill_at = None;
                // It fails only when the group ended by itself.
                let _ = process::signal_group(run.pid, libc::SIGKILL);
            }
            match run.phase {
                Phase::Launching { by, .. } if by <= now => late.push(*id),
                Phase::Launching { .. } | Phase::Running | Phase::Gone { .. } => {}
            }
        }
        for run in late {
            self.launch_timed_out(run);
        }
        match &self.control.state {
            State::Up(session) if due(session.acknowledge_by) => {
                self.lose_control("it has not answered for ten seconds", now);
            }
            State::Leaving { until, killed: false, .. } if *until <= now => {
                self.control.kill("it closed its channel and did not exit", now);
            }
            State::Leaving { until, killed: true, .. } if *until <= now => self.control.ended(now),
            State::Due { .. } | State::Up(_) | State::Leaving { .. } => {}
        }
    }

    /// When the loop must wake up though nothing happens; mostly never.
    fn deadline(&self, now: u64) -> Option<u64> {
        let control = match &self.control.state {
            State::Due { at } => self.stage.wants_control().then_some(*at),
            State::Up(session) => session.acknowledge_by,
            State::Leaving { until, .. } => Some(*until),
        };
        let runs = self.table.runs.values().filter(|run| run.lives()).flat_map(|run| {
            let launch = match run.phase {
                Phase::Launching { by, .. } => Some(by),
                Phase::Running | Phase::Gone { .. } => None,
            };
            [run.kill_at, launch]
        });
        runs.chain([control, self.stage.deadline(now)]).flatten().min()
    }
}

/// `CLOCK_MONOTONIC` in milliseconds.
pub(crate) fn now_ms() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(std::time::Duration::ZERO, Into::into);
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn clone(fd: impl AsFd) -> io::Result<OwnedFd> {
    fd.as_fd().try_clone_to_owned()
}

fn has_terminal() -> bool {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags).open("/dev/tty").is_ok()
}
