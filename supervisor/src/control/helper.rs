//! Command probes: helper processes that the keeper ends at their deadline, and with this control.
//! Not here: when to try, what an exit code means beyond zero or not.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use nix::errno::Errno;
use supervisor_core::{CheckId, ProbeOutcome, ServiceName, Time};
use supervisor_keeper::{Exited, Request, Spawn};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use super::launch;
use super::link::Purpose;
use super::notify::printable;
use super::run_loop::{Control, News};
use super::tree::COOKIE;
use crate::config::{Launch, Probe, ProbeHow};

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
    pub(crate) fn probe_by_command(&mut self, service: &ServiceName, run: u64, check: CheckId, probe: &Probe) {
        let ProbeHow::Command(command) = &probe.how else { return };
        let Some(entry) = self.services.get(service) else { return };
        let Some(generation) = self.runs.get(&run).map(|run| run.record.generation) else { return };
        let id = self.next_helper;
        self.next_helper += 1;
        let timeout_ms = u64::try_from(probe.timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        let helper = Helper { run, check, began: super::now(), timeout_ms, ended: None };
        self.helpers.insert(id, helper);
        let argv: Vec<String> = command.iter().map(|part| part.render(generation)).collect();
        let (launch, cookie) = (entry.launch.clone(), format!("{}.{id}", self.places.cookie));
        let news = self.news.0.clone();
        self.tasks.spawn_blocking(move || {
            let made = message(&launch, &argv, generation, id, timeout_ms, cookie)
                .and_then(|spawn| Ok((spawn, nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?)));
            let (result, output) = match made {
                Ok((spawn, (read, write))) => (Ok((spawn, write)), Some(read)),
                Err(error) => (Err(error.to_string()), None),
            };
            let result = result.map(|(spawn, write)| Box::new((spawn, write)));
            let _ = news.blocking_send(News::HelperReady { id, result, output });
            Ok(())
        });
    }

    pub(crate) fn helper_ready(
        &mut self,
        id: u64,
        result: Result<Box<(Spawn, OwnedFd)>, String>,
        output: Option<OwnedFd>,
    ) -> io::Result<()> {
        let Some(helper) = self.helpers.get_mut(&id) else { return Ok(()) };
        let (spawn, write, read) = match (result, output) {
            (Ok(both), Some(read)) => (both.0, both.1, read),
            (Err(message), _) => {
                self.helper_done(id, ProbeOutcome::Failed(message));
                return Ok(());
            }
            (Ok(_), None) => return Ok(()),
        };
        let (sender, receiver) = oneshot::channel();
        helper.ended = Some(sender);
        let (run, check, began) = (helper.run, helper.check, helper.began);
        let (news, reader) = (self.news.0.clone(), pipe::Receiver::from_owned_fd(read)?);
        self.tasks.spawn(async move {
            let (outcome, output) = collect(reader, receiver).await;
            let outcome = match outcome {
                ProbeOutcome::Failed(how) => {
                    ProbeOutcome::Failed(printable(&format!("{how}: {}", String::from_utf8_lossy(&output)), MAX_TOLD))
                }
                ProbeOutcome::Passed => ProbeOutcome::Passed,
            };
            let _ = news.send(News::Probed { run, check, began, outcome }).await;
            Ok(())
        });
        let both = [write.try_clone()?, write];
        self.link.send(Purpose::Helper(id), &Request::Spawn(Box::new(spawn)), &both)
    }

    pub(crate) fn helper_failed(&mut self, id: u64, step: &str, errno: i32) {
        let errno = Errno::from_raw(errno);
        self.helper_done(id, ProbeOutcome::Failed(format!("{step} ({errno:?}): {}", errno.desc())));
    }

    pub(crate) fn helper_exited(&mut self, exited: &Exited) {
        let Some(helper) = self.helpers.get(&exited.run) else { return };
        let late = exited.at_ms.saturating_sub(helper.began.0) >= helper.timeout_ms;
        let outcome = match (exited.code, exited.signal) {
            (Some(0), _) => ProbeOutcome::Passed,
            (Some(code), _) => ProbeOutcome::Failed(format!("exit code {code}")),
            (None, Some(9)) if late => ProbeOutcome::Failed(format!("no exit within {} ms", helper.timeout_ms)),
            (None, signal) => ProbeOutcome::Failed(format!("ended by signal {}", signal.unwrap_or(0))),
        };
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
                self.happen(supervisor_core::Event::Probed { run, check, began, outcome });
            }
        }
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
        argv: argv.iter().map(|arg| arg.as_bytes().to_vec()).collect(),
        env: env.iter().map(|(key, value)| format!("{key}={value}").into_bytes()).collect(),
        cwd: launch.cwd.as_os_str().as_bytes().to_vec(),
        umask: launch.umask,
        user: identity.map(|identity| (identity.uid, identity.gid, identity.groups)),
        fds: vec![1, 2],
        ..Spawn::default()
    })
}

/// Reads until the helper has ended. What a grandchild still holds open is not waited for.
async fn collect(mut reader: pipe::Receiver, mut ended: oneshot::Receiver<ProbeOutcome>) -> (ProbeOutcome, Vec<u8>) {
    let mut kept = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        tokio::select! {
            biased;
            read = reader.read(&mut buffer) => match read {
                Ok(n) if n > 0 => {
                    let room = MAX_OUTPUT - kept.len();
                    kept.extend_from_slice(&buffer[..n.min(room)]);
                }
                Ok(_) | Err(_) => break,
            },
            outcome = &mut ended => return (outcome.unwrap_or(gone()), kept),
        }
    }
    (ended.await.unwrap_or(gone()), kept)
}

fn gone() -> ProbeOutcome {
    ProbeOutcome::Failed("its end was not seen".to_owned())
}
