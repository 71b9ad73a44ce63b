//! What a stack is made of, before it starts.
//! Not here: a stack that runs (`stack`).

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::binaries;
use crate::cell::{Cell, is_root};
use crate::stack::Stack;

/// Whom the supervisor runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// As the test itself.
    Current,
    /// As user and group 65534 when the test runs as root; else as the test itself.
    Ordinary,
}

/// A configuration and its surroundings.
#[derive(Debug)]
pub struct Setup {
    pub(crate) services: String,
    pub(crate) supervisor: String,
    pub(crate) http: String,
    pub(crate) logs: String,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) before: Vec<String>,
    pub(crate) user: User,
}

impl Setup {
    /// Services in the words of `supervisor.toml`. `./puppet` is the misbehaving program,
    /// `./exemplar` the well-behaved one.
    #[must_use]
    pub fn of(services: &str) -> Self {
        Self {
            services: services.to_owned(),
            supervisor: String::new(),
            http: "listen = \"off\"\n".to_owned(),
            logs: String::new(),
            env: Vec::new(),
            before: Vec::new(),
            user: User::Current,
        }
    }

    /// Further lines of `[supervisor]`.
    #[must_use]
    pub fn supervisor(mut self, lines: &str) -> Self {
        self.supervisor = format!("{lines}\n");
        self
    }

    /// `[http]`: without this, no TCP.
    #[must_use]
    pub fn http(mut self, lines: &str) -> Self {
        self.http = format!("{lines}\n");
        self
    }

    /// `[logs]`.
    #[must_use]
    pub fn logs(mut self, lines: &str) -> Self {
        self.logs = format!("{lines}\n");
        self
    }

    /// A variable of the supervisor's own environment; `@root` in it is the directory of the stack.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Words put before each command that starts the supervisor: `env --ignore-signal=INT`, `prlimit …`.
    #[must_use]
    pub fn before(mut self, words: &[&str]) -> Self {
        self.before.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// Everything in a process namespace of its own; to be run in the foreground, as PID 1.
    #[must_use]
    pub fn in_cell(self, cell: &Cell) -> Self {
        self.before(&cell.words())
    }

    /// Whom the supervisor runs as.
    #[must_use]
    pub fn as_user(mut self, user: User) -> Self {
        self.user = user;
        self
    }

    /// Writes everything and starts nothing.
    #[must_use]
    pub fn prepare(self) -> Stack {
        let dir = tempfile::Builder::new().prefix("e2e").tempdir().expect("a temporary directory can be made");
        let root = dir.path().canonicalize().expect("it was just made");
        let program = lend(&binaries::supervisor(), &root.join("bin"));
        for (program, name) in [(binaries::puppet(), "puppet"), (binaries::exemplar(), "exemplar")] {
            symlink(lend(&program, &root.join("bin")), root.join(name)).expect("the directory is new");
        }
        fs::write(root.join("supervisor.toml"), self.toml(&root)).expect("the directory can be written");
        if self.user == User::Ordinary && is_root() {
            give_away(&root);
        }
        Stack::new(dir, root, program, self)
    }

    /// Starts it in the background and waits until `supervisor start` is content.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Stack {
        let stack = self.prepare();
        stack.cli(&["start"]).succeeded();
        stack
    }

    /// Starts it in the background and waits for no service.
    #[must_use]
    #[track_caller]
    pub fn start_no_wait(self) -> Stack {
        let stack = self.prepare();
        stack.cli(&["start", "--no-wait"]).succeeded();
        stack
    }

    /// Starts it in the foreground and waits until it answers.
    #[must_use]
    #[track_caller]
    pub fn run(self) -> Stack {
        let mut stack = self.prepare();
        stack.run();
        stack
    }

    fn toml(&self, root: &Path) -> String {
        let Self { services, supervisor, http, logs, .. } = self;
        let at = root.display();
        format!(
            "[supervisor]\nname = \"t\"\nruntime_dir = \"{at}/run\"\nstate_dir = \"{at}/state\"\n{supervisor}\
             [http]\n{http}[logs]\n{logs}\n{services}"
        )
    }
}

/// Below those that systems give to whoever asks for any (Linux: from 32,768, macOS: from 49,152).
const PORTS: Range<u16> = 20_000..32_000;

/// The same number in UDP, for as long as this process lives: no other test takes it.
static CLAIMED: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A port of this machine, as an address.
#[must_use]
pub fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A port that is free, and that no other test gets.
#[must_use]
pub fn free_port() -> u16 {
    let mut claimed = CLAIMED.lock().expect("nobody panics with it");
    let first = usize::try_from(std::process::id()).expect("a number of 32 bits") * 97 % PORTS.len();
    for port in PORTS.cycle().skip(first).take(PORTS.len()) {
        let Ok(claim) = UdpSocket::bind(("127.0.0.1", port)) else { continue };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            claimed.push(claim);
            return port;
        }
    }
    panic!("the loopback has no free port within {PORTS:?}")
}

/// The program where everyone can run it: itself, or a copy where its directories are closed to others.
fn lend(program: &Path, to: &Path) -> PathBuf {
    let open = |dir: &Path| fs::metadata(dir).is_ok_and(|meta| meta.mode() & 0o001 != 0);
    if program.ancestors().all(open) {
        return program.to_owned();
    }
    fs::create_dir_all(to).expect("the directory is new");
    let name = program.file_name().expect("a program has a name");
    let mut copy = fs::File::create_new(to.join(name)).expect("the directory is new");
    copy.write_all(&fs::read(program).expect("the program is there")).expect("there is room for it");
    copy.set_permissions(fs::Permissions::from_mode(0o755)).expect("it is ours");
    to.join(name)
}

fn give_away(root: &Path) {
    let owned = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in owned.chain([root.to_owned()]).filter(|path| !path.is_symlink()) {
        chown(path, Some(65534), Some(65534)).expect("root may give away");
    }
}
