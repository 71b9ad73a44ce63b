//! Answers without an end, at a drain: they come to one, in good order and not all at once.
//! Not here: ordinary requests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::child::{Launch, PATIENCE};
use crate::{kit_server, started};

/// Closes 300 ms after the drain began, over 400 ms.
fn patient_server() -> Launch {
    kit_server()
        .env("SUPERVISOR_LONG_LIVED_CLOSE_AFTER_MS", 300)
        .env("SUPERVISOR_LONG_LIVED_SPREAD_MS", 400)
        .env("LAME_MS", 300)
}

/// Asks for `path` and reads the head of the answer.
fn open(address: SocketAddr, path: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: t\r\n{headers}\r\n").as_bytes()).unwrap();
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    stream
}

fn open_socket(address: SocketAddr) -> TcpStream {
    let mut stream = open_socket_at(address, "/socket");
    // A text frame of two bytes, with a mask of zeros.
    stream.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).unwrap();
    assert_eq!(frame(&mut stream), (0x81, b"hi".to_vec()));
    stream
}

fn open_socket_at(address: SocketAddr, path: &str) -> TcpStream {
    let headers = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    open(address, path, headers)
}

/// The first byte and the payload of the next frame of a WebSocket.
fn frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let mut payload = vec![0; usize::from(head[1])];
    stream.read_exact(&mut payload).unwrap();
    (head[0], payload)
}

#[test]
fn a_stream_of_events_ends_whole_once_a_successor_serves() {
    let mut child = started(patient_server());
    let mut streams: Vec<TcpStream> = (0..20).map(|_| open(child.ready(), "/events", "")).collect();
    let began = Instant::now();
    child.signal(Signal::SIGUSR2);
    for stream in &mut streams {
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        assert!(rest.ends_with("\r\n0\r\n\r\n"), "the last chunk says that it is the last: {rest:?}");
    }
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(child.code(), 0);
    assert_eq!(child.logged("ended")["drained"], 20);
}

#[test]
fn a_websocket_is_closed_as_one_whose_server_is_restarted() {
    let mut child = started(patient_server());
    let mut sockets: Vec<TcpStream> = (0..20).map(|_| open_socket(child.ready())).collect();
    child.signal(Signal::SIGUSR2);
    for socket in &mut sockets {
        let (kind, payload) = frame(socket);
        assert_eq!((kind, u16::from_be_bytes([payload[0], payload[1]])), (0x88, 1012));
    }
    drop(sockets);
    assert_eq!(child.code(), 0);
    assert_eq!(child.logged("ended")["drained"], 20);
}

#[test]
fn the_ends_are_spread() {
    let launch = kit_server().env("SUPERVISOR_LONG_LIVED_CLOSE_AFTER_MS", 0).env("SUPERVISOR_DRAIN_TIMEOUT_MS", 20_000);
    let child = started(launch.env("SUPERVISOR_LONG_LIVED_SPREAD_MS", 2000));
    let mut sockets: Vec<TcpStream> = (0..20).map(|_| open_socket(child.ready())).collect();
    child.signal(Signal::SIGUSR2);
    child.logged("draining");
    for socket in &sockets {
        socket.set_nonblocking(true).unwrap();
    }
    let mut ends = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while !sockets.is_empty() {
        assert!(Instant::now() < deadline, "{} are still open", sockets.len());
        let before = sockets.len();
        sockets.retain_mut(|socket| socket.read(&mut [0; 64]).is_err());
        if sockets.len() < before {
            ends.push(Instant::now());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    // Twenty moments at random in two seconds: that all fall into one tenth of it does not happen.
    assert!(ends[ends.len() - 1] - ends[0] >= Duration::from_millis(200), "{ends:?}");
}

#[test]
fn what_is_told_to_stop_keeps_nobody_waiting() {
    let mut child = started(kit_server().env("SUPERVISOR_LONG_LIVED_CLOSE_AFTER_MS", 5000));
    let (mut events, mut socket) = (open(child.ready(), "/events", ""), open_socket(child.ready()));
    child.signal(Signal::SIGUSR2);
    child.logged("draining");
    let began = Instant::now();
    child.signal(Signal::SIGTERM);
    events.read_to_string(&mut String::new()).unwrap();
    assert_eq!(frame(&mut socket).0, 0x88);
    drop(socket);
    assert_eq!(child.code(), 0);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_websocket_whose_handler_does_not_care_is_cut_and_counted() {
    let mut child = started(kit_server().env("SUPERVISOR_DRAIN_TIMEOUT_MS", 2000));
    let (deaf, fine) = (open_socket_at(child.ready(), "/deaf"), open_socket(child.ready()));
    child.signal(Signal::SIGUSR2);
    assert_eq!(child.code(), 0);
    let end = child.logged("ended; connections were cut off");
    assert_eq!((&end["drained"], &end["cut"]), (&1.into(), &1.into()));
    drop((deaf, fine));
}
