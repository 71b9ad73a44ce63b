//! From the connection to the room that answers, with whatever was scripted in between.
//! Not here: answers.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::JoinSet;

use crate::call::Call;
use crate::entra::fault::Fault;
use crate::journal::Rule;
use crate::reply::Reply;
use crate::script::{self, Script, Then};
use crate::world::World;
use crate::{Shared, control, entra, graph};

/// Connections at once; further ones wait in the kernel.
const CONNECTIONS: usize = 256;

/// 8 MiB: more than any request of ours has.
const BODY: usize = 8 << 20;

const HEAD: Duration = Duration::from_secs(10);

/// The longest scripted delay, in milliseconds.
const DELAY: u32 = 60_000;

/// Loopback only, whatever anybody says: there is no password here.
pub(crate) fn bind(port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

pub(crate) async fn serve(listener: TcpListener, shared: Shared) -> io::Result<Infallible> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            // No descriptors, or a client that is gone already: later.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let shared = shared.clone();
        connections.spawn(async move {
            let service = service_fn(|request| answer(shared.clone(), request));
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD);
            let _its_own_end = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The connection is to end without an answer.
#[derive(Debug)]
struct HungUp;

impl std::fmt::Display for HungUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("hung up, as scripted")
    }
}

impl std::error::Error for HungUp {}

async fn answer(shared: Shared, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, HungUp> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY).collect().await else {
        return Ok(
            Reply::text(StatusCode::PAYLOAD_TOO_LARGE, "a body that is too large or was cut off").into_response()
        );
    };
    let mut call = Call::new(head.method, &head.uri, head.headers, body.to_bytes());
    if !asked_for_here(&call) {
        return Ok(Reply::text(StatusCode::MISDIRECTED_REQUEST, "not a name of this machine").into_response());
    }
    if let [control::ROOM, rest @ ..] = call.segments().as_slice() {
        return Ok(control::answer(&mut shared.lock(), &call, rest).into_response());
    }
    let script = {
        let mut world = shared.lock();
        call.number = world.journal.begin(call.entry());
        call.place().and_then(|place| script::next(&mut world.scripts, place, &call.path))
    };
    let delay = script.as_ref().map_or(0, |script| script.delay_ms.min(DELAY));
    tokio::time::sleep(Duration::from_millis(delay.into())).await;
    let mut world = shared.lock();
    let reply = carry_out(&mut world, &call, script)?;
    world.journal.end(call.number, reply.status());
    Ok(reply.into_response())
}

fn carry_out(world: &mut World, call: &Call, script: Option<Script>) -> Result<Reply, HungUp> {
    match script.map_or(Then::Proceed, |script| script.then) {
        Then::Proceed => Ok(route(world, call, None)),
        Then::Error(fault) => Ok(route(world, call, Some(fault))),
        Then::Reply(canned) => Ok(canned.into()),
        Then::HangUp => Err(HungUp),
        Then::LoseAnswer => {
            route(world, call, None);
            Err(HungUp)
        }
    }
}

fn route(world: &mut World, call: &Call, fault: Option<Fault>) -> Reply {
    match call.segments().as_slice() {
        [""] => Reply::page(StatusCode::OK, control::front(world)),
        ["health"] => Reply::text(StatusCode::OK, "healthy"),
        ["favicon.ico"] => Reply::empty(StatusCode::NO_CONTENT),
        [graph::VERSION, rest @ ..] => graph::answer(world, call, rest),
        [tenant, rest @ ..] => entra::answer(world, call, tenant, rest, fault),
        [] => unknown(world, call),
    }
}

pub(crate) fn unknown(world: &mut World, call: &Call) -> Reply {
    let what = format!("{} {}", call.method, call.path);
    world.violated(call, Rule::KnownPath, what.as_str());
    Reply::text(StatusCode::NOT_FOUND, &format!("{what}: there is no such thing here"))
}

/// A page of the internet must not reach us by a name of its own that leads to loopback.
fn asked_for_here(call: &Call) -> bool {
    let host = call.header(HOST).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    matches!(name, "127.0.0.1" | "localhost")
}
