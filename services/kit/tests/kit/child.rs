//! A service as a child process: what it is given, what it says, how it ends.
//! Not here: requests to it.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a helper of several test programs, each of which needs a part of it"
)]

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Longer than anything takes, even on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// User and group of whoever has no rights but its own.
const ORDINARY: u32 = 65534;

/// What a child is to be given. Its environment is empty but for this.
pub(crate) struct Launch {
    program: PathBuf,
    arguments: Vec<String>,
    env: Vec<(String, String)>,
    inherited: Vec<OwnedFd>,
    dir: tempfile::TempDir,
    notify: Option<UnixDatagram>,
    descriptors: Option<u32>,
    user: Option<u32>,
}

/// Gives a directory that the test has made to the ordinary user, where that is somebody else.
pub(crate) fn give_away(dir: &Path) -> Option<u32> {
    let is_root = dir.metadata().unwrap().uid() == 0;
    is_root.then(|| chown(dir, Some(ORDINARY), Some(ORDINARY)).unwrap()).map(|()| ORDINARY)
}

/// It is killed when dropped.
pub(crate) struct Child {
    process: std::process::Child,
    log: Arc<(Mutex<Vec<String>>, Condvar)>,
    errors: Option<std::thread::JoinHandle<String>>,
    notify: Option<UnixDatagram>,
    _dir: tempfile::TempDir,
}

impl Launch {
    pub(crate) fn of(program: impl Into<PathBuf>, arguments: &[&str]) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.iter().map(|a| (*a).to_owned()).collect(),
            env: Vec::new(),
            inherited: Vec::new(),
            dir: tempfile::tempdir().unwrap(),
            notify: None,
            descriptors: None,
            user: None,
        }
    }

    pub(crate) fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.env.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.env.retain(|(other, _)| other != name);
        self
    }

    /// Puts a file into the directory that the child runs in.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.dir.path().join(name), text).unwrap();
        self
    }

    /// Passes these from descriptor 3 on, at most two.
    pub(crate) fn inherit(mut self, names: &str, fds: Vec<OwnedFd>) -> Self {
        let count = fds.len();
        self.inherited = fds;
        self.env("LISTEN_FDS", count).env("LISTEN_FDNAMES", names)
    }

    /// Gives it a notify socket: a path.
    pub(crate) fn notify(self) -> Self {
        let path = self.dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        self.notify_at(&path.display().to_string(), socket)
    }

    pub(crate) fn notify_at(mut self, name: &str, socket: UnixDatagram) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        self.notify = Some(socket);
        self.env("NOTIFY_SOCKET", name)
    }

    /// Lets it open only so many files.
    pub(crate) fn descriptors(mut self, most: u32) -> Self {
        self.descriptors = Some(most);
        self
    }

    /// As a user without rights where the test runs as root, else as the test itself.
    pub(crate) fn for_ordinary_user(mut self) -> Self {
        self.user = give_away(self.dir.path());
        self
    }

    pub(crate) fn start(self) -> Child {
        // A shell moves what is inherited to its place: doing so between fork and exec would need unsafe code.
        let script = match self.inherited.len() {
            0 => "exec \"$0\" \"$@\"",
            1 => "export LISTEN_PID=$$; exec 3<&0 0</dev/null; exec \"$0\" \"$@\"",
            2 => "export LISTEN_PID=$$; exec 3<&0 4<&2 0</dev/null 2>/dev/null; exec \"$0\" \"$@\"",
            _ => panic!("at most two can be passed"),
        };
        let limit = self.descriptors.map_or(String::new(), |most| format!("ulimit -n {most}; "));
        let mut inherited = self.inherited.into_iter();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &(limit + script)]).arg(&self.program).args(&self.arguments);
        command.env_clear().envs(self.env).current_dir(self.dir.path());
        command.stdin(inherited.next().map_or_else(Stdio::null, Stdio::from)).stdout(Stdio::piped());
        command.stderr(inherited.next().map_or_else(Stdio::piped, Stdio::from));
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        let mut process = command.spawn().unwrap();

        let log = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let (output, shared) = (process.stdout.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                shared.0.lock().unwrap().push(line);
                shared.1.notify_all();
            }
        });
        let errors = process.stderr.take().map(|mut stderr| {
            std::thread::spawn(move || {
                let mut text = String::new();
                let _ = stderr.read_to_string(&mut text);
                text
            })
        });
        Child { process, log, errors, notify: self.notify, _dir: self.dir }
    }
}

impl Child {
    /// Waits until it is ready and says where.
    pub(crate) fn ready(&self) -> SocketAddr {
        let line = self.logged("ready");
        line["address"].as_str().unwrap().parse().unwrap()
    }

    /// Waits for a line of log with this message.
    pub(crate) fn logged(&self, message: &str) -> Value {
        let found = |lines: &[String]| {
            lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find(|l| l["message"] == message)
        };
        let (lines, more) = &*self.log;
        let deadline = Instant::now() + PATIENCE;
        let mut lines = lines.lock().unwrap();
        loop {
            if let Some(line) = found(&lines) {
                return line;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no line `{message}` in the log: {lines:#?}");
            lines = more.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// All that it has logged up to now.
    pub(crate) fn log(&self) -> String {
        self.log.0.lock().unwrap().join("\n")
    }

    /// Waits for a datagram that has this line in it.
    pub(crate) fn notified(&self, line: &str) -> String {
        let socket = self.notify.as_ref().expect("the launch asked for a notify socket");
        let mut buffer = [0; 4096];
        loop {
            let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("no `{line}` came: {error}"));
            let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if message.lines().any(|l| l == line) {
                return message;
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.process.id()).unwrap()), signal).unwrap();
    }

    /// Waits for its end and gives its exit code.
    pub(crate) fn code(&mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code().unwrap_or_else(|| panic!("{status}"));
            }
            assert!(Instant::now() < deadline, "it does not end; its log: {}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for its end and gives its exit code and what it wrote to standard error.
    pub(crate) fn code_and_errors(&mut self) -> (i32, String) {
        let code = self.code();
        (code, self.errors.take().unwrap().join().unwrap())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
