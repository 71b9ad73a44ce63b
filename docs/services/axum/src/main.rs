//! A service on axum that is restarted without losing a request.
//! Not here: limits and timeouts, which a service open to the world needs.

use std::future::{IntoFuture, pending};
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CONNECTION, HeaderValue};
use axum::middleware::map_response_with_state;
use axum::response::Response;
use axum::routing::get;
use axum::serve::Listener;
use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

type Drains = watch::Receiver<Option<Duration>>;

#[tokio::main]
async fn main() -> io::Result<()> {
    let (mut term, mut handed_over) = (signal(SignalKind::terminate())?, signal(SignalKind::user_defined2())?);
    // Set when a drain begins: how long idle connections stay open.
    let (drain, drains) = watch::channel(None);
    let app = Router::new()
        .route("/", get(|| async { "ok" }))
        .route("/slow/200", get(slow))
        .layer(map_response_with_state(drains.clone(), last_answers));
    let listener = Retiring { listener: Some(listen()?), drains: drains.clone() };
    let server = axum::serve(listener, app).with_graceful_shutdown(idle_closes(drains));
    let mut served = pin!(server.into_future());
    tell("READY=1")?;
    let (whole, idle) = tokio::select! {
        ended = &mut served => return ended,
        // A successor serves.
        _ = handed_over.recv() => (span("SUPERVISOR_DRAIN_TIMEOUT_MS"), Duration::from_secs(5)),
        _ = term.recv() => (span("SUPERVISOR_STOP_TIMEOUT_MS"), Duration::from_millis(250)),
    };
    drain.send_replace(Some(idle.min(whole / 2)));
    // What is not answered by then is cut off.
    timeout(whole, served).await.unwrap_or(Ok(()))
}

/// Not at once: the next request of an idle connection may be on the wire.
async fn idle_closes(mut drains: Drains) {
    let idle = drains.wait_for(Option::is_some).await.map_or(None, |idle| *idle);
    sleep(idle.unwrap_or_default()).await;
}

async fn slow() -> &'static str {
    sleep(Duration::from_millis(200)).await;
    "done"
}

/// Once we drain, every answer is the last of its connection.
async fn last_answers(State(drains): State<Drains>, mut response: Response) -> Response {
    if drains.borrow().is_some() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A listener that takes no more once it is told to: axum's own shutdown closes idle connections in the same moment.
struct Retiring {
    listener: Option<TcpListener>,
    drains: Drains,
}

impl Listener for Retiring {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        if let Some(listener) = &mut self.listener {
            tokio::select! {
                (stream, address) = Listener::accept(listener) => {
                    let _ = stream.set_nodelay(true);
                    return (stream, address);
                }
                _ = self.drains.wait_for(Option::is_some) => {}
            }
        }
        // Only our descriptor: the socket is shared with the successor.
        self.listener = None;
        pending().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.as_ref().map_or(Err(io::ErrorKind::NotConnected.into()), TcpListener::local_addr)
    }
}

/// The inherited listener called `http`, else one on PORT.
fn listen() -> io::Result<TcpListener> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let inherited = match names.split(':').position(|name| name == "http") {
        Some(place) => ListenFd::from_env().take_tcp_listener(place)?,
        None => None,
    };
    let listener = match inherited {
        Some(listener) => listener,
        None => {
            let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8012);
            std::net::TcpListener::bind(("127.0.0.1", port))?
        }
    };
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Tells the supervisor, as sd_notify does.
fn tell(message: &str) -> io::Result<()> {
    if let Some(path) = std::env::var_os("NOTIFY_SOCKET") {
        UnixDatagram::unbound()?.send_to(message.as_bytes(), path)?;
    }
    Ok(())
}

/// A second less than the supervisor waits.
fn span(name: &str) -> Duration {
    let ms = std::env::var(name).ok().and_then(|ms| ms.parse().ok()).unwrap_or(10_000);
    Duration::from_millis(ms).saturating_sub(Duration::from_secs(1))
}
