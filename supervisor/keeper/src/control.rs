//! The life of control: starts, replacement, and the connection to the one of this epoch.
//! Not here: what control asks for.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;

use nix::libc;

use crate::channel::{Channel, Filled, Frame};
use crate::child::{self, Becomes, Failure, Groups, Progress};
use crate::codec::Message;
use crate::message::{Notice, Spawn, Step};
use crate::{CONTROL_FD, ControlCommand, FirstControl, process, say};

/// Control says nothing about a notice for that long: it hangs.
pub(crate) const ACKNOWLEDGE_MS: u64 = 10_000;
/// The replacement of a killed control starts after that, even if the kernel has not let go of the old one.
const LINGER_MS: u64 = 1_000;
/// A control that closed its channel may finish what it is doing.
const LEAVE_MS: u64 = 2_000;
/// A control that lived that long is not part of a crash loop: replaced at once each time, however often it is killed, it
/// still costs next to nothing.
const STABLE_MS: u64 = 2_000;
const FIRST_BACKOFF_MS: u64 = 100;
const MAX_BACKOFF_MS: u64 = 5_000;
/// Beyond that many unsent bytes no exit is queued and no request is read.
pub(crate) const MAX_UNSENT: usize = 256 << 10;

pub(crate) struct Control {
    image: Spawn,
    /// In place of the image, once.
    first: Option<FirstControl>,
    stdio: [OwnedFd; 2],
    epoch: u64,
    /// The number of the newest notice, over all epochs.
    seq: u64,
    /// Deaths in a row, each after a short life.
    streak: u32,
    /// When the newest was started.
    since: u64,
    /// Some control has asked for a process: there may be something to keep alive.
    pub(crate) has_spawned: bool,
    pub(crate) state: State,
}

pub(crate) enum State {
    Due {
        at: u64,
    },
    Up(Session),
    /// Without a channel; killed at `until`, and after that given up on.
    Leaving {
        pid: i32,
        until: u64,
        killed: bool,
    },
}

pub(crate) struct Session {
    pub(crate) pid: i32,
    pub(crate) channel: Channel,
    /// Until `exec`.
    pub(crate) progress: Option<Progress>,
    acknowledged: u64,
    pub(crate) acknowledge_by: Option<u64>,
}

impl Control {
    pub(crate) fn new(command: ControlCommand, stdio: [OwnedFd; 2], umask: u32, nofile: u64) -> Self {
        let first = command.first;
        let variable =
            |(key, value): (std::ffi::OsString, std::ffi::OsString)| [key.as_bytes(), b"=", value.as_bytes()].concat();
        let image = Spawn {
            program: command.program.into_os_string().into_vec(),
            argv: command.argv.iter().map(|argument| argument.as_bytes()).collect(),
            env: command.env.into_iter().map(variable).collect(),
            umask,
            // Control serves many connections and makes no service itself.
            nofile: Some((nofile, nofile)),
            fds: vec![1, 2, CONTROL_FD.unsigned_abs()],
            ..Spawn::default()
        };
        let state = State::Due { at: 0 };
        Self { image, first, stdio, epoch: 0, seq: 0, streak: 0, since: 0, has_spawned: false, state }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Starts the control of a new epoch.
    pub(crate) fn start(&mut self, now: u64) -> Result<i32, Failure> {
        self.epoch += 1;
        self.since = now;
        let fork = |error| (Step::Fork, child::errno_of(&error));
        let (ours, theirs) = UnixStream::pair().map_err(fork)?;
        let channel = Channel::new(ours.into()).map_err(fork)?;
        let fds = [self.stdio[0].as_fd(), self.stdio[1].as_fd(), theirs.as_fd()];
        let becomes = self.first.take().map_or(Becomes::Control, Becomes::FirstControl);
        let launched = child::launch(&self.image, &fds, Groups::default(), becomes)?;
        self.state = State::Up(Session {
            pid: launched.pid,
            channel,
            progress: Some(launched.progress),
            acknowledged: self.seq,
            acknowledge_by: None,
        });
        Ok(launched.pid)
    }

    /// Control is gone, or could not be started.
    pub(crate) fn ended(&mut self, now: u64) {
        if now.saturating_sub(self.since) >= STABLE_MS {
            self.streak = 0;
        }
        self.state = State::Due { at: now + self.next_backoff() };
    }

    fn next_backoff(&mut self) -> u64 {
        self.streak = self.streak.saturating_add(1);
        match self.streak {
            0..=2 => 0,
            deaths => MAX_BACKOFF_MS.min(FIRST_BACKOFF_MS << (deaths - 3).min(10)),
        }
    }

    /// Control is of no use any more.
    pub(crate) fn kill(&mut self, why: &str, now: u64) {
        if let State::Up(Session { pid, .. }) | State::Leaving { pid, .. } = self.state {
            say(&format!("control (pid {pid}) is killed: {why}"));
            // It fails only when control ended by itself.
            let _ = process::signal(pid, libc::SIGKILL);
            self.leave(now + LINGER_MS, true);
        }
    }

    /// Control closed its channel.
    pub(crate) fn hung_up(&mut self, now: u64) {
        self.leave(now + LEAVE_MS, false);
    }

    fn leave(&mut self, until: u64, killed: bool) {
        if let State::Up(Session { pid, .. }) | State::Leaving { pid, .. } = self.state {
            self.state = State::Leaving { pid, until, killed };
        }
    }

    pub(crate) fn pid(&self) -> Option<i32> {
        match &self.state {
            State::Due { .. } => None,
            State::Up(session) => Some(session.pid),
            State::Leaving { pid, .. } => Some(*pid),
        }
    }

    pub(crate) fn is_in_backoff(&self, now: u64) -> bool {
        matches!(self.state, State::Due { at } if at > now)
    }

    pub(crate) fn session(&mut self) -> Option<&mut Session> {
        match &mut self.state {
            State::Up(session) => Some(session),
            State::Due { .. } | State::Leaving { .. } => None,
        }
    }

    /// A control is up, and reads what it is told.
    pub(crate) fn has_room(&self) -> bool {
        matches!(&self.state, State::Up(session) if session.channel.queued() <= MAX_UNSENT)
    }

    /// Queues a notice for the control that is up, and says under which number.
    pub(crate) fn notify(&mut self, notice: &Notice, now: u64) -> Option<u64> {
        let State::Up(session) = &mut self.state else {
            return None;
        };
        self.seq += 1;
        session.queue(notice, self.seq, Vec::new());
        session.acknowledge_by.get_or_insert(now + ACKNOWLEDGE_MS);
        Some(self.seq)
    }

    pub(crate) fn acknowledge(&mut self, up_to: u64, now: u64) {
        let seq = self.seq;
        if let State::Up(session) = &mut self.state
            && up_to > session.acknowledged
        {
            session.acknowledged = up_to;
            session.acknowledge_by = (up_to < seq).then_some(now + ACKNOWLEDGE_MS);
        }
    }
}

impl Session {
    pub(crate) fn queue<M: Message>(&mut self, message: &M, id: u64, fds: Vec<OwnedFd>) {
        if let Err(error) = self.channel.queue(message.operation(), id, &message.encode(), fds) {
            say(&format!("a message to control is lost: {error}"));
        }
    }

    /// Reads once and gives the frames that are complete.
    pub(crate) fn read(&mut self) -> io::Result<(Filled, Vec<Frame>)> {
        let filled = self.channel.fill()?;
        let mut frames = Vec::new();
        while let Some(frame) = self.channel.next_frame()? {
            frames.push(frame);
        }
        Ok((filled, frames))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The waits before the next control, when each lives for so long.
    fn waits(life: u64) -> Vec<u64> {
        let command = ControlCommand { program: "/control".into(), argv: Vec::new(), env: Vec::new(), first: None };
        let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let mut control = Control::new(command, [null(), null()], 0o022, 64);
        let mut now = 0;
        let mut lives = || {
            control.since = now;
            now += life;
            control.ended(now);
            let State::Due { at } = control.state else { panic!("it is due") };
            let wait = at - now;
            now = at;
            wait
        };
        (0..12).map(|_| lives()).collect()
    }

    #[test]
    fn a_control_that_dies_at_its_start_waits_longer_each_time_and_one_that_works_not_at_all() {
        assert_eq!(waits(50), [0, 0, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000, 5_000]);
        assert_eq!(waits(6_000), [0; 12], "whoever kills it every six seconds is no defect of it");
    }
}
