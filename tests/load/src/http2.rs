//! The turn of a client that speaks HTTP/2 without TLS.
//! Not here: HTTP/1.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::{Failure, Tally};

/// What a client keeps from one turn to the next.
#[derive(Default)]
pub(crate) struct Kept {
    client: Option<SendRequest<Empty<Bytes>>>,
    connection: JoinSet<()>,
}

impl Kept {
    /// Asks once. A request that the server says it has not looked at is no answer and no loss.
    pub(crate) async fn turn(&mut self, address: SocketAddr, tally: &mut Tally) -> Result<(), Failure> {
        let began = Instant::now();
        let mut client = match self.usable().await {
            Some(client) => client,
            None => self.connect(address).await?,
        };
        match ask(&mut client).await {
            Ok(()) => {
                tally.answered(began.elapsed());
                self.client = Some(client);
                Ok(())
            }
            Err(Lost::NotLookedAt) => {
                tally.sent_anew += 1;
                Ok(())
            }
            Err(Lost::For(failure)) => Err(failure),
        }
    }

    /// The connection, unless it was told to go away: then it takes no more requests.
    async fn usable(&mut self) -> Option<SendRequest<Empty<Bytes>>> {
        let mut client = self.client.take()?;
        client.ready().await.is_ok().then_some(client)
    }

    async fn connect(&mut self, address: SocketAddr) -> Result<SendRequest<Empty<Bytes>>, Failure> {
        let stream = TcpStream::connect(address).await.map_err(|error| Failure::from(&error))?;
        stream.set_nodelay(true).map_err(|error| Failure::from(&error))?;
        let (client, connection) =
            handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(|_| Failure::Eof)?;
        self.connection.spawn(async move {
            // What goes wrong is seen by the request.
            let _ = connection.await;
        });
        while self.connection.try_join_next().is_some() {}
        Ok(client)
    }
}

enum Lost {
    NotLookedAt,
    For(Failure),
}

async fn ask(client: &mut SendRequest<Empty<Bytes>>) -> Result<(), Lost> {
    let request = Request::get("http://load/slow/2").body(Empty::new()).map_err(|_| Lost::For(Failure::Other))?;
    let answer = tokio::time::timeout(Duration::from_secs(20), client.send_request(request)).await;
    let answer = answer.map_err(|_| Lost::For(Failure::Late))?.map_err(|error| lost(&error))?;
    if answer.status() != 200 {
        return Err(Lost::For(Failure::Status));
    }
    let body = answer.into_body().collect().await.map_err(|_| Lost::For(Failure::Short))?.to_bytes();
    if body == b"done"[..] { Ok(()) } else { Err(Lost::For(Failure::Short)) }
}

/// A stream beyond the last one that GOAWAY names, or refused by name, was not looked at (RFC 9113, 6.8 and 8.7).
fn lost(error: &hyper::Error) -> Lost {
    if error.is_canceled() {
        return Lost::NotLookedAt;
    }
    let cause = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    let reason = cause.and_then(h2::Error::reason);
    let away = cause.is_some_and(h2::Error::is_go_away);
    match reason {
        Some(h2::Reason::REFUSED_STREAM) => Lost::NotLookedAt,
        Some(h2::Reason::NO_ERROR) if away => Lost::NotLookedAt,
        _ => Lost::For(Failure::Eof),
    }
}
