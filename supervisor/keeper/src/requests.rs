//! What control asks, and the answers.
//! Not here: how it is read and written.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::unistd::{Pid, getsid};

use crate::channel::Frame;
use crate::child::{self, Becomes, Groups, Launched};
use crate::codec::Message;
use crate::keeper::Keeper;
use crate::message::{MAX_FDS, Reply, Request, Spawn, Step};
use crate::process;
use crate::table::{Owner, Phase, Run};

/// A child that has not come to `exec` by then hangs.
const LAUNCH_MS: u64 = 10_000;

/// The error number for `Failed`.
type Refused = i32;

impl Keeper {
    /// # Errors
    /// `InvalidData` when control does not keep to the protocol.
    pub(crate) fn serve(&mut self, frame: Frame, now: u64) -> io::Result<()> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let request = Request::decode(frame.operation, &frame.body).map_err(invalid)?;
        self.control.has_spawned |= matches!(request, Request::Spawn(_));
        let id = frame.id;
        let expected = match &request {
            Request::Spawn(spawn) => spawn.fds.len() + spawn.hold.len() + joins(spawn) + usize::from(spawn.in_group),
            Request::Hold { names } => names.len(),
            Request::Signal { .. }
            | Request::SignalOrphan { .. }
            | Request::ListOrphans
            | Request::Drop { .. }
            | Request::Fetch { .. }
            | Request::Put { .. }
            | Request::Delete { .. }
            | Request::Configure { .. }
            | Request::Finish { .. }
            | Request::Acknowledge { .. } => 0,
        };
        if frame.fds_lost {
            self.reply(id, &Reply::Failed { errno: libc::EMFILE }, Vec::new());
            return Ok(());
        }
        if frame.fds.len() != expected {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "descriptors do not fit the request"));
        }
        self.carry_out(id, request, frame.fds, now);
        Ok(())
    }

    fn carry_out(&mut self, id: u64, request: Request, fds: Vec<OwnedFd>, now: u64) {
        let done = match request {
            Request::Spawn(spawn) => return self.spawn(id, *spawn, fds, now),
            Request::Fetch { names } => return self.fetch(id, names),
            Request::ListOrphans => return self.list_orphans(id, now),
            Request::Acknowledge { up_to } => {
                self.control.acknowledge(up_to, now);
                self.table.acknowledge(up_to);
                return;
            }
            Request::Signal { run, signal, and_continue, group } => {
                let send = if group { process::signal_group } else { process::signal };
                self.signal_run(run, send, signal, and_continue)
            }
            Request::SignalOrphan { pid, signal, and_continue } => self.signal_orphan(pid, signal, and_continue),
            Request::Hold { names } => self.hold(names, fds),
            Request::Drop { names } => {
                names.iter().for_each(|name| drop(self.table.held.remove(name)));
                Ok(())
            }
            Request::Put { key, value } => self.table.put_record(key, value),
            Request::Delete { key } => {
                self.table.delete_record(&key);
                Ok(())
            }
            Request::Configure { shutdown_timeout_ms } => {
                self.shutdown_timeout_ms = shutdown_timeout_ms;
                Ok(())
            }
            Request::Finish { code } => {
                self.finish(code, now);
                Ok(())
            }
        };
        let reply = done.map_or_else(|errno| Reply::Failed { errno }, |()| Reply::Done);
        self.reply(id, &reply, Vec::new());
    }

    fn spawn(&mut self, id: u64, spawn: Spawn, fds: Vec<OwnedFd>, now: u64) {
        if let Err((step, errno)) = self.try_spawn(id, spawn, fds, now) {
            let (step, errno) = (step.name().to_owned(), errno as i32);
            self.reply(id, &Reply::SpawnFailed { step, errno }, Vec::new());
        }
    }

    fn try_spawn(&mut self, id: u64, mut spawn: Spawn, mut fds: Vec<OwnedFd>, now: u64) -> Result<(), child::Failure> {
        let refused = |errno| (Step::Fork, Errno::from_raw(errno));
        if !self.stage.wants_control() {
            return Err(refused(libc::ESHUTDOWN));
        }
        if self.table.runs.contains_key(&spawn.run) {
            return Err(refused(libc::EEXIST));
        }
        if let Some((key, value)) = spawn.record.take() {
            self.table.put_record(key, value).map_err(refused)?;
        }
        let group = if spawn.in_group { fds.pop() } else { None };
        let join = fds.split_off(fds.len().saturating_sub(joins(&spawn)));
        let to_hold = fds.split_off(spawn.fds.len());
        let given: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        let join: Vec<_> = join.iter().map(AsFd::as_fd).collect();
        let groups = Groups { begin: group.as_ref().map(AsFd::as_fd), join: &join };
        let Launched { pid, progress } = child::launch(&spawn, &given, groups, Becomes::Service(&self.origin))?;
        self.table.owners.insert(pid, Owner::Run(spawn.run));
        let phase = Phase::Launching { progress, by: now + LAUNCH_MS, request: Some(id) };
        self.table.runs.insert(spawn.run, Run::new(&spawn, pid, now, phase));
        // What is held for a run must not fail when the run exists: it may use up the reserve.
        self.table.held.extend(spawn.hold.into_iter().zip(to_hold));
        Ok(())
    }

    fn hold(&mut self, names: Vec<String>, fds: Vec<OwnedFd>) -> Result<(), Refused> {
        let room = self.reserve.fill();
        self.reserve.make_room(self.table.held.len() + self.table.runs.len());
        if !room {
            return Err(libc::EMFILE);
        }
        self.table.held.extend(names.into_iter().zip(fds));
        Ok(())
    }

    fn fetch(&mut self, id: u64, mut names: Vec<String>) {
        if names.len() > MAX_FDS {
            return self.reply(id, &Reply::Failed { errno: libc::EINVAL }, Vec::new());
        }
        names.retain(|name| self.table.held.contains_key(name));
        let held = names.iter().filter_map(|name| self.table.held.get(name));
        match held.map(OwnedFd::try_clone).collect() {
            Ok(fds) => self.reply(id, &Reply::Fds { names }, fds),
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::EMFILE);
                self.reply(id, &Reply::Failed { errno }, Vec::new());
            }
        }
    }

    fn list_orphans(&mut self, id: u64, now: u64) {
        self.reap(now);
        self.news.orphans_awaited = true;
        let unknown = self.children.pids().into_iter().filter(|pid| !self.table.owners.contains_key(pid));
        let session = |pid: i32| getsid(Some(Pid::from_raw(pid))).map_or(0, Pid::as_raw);
        let processes = unknown.map(|pid| (pid, session(pid))).collect();
        self.reply(id, &Reply::Orphans { processes }, Vec::new());
    }

    fn signal_run(&self, run: u64, send: Kill, signal: i32, and_continue: bool) -> Result<(), Refused> {
        let run = self.table.runs.get(&run).filter(|run| run.lives()).ok_or(libc::ESRCH)?;
        send_both(send, run.pid, signal, and_continue)
    }

    /// Only we reap, so a process that is our child now still is when the signal is sent.
    fn signal_orphan(&self, pid: i32, signal: i32, and_continue: bool) -> Result<(), Refused> {
        if self.table.owners.contains_key(&pid) || !self.children.pids().contains(&pid) {
            return Err(libc::ESRCH);
        }
        send_both(process::signal, pid, signal, and_continue)
    }
}

/// More than a frame can carry is refused with the frame.
fn joins(spawn: &Spawn) -> usize {
    usize::try_from(spawn.join).unwrap_or(usize::MAX / 2)
}

/// `kill(2)`, for a process or for its group.
type Kill = fn(i32, i32) -> Result<(), Errno>;

fn send_both(send: Kill, pid: i32, signal: i32, and_continue: bool) -> Result<(), Refused> {
    send(pid, signal).map_err(|errno| errno as i32)?;
    if and_continue {
        send(pid, libc::SIGCONT).map_err(|errno| errno as i32)?;
    }
    Ok(())
}
