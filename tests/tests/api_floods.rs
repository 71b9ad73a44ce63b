//! What others do to the API by asking too much, too slowly or not at all: supervision goes on.
//! Not here: what is asked (`http`), bytes that are no HTTP (`http`).

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use e2e::{Setup, Signal, Stack, open_files, over_tcp, over_unix, resident, send};

/// Sooner than a half request is thrown out (5 s) or a reader who takes nothing (30 s): a restart waits for neither.
const ON_TIME: Duration = Duration::from_millis(4500);

#[track_caller]
fn restarts_on_time(stack: &Stack) {
    let old = stack.service("t").pid().expect("it runs");
    let began = Instant::now();
    send(stack.pid("t"), Signal::SIGKILL);
    stack.wait_until("t", "up again", |service| service.state() == "running" && service.pid() != Some(old));
    assert!(began.elapsed() < ON_TIME, "it took {:?}", began.elapsed());
}

/// With as few descriptors as a service would get on an old system.
fn frugal() -> (Stack, SocketAddr) {
    let stack = Setup::of("[services.t]\ncommand = './puppet wait'\nrestart = { reset_after = '100ms', delay = '0s' }")
        .http("listen = '127.0.0.1:0'")
        .before(&["prlimit", "--nofile=256:256"])
        .start();
    let address = stack.http_address();
    (stack, address)
}

#[test]
fn six_hundred_half_requests_and_many_connects_delay_no_restart_although_descriptors_are_few() {
    let (mut stack, address) = frugal();
    let mut halves = Vec::new();
    for _ in 0..600 {
        let Ok(mut half) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) else { break };
        let _cut = half.write_all(b"GET /health HTTP/1.1\r\nHost: loc");
        halves.push(half);
    }
    assert!(halves.len() > 128, "only {} connections", halves.len());
    restarts_on_time(&stack);
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.extend(UnixStream::connect(stack.socket()).ok());
    }
    restarts_on_time(&stack);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..5000 {
                let _either = TcpStream::connect_timeout(&address, Duration::from_millis(500));
                if over.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        restarts_on_time(&stack);
        restarts_on_time(&stack);
        over.store(true, Ordering::Relaxed);
    });
    drop((halves, silent));
    let control = stack.control();
    let open = open_files(control);
    assert!(open < 256 - 32, "{open} descriptors are in use");
    stack.stop();
}

#[test]
fn ten_thousand_restarts_asked_for_by_eight_at_once_leave_everything_sane() {
    let mut stack = Setup::of("[services.t]\ncommand = './puppet wait'").start();
    let (control, before) = (stack.control(), stack.service("t").generation());
    let began = Instant::now();
    let ask = || {
        let answer = over_unix(&stack.socket(), "POST", "/api/v1/services/t/restart", &[]).expect("an answer");
        assert!(matches!(answer.status, 202 | 429), "{}", answer.text());
        u64::from(answer.status == 202)
    };
    let taken: u64 = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(|| (0..1250).map(|_| ask()).sum::<u64>())).collect();
        clients.into_iter().map(|client| client.join().expect("each was answered")).sum()
    });
    let allowed = 20 + u64::try_from(began.elapsed().as_millis() / 50).expect("it is small") + 1;
    assert!(taken <= allowed, "{taken} were taken, {allowed} may be");
    let settled = stack.wait_until("t", "settled", |service| service.state() == "running");
    assert!(settled.generation() - before <= taken, "{} new runs for {taken} restarts", settled.generation() - before);
    assert_eq!(stack.processes().iter().filter(|one| one.command.contains("puppet")).count(), 1);
    assert_eq!(stack.control(), control, "it is the same control");
    stack.stop();
}

#[test]
fn readers_who_take_nothing_cost_little_and_hinder_nobody() {
    let mut stack = Setup::of("[services.t]\ncommand = './puppet seq --count 20000 --size 200'")
        .http("listen = '127.0.0.1:0'")
        .start();
    stack.wait_log("t", "20000");
    let address = stack.http_address();
    let token = std::fs::read_to_string(stack.path("run/token")).expect("it was made");
    let control = stack.control();
    let before = resident(control);
    let get = format!(
        "GET /api/v1/services/t/logs?tail=10000 HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let readers: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut reader = TcpStream::connect(address).expect("a connection");
            // More than any socket's buffer takes.
            reader.write_all(get.repeat(20).as_bytes()).expect("it is small");
            reader
        })
        .collect();
    e2e::holds_for(Duration::from_secs(2), "each to cost less than 1 MiB", || {
        resident(control).saturating_sub(before) < 110 << 20
    });
    assert_eq!(over_tcp(address, "GET", "/livez", &[]).expect("an answer").status, 200);
    restarts_on_time(&stack);
    drop(readers);
    stack.stop();
}
