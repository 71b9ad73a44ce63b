//! What every HTTP service does alike: its listener, readiness, drain, health, logs and problem documents.
//! Not here: what any one service is for, and nothing of the supervisor: the two meet in environment variables,
//! signals and datagrams only.
#![warn(missing_docs)]

mod base_url;
mod connection;
mod door;
mod drain;
mod env;
mod heads;
mod health;
mod listen;
mod log;
pub mod mcp;
mod notify;
mod observed;
mod platform;
mod presence;
pub mod problem;
pub mod public;
mod routes;
mod server;
mod stage;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

pub use base_url::{BaseUrl, NotABaseUrl};
pub use drain::{Drain, Ending, SERVICE_RESTART};
pub use env::{ConfigError, Env};
pub use listen::ListenError;
pub use routes::{Fitness, Peer, Routes, Vital, Vitals};

/// One service: what the kit must know to run it.
pub struct Service {
    /// Its name, lower case: `mail`. In capitals it begins the names of its variables: `MAIL_PORT`.
    pub name: &'static str,
    /// One line for `--help`.
    pub about: &'static str,
    /// Its version, as `--version` and `/health` tell it.
    pub version: &'static str,
    /// Its port when nothing else is said.
    pub port: u16,
    /// The port for programs of this machine when nothing else is said; `None`: there is no such socket.
    pub private_port: Option<u16>,
    /// What it is meant to do and does not do yet; told by `/health`. Empty: it is whole.
    pub not_yet: &'static [&'static str],
    /// Its bounds.
    pub limits: Limits,
}

/// The bounds of a service, each with the value that `Default` gives.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; beyond it none is accepted and clients queue in the kernel. 960: with what else is
    /// open it stays below the usual soft limit of 1,024 descriptors.
    pub connections: usize,
    /// The body of a request, in bytes. 4 MiB.
    pub body: usize,
    /// From the first byte of a request to the end of its head; also how long a connection may stay silent before
    /// its first request. 5 s.
    pub head: Duration,
    /// How long a client may neither send more of a body nor take more of an answer. 60 s, as in nginx.
    pub stall: Duration,
    /// How long a connection stays open between two requests. 75 s: longer than the proxies in front keep theirs
    /// (nginx 60 s), so that it is the proxy which closes and no request meets a closing connection.
    pub keep_alive: Duration,
    /// How long an idle connection stays open after the signal to stop: requests that were on the wire are still
    /// answered. 250 ms: one long round trip, and hardly felt in a restart.
    pub stop_grace: Duration,
    /// How long an idle connection stays open once a successor serves. 5 s: longer than most clients pause between
    /// two requests. Never more than half of the time that the drain has.
    pub lame: Duration,
    /// How long after a successor serves an answer without an end (server-sent events, a WebSocket) goes on, unless
    /// the supervisor says otherwise. 5 s. Never more than half of the time that the drain has.
    pub close_after: Duration,
    /// Over how long the ends of such answers are spread, so that not all clients come back at once. 2 s. Never
    /// more than a quarter of the time that the drain has.
    pub spread: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 960,
            body: 4 << 20,
            head: Duration::from_secs(5),
            stall: Duration::from_secs(60),
            keep_alive: Duration::from_secs(75),
            stop_grace: Duration::from_millis(250),
            lame: Duration::from_secs(5),
            close_after: Duration::from_secs(5),
            spread: Duration::from_secs(2),
        }
    }
}

/// What a service is given to build its routes from.
pub struct Setup<'a> {
    /// The configuration.
    pub env: &'a Env,
    /// Where the world finds this service.
    pub base: BaseUrl,
}

/// The whole life of a service, from the command line to the exit code: 0 after a drain, 1 when it cannot listen,
/// 2 when the command line or the configuration is wrong.
///
/// `routes` builds the service's own routes; `/health` and the problem documents are added to them.
pub fn run<R: Into<Routes>>(service: &Service, routes: impl FnOnce(&Setup<'_>) -> Result<R, ConfigError>) -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    match (arguments.next().as_deref(), arguments.next()) {
        (None, None) => {}
        (Some("--help" | "-h"), None) => return say(&help(service)),
        (Some("--version" | "-V"), None) => return say(&format!("{} {}", service.name, service.version)),
        (Some(argument), _) => {
            let complaint = format!("unexpected argument `{argument}`; see `{} --help`", service.name);
            return complain(service, &complaint, ExitCode::from(2));
        }
        (None, Some(_)) => unreachable!("an iterator over arguments goes on only after its first"),
    }
    serve(service, routes)
}

/// As `run`, for a program that deals with its command line itself.
pub fn serve<R: Into<Routes>>(
    service: &Service,
    routes: impl FnOnce(&Setup<'_>) -> Result<R, ConfigError>,
) -> ExitCode {
    match start(service, routes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ StartError::Config(_)) => complain(service, &error.to_string(), ExitCode::from(2)),
        Err(error @ (StartError::Listen(_) | StartError::Runtime(_))) => {
            complain(service, &error.to_string(), ExitCode::FAILURE)
        }
    }
}

/// Why a service did not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("cannot start the runtime: {0}")]
    Runtime(std::io::Error),
}

fn start<R: Into<Routes>>(
    service: &Service,
    routes: impl FnOnce(&Setup<'_>) -> Result<R, ConfigError>,
) -> Result<(), StartError> {
    let env = Env::load()?;
    log::start(service.name, &env)?;
    let drain = server::DrainTime::new(&env, &service.limits)?;
    let generation = env.number("SUPERVISOR_GENERATION", "a number")?;
    // Sockets come before the runtime: taking them over edits the environment, which needs a single thread.
    let listeners = listen::obtain(service, &env)?;
    let base = BaseUrl::of_listener(service, &env, &listeners.main)?;
    let routes = routes(&Setup { env: &env, base: base.clone() })?.into();
    let notifier = notify::Notifier::from_env();
    let watchdog = notify::watchdog_period(&env)?;

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(1, usize::from).min(4))
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    let server = server::Server { service, generation, base, drain, notifier, watchdog };
    let served = runtime.block_on(server.serve(listeners, routes));
    // A blocking call that hangs (a full disk, a dead mount) must not hold up the exit.
    runtime.shutdown_background();
    served.map_err(StartError::Runtime)
}

fn help(service: &Service) -> String {
    let (name, upper, port) = (service.name, service.name.to_uppercase(), service.port);
    format!(
        "{about}

Usage: {name} [--help | --version]

It is configured by its environment and, when it is run by hand, by `.env` in the current directory:
  {upper}_PORT      the port to listen on (default {port}); PORT wins over it
  {upper}_HOST      the address to listen on (default 127.0.0.1)
  {upper}_BASE_URL  where clients find it (default: where it listens); https, or http on loopback
  {upper}_LOG       error, warn, info, debug or trace (default info)
A listener passed by LISTEN_FDS is taken before any of these. All variables: .env.example

Signals: TERM and INT stop it (a second one at once); USR2 says that a successor serves.
GET /health tells how it is.",
        about = service.about,
    )
}

/// Who reads no further has what they wanted.
fn say(text: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

#[expect(clippy::print_stderr, reason = "why it did not start is for the person who started it")]
fn complain(service: &Service, complaint: &str, code: ExitCode) -> ExitCode {
    eprintln!("{}: {complaint}", service.name);
    code
}
