//! What is too big, too much or too slow.
//! Not here: what is refused for other reasons.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

use super::{PATIENCE, Stand, TOKEN, bearer};
use crate::api::guest::Guest;
use crate::api::serve::converse;

#[test]
fn a_thousand_half_requests_hinder_nobody_on_either_door() {
    let stand = Stand::new();
    let mut halves: Vec<TcpStream> = Vec::new();
    // A kernel whose queue is full answers no more.
    let connect = || TcpStream::connect_timeout(&stand.tcp, Duration::from_millis(200));
    while let (true, Ok(mut half)) = (halves.len() < 1000, connect()) {
        let _cut = half.write_all(b"GET /health HTTP/1.1\r\nHost: loc");
        halves.push(half);
    }
    assert!(halves.len() > 128, "only {} connections could be made", halves.len());
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let asked = Instant::now();
        assert_eq!(stand.ask("GET", "/health", "").status, 200);
        assert_eq!(stand.tcp("GET", "/health", &[]).status, 200);
        slowest = slowest.max(asked.elapsed());
    }
    assert!(slowest < Duration::from_secs(1), "an answer took {slowest:?}");
}

#[test]
fn a_half_request_is_cut_off_after_five_seconds() {
    let stand = Stand::new();
    let began = Instant::now();
    let mut half = TcpStream::connect(stand.tcp).unwrap();
    half.write_all(b"GET /health HTTP/1.1\r\nHost: loc").unwrap();
    half.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = half.read_to_end(&mut Vec::new());
    let held = began.elapsed();
    assert!(held > Duration::from_secs(3) && held < Duration::from_secs(12), "{held:?}");
}

/// Sends a head, and reads what comes of it.
fn ask(stand: &Stand, stream: &mut TcpStream) -> bool {
    stream.write_all(format!("GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n", stand.tcp).as_bytes()).unwrap();
    heard(stream)
}

fn heard(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 1024];
    stream.read(&mut buffer).is_ok_and(|n| buffer[..n].starts_with(b"HTTP/1.1 200"))
}

#[test]
fn those_who_ask_nothing_make_room_for_those_who_do() {
    let stand = Stand::new();
    let mut all: Vec<TcpStream> = (0..400)
        .map(|_| {
            let mut stream = TcpStream::connect(stand.tcp).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            assert!(ask(&stand, &mut stream), "one more is answered at once");
            stream
        })
        .collect();
    let last = all.last_mut().unwrap();
    assert!(ask(&stand, last), "and may ask again on the same connection");
    let gone = |stream: &mut TcpStream| matches!(stream.read(&mut [0; 8]), Ok(0));
    let left = all.iter_mut().take(200).map(gone).filter(|gone| *gone).count();
    assert_eq!(left, 200, "those who have been quiet for longest are gone");
}

#[test]
fn tcp_has_room_for_so_many_that_are_answered_and_the_next_waits_until_one_ends() {
    let stand = Stand::new();
    let head = format!(
        "POST /api/v1/start HTTP/1.1\r\nHost: {}\r\n{}\r\nContent-Length: 2\r\n\r\n{{",
        stand.tcp,
        bearer(TOKEN)
    );
    let mut all: Vec<TcpStream> = (0..128)
        .map(|_| {
            let mut stream = TcpStream::connect(stand.tcp).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    let mut next = TcpStream::connect(stand.tcp).unwrap();
    next.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(!ask(&stand, &mut next), "there was room for one more");
    all.pop();
    next.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(heard(&mut next));
}

#[test]
fn what_is_too_big_is_refused_and_the_connection_ends() {
    let stand = Stand::new();
    let head =
        |more: &str| format!("POST /api/v1/stop HTTP/1.1\r\nHost: {}\r\n{}\r\n{more}\r\n", stand.tcp, bearer(TOKEN));
    let big_header = head(&format!("X-Big: {}\r\n", "a".repeat(100_000)));
    let many = head(&(0..65).map(|number| format!("X-{number}: x\r\n")).collect::<String>());
    let long_body = head("Content-Length: 1000000000\r\n") + &"x".repeat(2 << 20);
    let chunks = head("Transfer-Encoding: chunked\r\n") + &format!("10000\r\n{}\r\n", "x".repeat(0x10000)).repeat(40);
    let two_lengths = head("Content-Length: 1\r\nContent-Length: 2\r\n") + "xx";
    let smuggled = head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n";
    for (what, raw, expected) in [
        ("a big header", big_header, 431),
        ("many headers", many, 431),
        ("a long body", long_body, 413),
        ("a long chunked body", chunks, 411),
        ("two lengths", two_lengths, 400),
        ("two ways to say a length", smuggled, 411),
    ] {
        // The answer may be lost to a reset, as we were still sending; then none is a refusal, too.
        let status = stand.raw(raw).map_or(expected, |answer| answer.status);
        assert_eq!(status, expected, "{what}");
    }
    assert!(stand.asked().is_empty());
    assert_eq!(stand.ask("GET", "/livez", "").status, 200);
}

#[test]
fn the_end_waits_for_no_idle_client() {
    let stand = Stand::new();
    let mut idle = TcpStream::connect(stand.tcp).unwrap();
    idle.write_all(format!("GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n", stand.tcp).as_bytes()).unwrap();
    let mut buffer = [0; 16];
    idle.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(idle.read(&mut buffer).unwrap() > 0);
    let half = TcpStream::connect(stand.tcp).unwrap();
    let began = Instant::now();
    drop(stand);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    drop((idle, half));
}

#[tokio::test(start_paused = true)]
async fn a_reader_who_takes_nothing_of_a_big_answer_is_cut_off_after_thirty_seconds() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let big = axum::Router::new().route("/", axum::routing::get(async || vec![b'x'; 1 << 20]));
    let (_ending, ends) = watch::channel(());
    let guest = Arc::new(Guest::new(Arc::default()));
    theirs.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let began = tokio::time::Instant::now();
    converse(ours, big, guest, ends).await;
    assert_eq!(began.elapsed().as_secs(), 30);
}
