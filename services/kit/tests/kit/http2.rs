//! HTTP/2 without TLS, as proxies and gRPC clients speak it: answers, and the goodbye that loses none.
//! Not here: HTTP/1.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nix::sys::signal::Signal;

use crate::{kit_server, started};

type Client = SendRequest<Empty<Bytes>>;

async fn connect(address: SocketAddr) -> Client {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "it ends with its client, and the test with its runtime")]
    tokio::spawn(connection);
    client
}

async fn get(client: &mut Client, path: &str) -> hyper::Result<(u16, usize)> {
    let request = Request::get(format!("http://test{path}")).body(Empty::new()).unwrap();
    let response = client.send_request(request).await?;
    let status = response.status().as_u16();
    Ok((status, response.into_body().collect().await?.to_bytes().len()))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn a_connection_answers_many_requests_at_once() {
    let child = started(kit_server());
    runtime().block_on(async {
        let client = connect(child.ready()).await;
        let mut asked = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let mut client = client.clone();
            asked.spawn(async move { get(&mut client, "/slow/50").await.unwrap() });
        }
        assert!(asked.join_all().await.into_iter().all(|answer| answer == (200, 4)));
    });
}

#[test]
fn fifty_streams_at_a_drain_all_finish_and_the_connection_goes_away() {
    for signal in [Signal::SIGTERM, Signal::SIGUSR2] {
        let mut child = started(kit_server());
        runtime().block_on(async {
            let client = connect(child.ready()).await;
            let mut asked = tokio::task::JoinSet::new();
            for _ in 0..50 {
                let mut client = client.clone();
                asked.spawn(async move { get(&mut client, "/slow/500").await.unwrap() });
            }
            // A second connection is answered after the requests of the first have arrived.
            let mut other = connect(child.ready()).await;
            get(&mut other, "/slow/50").await.unwrap();
            child.signal(signal);
            assert!(asked.join_all().await.into_iter().all(|answer| answer == (200, 4)), "{signal}");
            let mut client = client;
            assert!(get(&mut client, "/slow/1").await.is_err(), "it was told to connect anew");
        });
        assert_eq!(child.code(), 0, "{signal}");
        assert!(child.logged("ended")["drained"].as_u64().unwrap() >= 1);
    }
}

/// A client that connects anew when it was told to go away, and counts what was lost: a request that hyper says was
/// not sent, or not processed, is sent again, as RFC 9113 allows.
async fn ask_for_ever(address: SocketAddr, answered: &AtomicUsize) -> usize {
    let mut lost = 0;
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_secs(1), tokio::net::TcpStream::connect(address)).await
    {
        let Ok((mut client, connection)) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await else {
            return lost;
        };
        #[expect(clippy::disallowed_methods, reason = "it ends with its client, and the test with its runtime")]
        tokio::spawn(connection);
        while client.ready().await.is_ok() {
            match get(&mut client, "/slow/5").await {
                Ok((200, 4)) => _ = answered.fetch_add(1, Ordering::Relaxed),
                Ok(_) => lost += 1,
                Err(error) if error.is_canceled() || is_refused(&error) => {}
                Err(_) => lost += 1,
            }
        }
    }
    lost
}

fn is_refused(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| {
        cause.reason() == Some(h2::Reason::REFUSED_STREAM) || cause.reason() == Some(h2::Reason::NO_ERROR)
    })
}

#[test]
fn a_drain_under_load_loses_no_stream() {
    let mut child = started(kit_server());
    let address = child.ready();
    let answered = Arc::new(AtomicUsize::new(0));
    runtime().block_on(async {
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let answered = Arc::clone(&answered);
            clients.spawn(async move { ask_for_ever(address, &answered).await });
        }
        while answered.load(Ordering::Relaxed) < 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        child.signal(Signal::SIGUSR2);
        assert_eq!(clients.join_all().await.into_iter().sum::<usize>(), 0);
    });
    assert_eq!(child.code(), 0);
}
