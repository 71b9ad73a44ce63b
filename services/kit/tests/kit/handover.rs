//! Generation after generation on one socket, under load, without one failed request.
//! Not here: a supervisor; this test plays it.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::child::Child;
use crate::client::{Client, get};
use crate::kit_server;

const ROUNDS: u64 = 6;

/// Clients that count what fails and never try again.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    answered: AtomicU64,
    failures: std::sync::Mutex<Vec<String>>,
}

impl Load {
    fn note<T>(&self, result: std::io::Result<T>) -> Option<T> {
        match result {
            Ok(value) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                Some(value)
            }
            Err(error) => {
                self.failures.lock().unwrap().push(error.to_string());
                None
            }
        }
    }

    fn client(self: &Arc<Self>, each: impl Fn(&Self) + Send + 'static) -> JoinHandle<()> {
        let load = Arc::clone(self);
        std::thread::spawn(move || {
            while !load.over.load(Ordering::Relaxed) {
                each(&load);
            }
        })
    }

    /// Uses a connection until the server says that it closes, or until the end.
    fn keep_one(&self, address: SocketAddr, pause: Duration) {
        let Ok(mut client) = Client::connect(address) else {
            return self.failures.lock().unwrap().push("cannot connect".to_owned());
        };
        while !self.over.load(Ordering::Relaxed) {
            match self.note(client.get("/slow/1")) {
                Some(answer) if !answer.closes() => std::thread::sleep(pause),
                Some(_) | None => return,
            }
        }
    }
}

fn generation(number: u64, socket: &TcpListener) -> Child {
    let fd = OwnedFd::from(socket.try_clone().unwrap());
    let launch = kit_server().inherit("http", vec![fd]).env("SUPERVISOR_GENERATION", number).notify();
    let child = launch.start();
    child.notified("READY=1");
    child
}

/// Gives the last generation, which serves until the clients are done.
fn handovers(load: &Load, socket: &TcpListener) -> Child {
    let mut old = generation(1, socket);
    for number in 2..ROUNDS + 2 {
        let answered = load.answered.load(Ordering::Relaxed);
        let new = generation(number, socket);
        while load.answered.load(Ordering::Relaxed) < answered + 200 {
            std::thread::sleep(Duration::from_millis(1));
        }
        old.signal(Signal::SIGUSR2);
        assert_eq!(old.code(), 0);
        old = new;
    }
    load.over.store(true, Ordering::Relaxed);
    old
}

fn run(clients: usize, each: impl Fn(&Load, SocketAddr) + Copy + Send + 'static) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let load = Arc::new(Load::default());
    let clients: Vec<_> = (0..clients).map(|_| load.client(move |load| each(load, address))).collect();
    let _last = handovers(&load, &socket);
    clients.into_iter().for_each(|client| client.join().unwrap());
    let failures = load.failures.lock().unwrap();
    let some: Vec<_> = failures.iter().take(5).collect();
    assert!(failures.is_empty(), "{} of {:?}: {some:?}", failures.len(), load.answered);
}

#[test]
fn kept_connections_of_clients_that_never_retry_see_no_error() {
    run(60, |load, address| load.keep_one(address, Duration::from_millis(20)));
}

#[test]
fn new_connections_see_no_error() {
    run(8, |load, address| {
        load.note(Client::connect(address).and_then(|mut client| client.get("/health")));
    });
}

#[test]
fn the_successor_answers_while_the_lame_duck_still_lives() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut old = generation(1, &socket);
    let mut kept = Client::connect(address).unwrap();
    kept.get("/health").unwrap();
    let _new = generation(2, &socket);
    old.signal(Signal::SIGUSR2);
    old.notified("STOPPING=1");
    assert_eq!(get(address, "/health").json()["generation"], 2);
    assert!(old.is_running());
    let last = kept.get("/health").unwrap();
    assert_eq!((last.status, &last.json()["generation"]), (503, &1.into()));
    assert_eq!(old.code(), 0);
}

#[test]
fn what_waits_in_the_queue_of_a_held_socket_is_for_the_next_generation() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut old = generation(1, &socket);
    old.signal(Signal::SIGTERM);
    assert_eq!(old.code(), 0);
    let mut waiting = Client::connect(address).unwrap();
    waiting.send(&crate::client::request("GET", "/health", "")).unwrap();
    let _new = generation(2, &socket);
    assert_eq!(waiting.response("GET").unwrap().json()["generation"], 2);
}
