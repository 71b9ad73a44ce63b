//! Command probes: helper processes that the keeper ends at their deadline, and with this control.
//! Not here: when to try, what an exit code means beyond zero or not.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use nix::errno::Errno;
use supervisor_core::{CheckId, ProbeOutcome, Time};
use supervisor_keeper::{Exited, Request, Spawn};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use crate::config::{Launch, Probe, ProbeHow};
use crate::control::effects::PREPARE_TIMEOUT;
use crate::control::keeper::link::Purpose;
use crate::control::launch;
use crate::control::probe::{Probed, is_shortage};
use crate::control::run_loop::{Control, News};
use crate::control::tree::COOKIE;
use crate::platform::groups;
use crate::untrusted::one_line;

/// Helpers are numbered from here, far above every run.
pub(crate) const FIRST: u64 = 1 << 62;
/// Of a helper's output, this much is kept.
const MAX_OUTPUT: usize = 8 * 1024;
/// Of what was seen, this much is told.
const MAX_TOLD: usize = 256;

/// A try that is under way.
#[derive(Debug)]
pub(crate) struct Helper {
    run: u64,
    check: CheckId,
    began: Time,
    timeout_ms: u64,
    /// Tells the reader of its output that it has ended, and how.
    ended: Option<oneshot::Sender<ProbeOutcome>>,
}

impl Control {
    pub(crate) fn probe_by_command(&mut self, run: u64, check: CheckId, probe: &Probe) {
        let ProbeHow::Command(command) = &probe.how else { return };
        let Some(launch) = self.of_run(run).map(|service| service.launch.clone()) else { return };
        let Some(generation) = self.runs.get(&run).map(|run| run.record.generation) else { return };
        let id = self.next_helper;
        self.next_helper += 1;
        let timeout_ms = u64::try_from(probe.timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        let helper = Helper { run, check, began: crate::control::now(), timeout_ms, ended: None };
        self.helpers.insert(id, helper);
        let argv: Vec<String> = command.iter().map(|part| part.render(generation)).collect();
        let cookie = format!("{}.{id}", self.places.cookie);
        let news = self.news.0.clone();
        let service = launch.name.clone();
        let making = self.threads.run(&service, PREPARE_TIMEOUT, move || {
            message(&launch, &argv, generation, id, timeout_ms, cookie)
                .and_then(|spawn| Ok((spawn, nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?)))
        });
        self.tasks.spawn(async move {
            let made = making.await.flatten();
            let (result, output) = match made {
                Ok((spawn, (read, write))) => (Ok((spawn, write)), Some(read)),
                Err(error) => (Err(not_begun(&error)), None),
            };
            let result = result.map(|(spawn, write)| Box::new((spawn, write)));
            let _ = news.send(News::HelperReady { id, result, output }).await;
            Ok(())
        });
    }

    pub(crate) fn helper_ready(
        &mut self,
        id: u64,
        result: Result<Box<(Spawn, OwnedFd)>, ProbeOutcome>,
        output: Option<OwnedFd>,
    ) {
        let began = result.and_then(|both| {
            let (spawn, write) = *both;
            let read = output.ok_or_else(|| ProbeOutcome::Failed("its output has no end".to_owned()))?;
            self.begin_helper(id, spawn, write, read).map_err(|error| not_begun(&error))
        });
        if let Err(outcome) = began {
            self.helper_done(id, outcome);
        }
    }

    fn begin_helper(&mut self, id: u64, mut spawn: Spawn, write: OwnedFd, read: OwnedFd) -> io::Result<()> {
        let Some(helper) = self.helpers.get_mut(&id) else { return Ok(()) };
        let mut fds = vec![write.try_clone()?, write];
        // What it leaves behind belongs to the service.
        let group = self.runs.get(&helper.run).and_then(|run| run.record.group.as_deref());
        fds.extend(group.and_then(|group| groups::open(group).ok()));
        spawn.in_group = fds.len() > 2;
        let reader = pipe::Receiver::from_owned_fd(read)?;
        let (sender, receiver) = oneshot::channel();
        helper.ended = Some(sender);
        let (run, check, began) = (helper.run, helper.check, helper.began);
        let news = self.news.0.clone();
        self.tasks.spawn(async move {
            let (outcome, output) = collect(reader, receiver).await;
            let outcome = match outcome {
                ProbeOutcome::Failed(how) => ProbeOutcome::Failed(told(&how, &output)),
                other @ (ProbeOutcome::Passed | ProbeOutcome::Untried(_)) => other,
            };
            let _ = news.send(News::Probed(Probed { run, check, began, outcome, certificate: None })).await;
            Ok(())
        });
        self.link.send(Purpose::Helper(id), &Request::Spawn(Box::new(spawn)), fds)
    }

    pub(crate) fn helper_failed(&mut self, id: u64, step: &str, errno: i32) {
        let errno = Errno::from_raw(errno);
        let seen = format!("{step} ({errno:?}): {}", errno.desc());
        let short = is_shortage(errno) || errno == Errno::EAGAIN;
        self.helper_done(id, if short { ProbeOutcome::Untried(seen) } else { ProbeOutcome::Failed(seen) });
    }

    pub(crate) fn helper_exited(&mut self, exited: &Exited) {
        let Some(helper) = self.helpers.get(&exited.run) else { return };
        let outcome = outcome(exited, helper.began, helper.timeout_ms);
        if !exited.alone {
            self.kill_rest_of_helper(exited.run, exited.pid);
        }
        self.helper_done(exited.run, outcome);
    }

    fn helper_done(&mut self, id: u64, outcome: ProbeOutcome) {
        let Some(helper) = self.helpers.remove(&id) else { return };
        match helper.ended {
            Some(ended) => {
                let _ = ended.send(outcome);
            }
            None => {
                let Helper { run, check, began, .. } = helper;
                self.probed(Probed { run, check, began, outcome, certificate: None });
            }
        }
    }
}

fn not_begun(error: &io::Error) -> ProbeOutcome {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(errno) if is_shortage(errno) => ProbeOutcome::Untried(error.to_string()),
        Some(_) | None => ProbeOutcome::Failed(error.to_string()),
    }
}

/// What the end of a helper means.
pub(crate) fn outcome(exited: &Exited, began: Time, timeout_ms: u64) -> ProbeOutcome {
    let late = exited.at_ms.saturating_sub(began.0) >= timeout_ms;
    match (exited.code, exited.signal) {
        (Some(0), _) => ProbeOutcome::Passed,
        (Some(code), _) => ProbeOutcome::Failed(format!("exit code {code}")),
        (None, Some(9)) if late => ProbeOutcome::Failed(format!("no exit within {timeout_ms} ms")),
        (None, signal) => ProbeOutcome::Failed(format!("ended by signal {}", signal.unwrap_or(0))),
    }
}

fn message(
    launch: &Arc<Launch>,
    argv: &[String],
    generation: u64,
    id: u64,
    timeout_ms: u64,
    cookie: String,
) -> io::Result<Spawn> {
    let mut env: BTreeMap<String, String> = launch::environment(launch, generation)?;
    env.insert(COOKIE.to_owned(), cookie);
    let program = launch::program(launch, &argv[0], &env)?;
    let identity = launch::identity(launch)?;
    Ok(Spawn {
        run: id,
        helper_deadline_ms: timeout_ms,
        program: program.as_os_str().as_bytes().to_vec(),
        argv: argv.iter().collect(),
        env: env.iter().map(|(key, value)| format!("{key}={value}")).collect(),
        cwd: launch.cwd.as_os_str().as_bytes().to_vec(),
        umask: launch.umask,
        user: identity.map(|identity| (identity.uid, identity.gid, identity.groups)),
        fds: vec![1, 2],
        ..Spawn::default()
    })
}

/// Reads until the helper has ended. What a grandchild still holds open, or still writes, is not waited for.
pub(crate) async fn collect(
    mut reader: pipe::Receiver,
    mut ended: oneshot::Receiver<ProbeOutcome>,
) -> (ProbeOutcome, Vec<u8>) {
    let mut kept = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        tokio::select! {
            biased;
            outcome = &mut ended => {
                // What it said itself is there by now, though the runtime may not have heard of it.
                while kept.len() < MAX_OUTPUT
                    && let Ok(n) = nix::unistd::read(&reader, &mut buffer)
                    && n > 0
                {
                    keep(&mut kept, &buffer[..n]);
                }
                return (outcome.unwrap_or(gone()), kept);
            }
            read = reader.read(&mut buffer) => match read {
                Ok(n) if n > 0 => keep(&mut kept, &buffer[..n]),
                Ok(_) | Err(_) => break,
            },
        }
    }
    (ended.await.unwrap_or(gone()), kept)
}

fn keep(kept: &mut Vec<u8>, read: &[u8]) {
    let room = MAX_OUTPUT - kept.len();
    kept.extend_from_slice(&read[..read.len().min(room)]);
}

/// How it ended, and its words if it had any.
pub(crate) fn told(how: &str, output: &[u8]) -> String {
    let words = one_line(&String::from_utf8_lossy(output), MAX_TOLD);
    if words.is_empty() { how.to_owned() } else { one_line(&format!("{how}: {words}"), MAX_TOLD) }
}

fn gone() -> ProbeOutcome {
    ProbeOutcome::Failed("its end was not seen".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn output() -> (pipe::Receiver, io::PipeWriter) {
        let (read, write) = io::pipe().unwrap();
        (pipe::Receiver::from_owned_fd(read.into()).unwrap(), write)
    }

    #[tokio::test]
    async fn a_grandchild_that_never_stops_writing_delays_no_answer() {
        let (reader, mut write) = output();
        std::thread::spawn(move || while write.write_all(&[b'x'; 4096]).is_ok() {});
        let (ended, receiver) = oneshot::channel();
        let soon = async {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            ended.send(ProbeOutcome::Passed).unwrap();
        };
        let both = async { tokio::join!(collect(reader, receiver), soon) };
        let ((outcome, kept), ()) = tokio::time::timeout(std::time::Duration::from_secs(30), both).await.unwrap();
        assert_eq!(outcome, ProbeOutcome::Passed);
        assert_eq!(kept.len(), MAX_OUTPUT);
    }

    #[tokio::test]
    async fn what_a_helper_said_before_its_end_is_kept_although_others_hold_its_output() {
        let (reader, mut write) = output();
        let (ended, receiver) = oneshot::channel();
        write.write_all(b"no luck").unwrap();
        ended.send(gone()).unwrap();
        let (_, kept) = collect(reader, receiver).await;
        assert_eq!(kept, b"no luck");
        drop(write);
    }

    #[test]
    fn words_that_were_not_said_leave_no_colon() {
        assert_eq!(told("exit code 1", b"\n"), "exit code 1");
        assert_eq!(told("exit code 1", b"no luck\n"), "exit code 1: no luck");
    }
}
