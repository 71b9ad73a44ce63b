//! Everything that must exist before the keeper can make a process: listeners, pipes, sockets, environment.
//! Runs on a blocking thread; what it made is removed, or dropped and so closed, when anything fails.
//! Not here: the decision to start, and the start itself.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use supervisor_core::{Failure, ServiceName, ServiceSpec};
use supervisor_keeper::Spawn;

use crate::config::Launch;
use crate::control::api::view::Executable;
use crate::control::launch::listeners::{Listener, listeners};
use crate::control::launch::programs;
use crate::control::launch::{self, Identity, sockets};
use crate::control::run::{Ends, OUTPUTS, Output, stage_of};
use crate::platform;
use crate::platform::OomKills;
use crate::platform::controllers::{Confines, Controllers, Group, Version};
use crate::platform::groups::{self, Groups};

/// Where the sockets of runs live.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// 0700.
    pub(crate) runtime_dir: PathBuf,
    /// Prefix of every cookie: this stack, this keeper.
    pub(crate) cookie: String,
    /// Where each run gets a control group, if it can.
    pub(crate) groups: Option<Groups>,
    /// What keeps a run within its limits, as far as the kernel can.
    pub(crate) controllers: Controllers,
    /// Of this machine.
    pub(crate) oom_kills: Arc<OomKills>,
}

impl Places {
    /// The keeper's part of every cookie.
    fn keeper(&self) -> &str {
        self.cookie.split_once('.').map_or("", |(_, keeper)| keeper)
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) run: u64,
    pub(crate) generation: u64,
    pub(crate) instance: u32,
    pub(crate) stop_rank: u32,
    pub(crate) launch: Arc<Launch>,
    pub(crate) spec: Arc<ServiceSpec>,
    /// The listeners that are held already.
    pub(crate) held: Vec<Arc<Listener>>,
    /// What this revision was started from before.
    pub(crate) program: Option<Arc<OwnedFd>>,
}

/// What a new control must know about a run; the keeper keeps it as a record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    pub(crate) service: ServiceName,
    pub(crate) generation: u64,
    /// Of the configuration in which its launch last changed.
    pub(crate) revision: u64,
    pub(crate) uid: Option<u32>,
    pub(crate) program: PathBuf,
    pub(crate) executable: Option<Executable>,
    pub(crate) notify: Option<PathBuf>,
    pub(crate) probe: Option<PathBuf>,
    /// Log file of each output pipe, `out` first.
    pub(crate) logs: Vec<PathBuf>,
    /// The directory of its control group.
    pub(crate) group: Option<PathBuf>,
    /// What keeps it within its limits.
    #[serde(default)]
    pub(crate) confines: Confines,
    /// How many processes the machine had killed for want of memory before it began.
    #[serde(default)]
    pub(crate) oom_kills: Option<u64>,
    /// When it was prepared, in milliseconds since 1970: what its generation said in the logs before that was another one.
    #[serde(default)]
    pub(crate) prepared: Option<u64>,
}

/// Ready to be sent.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) spawn: Spawn,
    /// In the order that `Spawn` asks for: the child's, then the held, then the group.
    pub(crate) fds: Vec<OwnedFd>,
    pub(crate) record: RunRecord,
    /// With an output for each of `record.logs`.
    pub(crate) ends: Ends,
    pub(crate) new_listeners: Vec<Arc<Listener>>,
    /// What its revision is started from, from now on.
    pub(crate) new_program: Option<Arc<OwnedFd>>,
}

/// The name under which the keeper holds something of a run.
pub(crate) fn held_name(run: u64, what: &str) -> String {
    format!("run/{run}/{what}")
}

/// The key of a run's record.
pub(crate) fn record_key(run: u64) -> String {
    format!("run/{run}")
}

/// The files that the output of a service goes to.
pub(crate) fn log_paths(launch: &Launch) -> Vec<PathBuf> {
    let dir = &launch.log.dir;
    if launch.log.split {
        vec![dir.join(format!("{}.out.log", launch.name)), dir.join(format!("{}.err.log", launch.name))]
    } else {
        vec![dir.join(format!("{}.log", launch.name))]
    }
}

impl RunRecord {
    /// Its sockets in the file system.
    pub(crate) fn remove_sockets(&self) {
        for path in self.notify.iter().chain(&self.probe) {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Its groups, in every hierarchy.
    pub(crate) fn groups(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.group.iter().chain(self.confines.values().map(|group| &group.dir)).cloned()
    }
}

/// Makes everything that `order` needs.
pub(crate) fn prepare(order: &Order, places: &Places) -> Result<Prepared, Failure> {
    let prepared = make(order, places);
    if prepared.is_err() {
        sockets::remove(&places.runtime_dir, order.run);
        places.groups.iter().for_each(|groups| groups::remove(&groups.of_run(order.run)));
    }
    prepared
}

fn make(order: &Order, places: &Places) -> Result<Prepared, Failure> {
    let launch = &*order.launch;
    let mut env = launch::environment(launch, order.generation).map_err(step("environment"))?;
    let argv: Vec<String> = launch.command.iter().map(|part| part.render(order.generation)).collect();
    let program = match (launch::program(launch, &argv[0], &env), &order.program) {
        (Ok(program), _) => program,
        // It lies nowhere any more, and is held.
        (Err(_), Some(_)) => PathBuf::from(&argv[0]),
        (Err(error), None) => return Err(step("exec")(error)),
    };
    let identity = launch::identity(launch).map_err(step("user"))?;
    let image = Image::of(order, &program);
    // From here on clients may connect: all that can hang is behind us.
    let new_listeners = listeners(order)?;
    let mut child = ChildFds::default();
    let outputs = outputs(launch, identity.as_ref(), &mut child).map_err(step("output pipe"))?;
    let mut inherited: Vec<&Arc<Listener>> = order.held.iter().chain(&new_listeners).collect();
    inherited.sort_by_key(|listener| (listener.name != "http", listener.name.clone()));
    let mut names = Vec::new();
    for listener in inherited {
        child.add(listener.fd.as_fd()).map_err(step("listener"))?;
        names.push(listener.name.as_str());
    }
    let probe = sockets::probe_listener(order, places).map_err(step("probe socket"))?;
    if let Some((_, socket)) = &probe {
        child.add(socket.as_fd()).map_err(step("probe socket"))?;
        names.push("supervisor-probe");
    }
    // The program's own descriptor takes what number is left.
    let newline = newline_pipe(launch, identity.as_ref(), &mut child).map_err(step("readiness pipe"))?;
    let path = image.path(&program, &mut child).map_err(step("exec"))?;
    if !names.is_empty() {
        env.insert("LISTEN_FDS".to_owned(), names.len().to_string());
        env.insert("LISTEN_FDNAMES".to_owned(), names.join(":"));
    }
    let notify = sockets::notify_socket(order, places, identity.as_ref()).map_err(step("notify socket"))?;
    if let Some((path, _)) = &notify {
        env.insert("NOTIFY_SOCKET".to_owned(), path.display().to_string());
    }
    if let Some(watchdog) = launch.watchdog {
        env.insert("WATCHDOG_USEC".to_owned(), watchdog.as_micros().to_string());
    }
    env.insert("SUPERVISOR_COOKIE".to_owned(), format!("{}.{}", places.cookie, order.run));
    env.insert("SUPERVISOR_INSTANCE".to_owned(), order.instance.to_string());
    env.extend(launch::spans(launch, &order.spec));
    let name = groups::name_of_run(places.keeper(), order.run);
    let (confines, join) = places.controllers.confine(&name, &launch.limits.most()).map_err(step("limits"))?;
    let record = RunRecord {
        service: launch.name.clone(),
        generation: order.generation,
        revision: order.spec.revision,
        uid: identity.as_ref().map(|identity| identity.uid),
        executable: image.executable,
        program: program.clone(),
        notify: notify.as_ref().map(|(path, _)| path.clone()),
        probe: probe.map(|(path, _)| path),
        logs: log_paths(launch),
        group: places.groups.as_ref().map(|groups| groups.of_run(order.run)),
        confines,
        oom_kills: places.oom_kills.of_late(),
        prepared: u64::try_from(crate::timestamp::now_ms()).ok(),
    };
    child.join = join;
    let confines = record.confines.clone();
    let listens = !names.is_empty();
    let ends = Ends { outputs, notify: notify.map(|(_, socket)| socket), newline };
    let made = Made { ends, new_listeners, new_program: image.new };
    let spawn = spawn_message(order, &path, &argv, &env, identity.as_ref(), &record, listens);
    let prepared = spawn.and_then(|spawn| finish(order, spawn, child, record, made));
    if prepared.is_err() {
        confines.values().for_each(Group::remove);
    }
    prepared
}

/// The program of a run.
struct Image {
    executable: Option<Executable>,
    /// It was not held before.
    new: Option<Arc<OwnedFd>>,
    /// Its path does not lead to it.
    moved: Option<Arc<OwnedFd>>,
}

impl Image {
    fn of(order: &Order, path: &Path) -> Self {
        let (program, new) = match &order.program {
            Some(program) => (Arc::clone(program), None),
            None => match programs::open(path).map(Arc::new) {
                Ok(program) => (Arc::clone(&program), Some(program)),
                // Its start will say what is wrong.
                Err(_) => return Self { executable: None, new: None, moved: None },
            },
        };
        let executable = launch::executable_of(&program, path);
        let moved = programs::has_moved(&program, path).then_some(program);
        Self { executable, new, moved }
    }

    /// By which the keeper finds it: its path, as long as that leads there, else a descriptor, which `exec` closes.
    fn path(&self, path: &Path, child: &mut ChildFds) -> io::Result<PathBuf> {
        match &self.moved {
            Some(program) => {
                Ok(PathBuf::from(format!("{}{}", supervisor_keeper::BY_DESCRIPTOR, child.add(&**program)?)))
            }
            None => Ok(path.to_owned()),
        }
    }
}

/// The child's descriptors: output first, then listeners from 3 on, then that of `ready.fd`.
#[derive(Default)]
struct ChildFds {
    numbers: Vec<u32>,
    fds: Vec<OwnedFd>,
    /// `cgroup.procs` of the groups that it joins.
    join: Vec<OwnedFd>,
}

impl ChildFds {
    fn add(&mut self, fd: impl AsFd) -> io::Result<u32> {
        let next = self.numbers.last().map_or(3, |last| (last + 1).max(3));
        self.numbers.push(next);
        self.fds.push(fd.as_fd().try_clone_to_owned()?);
        Ok(next)
    }
}

fn spawn_message(
    order: &Order,
    program: &Path,
    argv: &[String],
    env: &BTreeMap<String, String>,
    identity: Option<&Identity>,
    record: &RunRecord,
    listens: bool,
) -> Result<Spawn, Failure> {
    let launch = &*order.launch;
    let value = serde_json::to_vec(record).map_err(|error| step("record")(io::Error::other(error)))?;
    Ok(Spawn {
        run: order.run,
        helper_deadline_ms: 0,
        program: program.as_os_str().as_bytes().to_vec(),
        argv: argv.iter().collect(),
        env: env.iter().map(|(key, value)| format!("{key}={value}")).collect(),
        listen_pid: listens,
        cwd: launch.cwd.as_os_str().as_bytes().to_vec(),
        umask: launch.umask,
        nofile: launch::nofile(launch).map_err(step("limits"))?,
        user: identity.map(|identity| (identity.uid, identity.gid, identity.groups.clone())),
        fds: Vec::new(),
        hold: Vec::new(),
        in_group: false,
        join: 0,
        record: Some((record_key(order.run), value)),
        stop_rank: order.stop_rank,
        stop_signal: order.spec.stop.signal,
        stop_timeout_ms: order.spec.stop.timeout,
    })
}

/// What was made for a run and stays with us.
struct Made {
    ends: Ends,
    new_listeners: Vec<Arc<Listener>>,
    new_program: Option<Arc<OwnedFd>>,
}

fn finish(
    order: &Order,
    mut spawn: Spawn,
    child: ChildFds,
    record: RunRecord,
    made: Made,
) -> Result<Prepared, Failure> {
    let duplicate = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map_err(step("file descriptors"));
    let Made { ends, new_listeners, new_program } = made;
    let mut fds = child.fds;
    spawn.fds = child.numbers;
    let outputs = OUTPUTS.into_iter().zip(&ends.outputs).flat_map(|(what, output)| {
        let stage = output.stage.iter().map(move |stage| (stage_of(what), stage.as_fd()));
        stage.chain([(what.to_owned(), output.pipe.as_fd())])
    });
    let notify = ends.notify.iter().map(|socket| ("notify".to_owned(), socket.as_fd()));
    let newline = ends.newline.iter().map(|pipe| ("newline".to_owned(), pipe.as_fd()));
    for (what, fd) in outputs.chain(notify).chain(newline) {
        spawn.hold.push(held_name(order.run, &what));
        fds.push(duplicate(fd)?);
    }
    for listener in &new_listeners {
        spawn.hold.push(listener.held_as(&order.launch.name));
        fds.push(duplicate(listener.fd.as_fd())?);
    }
    if let Some(program) = &new_program {
        spawn.hold.push(programs::held_name(&order.launch.name, order.spec.revision));
        fds.push(duplicate(program.as_fd())?);
    }
    spawn.join = u32::try_from(child.join.len()).unwrap_or(u32::MAX);
    fds.extend(child.join);
    // Last, so that nothing but its limits can fail after it. Without one, sessions and cookies have to do.
    let group = record.group.as_deref().and_then(|group| groups::make(group).ok());
    for (controller, group) in record.confines.iter().filter(|(_, group)| group.version == Version::Two) {
        group.set(*controller, &order.launch.limits.most()).map_err(step("limits"))?;
    }
    spawn.in_group = group.is_some();
    fds.extend(group);
    Ok(Prepared { spawn, fds, record, ends, new_listeners, new_program })
}

/// stdout and stderr of the child: one pipe, or two. Returns the read ends.
fn outputs(launch: &Launch, identity: Option<&Identity>, child: &mut ChildFds) -> io::Result<Vec<Output>> {
    let pipes = if launch.log.split { 2 } else { 1 };
    let mut reads = Vec::new();
    for number in 1..=2 {
        if reads.len() < pipes {
            let (read, write) = platform::output_pipe()?;
            if let Some(identity) = identity {
                nix::unistd::fchown(&write, Some(identity.uid.into()), Some(identity.gid.into()))?;
            }
            reads.push(Output { pipe: read, stage: supervisor_logs::stage().ok() });
            child.fds.push(write);
        } else {
            let merged = child.fds[0].try_clone()?;
            child.fds.push(merged);
        }
        child.numbers.push(number);
    }
    Ok(reads)
}

/// The pipe of `ready.fd`. Returns the read end; the only other one is the child's, so that its end is seen.
fn newline_pipe(launch: &Launch, identity: Option<&Identity>, child: &mut ChildFds) -> io::Result<Option<OwnedFd>> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let Some(number) = launch.ready_fd else { return Ok(None) };
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    if let Some(identity) = identity {
        nix::unistd::fchown(&write, Some(identity.uid.into()), Some(identity.gid.into()))?;
    }
    child.numbers.push(number);
    child.fds.push(write);
    Ok(Some(read))
}

fn step(what: &'static str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::Launch { message: format!("{what}: {error}") }
}

#[cfg(test)]
#[path = "prepare_tests.rs"]
mod tests;
