//! A run from readiness to the last connection: signals, the two drains, the watchdog, the probe socket.
//! Not here: single connections, and how sockets are come by.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::door::{Door, Guests};
use crate::env::{ConfigError, Env};
use crate::listen::{Listeners, Main, Owner, Socket};
use crate::notify::Notifier;
use crate::routes::{Routes, Vitals, for_this_machine};
use crate::{BaseUrl, Limits, Service, health, problem};

/// Connections on the supervisor's private socket.
const PROBE_CONNECTIONS: usize = 16;

/// What connections must know of the drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    /// Every answer is the last of its connection, and a connection that is idle then is closed.
    Draining {
        idle_until: Instant,
        /// Answers without an end come to one from here on, spread over `spread`.
        close_from: Instant,
        spread: Duration,
    },
}

/// How long the two drains may take, and what they leave to whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DrainTime {
    hand_over: Span,
    stop: Span,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    whole: Duration,
    idle: Duration,
    close_after: Duration,
    spread: Duration,
}

impl DrainTime {
    /// A second less than the supervisor waits, so that it never has to kill.
    pub(crate) fn new(env: &Env, limits: &Limits) -> Result<Self, ConfigError> {
        let ms = |name: &str| {
            let given = env.number(name, "a number of milliseconds")?;
            Ok::<_, ConfigError>(given.map(Duration::from_millis))
        };
        let drain = ms("SUPERVISOR_DRAIN_TIMEOUT_MS")?.unwrap_or(Duration::from_secs(10));
        let stop = ms("SUPERVISOR_STOP_TIMEOUT_MS")?.unwrap_or(drain);
        let close_after = ms("SUPERVISOR_LONG_LIVED_CLOSE_AFTER_MS")?.unwrap_or(limits.close_after);
        let spread = ms("SUPERVISOR_LONG_LIVED_SPREAD_MS")?.unwrap_or(limits.spread);
        Ok(Self {
            hand_over: Span::new(drain, limits.lame, close_after, spread),
            // Nobody else serves: what has no end ends now.
            stop: Span::new(stop, limits.stop_grace, Duration::ZERO, spread),
        })
    }
}

impl Span {
    fn new(given: Duration, idle: Duration, close_after: Duration, spread: Duration) -> Self {
        let whole = given - (given / 2).min(Duration::from_secs(1));
        Self {
            whole,
            idle: idle.min(whole / 2),
            close_after: close_after.min(whole / 2),
            spread: spread.min(whole / 4),
        }
    }

    fn phase(self) -> Phase {
        let now = Instant::now();
        Phase::Draining { idle_until: now + self.idle, close_from: now + self.close_after, spread: self.spread }
    }
}

/// All that a run is made of, but its sockets and routes.
pub(crate) struct Server<'a> {
    pub(crate) service: &'a Service,
    pub(crate) generation: Option<u64>,
    pub(crate) base: BaseUrl,
    pub(crate) drain: DrainTime,
    pub(crate) notifier: Notifier,
    pub(crate) watchdog: Option<Duration>,
}

/// Returns when all are closed and nobody is inside.
async fn tend_all(doors: &mut [(Door, Owner)]) {
    match doors {
        [] => {}
        [(door, _)] => door.tend().await,
        // At most two: the public one and the private one.
        [(door, _), (other, _), ..] => _ = tokio::join!(door.tend(), other.tend()),
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    Serving,
    /// A successor serves: our clients are handed over as they come.
    LameDuck {
        until: Instant,
    },
    /// We were told to end.
    Stopping {
        until: Instant,
    },
}

#[derive(Debug, Clone, Copy)]
enum Asked {
    ToStop,
    ToHandOver,
}

enum Verdict {
    Stay,
    Enter(State),
    EndNow,
}

impl Server<'_> {
    /// Serves until it has been told to end and has ended.
    ///
    /// # Errors
    /// When the runtime cannot take the sockets or the signals.
    pub(crate) async fn serve(&self, listeners: Listeners, routes: Routes) -> io::Result<()> {
        let mut signals = Signals::listen()?;
        let (phase, watched) = watch::channel(Phase::Serving);
        let router = self.complete(routes.public, routes.vitals.clone(), watched.clone());
        let private = for_this_machine(self.complete(routes.private, routes.vitals, watched.clone()));
        let address = |main: &Main| main.socket.tcp_address();
        let (public_at, private_at) = (address(&listeners.main), listeners.private.as_ref().and_then(address));
        let mut doors = Vec::new();
        for (main, router) in [(Some(listeners.main), router.clone()), (listeners.private, private)] {
            if let Some(Main { socket, owner }) = main {
                let guests = Guests { router, phase: watched.clone(), limits: self.service.limits };
                doors.push((Door::open(socket, guests)?, owner));
            }
        }
        let helpers = self.helpers(listeners.probe, router)?;
        self.tell_ready(public_at, private_at).await;

        let mut state = State::Serving;
        let mut guests = 0;
        loop {
            let until = state.until();
            tokio::select! {
                () = tend_all(&mut doors) => break,
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => break,
                asked = signals.next() => match state.asked(asked, self.drain) {
                    Verdict::Stay => {}
                    Verdict::EndNow => break,
                    Verdict::Enter(next) => {
                        state = next;
                        phase.send_replace(state.phase(self.drain));
                        doors.iter_mut().for_each(|(door, owner)| door.close(*owner));
                        let inside = doors.iter().map(|(door, _)| door.inside()).sum();
                        guests = guests.max(inside);
                        self.tell_draining(state, inside).await;
                    }
                },
            }
        }
        let cut = doors.iter_mut().map(|(door, _)| door.clear()).sum();
        self.tell_ended(guests, cut).await;
        drop(helpers);
        Ok(())
    }

    /// The routes, and what every service has.
    fn complete(&self, routes: Router, vitals: Option<Vitals>, phase: watch::Receiver<Phase>) -> Router {
        routes
            .merge(health::route(self.service, self.generation, vitals, phase))
            .layer(DefaultBodyLimit::max(self.service.limits.body))
            .layer(middleware::map_response(problem::dress))
            .layer(middleware::from_fn(log_request))
    }

    /// What runs beside the public door until the very end. The probe socket keeps answering during a drain.
    fn helpers(&self, probe: Option<Socket>, router: Router) -> io::Result<JoinSet<()>> {
        let mut helpers = JoinSet::new();
        if let Some(socket) = probe {
            let limits = Limits { connections: PROBE_CONNECTIONS, ..self.service.limits };
            let (kept, phase) = watch::channel(Phase::Serving);
            let mut door = Door::open(socket, Guests { router, phase, limits })?;
            helpers.spawn(async move {
                door.tend().await;
                drop(kept);
            });
        }
        if let Some(period) = self.watchdog {
            helpers.spawn(self.notifier.clone().keep_watchdog_quiet(period));
        }
        Ok(helpers)
    }

    async fn tell_ready(&self, address: Option<SocketAddr>, private: Option<SocketAddr>) {
        let address = address.map_or_else(|| "a unix socket".to_owned(), |address| address.to_string());
        let Service { name, version, .. } = self.service;
        let (generation, base_url) = (self.generation, self.base.to_string());
        let (pid, private) = (std::process::id(), private.map(|address| address.to_string()));
        tracing::info!(service = name, version, generation, pid, address, private, base_url, "ready");
        self.notifier.send(format!("READY=1\nSTATUS=listening on {address}")).await;
    }

    async fn tell_draining(&self, state: State, connections: usize) {
        let why = match state {
            State::Serving => return,
            State::LameDuck { .. } => "a successor serves",
            State::Stopping { .. } => "told to stop",
        };
        tracing::info!(service = self.service.name, generation = self.generation, why, connections, "draining");
        self.notifier.send(format!("STOPPING=1\nSTATUS=draining {connections} connections: {why}")).await;
    }

    async fn tell_ended(&self, guests: usize, cut: usize) {
        let (service, generation, drained) = (self.service.name, self.generation, guests.saturating_sub(cut));
        if cut == 0 {
            tracing::info!(service, generation, drained, "ended");
        } else {
            tracing::warn!(service, generation, drained, cut, "ended; connections were cut off");
        }
        self.notifier.send(format!("X_DRAINED={drained}\nX_CUT={cut}")).await;
    }
}

impl State {
    fn asked(self, asked: Asked, drain: DrainTime) -> Verdict {
        let until = |span: Span| Instant::now() + span.whole;
        match (self, asked) {
            (Self::Serving, Asked::ToHandOver) => Verdict::Enter(Self::LameDuck { until: until(drain.hand_over) }),
            (Self::Serving | Self::LameDuck { .. }, Asked::ToStop) => {
                Verdict::Enter(Self::Stopping { until: until(drain.stop) })
            }
            (Self::LameDuck { .. } | Self::Stopping { .. }, Asked::ToHandOver) => Verdict::Stay,
            (Self::Stopping { .. }, Asked::ToStop) => Verdict::EndNow,
        }
    }

    fn phase(self, drain: DrainTime) -> Phase {
        match self {
            Self::Serving => Phase::Serving,
            Self::LameDuck { .. } => drain.hand_over.phase(),
            Self::Stopping { .. } => drain.stop.phase(),
        }
    }

    fn until(self) -> Option<Instant> {
        match self {
            Self::Serving => None,
            Self::LameDuck { until } | Self::Stopping { until } => Some(until),
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hand_over: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hand_over: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::ToStop,
            _ = self.interrupt.recv() => Asked::ToStop,
            _ = self.hand_over.recv() => Asked::ToHandOver,
        }
    }
}

/// One line per request, at debug. The route rather than the path, and no query: both may carry secrets.
async fn log_request(request: Request, next: Next) -> Response {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return next.run(request).await;
    }
    let began = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    tracing::debug!(
        %method,
        route = route.as_ref().map_or("none", MatchedPath::as_str),
        status = response.status().as_u16(),
        ms = began.elapsed().as_secs_f64() * 1000.0,
        "request",
    );
    response
}
