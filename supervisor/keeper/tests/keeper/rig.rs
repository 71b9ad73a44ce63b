//! A keeper under test, and the test's hold on its channel.
//! Not here: what is tested.

use std::collections::VecDeque;
use std::fs;
use std::io::{IoSliceMut, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::Pid;
use supervisor_keeper::{Exited, Incoming, Notice, Peer, Reply, Request, Spawn};
use tempfile::TempDir;

use crate::roles::ROLE;

/// For anything that should take milliseconds; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);
const ID: &str = "KEEPER_TEST_ID";

/// A running keeper. Nothing of it, or of what it made, is left when this is dropped.
pub(crate) struct Rig {
    pub(crate) keeper: Child,
    listener: UnixListener,
    pub(crate) dir: TempDir,
}

/// One control of that keeper: a process that does nothing, and its channel, which is here.
pub(crate) struct Control {
    peer: Peer,
    line: UnixStream,
    pub(crate) pid: i32,
    next_id: u64,
    replies: VecDeque<(u64, Reply, Vec<OwnedFd>)>,
    notices: VecDeque<Notice>,
    newest: u64,
    pub(crate) acknowledging: bool,
    closed: bool,
}

impl Rig {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub(crate) fn start_with(adjust: impl FnOnce(&mut Command)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // The child may be another user.
        fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let path = dir.path().join("control");
        let listener = UnixListener::bind(&path).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(ROLE, "keeper").env("KEEPER_TEST_SOCKET", path).env(ID, dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        adjust(&mut command);
        Self { keeper: command.spawn().unwrap(), listener, dir }
    }

    /// The next control that the keeper starts.
    pub(crate) fn control(&self) -> Control {
        assert!(ready(&self.listener, PollFlags::POLLIN, PATIENCE), "no control was started");
        let (line, _) = self.listener.accept().unwrap();
        let (pid, channel) = receive_channel(&line);
        Control {
            peer: Peer::new(channel).unwrap(),
            line,
            pid,
            next_id: 1,
            replies: VecDeque::new(),
            notices: VecDeque::new(),
            newest: 0,
            acknowledging: true,
            closed: false,
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.keeper.id()).unwrap()
    }

    /// The keeper's exit.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        wait_for("the keeper's exit", || self.keeper.try_wait().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A shell script as a service, with its standard output in a file.
    pub(crate) fn script(&self, run: u64, script: &str) -> Spawn {
        self.program(run, "/bin/sh", &["sh", "-c", script])
    }

    pub(crate) fn program(&self, run: u64, program: impl AsRef<Path>, argv: &[&str]) -> Spawn {
        let path = std::env::var("PATH").unwrap_or_default();
        let id = [ID.as_bytes(), b"=", self.dir.path().as_os_str().as_bytes()].concat();
        Spawn {
            run,
            program: program.as_ref().as_os_str().as_bytes().to_vec(),
            argv: argv.iter().collect(),
            env: [format!("PATH={path}").into_bytes(), id].into_iter().collect(),
            cwd: self.dir.path().as_os_str().as_bytes().to_vec(),
            umask: 0o022,
            fds: vec![1, 2],
            stop_signal: 15,
            stop_timeout_ms: 5_000,
            ..Spawn::default()
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
        let mark = [ID.as_bytes(), b"=", self.dir.path().as_os_str().as_bytes()].concat();
        wait_for("the end of all that the keeper made", || {
            let left = processes_with(&mark);
            for pid in &left {
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
            left.is_empty().then_some(())
        });
    }
}

impl Control {
    pub(crate) fn ask(&mut self, request: &Request) -> Reply {
        self.ask_with(request, &[]).0
    }

    pub(crate) fn ask_with(&mut self, request: &Request, fds: &[BorrowedFd<'_>]) -> (Reply, Vec<OwnedFd>) {
        let id = self.send(request, fds);
        self.reply(id)
    }

    pub(crate) fn send(&mut self, request: &Request, fds: &[BorrowedFd<'_>]) -> u64 {
        self.next_id += 1;
        let fds = fds.iter().map(|fd| fd.try_clone_to_owned().unwrap()).collect();
        self.peer.queue(self.next_id, request, fds).unwrap();
        self.peer.flush().unwrap();
        self.next_id
    }

    pub(crate) fn reply(&mut self, id: u64) -> (Reply, Vec<OwnedFd>) {
        loop {
            if let Some(at) = self.replies.iter().position(|(of, ..)| *of == id) {
                let (_, reply, fds) = self.replies.remove(at).unwrap();
                return (reply, fds);
            }
            assert!(self.take_in(PATIENCE), "no reply to {id}");
        }
    }

    /// Spawns with standard output and error in `output`.
    pub(crate) fn spawn(&mut self, spawn: Spawn, output: &Path) -> Reply {
        let file = fs::File::create(output).unwrap();
        self.ask_with(&Request::Spawn(Box::new(spawn)), &[file.as_fd(), file.as_fd()]).0
    }

    /// Spawns what must come up, and gives its process id.
    pub(crate) fn run(&mut self, spawn: Spawn, output: &Path) -> i32 {
        match self.spawn(spawn, output) {
            Reply::Spawned { pid } => pid,
            other => panic!("not spawned: {other:?}"),
        }
    }

    /// The first notice that fits; earlier ones are lost.
    pub(crate) fn until<T>(&mut self, what: &str, fits: impl FnMut(Notice) -> Option<T>) -> T {
        let mut fits = fits;
        loop {
            while let Some(notice) = self.notices.pop_front() {
                if let Some(found) = fits(notice) {
                    return found;
                }
            }
            assert!(self.take_in(PATIENCE), "never came: {what}");
        }
    }

    pub(crate) fn exit_of(&mut self, run: u64) -> Exited {
        self.until("the exit", |notice| match notice {
            Notice::Exited(exited) if exited.run == run => Some(exited),
            _ => None,
        })
    }

    /// All up to `Ready`.
    pub(crate) fn inventory(&mut self) -> Vec<Notice> {
        let mut all = Vec::new();
        self.until("the inventory", |notice| {
            all.push(notice);
            (all.last() == Some(&Notice::Ready)).then_some(())
        });
        all
    }

    /// What came within a moment in which nothing should come.
    pub(crate) fn lull(&mut self) -> Vec<Notice> {
        while self.take_in(Duration::from_millis(300)) {}
        self.drain()
    }

    /// What came so far.
    pub(crate) fn drain(&mut self) -> Vec<Notice> {
        self.notices.drain(..).collect()
    }

    /// This comes, and nothing else.
    pub(crate) fn hears_only(&mut self, expected: &Notice) {
        self.until("the only notice", |notice| {
            assert_eq!(&notice, expected);
            Some(())
        });
        assert_eq!(self.lull(), []);
    }

    /// Says with which code its process is to exit.
    pub(crate) fn exit(mut self, code: u8) {
        self.line.write_all(&[code]).unwrap();
    }

    pub(crate) fn kill(self) {
        kill(Pid::from_raw(self.pid), Signal::SIGKILL).unwrap();
    }

    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.peer.as_fd()
    }

    /// The keeper closed the channel.
    pub(crate) fn wait_for_the_cut(mut self) {
        while !self.closed {
            assert!(self.take_in(PATIENCE) || self.closed, "the channel is still open");
        }
    }

    fn take_in(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            if self.peer.wants_write() {
                let _ = self.peer.flush();
            }
            match self.peer.receive().unwrap() {
                Some(Incoming::Reply { id, reply, fds }) => {
                    self.replies.push_back((id, reply, fds));
                    return true;
                }
                Some(Incoming::Notice { seq, notice }) => {
                    assert!(seq > self.newest, "numbers grow");
                    self.newest = seq;
                    self.notices.push_back(notice);
                    if self.acknowledging {
                        self.peer.queue(0, &Request::Acknowledge { up_to: seq }, vec![]).unwrap();
                        let _ = self.peer.flush();
                    }
                    return true;
                }
                Some(Incoming::Closed) => {
                    self.closed = true;
                    return false;
                }
                None => {}
            }
            if Instant::now() >= deadline {
                return false;
            }
            let mut interest = PollFlags::POLLIN;
            interest.set(PollFlags::POLLOUT, self.peer.wants_write());
            ready(&self.peer, interest, Duration::from_millis(50));
        }
    }
}

fn ready(source: &impl AsFd, interest: PollFlags, patience: Duration) -> bool {
    let timeout = PollTimeout::try_from(patience).unwrap();
    let mut fds = [PollFd::new(source.as_fd(), interest)];
    poll(&mut fds, timeout).is_ok_and(|ready| ready > 0)
}

fn receive_channel(line: &UnixStream) -> (i32, OwnedFd) {
    let mut pid = [0; 4];
    let mut space = nix::cmsg_space!([RawFd; 1]);
    let mut parts = [IoSliceMut::new(&mut pid)];
    let flags = MsgFlags::empty();
    let message = recvmsg::<()>(line.as_raw_fd(), &mut parts, Some(&mut space), flags).unwrap();
    let Some(ControlMessageOwned::ScmRights(fds)) = message.cmsgs().unwrap().next() else {
        panic!("no channel came");
    };
    #[expect(unsafe_code, reason = "nix gives numbers")]
    // SAFETY: the kernel made this descriptor for us a moment ago.
    let channel = unsafe { OwnedFd::from_raw_fd(fds[0]) };
    (i32::from_le_bytes(pid), channel)
}

pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The content of a file once it ends with a line.
pub(crate) fn line_in(path: &Path) -> String {
    wait_for("a line", || fs::read_to_string(path).ok().filter(|text| text.ends_with('\n')))
}

/// Neither gone nor a zombie.
pub(crate) fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn processes_with(mark: &[u8]) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.windows(mark.len()).any(|window| window == mark)
    })
    .collect()
}
