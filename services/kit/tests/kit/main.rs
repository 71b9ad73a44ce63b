//! The kit as its supervisor and its clients see it: real processes, sockets and signals.
//! Not here: what can be seen without a process; that is tested beside the code.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod answers;
mod child;
mod client;
mod drains;
mod endless;
mod handover;
mod http2;
mod long_lived;
mod starting;

use std::env::var;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use service_kit::{Limits, Service, Setup};

use child::{Child, Launch};
use endless::{events, socket};

/// A launch of `server` below: this very program, told to run that one function.
fn kit_server() -> Launch {
    let program = std::env::current_exe().unwrap();
    // With one thread, as on a machine with one processor, the name of the test would begin the first line that it says.
    let arguments = ["--ignored", "--exact", "server", "--nocapture", "--test-threads=2"];
    Launch::of(program, &arguments).env("TEST_PORT", "0")
}

#[test]
#[ignore = "no test, but the server that the tests start"]
fn server() {
    let ms = |name: &str, or: Duration| var(name).map_or(or, |ms| Duration::from_millis(ms.parse().unwrap()));
    let usual = Limits::default();
    let limits = Limits {
        connections: var("MAX_CONNECTIONS").map_or(usual.connections, |n| n.parse().unwrap()),
        body: 1000,
        head: ms("HEAD_MS", usual.head),
        stall: ms("STALL_MS", usual.stall),
        keep_alive: ms("KEEP_ALIVE_MS", usual.keep_alive),
        lame: ms("LAME_MS", usual.lame),
        ..usual
    };
    let service =
        Service { name: "test", about: "", version: "1.2.3", port: 1, private_port: None, not_yet: &["tea"], limits };
    let code = service_kit::serve(&service, |setup: &Setup<'_>| {
        let base = setup.base.to_string();
        Ok(Router::new()
            .route("/base", get(move || async move { base }))
            .route("/slow/{ms}", get(slow))
            .route("/large", get(|| async { "x".repeat(LARGE) }))
            .route("/length", post(|body: Bytes| async move { body.len().to_string() }))
            .route("/events", get(events))
            .route("/socket", get(socket))
            .route("/deaf", get(deaf)))
    });
    std::process::exit(if code == std::process::ExitCode::SUCCESS { 0 } else { code_number(code) });
}

/// More than the buffers of two sockets take.
const LARGE: usize = 32 << 20;

async fn slow(Path(ms): Path<u64>) -> &'static str {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    "done"
}

/// Never ends by itself.
async fn deaf(upgrade: WebSocketUpgrade) -> impl IntoResponse {
    upgrade.on_upgrade(|socket| async move {
        std::future::pending::<()>().await;
        drop(socket);
    })
}

/// `ExitCode` cannot be asked for its number.
fn code_number(code: std::process::ExitCode) -> i32 {
    (1..=255u8).find(|n| std::process::ExitCode::from(*n) == code).map_or(255, i32::from)
}

/// A server that listens on a port of its own.
fn started(launch: Launch) -> Child {
    let child = launch.start();
    child.ready();
    child
}
