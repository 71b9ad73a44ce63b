//! The sandbox on free ports, and programs that are run against it.
//! Not here: promises.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use e2e::{Response, Setup, Signal, Stack, User, free_port, over_tcp, supervisor};
use nix::sys::signal::killpg;
use nix::unistd::Pid;

const PORTS: [&str; 7] = ["TENANT", "OAUTH", "OAUTH_PRIVATE", "MAIL", "ONENOTE", "ONEDRIVE", "TEAMS"];

/// A client that needs longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(100);

/// The sandbox.
pub(crate) struct Stand {
    pub(crate) stack: Stack,
    ports: Vec<u16>,
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lie in the repository").to_owned()
}

/// Where `tests/clients/install` puts things.
pub(crate) fn installed() -> PathBuf {
    repository().join("target/clients")
}

impl Stand {
    /// The shipped sandbox; `login` is `page` or `auto`, `change` may edit the file.
    pub(crate) fn prepare(login: &str, change: impl FnOnce(String) -> String) -> Self {
        Self::prepare_as(User::Current, login, change)
    }

    pub(crate) fn prepare_as(user: User, login: &str, change: impl FnOnce(String) -> String) -> Self {
        let ports: Vec<u16> = PORTS.iter().map(|_| free_port()).collect();
        let mut setup = Setup::of("").as_user(user).env("TENANT_LOGIN", login);
        for (name, port) in PORTS.iter().zip(&ports) {
            setup = setup.env(&format!("{name}_PORT"), &port.to_string());
        }
        let stack = setup.prepare();
        let shipped = fs::read_to_string(repository().join("tests/sandbox.toml")).expect("it is shipped");
        let own = format!("runtime_dir = '{0}/run'\nstate_dir = '{0}/state'\n", stack.root().display());
        let programs = supervisor().with_file_name("").display().to_string();
        let file = shipped
            .replace("[supervisor]\n", &format!("[http]\nlisten = 'off'\n[supervisor]\n{own}"))
            .replace("../target/release/", &programs)
            .replace("../target/sandbox/logs", "logs");
        stack.save(&change(file));
        Self { stack, ports }
    }

    pub(crate) fn port(&self, name: &str) -> u16 {
        let at = PORTS.iter().position(|one| *one == name).expect("one of them");
        self.ports[at]
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}", self.port(name))
    }

    pub(crate) fn get(&self, name: &str, path: &str) -> Response {
        over_tcp(("127.0.0.1", self.port(name)), "GET", path, &[]).expect("an answer")
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.stack.path(".local/state/m365-mcp-sandbox")
    }

    /// Fails when the tenant was asked anything in a way that Entra would not have taken.
    #[track_caller]
    pub(crate) fn kept_the_rules(&self) {
        let broken = self.get("TENANT", "/_control/violations").json();
        assert_eq!(broken, serde_json::json!([]));
        let asked = self.get("TENANT", "/_control/log").json();
        assert!(asked.as_array().is_some_and(|all| !all.is_empty()), "the tenant was never asked");
    }

    /// Runs a program to its end, and gives what it printed. `name` is of the run.
    #[track_caller]
    pub(crate) fn run(&self, name: &str, words: &[&str]) -> String {
        let (out, err) = (self.stack.path(&format!("{name}.out")), self.stack.path(&format!("{name}.err")));
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env("PYTHONDONTWRITEBYTECODE", "1");
        // Everything is on this machine: no proxy of the surroundings has a part in it.
        command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
        // Both mark every process that comes of it as ours, also what a browser leaves.
        command.env("HOME", self.stack.root()).env("TMPDIR", self.stack.root());
        command.env("OAUTH_PRIVATE_PORT", self.port("OAUTH_PRIVATE").to_string());
        command.current_dir(installed().join("node")).stdin(Stdio::null()).process_group(0);
        command.stdout(File::create(&out).expect("ours")).stderr(File::create(&err).expect("ours"));
        let mut child = command.spawn().unwrap_or_else(|error| panic!("`{}` cannot be run: {error}", words[0]));
        let began = Instant::now();
        let ended = loop {
            match child.try_wait().expect("it is our child") {
                Some(status) => break Some(status),
                None if began.elapsed() > PATIENCE => break None,
                None => std::thread::sleep(Duration::from_millis(15)),
            }
        };
        if ended.is_none() {
            let group = Pid::from_raw(i32::try_from(child.id()).expect("a number of a process"));
            let _gone_already = killpg(group, Signal::SIGKILL);
            let _reaped = child.wait();
        }
        let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        let (out, err) = (read(out), read(err));
        let well = ended.is_some_and(|status| status.success());
        assert!(well, "{name} ended with {ended:?}\n--- stdout\n{out}\n--- stderr\n{err}");
        out
    }
}
