//! A run, as far as the shell is concerned: its record, its descriptors, who listens to it.
//! Not here: its phase (the core), its process (the keeper).

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use supervisor_core::Event;

use super::launch::prepare::{Places, Prepared, RunRecord};
use super::run_loop::Control;
use super::signs::notify;
use crate::platform::controllers::Most;

/// Our ends of what a run was given, as long as nobody reads them.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    pub(crate) outputs: Vec<Output>,
    pub(crate) notify: Option<UnixDatagram>,
    /// Of `ready.fd`.
    pub(crate) newline: Option<OwnedFd>,
}

/// What the keeper holds of each output.
pub(crate) const OUTPUTS: [&str; 2] = ["out", "err"];

/// The same, of its stage.
pub(crate) fn stage_of(output: &str) -> String {
    format!("{output}/stage")
}

/// An output, for the pump.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) pipe: OwnedFd,
    /// What comes out of the pipe goes through this in a flood. None where there is no such thing, or too many files are open.
    pub(crate) stage: Option<OwnedFd>,
}

/// A run, as far as the shell is concerned.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) record: RunRecord,
    pub(crate) pid: Option<i32>,
    /// The same, for those who judge its messages.
    pub(crate) main: Arc<AtomicI32>,
    pub(crate) cookie: String,
    pub(crate) ends: Ends,
    /// Its notify socket, once a task reads it.
    pub(crate) heard: Option<Arc<tokio::net::UnixDatagram>>,
    /// A line of its output is looked for.
    pub(crate) seeks_line: Arc<AtomicBool>,
    /// Ends the tasks that read what it says by itself.
    pub(crate) listening: Vec<tokio::task::AbortHandle>,
    /// The limits that the kernel is known to keep, where it keeps any.
    pub(crate) kept: Option<Most>,
    /// We have killed it.
    pub(crate) killed: bool,
    /// Output pipes that the pump has not drained to the end.
    pub(crate) undrained: usize,
    /// Its start was the first of this program, which was not held before.
    pub(crate) opened_program: bool,
}

impl Run {
    pub(crate) fn fresh(number: u64, prepared: &mut Prepared, places: &Places) -> Self {
        let ends = std::mem::take(&mut prepared.ends);
        Self::recovered(number, prepared.record.clone(), None, ends, places)
    }

    pub(crate) fn recovered(number: u64, record: RunRecord, pid: Option<i32>, ends: Ends, places: &Places) -> Self {
        let cookie = format!("{}.{number}", places.cookie);
        let main = Arc::new(AtomicI32::new(pid.unwrap_or(0)));
        Self {
            record,
            pid,
            main,
            cookie,
            ends,
            heard: None,
            seeks_line: Arc::default(),
            listening: Vec::new(),
            kept: None,
            killed: false,
            undrained: 0,
            opened_program: false,
        }
    }

    /// Whose messages count.
    pub(crate) fn sender(&self, number: u64) -> notify::Sender {
        let (uid, cookie, main) = (self.record.uid, self.cookie.clone(), Arc::clone(&self.main));
        notify::Sender { run: number, uid, cookie, main }
    }

    /// What it has said that nobody has read yet.
    pub(crate) fn last_words(&self, number: u64) -> Vec<Event> {
        let sender = self.sender(number);
        match (&self.heard, &self.ends.notify) {
            (Some(socket), _) => notify::last_words(&**socket, &sender),
            (None, Some(socket)) => notify::last_words(socket, &sender),
            (None, None) => Vec::new(),
        }
    }

    pub(crate) fn set_pid(&mut self, pid: i32) {
        self.pid = Some(pid);
        self.main.store(pid, Ordering::Relaxed);
    }
}

impl Control {
    /// Where the sockets of a run are.
    pub(crate) fn probe_socket(&self, run: u64) -> Option<PathBuf> {
        self.runs.get(&run)?.record.probe.clone()
    }
}
