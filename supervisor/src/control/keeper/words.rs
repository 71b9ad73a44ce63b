//! What follows from the keeper's words: its notices, and its replies to what was asked of it.
//! Not here: how they travel (`link`), what is decided about them (`supervisor-core`).

use std::io;

use supervisor_core::{Event, Time};
use supervisor_keeper::{Exited, Notice, Reply};

use crate::control::api::asks::Haste;
use crate::control::keeper::inventory::keeper_gone;
use crate::control::keeper::link::{Heard, Purpose};
use crate::control::run_loop::Control;

impl Control {
    pub(crate) fn hear_early(&mut self, notices: Vec<(u64, Notice)>) {
        for (seq, notice) in notices {
            if let Err(error) = self.notice(seq, notice) {
                tracing::error!(%error, "cannot answer the keeper");
            }
        }
    }

    pub(crate) fn hear(&mut self, heard: Heard) -> io::Result<()> {
        match heard {
            Heard::Closed => Err(keeper_gone()),
            Heard::Notice { seq, notice } => self.notice(seq, notice),
            Heard::Reply { purpose, reply, fds: _ } => {
                self.replied(purpose, reply);
                Ok(())
            }
        }
    }

    /// A notice is acknowledged after everything that follows from it has been sent: should we die in between, the
    /// next control hears it again.
    fn notice(&mut self, seq: u64, notice: Notice) -> io::Result<()> {
        match notice {
            Notice::Exited(exited) => self.exited(&exited),
            Notice::OrphanReaped => self.survey_again(),
            Notice::Shutdown { now: false } => self.shut_down(Haste::InOrder),
            Notice::Shutdown { now: true } => self.shut_down(Haste::AtOnce),
            Notice::Reload => self.hung_up(),
            Notice::Welcome { .. }
            | Notice::Run { .. }
            | Notice::Record { .. }
            | Notice::Held { .. }
            | Notice::Ready => {}
        }
        self.link.acknowledge(seq)
    }

    fn exited(&mut self, exited: &Exited) {
        if self.helpers.contains_key(&exited.run) {
            self.helper_exited(exited);
            return;
        }
        if self.errands.contains_key(&exited.run) {
            self.errand_exited(exited);
            return;
        }
        let oom = self.out_of_memory(exited);
        self.note_last_breaches(exited, oom);
        let exit = supervisor_core::ExitReport {
            pid: exited.pid,
            code: exited.code,
            signal: exited.signal,
            core_dumped: exited.core_dumped,
            at: Time(exited.at_ms),
            cpu: exited.cpu_us / 1000,
            max_rss: exited.max_rss,
            oom,
            ..Default::default()
        };
        let last_words = self.runs.get(&exited.run).map(|run| run.last_words(exited.run));
        last_words.into_iter().flatten().for_each(|event| self.happen(event));
        self.happen(Event::Exited { run: exited.run, exit, alone: exited.alone });
    }

    fn replied(&mut self, purpose: Purpose, reply: Reply) {
        match (purpose, reply) {
            (Purpose::Spawn(run), Reply::Spawned { pid }) => self.spawned(run, pid),
            (Purpose::Spawn(run), Reply::SpawnFailed { step, errno }) => self.not_spawned(run, &step, errno),
            (Purpose::Spawn(run), Reply::Failed { errno }) => self.not_spawned(run, "fork", errno),
            (Purpose::Helper(id), Reply::SpawnFailed { step, errno }) => self.either_failed(id, &step, errno),
            (Purpose::Helper(id), Reply::Failed { errno }) => self.either_failed(id, "fork", errno),
            (Purpose::ListOrphans, Reply::Orphans { processes }) => self.sort_orphans(processes),
            (Purpose::Note(what), Reply::Failed { errno }) => {
                tracing::debug!(what, errno, "the keeper could not");
            }
            (Purpose::Keep(what), Reply::Failed { errno }) => {
                let error = io::Error::from_raw_os_error(errno);
                tracing::warn!(%error, "the keeper could not {what}: after a death of control it will be missing");
            }
            (
                Purpose::Spawn(_)
                | Purpose::Helper(_)
                | Purpose::ListOrphans
                | Purpose::Fetch
                | Purpose::Finish
                | Purpose::Note(_)
                | Purpose::Keep(_),
                Reply::Done
                | Reply::Failed { .. }
                | Reply::Spawned { .. }
                | Reply::SpawnFailed { .. }
                | Reply::Orphans { .. }
                | Reply::Fds { .. },
            ) => {}
        }
    }
}
