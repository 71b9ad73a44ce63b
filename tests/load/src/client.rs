//! One client, from its first request to its last.
//! Not here: a single request.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::{Crowd, Failure, Kind, Shared, Tally, http1, http2};

/// Longer than any answer may take, a drain included.
const PATIENCE: Duration = Duration::from_secs(30);
/// A client that was refused does not burn the CPU.
const AFTER_A_LOSS: Duration = Duration::from_millis(5);

/// What a client keeps from one turn to the next.
enum Kept {
    One(http1::Kept),
    Two(http2::Kept),
}

pub(crate) async fn live(address: SocketAddr, crowd: Crowd, shared: &Shared) -> Tally {
    let mut tally = Tally::default();
    let fresh = || match crowd.kind {
        Kind::Http2 => Kept::Two(http2::Kept::default()),
        Kind::Fresh
        | Kind::KeepAlive
        | Kind::Pool
        | Kind::Upload
        | Kind::Slow
        | Kind::Pipeline
        | Kind::Events
        | Kind::WebSocket => Kept::One(http1::Kept::default()),
    };
    let mut kept = fresh();
    while !shared.over.load(Ordering::Relaxed) {
        let turn = async {
            match &mut kept {
                Kept::One(kept) => kept.turn(address, crowd.kind, &mut tally).await,
                Kept::Two(kept) => kept.turn(address, &mut tally).await,
            }
        };
        match timeout(PATIENCE, turn).await.unwrap_or(Err(Failure::Late)) {
            Ok(()) => {
                shared.answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(failure) => {
                tally.lost(failure);
                shared.failed.fetch_add(1, Ordering::Relaxed);
                kept = fresh();
                sleep(AFTER_A_LOSS).await;
            }
        }
        sleep(crowd.pause).await;
    }
    tally
}
