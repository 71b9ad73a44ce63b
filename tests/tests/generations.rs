//! One generation followed by the next while it serves, seen from outside.
//! Not here: every way in which it can fail; the core's own tests show that.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use e2e::{DEADLINE, Setup, Signal, Stack, eventually, free_port, over_tcp, send};

/// A service on the kit, whose listener the supervisor holds.
fn kit(port: u16, more: &str) -> String {
    format!(
        "[services.t]\ncommand = './exemplar'\nport = {port}\nready = {{ notify = true }}\n\
         rollout = {{ handoff = 'socket', drain_signal = 'USR2', bake = '200ms', drain = '5s' }}\n{more}"
    )
}

fn rollout(stack: &Stack) -> serde_json::Value {
    stack.service("t").0["rollout"].clone()
}

/// Asks again and again, each time on a connection of its own; counts what fails.
struct Clients {
    done: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<Vec<String>>>,
}

impl Clients {
    fn of(port: u16) -> Self {
        let (done, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..4).map(|_| {
            let (done, asked) = (Arc::clone(&done), Arc::clone(&asked));
            std::thread::spawn(move || {
                let mut failures = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    match over_tcp(("127.0.0.1", port), "GET", "/", &[]) {
                        Ok(response) if response.status == 200 => {}
                        Ok(response) => failures.push(format!("status {}", response.status)),
                        Err(error) => failures.push(error.to_string()),
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                failures
            })
        });
        Self { done: Arc::clone(&done), asked: Arc::clone(&asked), threads: threads.collect() }
    }

    /// How many asked, and what went wrong.
    fn end(self) -> (u64, Vec<String>) {
        self.done.store(true, Ordering::Relaxed);
        let failures = self.threads.into_iter().flat_map(|thread| thread.join().expect("a client does not panic"));
        let failures = failures.collect();
        (self.asked.load(Ordering::Relaxed), failures)
    }
}

/// A connection that is spoken on by hand.
struct Client(TcpStream);

impl Client {
    fn connected(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("someone listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("it is a socket");
        Self(stream)
    }

    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).expect("the connection is open");
    }

    /// What comes until it ends with this.
    fn until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error} after {text:?}"));
            text.push(byte[0]);
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

#[test]
fn case_1_a_restart_under_load_loses_no_request() {
    let port = free_port();
    let stack = Setup::of(&kit(port, "")).start();
    let clients = Clients::of(port);
    for generation in 2..=4 {
        stack.cli(&["restart", "t"]).succeeded();
        assert_eq!(stack.service("t").generation(), generation);
    }
    let (asked, failures) = clients.end();
    assert_eq!(failures, [""; 0], "of {asked}");
    assert!(asked > 20, "there was load: {asked}");
    let over = eventually("the last one has drained", || {
        let rollout = rollout(&stack);
        (rollout["phase"] == "over").then_some(rollout)
    });
    assert_eq!((over["number"].as_u64(), over["result"].as_str()), (Some(3), Some("done")));
    assert_eq!((over["from"].as_u64(), over["to"].as_u64()), (Some(3), Some(4)));
    assert!(over["baking_ms"].as_u64() >= Some(200), "{over:#}");
    assert_eq!(stack.service("t").0["generations"].as_array().map(Vec::len), Some(1));
}

#[test]
fn case_17_a_new_generation_that_fails_leaves_the_old_one_alone_and_the_restart_says_so() {
    let port = free_port();
    let command = "command = 'test -e broken && exit 7; exec ./exemplar'\nshell = true";
    let stack = Setup::of(&kit(port, "").replace("command = './exemplar'", command)).start();
    let old = stack.pid("t");
    std::fs::write(stack.path("broken"), "").expect("a file of our own");
    let clients = Clients::of(port);
    let failed = stack.cli(&["restart", "t"]).ended_with(1);
    assert!(failed.stderr.contains("rolled back: generation 2: exited with code 7"), "{}", failed.stderr);
    let (asked, failures) = clients.end();
    assert_eq!(failures, [""; 0], "of {asked}");
    let service = stack.service("t");
    assert_eq!((service.pid(), service.state(), service.restarts()), (Some(old), "running", 0));
    assert_eq!(rollout(&stack)["result"], "rolled-back");
    std::fs::remove_file(stack.path("broken")).expect("it is there");
    stack.cli(&["restart", "t"]).succeeded();
    assert_ne!(stack.service("t").pid(), Some(old));
}

#[test]
fn case_58_a_rollout_goes_on_when_control_is_killed_over_it() {
    let port = free_port();
    let stack = Setup::of(&kit(port, "").replace("200ms", "1500ms")).start();
    let clients = Clients::of(port);
    let old = stack.pid("t");
    assert_eq!(stack.post("/api/v1/services/t/restart").status, 202);
    stack.wait_until("t", "a successor that bakes", |service| service.0["rollout"]["phase"] == "baking");
    stack.kill_control();
    let service = stack.wait_until("t", "the switch", |service| service.0["rollout"]["result"] == "done");
    assert_eq!(service.generation(), 2);
    assert_ne!(service.pid(), Some(old));
    let (asked, failures) = clients.end();
    assert_eq!(failures, [""; 0], "of {asked}");
}

#[test]
fn several_instances_share_a_port_and_are_rolled_one_after_the_other() {
    let port = free_port();
    let mut stack = Setup::of(&kit(port, "instances = 2")).start();
    let pids = |stack: &Stack| -> Vec<i64> {
        let service = stack.service("t");
        let all = service.0["generations"].as_array().cloned().unwrap_or_default();
        all.iter().filter(|of| of["role"] == "serving").filter_map(|of| of["pid"].as_i64()).collect()
    };
    let before = pids(&stack);
    assert_eq!(before.len(), 2);
    stack.cli(&["restart", "t"]).succeeded();
    let after = pids(&stack);
    assert!(after.len() == 2 && after.iter().all(|pid| !before.contains(pid)), "{before:?} {after:?}");
    send(i32::try_from(after[1]).expect("a pid"), Signal::SIGKILL);
    eventually("the killed one is replaced", || (pids(&stack).len() == 2 && pids(&stack) != after).then_some(()));
    stack.stop();
    stack.assert_nothing_left();
}

#[test]
fn a_restart_tells_each_phase_and_ends_when_the_old_generation_is_gone() {
    let port = free_port();
    let stack = Setup::of(&kit(port, "")).start();
    let mut client = Client::connected(port);
    client.send("GET /generation HTTP/1.1\r\nhost: t\r\n\r\n");
    assert!(client.until("\r\n\r\n1").contains("200"));
    // In the middle of a request, its generation cannot go.
    client.send("POST /length HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\n\r\nab");
    let (mut restart, stdout, stderr) = stack.spawn(&["restart", "t"], Stdio::null());
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
    eventually("the switch to be told", || read(&stderr).contains("t: generation 2 serves after").then_some(()));
    assert!(restart.try_wait().expect("it is our child").is_none(), "the old generation still serves one");
    client.send("cd");
    assert!(client.until("\r\n\r\n4").contains("connection: close"));
    assert!(restart.wait().expect("it is our child").success());
    let (stdout, stderr) = (read(&stdout), read(&stderr));
    let mut told = stderr.lines();
    for part in ["t: generation 2 comes up beside 1", "t: generation 2 is ready after", "t: generation 2 serves after"]
    {
        assert!(told.any(|line| line.starts_with(part)), "{part}: {stderr}");
    }
    let seen_off = told.find(|line| line.starts_with("t: generation 1 is gone after"));
    assert!(seen_off.is_some_and(|line| line.ends_with("(1 connections seen off, 0 cut)")), "{stderr}");
    assert_eq!(shape(&format!("{stderr}{stdout}")), shape(&readmes("restart web").replace("web", "t")), "the README's");
    let row: Vec<&str> = stdout.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!((&row[..5], &row[8..]), (&["t", "rolled", "1", "->", "2"][..], &["1", "0"][..]), "{stdout}");
    let service = stack.service("t");
    assert_eq!(service.0["generations"].as_array().map(Vec::len), Some(1), "{:#}", service.0);

    let quick = stack.cli(&["restart", "t", "--no-wait"]).succeeded();
    assert_eq!((quick.stdout.as_str(), quick.stderr.as_str()), ("", ""));
    stack.wait_until("t", "the third generation", |service| service.generation() == 3 && service.state() == "running");
    let gone = stack.wait_until("t", "one generation", |one| one.0["generations"].as_array().map(Vec::len) == Some(1));
    assert_eq!(gone.0["rollout"]["phase"], "over");
    let hard = stack.cli(&["restart", "t", "--hard"]).succeeded();
    let row: Vec<&str> = hard.stdout.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!(row[..5], ["t", "restarted", "3", "->", "4"], "{}", hard.stdout);
}

/// What the README shows of a command.
fn readmes(command: &str) -> String {
    let readme = include_str!("../../README.md");
    let (_, shown) = readme.split_once(&format!("$ supervisor {command}\n")).expect("the README shows it");
    shown.split_once("```").expect("it is a block of code").0.to_owned()
}

/// Its lines in the order of the alphabet, without the widths of columns and with one `#` for each number, whatever part of a second it
/// counts. Those that are
/// only there when a wait is long, or said last, are left out.
fn shape(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.contains("to be followed by") && !line.starts_with("restarted in"));
    let of_line = |line: &str| {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut shape = line.replace(|c: char| c.is_ascii_digit() || c == '.', "#");
        while shape.contains("##") {
            shape = shape.replace("##", "#");
        }
        shape.replace("#ms", "#s")
    };
    let mut shapes: Vec<String> = lines.map(of_line).collect();
    shapes.sort();
    shapes
}

#[test]
fn case_38_a_listener_that_a_service_shuts_is_open_again_at_once_and_that_is_told() {
    let port = free_port();
    let toml = format!(
        "[services.t]\ncommand = './puppet listen --inherited --notify'\nport = {port}\n\
         ready = {{ notify = true }}\nrollout = {{ handoff = 'socket' }}\n"
    );
    let stack = Setup::of(&toml).start();
    let pid = stack.pid("t");
    for round in 1..=3 {
        let shut = over_tcp(("127.0.0.1", port), "GET", "/shut", &[]).expect("it answers");
        assert_eq!(shut.status, 200);
        let again = eventually("an answer after that", || over_tcp(("127.0.0.1", port), "GET", "/", &[]).ok());
        assert_eq!((again.status, stack.pid("t")), (200, pid), "round {round}");
    }
    let told = |kind: &str| stack.cli(&["events", "--kind", kind, "t"]).succeeded().stdout;
    let line = eventually("the event", || Some(told("listener")).filter(|text| !text.is_empty()));
    assert!(line.contains("somebody had shut the held socket `http`; it is open again"), "{line}");
    // While nobody decides, nobody can see to it; the next control does.
    over_tcp(("127.0.0.1", port), "GET", "/", &[]).expect("it answers");
    let control = stack.control();
    send(control, Signal::SIGSTOP);
    over_tcp(("127.0.0.1", port), "GET", "/shut", &[]).expect("it answers");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "it is shut for everybody");
    send(control, Signal::SIGKILL);
    eventually("the next control to open it", || over_tcp(("127.0.0.1", port), "GET", "/", &[]).ok());
    assert_eq!(stack.pid("t"), pid);
}

#[test]
fn what_a_service_uses_is_that_of_all_its_generations_and_rollouts_are_counted() {
    let port = free_port();
    let stack = Setup::of(&kit(port, "")).start();
    let value = |name: &str| {
        let text = String::from_utf8_lossy(&stack.get("/metrics").body).into_owned();
        let line = text.lines().find(|line| line.starts_with(&format!("supervisor_service_{name} ")));
        line.and_then(|line| line.rsplit(' ').next().map(str::to_owned))
    };
    let labelled = |name: &str| value(&format!("{name}{{service=\"t\"}}"));
    let mut client = Client::connected(port);
    client.send("POST /length HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\n\r\nab");
    // The first answer says that the first generation has the connection.
    let mut other = Client::connected(port);
    other.send("GET /generation HTTP/1.1\r\nhost: t\r\n\r\n");
    other.until("\r\n\r\n1");
    stack.cli(&["restart", "t", "--no-wait"]).succeeded();
    stack.wait_until("t", "the switch", |service| service.0["rollout"]["phase"] == "draining");
    eventually("both generations to be measured", || (labelled("processes").as_deref() == Some("2")).then_some(()));
    assert_eq!(labelled("generations").as_deref(), Some("2"));
    client.send("cd");
    client.until("\r\n\r\n4");
    drop((client, other));
    stack.wait_until("t", "the end of the drain", |service| service.0["rollout"]["phase"] == "over");
    assert_eq!(value("rollouts_total{service=\"t\",result=\"done\"}").as_deref(), Some("1"));
    assert_eq!(labelled("rollout_seconds_count").as_deref(), Some("1"));
    assert_eq!(
        (labelled("drained_connections_total"), labelled("cut_connections_total")),
        (Some("2".into()), Some("0".into()))
    );
    assert_eq!(labelled("generations").as_deref(), Some("1"));
}
