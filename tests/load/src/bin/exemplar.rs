//! A service as it should be: the kit's drain, short and slow answers, uploads, events, a WebSocket.
//! Not here: misbehaving; `puppet` does that.

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::extract::ws::{CloseFrame, Message, WebSocketUpgrade};
use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use axum::routing::{get, post};
use service_kit::{Drain, Limits, Service};

fn main() -> ExitCode {
    let generation = std::env::var("SUPERVISOR_GENERATION").unwrap_or_default();
    // What a bad release does, told by its environment.
    match std::env::var("EXEMPLAR_FAULT").as_deref() {
        Ok("exit") => return ExitCode::from(3),
        Ok("hang") => loop {
            std::thread::park();
        },
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
            .route("/length", post(|body: Bytes| async move { body.len().to_string() }))
            .route("/events", get(events))
            .route("/socket", get(socket)))
    })
}

async fn slow(Path(ms): Path<u64>) -> &'static str {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    "done"
}

/// One event every 20 ms, without an end of its own.
async fn events(drain: Drain) -> impl IntoResponse {
    let events = futures_util::stream::unfold(0u64, |n| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((Ok::<_, Infallible>(Event::default().data(n.to_string())), n + 1))
    });
    Sse::new(drain.end(events))
}

/// Says back what it hears, until a successor serves.
async fn socket(drain: Drain, upgrade: WebSocketUpgrade) -> impl IntoResponse {
    upgrade.on_upgrade(|mut socket| async move {
        let mut closing = std::pin::pin!(drain.closing());
        loop {
            tokio::select! {
                heard = socket.recv() => match heard {
                    Some(Ok(Message::Text(text))) => _ = socket.send(Message::Text(text)).await,
                    Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                },
                () = &mut closing => {
                    let frame = CloseFrame { code: service_kit::SERVICE_RESTART, reason: "restart".into() };
                    let _ = socket.send(Message::Close(Some(frame))).await;
                    return;
                }
            }
        }
    })
}
