//! The server against a made-up view and a loop that only takes notes, over real sockets.
//! Not here: the loop, the keeper, services.

mod access;
mod changes;
mod documents;
mod events;
mod limits;
mod openapi;
mod page;
mod reload;
mod streams;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use supervisor_core::{
    ExitReport, GenerationSnapshot, Kind, Role, RunSnapshot, ServiceName, ServiceSnapshot, State, Time,
};
use tokio::sync::{mpsc, oneshot, watch};

use super::{Api, Listeners, Token, serve};
use crate::alerts::{AlertState, TestAsk, Tested};
use crate::config::{self, Diagnostic, Diagnostics, Disk, Place, Surroundings};
use crate::control::{
    Ask, ConfigView, Executable, Facts, Instruments, Known, LogTrouble, Operation, OperationKind, Outcome, Part,
    Refusal, Rejected, View, What,
};
use crate::journal::Journal;

pub(super) const WALL_OFFSET_MS: i64 = 1_700_000_000_000;
pub(super) const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// Nothing here takes that long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server, its view, and what it asked of the loop.
pub(super) struct Stand {
    pub(super) dir: tempfile::TempDir,
    pub(super) tcp: SocketAddr,
    pub(super) view: Arc<ArcSwap<View>>,
    shown: watch::Sender<u64>,
    pub(super) asked: Arc<Mutex<Vec<What>>>,
    pub(super) journal: Journal,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Stand {
    pub(super) fn new() -> Self {
        Self::with_http("")
    }

    /// With further lines under `[http]`.
    pub(super) fn with_http(http: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let view = Arc::new(ArcSwap::from_pointee(view(dir.path(), http)));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let journal = Journal::start(&dir.path().join("state")).unwrap();
        let reader = journal.reader();
        let (stop, stopped) = oneshot::channel();
        let (told, hear) = std::sync::mpsc::sync_channel(1);
        let changes = watch::Sender::new(0);
        let (socket, notes, seen) = (dir.path().join("api.sock"), Arc::clone(&asked), Arc::clone(&view));
        let shown = changes.subscribe();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let unix = tokio::net::UnixListener::bind(socket).unwrap();
                let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                told.send(tcp.local_addr().unwrap()).unwrap();
                let (asks, receiver) = mpsc::channel(8);
                let reloads = mpsc::channel(8);
                let alert_tests = mpsc::channel(8);
                let api = Api {
                    view: seen,
                    shown,
                    asks,
                    reloads: reloads.0,
                    alert_tests: alert_tests.0,
                    changes: super::change_rate(),
                    token: Token::new(TOKEN),
                    instruments: instruments(),
                    journal: reader,
                    wall_offset_ms: || WALL_OFFSET_MS,
                };
                let listeners = Listeners { unix: Some(unix), tcp: Some(tcp) };
                tokio::select! {
                    () = serve(listeners, api, async { let _ = stopped.await; }) => {}
                    () = take_notes(receiver, notes) => {}
                    () = reload::answer_in_turn(reloads.1) => {}
                    () = take_tests(alert_tests.1) => {}
                }
            });
        });
        let tcp = hear.recv().unwrap();
        Self { dir, tcp, view, shown: changes, asked, journal, stop: Some(stop), thread: Some(thread) }
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.dir.path().join("api.sock")
    }

    /// Over the unix socket.
    pub(super) fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all((head + body).as_bytes()).unwrap();
        answer(stream).expect("an answer")
    }

    /// Over TCP, with the right `Host` and these further lines.
    pub(super) fn tcp(&self, method: &str, path: &str, lines: &[&str]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.tcp);
        for line in lines {
            head.push_str(line);
            head.push_str("\r\n");
        }
        self.raw(head + "\r\n").expect("an answer")
    }

    /// Over TCP, exactly these bytes. No answer at all is possible.
    pub(super) fn raw(&self, bytes: impl AsRef<[u8]>) -> Option<Answer> {
        let mut stream = TcpStream::connect(self.tcp).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // The server may have refused before it has heard everything.
        let _ = stream.write_all(bytes.as_ref());
        answer(stream)
    }

    pub(super) fn asked(&self) -> Vec<What> {
        self.asked.lock().unwrap().clone()
    }

    /// Publishes a view that differs from the last one.
    pub(super) fn publish(&self, change: impl FnOnce(&mut View)) {
        let last = self.view.load();
        let mut next = View {
            version: last.version + 1,
            stack: last.stack.clone(),
            alerts: last.alerts.clone(),
            certificates: last.certificates.clone(),
            services: last.services.clone(),
            facts: last.facts.clone(),
            operations: last.operations.clone(),
            config: last.config.clone(),
            ..*last.as_ref()
        };
        change(&mut next);
        let version = next.version;
        self.view.store(Arc::new(next));
        self.shown.send_replace(version);
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the server panicked");
    }
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub(super) fn instruments() -> Instruments {
    Instruments::new("cookie", supervisor_logs::Pump::new())
}

pub(super) fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

/// The loop: takes everything, but knows no `ghost`, and `beta` has no process.
async fn take_notes(mut asks: mpsc::Receiver<Ask>, notes: Arc<Mutex<Vec<What>>>) {
    while let Some(Ask { what, answer }) = asks.recv().await {
        let result = match &what {
            What::Signal { service, .. } if service.as_str() == "beta" => Err(Refusal::NotRunning(service.clone())),
            What::Start(services) if services.iter().any(|name| name.as_str() == "late") => Err(Refusal::ShuttingDown),
            What::Start(services) | What::Restart(services) | What::Stop { services, .. } => {
                match services.iter().find(|name| name.as_str() == "ghost") {
                    Some(ghost) => Err(Refusal::UnknownService(ghost.clone())),
                    None => Ok(Arc::new(operation(services.len() as u64 + 1))),
                }
            }
            What::Signal { .. } => Ok(Arc::new(operation(2))),
        };
        if result.is_ok() {
            notes.lock().unwrap().push(what);
        }
        let _ = answer.send(result);
    }
    std::future::pending::<()>().await;
}

fn answer(mut stream: impl Read) -> Option<Answer> {
    let mut bytes = Vec::new();
    // A reset after the answer is still an answer.
    let _ = stream.read_to_end(&mut bytes);
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..at].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Some(Answer { status, headers, body: bytes[at + 4..].to_vec() })
}

pub(super) fn name(text: &str) -> ServiceName {
    ServiceName::new(text).unwrap()
}

/// `alpha` runs on a port; `beta` failed and is tried again.
fn view(dir: &std::path::Path, http: &str) -> View {
    let file = dir.join("supervisor.toml");
    let text = format!(
        "[supervisor]\nname = 'demo'\nruntime_dir = 'run'\nstate_dir = 'state'\n[http]\n{http}\n\
         [services.alpha]\ncommand = ['/bin/alpha', '--password=c4n4ry']\nport = 8001\nports = {{ private = 8011 }}\n\
         depends_on = {{ beta = 'started' }}\nrestart = {{ policy = 'on-failure', success_exit_codes = [0, 3] }}\n\
         env = {{ SECRET = 'c4n4ry' }}\n\
         [[alerts]]\nname = 'ops'\nwebhook = 'https://h/c4n4ry'\n[services.beta]\ncommand = ['/bin/beta']\ncritical = false\n"
    );
    std::fs::write(&file, text).unwrap();
    let surroundings = Surroundings::new(BTreeMap::new(), 4711, 2);
    let stack = config::load(&file, &surroundings, &mut Disk).unwrap_or_else(|error| panic!("{error}"));
    let services = vec![Arc::new(alpha()), Arc::new(beta())];
    View {
        version: 7,
        stack: Arc::new(stack),
        config: Arc::new(config_view()),
        alerts: Arc::new(vec![alert()]),
        certificates: Arc::default(),
        services: Arc::new(services),
        facts: Arc::new(facts(dir)),
        operations: Arc::new(vec![Arc::new(operation(1))]),
        wall_offset_ms: WALL_OFFSET_MS,
        keeper_pid: 100,
        http: Some("127.0.0.1:9700".parse().unwrap()),
        shutting_down: false,
    }
}

fn alert() -> AlertState {
    AlertState {
        name: "ops".to_owned(),
        way: "webhook",
        queued: 2,
        sent: 5,
        lost: 1,
        sent_at: Some("2023-11-14T22:13:20.000Z".to_owned()),
        error: Some("`h` answers 500".to_owned()),
    }
}

/// A test of alerts ends as it should.
async fn take_tests(mut tests: mpsc::Receiver<TestAsk>) {
    while let Some(TestAsk { alerts, answer }) = tests.recv().await {
        let tested = |alert: String| Tested { alert, error: None };
        let _ = answer.send(alerts.into_iter().map(tested).collect());
    }
}

/// Of alpha, under way.
pub(super) fn operation(id: u64) -> Operation {
    let part = Part { cause: "starting".to_owned(), ..Part::new(name("alpha"), 3) };
    Operation {
        id,
        kind: OperationKind::Restart,
        state: Outcome::Running,
        started: Time(900),
        ended: None,
        parts: vec![part],
        resumed: false,
    }
}

fn config_view() -> ConfigView {
    let place = Place { file: "/f".into(), line: 3, column: 7 };
    let diagnostics = Diagnostics { list: vec![Diagnostic::at(&place, "this cannot be")], more: 2 };
    let rejected = Rejected { at_ms: 1_700_000_001_000, diagnostics: Arc::new(diagnostics) };
    let pending = vec!["logs.dir".to_owned()];
    ConfigView { revision: 4, loaded_ms: 1_700_000_000_000, rejected: Some(Arc::new(rejected)), pending }
}

fn facts(dir: &std::path::Path) -> Known {
    let path = "/bin/alpha".into();
    let executable = Executable { path, device: 1, inode: 2, modified_ns: 3, size: 4 };
    let log = |file: &str| dir.join("logs").join(file);
    let log_trouble = LogTrouble { dropped_bytes: 120, dropped_lines: 3, error: Some("disk full".to_owned()) };
    let alpha = Facts {
        executable: Some(executable),
        revision: Some(1),
        launch: None,
        logs: vec![log("alpha.log")],
        log_trouble,
    };
    let beta = Facts { logs: vec![log("beta.out.log"), log("beta.err.log")], ..Facts::default() };
    Known::from_iter([(name("alpha"), alpha), (name("beta"), beta)])
}

fn run() -> RunSnapshot {
    RunSnapshot {
        run: 5,
        generation: 3,
        pid: Some(4242),
        started: Time(1_000),
        ready: Some(Time(1_012)),
        status: Some("serving 3 clients".to_owned()),
    }
}

fn alpha() -> ServiceSnapshot {
    ServiceSnapshot {
        name: name("alpha"),
        kind: Kind::Service,
        critical: true,
        wanted: true,
        state: State::Running,
        cause: "ready after 12ms".to_owned(),
        in_vain: false,
        since: Time(1_012),
        run: Some(run()),
        instances: 1,
        generations: vec![GenerationSnapshot {
            instance: 0,
            role: Role::Serving,
            revision: 1,
            cause: "ready after 12ms".to_owned(),
            run: run(),
        }],
        rollout: None,
        generation: 3,
        restarts: 2,
        failures: 0,
        next_attempt: None,
        last_exit: Some(ExitReport {
            generation: 2,
            pid: 4141,
            signal: Some(9),
            at: Time(900),
            ran: 500,
            cpu: 20,
            max_rss: 1 << 20,
            leftovers: vec![4142],
            ..ExitReport::default()
        }),
        failing: vec![("http /health".to_owned(), "503".to_owned())],
    }
}

fn beta() -> ServiceSnapshot {
    ServiceSnapshot {
        name: name("beta"),
        critical: false,
        state: State::Backoff,
        cause: "exited with code 1".to_owned(),
        since: Time(2_000),
        run: None,
        generations: Vec::new(),
        generation: 1,
        restarts: 1,
        failures: 1,
        next_attempt: Some(Time(2_500)),
        last_exit: None,
        failing: Vec::new(),
        ..alpha()
    }
}
