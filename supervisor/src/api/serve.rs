//! Connections: how many, how long, and of whom.
//! Not here: what is asked (`router`).

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::Api;
use super::access::{Door, Rules};
use super::cache::Cache;
use super::paced::Paced;
use super::router::{forbidden, router};
use super::site::{Actor, Reader, Site};

/// Further ones wait in the kernel's queue until one of these ends.
const TCP_CONNECTIONS: usize = 128;
/// Its own budget, so that the operator gets in whatever happens on TCP.
const UNIX_CONNECTIONS: usize = 64;
/// A head must arrive within this; a kept connection without a next request ends after it, too.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// Without file descriptors or memory, accepting waits this long; trying at once would burn the CPU.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// What is being answered at the end may take so long.
const GRACE: Duration = Duration::from_millis(500);

/// What is listened on.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) unix: UnixListener,
    pub(crate) tcp: Option<TcpListener>,
}

/// Answers until `stop` is ready.
pub(crate) async fn serve(listeners: Listeners, api: Api, stop: impl Future<Output = ()>) {
    let cache = Arc::new(Cache::new(Arc::clone(&api.view), api.wall_offset_ms, api.instruments));
    let (ending, ends) = watch::channel(());
    let reader = Reader { cache, shown: api.shown, journal: api.journal };
    let site = Site { reader: reader.clone(), actor: Arc::new(Actor { reader, asks: api.asks }) };
    let insiders = router(&Door::Unix, &site);
    let unix = keep_door(UnixDoor { listener: listeners.unix, insiders }, UNIX_CONNECTIONS, ends.clone());
    let tcp = async {
        let Some(listener) = listeners.tcp else { return };
        let Ok(bound) = listener.local_addr() else { return };
        let rules = Rules { bound, view: api.view, token: api.token };
        let all = router(&Door::Tcp(Arc::new(rules)), &site);
        keep_door(TcpDoor { listener, all }, TCP_CONNECTIONS, ends).await;
    };
    let end = async {
        stop.await;
        drop(ending);
    };
    tokio::join!(unix, tcp, end);
}

/// A listener, and what those who come through it may see.
trait Entrance {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    async fn accept(&self) -> io::Result<(Self::Stream, Router)>;
}

struct UnixDoor {
    listener: UnixListener,
    insiders: Router,
}

impl Entrance for UnixDoor {
    type Stream = tokio::net::UnixStream;

    async fn accept(&self) -> io::Result<(Self::Stream, Router)> {
        let (stream, _) = self.listener.accept().await?;
        let peer = stream.peer_cred()?.uid();
        let us = nix::unistd::Uid::effective().as_raw();
        let router = if is_insider(peer, us) { self.insiders.clone() } else { forbidden() };
        Ok((stream, router))
    }
}

/// Modes may have been loosened by hand: the kernel's word on the peer counts.
pub(super) fn is_insider(peer: u32, us: u32) -> bool {
    peer == us || peer == 0
}

struct TcpDoor {
    listener: TcpListener,
    all: Router,
}

impl Entrance for TcpDoor {
    type Stream = tokio::net::TcpStream;

    async fn accept(&self) -> io::Result<(Self::Stream, Router)> {
        let (stream, _peer): (_, SocketAddr) = self.listener.accept().await?;
        // Answers are small and whole: waiting for more to send only delays them.
        stream.set_nodelay(true)?;
        Ok((stream, self.all.clone()))
    }
}

async fn keep_door(entrance: impl Entrance, connections: usize, mut ends: watch::Receiver<()>) {
    let places = Arc::new(Semaphore::new(connections));
    let mut tasks = JoinSet::new();
    let closed = ends.clone();
    let mut end = pin!(async move { while ends.changed().await.is_ok() {} });
    loop {
        let next = async {
            // The semaphore is never closed.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (entrance.accept().await, place)
        };
        tokio::select! {
            () = &mut end => break,
            Some(_) = tasks.join_next() => {}
            (accepted, place) = next => match accepted {
                Ok((stream, router)) => {
                    let closed = closed.clone();
                    tasks.spawn(async move {
                        converse(stream, router, closed).await;
                        drop(place);
                    });
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

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, router: Router, mut ends: watch::Receiver<()>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_header_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(Paced::new(stream)), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    // A client that breaks off or talks nonsense is no event of ours.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = async { while ends.changed().await.is_ok() {} } => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
