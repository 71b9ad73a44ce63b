//! A stack that runs, or did: ask it and hurt it.
//! Not here: its end (`ending`), what a test expects.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::cell::is_root;
use crate::http::{Response, over_unix};
use crate::procs::{Proc, inner_number, processes_of};
use crate::service::Service;
use crate::setup::{Setup, User};
use crate::signal::send;
use crate::wait::{DEADLINE, eventually};

/// A directory with a configuration, and whatever runs of it.
#[derive(Debug)]
pub struct Stack {
    pub(crate) root: PathBuf,
    program: PathBuf,
    setup: Setup,
    commands: AtomicUsize,
    pub(crate) foreground: Option<Child>,
    /// Removed last.
    _dir: TempDir,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Done {
    /// The exit code; 128 and the number of the signal when one ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Done {
    /// Itself, when it succeeded.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        self.ended_with(0)
    }

    /// Itself, when it ended with that code.
    ///
    /// # Panics
    /// When it ended with another one.
    #[track_caller]
    pub fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }
}

impl Stack {
    pub(crate) fn new(dir: TempDir, root: PathBuf, program: PathBuf, setup: Setup) -> Self {
        Self { root, program, setup, commands: AtomicUsize::new(0), foreground: None, _dir: dir }
    }

    /// Runs a command of the supervisor to its end.
    #[track_caller]
    pub fn cli(&self, words: &[&str]) -> Done {
        let began = Instant::now();
        let mut child = self.spawn(words, Stdio::null());
        let status = eventually(&format!("`supervisor {}` to end", words.join(" ")), || {
            child.0.try_wait().expect("it is our child")
        });
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        Done { code: code_of(status), stdout: read(&child.1), stderr: read(&child.2), took: began.elapsed() }
    }

    /// Starts a command of the supervisor, and gives the child and the files of its output and its errors.
    pub fn spawn(&self, words: &[&str], stdin: Stdio) -> (Child, PathBuf, PathBuf) {
        let starts = matches!(words.first(), Some(&("start" | "run")));
        let before: &[String] = if starts { &self.setup.before } else { &[] };
        let program = self.program.display().to_string();
        let all = before.iter().map(String::as_str).chain([program.as_str()]).chain(words.iter().copied());
        self.launch(&all.collect::<Vec<_>>(), stdin)
    }

    /// Starts a command of the supervisor under a terminal of its own, whose keys are the child's standard input.
    pub fn spawn_in_terminal(&self, words: &[&str]) -> (Child, PathBuf, PathBuf) {
        let line = format!("exec '{}' {}", self.program.display(), words.join(" "));
        self.launch(&["script", "--quiet", "--return", "--command", &line, "/dev/null"], Stdio::piped())
    }

    fn launch(&self, all: &[&str], stdin: Stdio) -> (Child, PathBuf, PathBuf) {
        let number = self.commands.fetch_add(1, Ordering::Relaxed);
        let out = self.root.join(format!("command-{number}.out"));
        let err = self.root.join(format!("command-{number}.err"));
        let mut command = Command::new(all[0]);
        command.args(&all[1..]).current_dir(&self.root).env_clear();
        // Both are in the base set of every service's environment, so they mark all that is ours.
        command.env("HOME", &self.root).env("TMPDIR", &self.root);
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        let root = self.root.display().to_string();
        command.envs(self.setup.env.iter().map(|(key, value)| (key, value.replace("@root", &root))));
        if self.setup.user == User::Ordinary && is_root() {
            command.uid(65534).gid(65534);
        }
        command.stdin(stdin);
        command.stdout(File::create(&out).expect("the directory can be written"));
        command.stderr(File::create(&err).expect("the directory can be written"));
        (command.spawn().expect("the program can be run"), out, err)
    }

    /// Starts it in the foreground and waits until it answers.
    #[track_caller]
    pub fn run(&mut self) {
        self.run_words(&["start", "--foreground"]);
        eventually("the supervisor to answer", || self.try_get("/livez"));
    }

    /// Starts a command in the foreground and waits for nothing.
    pub fn run_words(&mut self, words: &[&str]) {
        self.foreground = Some(self.spawn(words, Stdio::null()).0);
    }

    /// The exit code of what runs in the foreground, once it has ended.
    #[track_caller]
    pub fn foreground_code(&mut self) -> i32 {
        let mut child = self.foreground.take().expect("something runs in the foreground");
        code_of(eventually("the foreground to end", || child.try_wait().expect("it is our child")))
    }

    /// The directory that everything lies in.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path below it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The socket of the API.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.root.join("run/api.sock")
    }

    /// Asks the API, over the unix socket.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        eventually(&format!("an answer to GET {path}"), || self.try_get(path))
    }

    /// Tells the API to act, over the unix socket.
    #[track_caller]
    pub fn post(&self, path: &str) -> Response {
        over_unix(&self.socket(), "POST", path, &[]).expect("the API answers")
    }

    fn try_get(&self, path: &str) -> Option<Response> {
        over_unix(&self.socket(), "GET", path, &[]).ok()
    }

    /// Everything that the API tells.
    #[must_use]
    #[track_caller]
    pub fn status(&self) -> Value {
        self.get("/api/v1/status").json()
    }

    /// Where `[http] listen` ended up.
    #[must_use]
    #[track_caller]
    pub fn http_address(&self) -> SocketAddr {
        let status = self.status();
        let text = status["http"].as_str().unwrap_or_else(|| panic!("no address in {status}"));
        text.parse().expect("it is an address")
    }

    /// One service.
    #[must_use]
    #[track_caller]
    pub fn service(&self, name: &str) -> Service {
        Service(self.get(&format!("/api/v1/services/{name}")).json())
    }

    /// Waits until a service is in a state, and gives it as it was then.
    #[track_caller]
    pub fn wait_for(&self, name: &str, state: &str) -> Service {
        self.wait_until(name, state, |service| service.state() == state)
    }

    /// Waits until something holds of a service, and gives it as it was then.
    #[track_caller]
    pub fn wait_until(&self, name: &str, what: &str, holds: impl Fn(&Service) -> bool) -> Service {
        let began = Instant::now();
        loop {
            let service = self.service(name);
            if holds(&service) {
                return service;
            }
            assert!(began.elapsed() < DEADLINE, "`{name}` never was: {what}; it is: {:#}", service.0);
            std::thread::sleep(Duration::from_millis(15));
        }
    }

    /// The main process of a service that has one, by the number that it has out here: that of the API is meant for
    /// those who live in the same cell.
    #[must_use]
    #[track_caller]
    pub fn pid(&self, name: &str) -> i32 {
        eventually(&format!("`{name}` to have a process"), || {
            let pid = self.service(name).pid()?;
            self.processes().iter().map(|one| one.pid).find(|outer| inner_number(*outer) == Some(pid))
        })
    }

    /// The whole current log of a service.
    #[must_use]
    pub fn log(&self, name: &str) -> Vec<u8> {
        fs::read(self.root.join(format!("logs/{name}.log"))).unwrap_or_default()
    }

    /// The log of a service as text, once it holds `part`.
    #[track_caller]
    pub fn wait_log(&self, name: &str, part: &str) -> String {
        eventually(&format!("the log of `{name}` to hold {part:?}"), || {
            let text = String::from_utf8_lossy(&self.log(name)).into_owned();
            text.contains(part).then_some(text)
        })
    }

    /// Every process of this stack: roles, services and what they left about.
    #[must_use]
    pub fn processes(&self) -> Vec<Proc> {
        processes_of(&self.root)
    }

    /// The parent of everything.
    #[must_use]
    #[track_caller]
    pub fn keeper(&self) -> i32 {
        self.role("keeper")
    }

    /// The process that decides.
    #[must_use]
    #[track_caller]
    pub fn control(&self) -> i32 {
        self.role("control")
    }

    /// The keeper is the one role whose parent is no role; control is its child.
    #[track_caller]
    fn role(&self, role: &str) -> i32 {
        eventually(&format!("a {role} to run"), || {
            let all = self.processes();
            let roles: Vec<&Proc> =
                all.iter().filter(|one| one.command.starts_with("supervisor: ") && one.state != 'Z').collect();
            let below = |one: &Proc| roles.iter().any(|other| other.pid == one.parent);
            let control = roles.iter().find(|one| below(one))?;
            Some(if role == "control" { control.pid } else { control.parent })
        })
    }

    /// Kills control and waits until another one answers.
    #[track_caller]
    pub fn kill_control(&self) {
        let old = self.control();
        send(old, Signal::SIGKILL);
        eventually("another control", || (self.control() != old).then_some(()));
        self.get("/livez");
    }
}

fn code_of(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}
