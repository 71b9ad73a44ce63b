//! The two ends of a run: told to stop (TERM, INT), and a successor serves (USR2).
//! Not here: two generations at once.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::client::{Client, request};
use crate::{kit_server, started};

const HEALTH: &str = "/health";

#[test]
fn a_request_in_flight_is_finished_after_term() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGUSR2] {
        let mut child = started(kit_server());
        let mut client = Client::connect(child.ready()).unwrap();
        client.get(HEALTH).unwrap();
        client.send(&request("GET", "/slow/800", "")).unwrap();
        let mut other = Client::connect(child.ready()).unwrap();
        other.get(HEALTH).unwrap();
        child.signal(signal);
        child.logged("draining");
        let answer = client.response("GET").unwrap();
        assert_eq!((answer.body.as_str(), answer.closes()), ("done", true), "{signal}");
        assert!(client.is_closed_silently());
        drop(other);
        assert_eq!(child.code(), 0, "{signal}");
    }
}

#[test]
fn term_closes_idle_connections_and_ends_fast() {
    let mut child = started(kit_server());
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(child.ready()).unwrap()).collect();
    for client in &mut clients {
        client.get(HEALTH).unwrap();
    }
    let began = Instant::now();
    child.signal(Signal::SIGTERM);
    assert_eq!(child.code(), 0);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(clients.iter_mut().all(Client::is_closed_silently));
}

#[test]
fn a_request_that_comes_just_after_term_on_a_kept_connection_is_answered() {
    let mut child = started(kit_server());
    let mut client = Client::connect(child.ready()).unwrap();
    client.get(HEALTH).unwrap();
    child.signal(Signal::SIGTERM);
    child.logged("draining");
    let answer = client.get(HEALTH).unwrap();
    assert_eq!((answer.status, answer.closes()), (503, true));
    assert_eq!(answer.json()["status"], "draining");
    assert_eq!(child.code(), 0);
}

#[test]
fn without_connections_term_ends_at_once() {
    let mut child = started(kit_server());
    let began = Instant::now();
    child.signal(Signal::SIGTERM);
    assert_eq!(child.code(), 0);
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_request_that_does_not_end_is_cut_off_before_the_supervisor_would_kill() {
    for signal in [Signal::SIGTERM, Signal::SIGUSR2] {
        let mut child = started(kit_server().env("SUPERVISOR_DRAIN_TIMEOUT_MS", 2000));
        let mut client = Client::connect(child.ready()).unwrap();
        client.get(HEALTH).unwrap();
        client.send(&request("GET", "/slow/60000", "")).unwrap();
        let began = Instant::now();
        child.signal(signal);
        assert_eq!(child.code(), 0);
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(950) && took < Duration::from_millis(2000), "{signal}: {took:?}");
        assert_eq!(child.logged("ended; connections were cut off")["cut"], 1);
    }
}

#[test]
fn a_second_term_ends_at_once_whatever_is_in_flight() {
    let mut child = started(kit_server());
    let mut client = Client::connect(child.ready()).unwrap();
    client.get(HEALTH).unwrap();
    client.send(&request("GET", "/slow/60000", "")).unwrap();
    child.signal(Signal::SIGTERM);
    child.logged("draining");
    let began = Instant::now();
    child.signal(Signal::SIGTERM);
    assert_eq!(child.code(), 0);
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[test]
fn term_ends_a_lame_duck_too() {
    let mut child = started(kit_server());
    let mut client = Client::connect(child.ready()).unwrap();
    client.get(HEALTH).unwrap();
    child.signal(Signal::SIGUSR2);
    child.logged("draining");
    let began = Instant::now();
    child.signal(Signal::SIGTERM);
    assert_eq!(child.code(), 0);
    assert!(began.elapsed() < Duration::from_secs(2), "sooner than idle connections of a lame duck are closed");
}

#[test]
fn a_lame_duck_serves_its_idle_connections_once_more_and_says_goodbye() {
    let mut child = started(kit_server());
    let mut client = Client::connect(child.ready()).unwrap();
    assert!(!client.get("/slow/1").unwrap().closes());
    child.signal(Signal::SIGUSR2);
    child.logged("draining");
    // Its silence is what is tested; after `TERM` it would be closed by now.
    std::thread::sleep(Duration::from_millis(700));
    let answer = client.get("/slow/1").unwrap();
    assert_eq!((answer.status, answer.closes()), (200, true));
    assert!(client.is_closed_silently());
    assert_eq!(child.code(), 0);
}

#[test]
fn a_connection_whose_first_byte_comes_500_ms_after_the_drain_began_is_served() {
    let mut child = started(kit_server());
    // Answered after both were accepted: connections are taken in order.
    let mut silent = Client::connect(child.ready()).unwrap();
    let mut other = Client::connect(child.ready()).unwrap();
    other.get(HEALTH).unwrap();
    child.signal(Signal::SIGUSR2);
    child.logged("draining");
    // Its silence is what is tested.
    std::thread::sleep(Duration::from_millis(500));
    let answer = silent.get("/slow/1").unwrap();
    assert_eq!((answer.status, answer.closes()), (200, true));
    drop(other);
    assert_eq!(child.code(), 0);
}

#[test]
fn a_lame_duck_closes_idle_connections_in_the_end() {
    let mut child = started(kit_server().env("LAME_MS", 400));
    let mut client = Client::connect(child.ready()).unwrap();
    client.get(HEALTH).unwrap();
    let began = Instant::now();
    child.signal(Signal::SIGUSR2);
    assert!(client.is_closed_silently());
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert_eq!(child.code(), 0);
}

#[test]
fn the_lame_time_is_at_most_half_of_the_drain() {
    let mut child = started(kit_server().env("SUPERVISOR_DRAIN_TIMEOUT_MS", 2000));
    let mut client = Client::connect(child.ready()).unwrap();
    client.get(HEALTH).unwrap();
    child.signal(Signal::SIGUSR2);
    assert!(client.is_closed_silently());
    assert_eq!(child.code(), 0);
    child.logged("ended");
}

#[test]
fn an_answer_that_the_client_takes_slowly_is_given_whole() {
    for signal in [Signal::SIGTERM, Signal::SIGUSR2] {
        let mut child = started(kit_server().env("LAME_MS", 100).env("HEAD_MS", 200));
        let mut client = Client::connect(child.ready()).unwrap();
        client.send(&request("GET", "/large", "")).unwrap();
        let mut other = Client::connect(child.ready()).unwrap();
        other.get("/slow/100").unwrap();
        child.signal(signal);
        child.logged("draining");
        assert!(other.is_closed_silently(), "the time of those that are idle is over");
        let length = client.response("GET").unwrap().body.len();
        assert_eq!(length, crate::LARGE, "{signal}");
        assert_eq!(child.code(), 0);
    }
}

#[test]
fn a_request_that_has_begun_to_arrive_is_served_whatever_the_signal() {
    for signal in [Signal::SIGTERM, Signal::SIGUSR2] {
        let mut child = started(kit_server().env("LAME_MS", 100));
        let mut client = Client::connect(child.ready()).unwrap();
        client.get(HEALTH).unwrap();
        let text = request("GET", "/slow/1", "");
        let (first, rest) = text.split_at(20);
        client.send(first).unwrap();
        // Its turn comes after what was sent before it.
        let mut other = Client::connect(child.ready()).unwrap();
        other.get(HEALTH).unwrap();
        child.signal(signal);
        child.logged("draining");
        assert!(other.is_closed_silently(), "the time of those that are idle is over");
        client.send(rest).unwrap();
        assert_eq!(client.response("GET").unwrap().status, 200, "{signal}");
        assert_eq!(child.code(), 0);
    }
}

#[test]
fn a_body_on_its_way_is_waited_for() {
    let mut child = started(kit_server());
    let mut client = Client::connect(child.ready()).unwrap();
    client.get(HEALTH).unwrap();
    let text = request("POST", "/length", "0123456789");
    let (first, rest) = text.split_at(text.len() - 5);
    client.send(first).unwrap();
    // Its turn comes after what was sent before it.
    let mut other = Client::connect(child.ready()).unwrap();
    other.get(HEALTH).unwrap();
    child.signal(Signal::SIGTERM);
    child.logged("draining");
    assert!(other.is_closed_silently(), "the time of those that are idle is over");
    client.send(rest).unwrap();
    let answer = client.response("POST").unwrap();
    assert_eq!((answer.body.as_str(), answer.closes()), ("10", true));
    assert_eq!(child.code(), 0);
}

#[test]
fn what_waits_in_the_queue_of_its_own_socket_is_served_before_the_end() {
    let mut child = started(kit_server());
    child.signal(Signal::SIGSTOP);
    let mut clients: Vec<Client> = (0..10).map(|_| Client::connect(child.ready()).unwrap()).collect();
    for client in &mut clients {
        client.send(&request("GET", "/slow/1", "")).unwrap();
    }
    child.signal(Signal::SIGTERM);
    child.signal(Signal::SIGCONT);
    for client in &mut clients {
        assert_eq!(client.response("GET").unwrap().status, 200);
    }
    assert_eq!(child.code(), 0);
}

#[test]
fn requests_that_were_sent_ahead_are_all_answered_and_the_last_answer_says_goodbye() {
    for signal in [Signal::SIGTERM, Signal::SIGUSR2] {
        let mut child = started(kit_server());
        let mut client = Client::connect(child.ready()).unwrap();
        client.get(HEALTH).unwrap();
        let ahead = ["/slow/300", "/slow/1", "/slow/2"].map(|path| format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        client.send(&ahead.concat()).unwrap();
        let mut other = Client::connect(child.ready()).unwrap();
        other.get(HEALTH).unwrap();
        child.signal(signal);
        child.logged("draining");
        let closes: Vec<bool> = (0..3).map(|_| client.response("GET").unwrap().closes()).collect();
        assert_eq!(closes, [false, false, true], "{signal}");
        assert!(client.is_closed_silently());
        drop(other);
        assert_eq!(child.code(), 0);
    }
}

#[test]
fn a_client_that_always_sends_ahead_is_seen_off_all_the_same() {
    let mut child = started(kit_server());
    let mut client = Client::connect(child.ready()).unwrap();
    client.get(HEALTH).unwrap();
    child.signal(Signal::SIGUSR2);
    child.logged("draining");
    client.send(&"GET /health HTTP/1.1\r\nHost: t\r\n\r\n".repeat(300)).unwrap();
    let answered = (0..300).take_while(|_| !client.response("GET").unwrap().closes()).count();
    assert_eq!(answered, 100);
    assert_eq!(child.code(), 0);
}

#[test]
fn the_supervisor_is_told_how_many_were_seen_off_and_how_many_were_cut() {
    let mut child = started(kit_server().notify().env("SUPERVISOR_DRAIN_TIMEOUT_MS", 2000));
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(child.ready()).unwrap()).collect();
    for client in &mut clients {
        client.get(HEALTH).unwrap();
    }
    clients[0].send(&request("GET", "/slow/60000", "")).unwrap();
    child.signal(Signal::SIGUSR2);
    assert_eq!(child.notified("X_CUT=1"), "X_DRAINED=2\nX_CUT=1");
    assert_eq!(child.code(), 0);
}

#[test]
fn a_stop_has_its_own_time() {
    let launch = kit_server().env("SUPERVISOR_DRAIN_TIMEOUT_MS", 60_000).env("SUPERVISOR_STOP_TIMEOUT_MS", 2000);
    let mut child = started(launch);
    let mut client = Client::connect(child.ready()).unwrap();
    client.get(HEALTH).unwrap();
    client.send(&request("GET", "/slow/60000", "")).unwrap();
    child.signal(Signal::SIGUSR2);
    child.logged("draining");
    let began = Instant::now();
    child.signal(Signal::SIGTERM);
    assert_eq!(child.code(), 0);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
