//! The keeper's dealings with the control that is up: its start, what it asks, what it is told.
//! Not here: when it dies or must die (`control`), and what a request does (`requests`).

use std::os::fd::OwnedFd;

use nix::errno::Errno;

use crate::channel::Filled;
use crate::child::{Progress, Reached};
use crate::control::State;
use crate::keeper::{Keeper, Urgency};
use crate::message::{Notice, Reply, VERSION};
use crate::say;
use crate::table::{Owner, Phase};

/// What control asks is read at most so often before the loop looks around: each read ends behind a frame that brings
/// descriptors, and a launch is a fraction of a millisecond.
const READS: usize = 8;

impl Keeper {
    /// Starts control when it is time to; a new one first gets the inventory.
    pub(crate) fn start_control(&mut self, now: u64) {
        if !matches!(self.control.state, State::Due { at } if at <= now) {
            return;
        }
        self.reserve.release();
        let started = self.control.start(now);
        self.reserve.fill();
        let pid = match started {
            Ok(pid) => pid,
            Err((step, errno)) => {
                say(&format!("cannot start control: {}: {errno}", step.name()));
                self.control.ended(now + 100);
                return;
            }
        };
        self.table.owners.insert(pid, Owner::Control);
        self.news.orphans_awaited = false;
        let epoch = self.control.epoch();
        let keeper_pid = std::process::id().cast_signed();
        let pid_one = keeper_pid == 1;
        let mut inventory = vec![Notice::Welcome { version: VERSION, epoch, keeper_pid, pid_one }];
        inventory.extend(self.table.inventory());
        inventory.push(Notice::Ready);
        for notice in inventory {
            self.control.notify(&notice, now);
        }
        self.news.shutdown = self.stage.urgency();
    }

    pub(crate) fn watch_start(&mut self, now: u64) {
        let Some(session) = self.control.session() else {
            return;
        };
        match session.progress.as_mut().map(Progress::read) {
            None | Some(Reached::NotYet) => {}
            Some(Reached::Exec) => session.progress = None,
            Some(Reached::Failed { step, errno }) => {
                session.progress = None;
                let (step, errno) = (step.name(), Errno::from_raw(errno));
                say(&format!("cannot start control: {step}: {errno}"));
                if !self.control.has_spawned {
                    self.give_up(now);
                }
            }
        }
    }

    /// Reads what control asks and does it.
    pub(crate) fn listen(&mut self, now: u64) {
        for _ in 0..READS {
            if self.listen_once(now) != Some(Filled::Some) || !self.control.has_room() {
                return;
            }
        }
    }

    /// What a frame brings must fit, so the reserve is free meanwhile. `None`: there is nobody to listen to any more.
    fn listen_once(&mut self, now: u64) -> Option<Filled> {
        let session = self.control.session()?;
        self.reserve.make_room(self.table.held.len() + self.table.runs.len());
        let filled = match session.read() {
            Ok((filled, frames)) => {
                for frame in frames {
                    if let Err(error) = self.serve(frame, now) {
                        self.lose_control(&error.to_string(), now);
                        break;
                    }
                }
                if filled == Filled::Closed && self.control.session().is_some() {
                    self.let_control_leave(now);
                }
                Some(filled)
            }
            Err(error) => {
                self.lose_control(&error.to_string(), now);
                None
            }
        };
        self.reserve.fill();
        filled
    }

    /// Says what control has not heard yet, as long as the channel has room.
    pub(crate) fn tell(&mut self, now: u64) {
        for run in self.table.runs.values_mut() {
            if let Phase::Gone { exited, notice: notice @ None } = &mut run.phase
                && self.control.has_room()
            {
                *notice = self.control.notify(&Notice::Exited(exited.clone()), now);
            }
        }
        if self.control.has_room() {
            let news = std::mem::take(&mut self.news);
            self.news.orphans_awaited = news.orphans_awaited;
            let notices = [
                news.orphan_reaped.then_some(Notice::OrphanReaped),
                news.shutdown.map(|urgency| Notice::Shutdown { now: urgency == Urgency::Now }),
                news.reload.then_some(Notice::Reload),
            ];
            for notice in notices.into_iter().flatten() {
                self.control.notify(&notice, now);
            }
        }
        let Some(session) = self.control.session() else {
            return;
        };
        if let Err(error) = session.channel.flush() {
            say(&format!("cannot write to control: {error}"));
            self.let_control_leave(now);
        }
    }

    /// Control closed its channel. If it did not even come to `exec`, it has said so before.
    fn let_control_leave(&mut self, now: u64) {
        self.watch_start(now);
        self.control.hung_up(now);
        self.table.end_epoch();
    }

    pub(crate) fn lose_control(&mut self, why: &str, now: u64) {
        self.control.kill(why, now);
        self.table.end_epoch();
    }

    /// Answers the control that asked, if it is still the same: requests end with their epoch.
    pub(crate) fn reply(&mut self, request: u64, reply: &Reply, fds: Vec<OwnedFd>) {
        if let Some(session) = self.control.session() {
            session.queue(reply, request, fds);
        }
    }
}
