//! A service on hyper alone that is restarted without losing a request.
//! Not here: limits and timeouts, which a service open to the world needs.
#![allow(clippy::print_stderr, reason = "an example for a terminal")]

use std::convert::Infallible;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long a drain may take, and how long idle connections stay open in it.
#[derive(Clone, Copy)]
struct Drain {
    whole: Duration,
    idle: Duration,
}

async fn answer(request: Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path() == "/slow/200" {
        sleep(Duration::from_millis(200)).await;
        return Response::new(Full::from("done"));
    }
    Response::new(Full::from("ok"))
}

fn main() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve())
}

async fn serve() -> io::Result<()> {
    let (mut term, mut handed_over) = (signal(SignalKind::terminate())?, signal(SignalKind::user_defined2())?);
    let listener = listen()?;
    let (close_idle, idle_closes) = watch::channel(false);
    let draining = Arc::new(AtomicBool::new(false));
    let mut connections = JoinSet::new();
    tell("READY=1")?;
    let drain = loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let _ = stream.set_nodelay(true);
                    connections.spawn(connection(stream, Arc::clone(&draining), idle_closes.clone()));
                }
                Err(error) => {
                    eprintln!("cannot accept: {error}");
                    sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            // A successor serves.
            _ = handed_over.recv() => break Drain { whole: span("SUPERVISOR_DRAIN_TIMEOUT_MS"), idle: Duration::from_secs(5) },
            _ = term.recv() => break Drain { whole: span("SUPERVISOR_STOP_TIMEOUT_MS"), idle: Duration::from_millis(250) },
        }
    };
    // Only our descriptor: the socket is shared with the successor.
    drop(listener);
    draining.store(true, Ordering::Relaxed);
    let all_gone = async { while connections.join_next().await.is_some() {} };
    let seen_off = async {
        // Not at once: the next request of an idle connection may be on the wire.
        sleep(drain.idle.min(drain.whole / 2)).await;
        close_idle.send_replace(true);
        std::future::pending::<()>().await;
    };
    let _ = timeout(drain.whole, async {
        tokio::select! {
            () = all_gone => {}
            () = seen_off => {}
        }
    })
    .await;
    Ok(())
}

async fn connection(stream: TcpStream, draining: Arc<AtomicBool>, mut idle_closes: watch::Receiver<bool>) {
    let service = service_fn(|request| {
        let draining = Arc::clone(&draining);
        async move {
            let mut response = answer(request).await;
            if draining.load(Ordering::Relaxed) {
                // hyper closes after it, and the client knows that it must connect anew.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = std::pin::pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    // An error is the client's doing: it went away, or spoke no HTTP.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = async { drop(idle_closes.wait_for(|close| *close).await) } => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// The inherited listener called `http`, else one on PORT.
fn listen() -> io::Result<TcpListener> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let place = names.split(':').position(|name| name == "http");
    let inherited = match place {
        Some(place) => ListenFd::from_env().take_tcp_listener(place)?,
        None => None,
    };
    let listener = match inherited {
        Some(listener) => listener,
        None => {
            let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8013);
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
