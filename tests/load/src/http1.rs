//! One turn of each kind of client that speaks HTTP/1.
//! Not here: HTTP/2, and how often a turn comes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::wire::{Head, Wire};
use crate::{Failure, Kind, Tally};

/// A body that does not fit into one segment.
const UPLOAD: usize = 64 << 10;
/// It is sent in so many parts.
const PARTS: usize = 4;
/// An answer of `slow` takes so long.
const SLOW: Duration = Duration::from_millis(200);

/// What a client keeps from one turn to the next.
#[derive(Default)]
pub(crate) struct Kept {
    wire: Option<Wire>,
    events_open: bool,
}

impl Kept {
    /// Asks once. What it leaves in `self` is usable, or nothing.
    pub(crate) async fn turn(&mut self, address: SocketAddr, kind: Kind, tally: &mut Tally) -> Result<(), Failure> {
        let began = Instant::now();
        let reused = self.wire.take();
        let reused = match kind {
            Kind::Fresh => None,
            Kind::Pool => reused.filter(|wire| !wire.is_stale()),
            Kind::KeepAlive
            | Kind::Upload
            | Kind::Slow
            | Kind::Pipeline
            | Kind::Http2
            | Kind::Events
            | Kind::WebSocket => reused,
        };
        let fresh = reused.is_none();
        let mut wire = match reused {
            Some(wire) => wire,
            None => Wire::connect(address).await?,
        };
        let open = match kind {
            Kind::Fresh | Kind::KeepAlive | Kind::Pool => ask(&mut wire, "/", b"ok").await?,
            Kind::Slow => ask(&mut wire, &format!("/slow/{}", SLOW.as_millis()), b"done").await?,
            Kind::Upload => upload(&mut wire).await?,
            Kind::Pipeline => pipeline(&mut wire).await?,
            Kind::Events => self.event(&mut wire, tally).await?,
            Kind::WebSocket => say(&mut wire, fresh, tally).await?,
            Kind::Http2 => return Err(Failure::Other),
        };
        if open && kind != Kind::Fresh {
            self.wire = Some(wire);
        }
        tally.answered(began.elapsed());
        Ok(())
    }

    /// The next event; whether there may be another one.
    async fn event(&mut self, wire: &mut Wire, tally: &mut Tally) -> Result<bool, Failure> {
        if !self.events_open {
            wire.send(b"GET /events HTTP/1.1\r\nHost: load\r\n\r\n").await?;
            let head = wire.head().await?;
            if head.status != 200 {
                return Err(Failure::Status);
            }
            self.events_open = true;
        }
        let ended = wire.chunk().await.inspect_err(|_| self.events_open = false)?.is_empty();
        if ended {
            // A successor serves: it is asked on a new connection, as browsers do.
            self.events_open = false;
            tally.seen_off += 1;
        }
        Ok(!ended)
    }
}

fn right(head: &Head) -> Result<(), Failure> {
    if head.status == 200 { Ok(()) } else { Err(Failure::Status) }
}

/// Whether the connection may be used again.
async fn ask(wire: &mut Wire, path: &str, expected: &[u8]) -> Result<bool, Failure> {
    wire.send(format!("GET {path} HTTP/1.1\r\nHost: load\r\n\r\n").as_bytes()).await?;
    let head = wire.head().await?;
    right(&head)?;
    if wire.body(&head).await? == expected { Ok(!head.closes) } else { Err(Failure::Short) }
}

async fn upload(wire: &mut Wire) -> Result<bool, Failure> {
    wire.send(format!("POST /length HTTP/1.1\r\nHost: load\r\nContent-Length: {UPLOAD}\r\n\r\n").as_bytes()).await?;
    let part = vec![b'x'; UPLOAD / PARTS];
    for _ in 0..PARTS {
        sleep(Duration::from_millis(10)).await;
        wire.send(&part).await?;
    }
    let head = wire.head().await?;
    right(&head)?;
    if wire.body(&head).await? == UPLOAD.to_string().as_bytes() { Ok(!head.closes) } else { Err(Failure::Short) }
}

/// Three at once: after a goodbye the others are not expected, and are lost if it came too early.
async fn pipeline(wire: &mut Wire) -> Result<bool, Failure> {
    wire.send("GET / HTTP/1.1\r\nHost: load\r\n\r\n".repeat(3).as_bytes()).await?;
    let mut closes = false;
    for _ in 0..3 {
        let head = wire.head().await?;
        right(&head)?;
        wire.body(&head).await?;
        closes |= head.closes;
    }
    Ok(!closes)
}

/// Says something and waits for it to be said back.
async fn say(wire: &mut Wire, fresh: bool, tally: &mut Tally) -> Result<bool, Failure> {
    if fresh {
        wire.send(
            b"GET /socket HTTP/1.1\r\nHost: load\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await?;
        if wire.head().await?.status != 101 {
            return Err(Failure::Status);
        }
    }
    // A text frame of two bytes, with a mask of zeros.
    wire.send(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await?;
    match wire.frame().await? {
        (0x81, text) if text == b"hi" => Ok(true),
        // Service restart, going away: the client connects anew.
        (0x88, code) if matches!(code.get(..2), Some([0x03, 0xf4 | 0xe9])) => {
            tally.seen_off += 1;
            Ok(false)
        }
        _ => Err(Failure::Other),
    }
}
