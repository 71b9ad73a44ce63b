//! Answers without an end that are seen off well: server-sent events and a WebSocket.
//! Not here: who asks for them.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocketUpgrade};
use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use service_kit::Drain;

/// One event every 20 ms, without an end of its own.
pub(crate) async fn events(drain: Drain) -> impl IntoResponse {
    let events = futures_util::stream::unfold(0u64, |n| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((Ok::<_, Infallible>(Event::default().data(n.to_string())), n + 1))
    });
    Sse::new(drain.end(events))
}

/// Says back what it hears, until a successor serves.
pub(crate) async fn socket(drain: Drain, upgrade: WebSocketUpgrade) -> impl IntoResponse {
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
