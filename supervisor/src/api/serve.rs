//! Connections, from the door to their end.
//! Not here: who comes in (`doors`), what is asked (`router`).

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Api;
use super::access::{Door as Way, Guesses, HungUp, Rules};
use super::cache::Cache;
use super::doors::{ACCEPT_BACKOFF, Door, Guests, TcpDoor, UnixDoor};
use super::guest::{Answered, Guest, Leave};
use super::paced::Paced;
use super::router::router;
use super::site::{Actor, Reader, Site};

const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// What is being answered at the end may take so long.
const GRACE: Duration = Duration::from_millis(500);

/// What is listened on.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) unix: Option<UnixListener>,
    pub(crate) tcp: Option<TcpListener>,
}

/// Answers until `stop` is ready.
pub(crate) async fn serve(listeners: Listeners, api: Api, stop: impl Future<Output = ()>) {
    let cache = Arc::new(Cache::new(Arc::clone(&api.view), api.wall_offset_ms, api.instruments));
    let (ending, ends) = watch::channel(());
    let reader = Reader { cache, shown: api.shown, journal: api.journal };
    let actor = Actor {
        reader: reader.clone(),
        asks: api.asks,
        reloads: api.reloads,
        alert_tests: api.alert_tests,
        changes: api.changes,
    };
    let site = Site { reader, actor: Arc::new(actor) };
    let services = api.view.load().services.len();
    let unix = async {
        let Some(listener) = listeners.unix else { return };
        let insiders = router(&Way::Unix, &site);
        keep(UnixDoor { listener, insiders }, services, ends.clone()).await;
    };
    let tcp = async {
        let Some(listener) = listeners.tcp else { return };
        let Ok(bound) = listener.local_addr() else { return };
        let rules = Rules { bound, view: api.view.clone(), token: api.token, guesses: Guesses::default() };
        let all = router(&Way::Tcp(Arc::new(rules)), &site);
        keep(TcpDoor { listener, all }, services, ends.clone()).await;
    };
    let end = async {
        stop.await;
        drop(ending);
    };
    tokio::join!(unix, tcp, end);
}

async fn keep<D: Door>(door: D, services: usize, mut ends: watch::Receiver<()>) {
    let mut guests = Guests::new(D::PLACES, services);
    let mut tasks = JoinSet::new();
    let closed = ends.clone();
    let mut end = pin!(async move { while ends.changed().await.is_ok() {} });
    loop {
        let free = guests.have_place();
        if !free {
            guests.make_room();
        }
        tokio::select! {
            () = &mut end => break,
            Some(_) = tasks.join_next() => {}
            accepted = door.accept(), if free => match accepted {
                Ok((stream, router)) => {
                    if let Some(guest) = guests.admit(&stream) {
                        tasks.spawn(converse(stream, router, guest, closed.clone()));
                    }
                    // Those who came say what they want before they are taken for ones who say nothing.
                    tokio::task::yield_now().await;
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "the API cannot accept a connection");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }
    let last_words = async { while tasks.join_next().await.is_some() {} };
    // Whoever is still being answered then is cut off with the set.
    let _ = tokio::time::timeout(GRACE, last_words).await;
}

pub(super) async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    guest: Arc<Guest>,
    mut ends: watch::Receiver<()>,
) {
    let service = TowerToHyperService::new(router);
    let answer = |request| answered(&service, &guest, request);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // `Paced` tells a slow head from an idle connection.
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD)
        .max_header_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(Paced::new(stream, Arc::clone(&guest))), service_fn(answer));
    let mut connection = pin!(connection);
    let mut end = pin!(async move { while ends.changed().await.is_ok() {} });
    // A client that breaks off or talks nonsense is no event of ours.
    loop {
        tokio::select! {
            _ = connection.as_mut() => return,
            leave = guest.evicted() => match leave {
                Leave::AtOnce => return,
                Leave::Quietly => connection.as_mut().graceful_shutdown(),
                Leave::NotYet => {}
            },
            () = end.as_mut() => break,
        }
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

async fn answered(
    service: &TowerToHyperService<Router>,
    guest: &Arc<Guest>,
    request: Request<Incoming>,
) -> Result<Response<Answered>, HungUp> {
    let answering = guest.asked();
    let Ok(response): Result<Response<Body>, Infallible> = service.call(request).await;
    match response.extensions().get::<HungUp>() {
        Some(hung_up) => Err(*hung_up),
        None => Ok(response.map(|body| answering.with(body))),
    }
}
