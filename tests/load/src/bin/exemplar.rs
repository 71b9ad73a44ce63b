//! A service as it should be: the kit's drain, short and slow answers, uploads, events, a WebSocket.
//! Not here: misbehaving; `puppet` does that.

#[path = "../../../../services/kit/tests/kit/endless.rs"]
mod endless;

use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::routing::{get, post};
use endless::{events, socket};
use service_kit::{Limits, Service};

fn main() -> ExitCode {
    let generation = std::env::var("SUPERVISOR_GENERATION").unwrap_or_default();
    // What a bad release does, told by its environment.
    match std::env::var("EXEMPLAR_FAULT").as_deref() {
        Ok("exit") => return ExitCode::from(3),
        Ok("hang") => loop {
            std::thread::park();
        },
        Ok("leave") => drop(std::thread::spawn(leave)),
        Ok(_) | Err(_) => {}
    }
    let service = Service {
        name: "exemplar",
        about: "A service as it should be",
        version: env!("CARGO_PKG_VERSION"),
        port: 8099,
        private_port: None,
        not_yet: &[],
        limits: Limits::default(),
    };
    service_kit::run(&service, |_| {
        Ok(Router::new()
            .route("/", get(|| async { "ok" }))
            .route("/generation", get(move || async move { generation }))
            .route("/slow/{ms}", get(slow))
            .route("/much/{mib}", get(much))
            .route("/length", post(|body: Bytes| async move { body.len().to_string() }))
            .route("/events", get(events))
            .route("/socket", get(socket)))
    })
}

/// Ends in good order, soon after it was ready.
fn leave() {
    std::thread::sleep(Duration::from_millis(300));
    let own = std::process::id().to_string();
    let _ = std::process::Command::new("kill").args(["-TERM", &own]).status();
}

async fn slow(Path(ms): Path<u64>) -> &'static str {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    "done"
}

async fn much(Path(mib): Path<usize>) -> Vec<u8> {
    vec![b'm'; mib << 20]
}
