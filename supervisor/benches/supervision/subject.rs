//! What is measured: a supervisor of N idle services, or a bare loop in its place. Both end with their value.
//! Not here: figures.

use std::fs::{self, File};
use std::io::{PipeWriter, pipe};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::clock::now_ns;
use crate::reports::Reports;
use crate::{Error, procs};

/// No start, stop or respawn may take longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where all subjects have their directories. They go together, at the end: where files were removed a moment ago,
/// ext4 takes far longer to make others.
static GROUND: Mutex<Option<TempDir>> = Mutex::new(None);

/// Removes the directories of all subjects.
pub(crate) struct Sweep;

pub(crate) struct Subject {
    pid: i32,
    /// When it ended.
    ended: Receiver<u64>,
    way: Way,
    pub(crate) launched_ns: u64,
    pub(crate) reports: Reports,
    dir: PathBuf,
}

/// How it is asked to end.
enum Way {
    /// `SIGTERM`, as an operator would. The API is at the address.
    Supervisor(SocketAddr),
    /// Its standard input closes.
    Hold(Option<PipeWriter>),
    /// It cannot be asked.
    Respawn,
}

impl Subject {
    pub(crate) fn supervisor(size: usize) -> Result<Self, Error> {
        let dir = ground()?;
        let reports = Reports::new(dir.join("reports"))?;
        let api = free_address()?;
        let config = dir.join("supervisor.toml");
        fs::write(&config, configuration(&dir, api, &reports, size)?)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_supervisor"));
        command.arg("--config").arg(&config).arg("run").stdin(Stdio::null());
        let output = File::create(dir.join("output"))?;
        command.stdout(output.try_clone()?).stderr(output);
        Self::launch(command, Way::Supervisor(api), reports, dir)
    }

    pub(crate) fn bare(size: usize) -> Result<Self, Error> {
        let dir = ground()?;
        let reports = Reports::new(dir.join("reports"))?;
        let (told, tell) = pipe()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("hold").arg(reports.path()).arg(size.to_string()).stdin(told);
        Self::launch(command, Way::Hold(Some(tell)), reports, dir)
    }

    pub(crate) fn bare_respawn() -> Result<Self, Error> {
        let dir = ground()?;
        let reports = Reports::new(dir.join("reports"))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("respawn").arg(reports.path()).stdin(Stdio::null());
        Self::launch(command, Way::Respawn, reports, dir)
    }

    fn launch(mut command: Command, way: Way, reports: Reports, dir: PathBuf) -> Result<Self, Error> {
        let launched_ns = now_ns();
        let mut process = command.spawn()?;
        let pid = i32::try_from(process.id())?;
        let (tell, ended) = sync_channel(1);
        std::thread::spawn(move || {
            let _ = process.wait();
            let _ = tell.send(now_ns());
        });
        Ok(Self { pid, ended, way, launched_ns, reports, dir })
    }

    /// From the launch until the last of `size` children reported.
    pub(crate) fn started(&mut self, size: usize) -> Result<u64, Error> {
        let launched_ns = self.launched_ns;
        let last = self.reports.wait("start", PATIENCE, |latest| {
            (latest.len() >= size).then(|| latest.values().map(|report| report.at_ns).max().unwrap_or(launched_ns))
        });
        last.map(|last| last.saturating_sub(launched_ns)).map_err(|error| self.explained(&error))
    }

    /// Kills its only child; until the replacement reported.
    pub(crate) fn crash(&mut self) -> Result<u64, Error> {
        let dead = *self.reports.latest()?.values().next().ok_or("no child")?;
        let killed_ns = now_ns();
        kill(Pid::from_raw(dead.pid), Signal::SIGKILL)?;
        let back = self.reports.wait("respawn", PATIENCE, |latest| {
            latest.values().find(|report| report.pid != dead.pid || report.at_ns > dead.at_ns).copied()
        });
        Ok(back.map_err(|error| self.explained(&error))?.at_ns - killed_ns)
    }

    /// From the request until it has ended and every child is gone.
    pub(crate) fn stopped(mut self) -> Result<u64, Error> {
        let children: Vec<i32> = self.reports.latest()?.values().map(|report| report.pid).collect();
        let asked_ns = now_ns();
        self.ask();
        let mut ended_ns = self.ended.recv_timeout(PATIENCE).map_err(|_| self.explained(&"did not end".into()))?;
        while children.iter().any(|child| procs::lives(*child)) {
            ended_ns = now_ns();
            if ended_ns - asked_ns > 60_000_000_000 {
                return Err(self.explained(&"a child did not end".into()));
            }
        }
        Ok(ended_ns - asked_ns)
    }

    /// It and all below it but the children.
    pub(crate) fn roles(&self) -> Vec<i32> {
        let child = std::env::current_exe().ok();
        let below = procs::below(self.pid).into_iter().filter(|pid| procs::executable(*pid) != child);
        std::iter::once(self.pid).chain(below).collect()
    }

    /// Where a supervisor answers.
    pub(crate) fn api(&self) -> Option<SocketAddr> {
        match self.way {
            Way::Supervisor(api) => Some(api),
            Way::Hold(_) | Way::Respawn => None,
        }
    }

    /// Where a supervisor answers to its owner.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join("run/api.sock")
    }

    fn ask(&mut self) {
        match &mut self.way {
            Way::Supervisor(_) => {
                let _ = kill(Pid::from_raw(self.pid), Signal::SIGTERM);
            }
            Way::Hold(tell) => drop(tell.take()),
            Way::Respawn => {}
        }
    }

    /// With what it said itself.
    fn explained(&self, error: &Error) -> Error {
        let said = fs::read_to_string(self.dir.join("output")).unwrap_or_default();
        let own = fs::read_to_string(self.dir.join("logs/supervisor.log")).unwrap_or_default();
        let last: Vec<&str> = said.lines().chain(own.lines()).collect();
        format!("{error}\n{}", last[last.len().saturating_sub(20)..].join("\n")).into()
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        GROUND.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if self.ended.try_recv() != Err(std::sync::mpsc::TryRecvError::Empty) {
            return;
        }
        self.ask();
        let polite = match self.way {
            Way::Supervisor(_) | Way::Hold(_) => Duration::from_secs(10),
            Way::Respawn => Duration::ZERO,
        };
        if self.ended.recv_timeout(polite).is_err() {
            let pid = self.pid;
            procs::end(|| if procs::lives(pid) { [vec![pid], procs::below(pid)].concat() } else { Vec::new() });
        }
    }
}

fn configuration(dir: &Path, api: SocketAddr, reports: &Reports, size: usize) -> Result<String, Error> {
    let (dir, fifo) = (dir.display(), reports.path().display());
    let child = std::env::current_exe()?;
    let child = child.display();
    let mut text = format!(
        "[supervisor]\nname = \"bench\"\nruntime_dir = \"{dir}/run\"\nstate_dir = \"{dir}/state\"\n\
         [http]\nlisten = \"{api}\"\nopen = [\"health\", \"status\", \"metrics\"]\n\
         [logs]\ndir = \"{dir}/logs\"\ncompress = \"none\"\n\
         [defaults]\nrestart = {{ delay = \"0s\", crash_loop = 1000000 }}\n"
    );
    for number in 0..size {
        text += &format!("[services.s{number:04}]\ncommand = [\"{child}\", \"child\", \"{fifo}\", \"s{number:04}\"]\n");
    }
    Ok(text)
}

/// A directory for one subject.
fn ground() -> Result<PathBuf, Error> {
    let mut ground = GROUND.lock().unwrap_or_else(PoisonError::into_inner);
    let all = match ground.take() {
        Some(all) => all,
        None => TempDir::with_prefix("bench-")?,
    };
    let dir = TempDir::new_in(ground.insert(all).path())?;
    Ok(dir.keep())
}

/// Free a moment ago; the supervisor takes no port 0.
fn free_address() -> Result<SocketAddr, Error> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
