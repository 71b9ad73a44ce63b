//! The shipped `supervisor.toml` with its five services, as a newcomer meets it.
//! Not here: what each service answers beyond health and discovery; their own tests show that.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use e2e::{Setup, Signal, Stack, alive, free_port, over_tcp, send, supervisor};

const NAMES: [&str; 5] = ["oauth", "mail", "onenote", "onedrive", "teams"];

struct Five {
    stack: Stack,
    ports: Vec<u16>,
}

/// The shipped file in a directory of its own; the ports come from the environment, as the file says.
fn five() -> Five {
    let ports: Vec<u16> = NAMES.iter().map(|_| free_port()).collect();
    let mut setup = Setup::of("");
    for (name, port) in NAMES.iter().zip(&ports) {
        setup = setup.env(&format!("{}_PORT", name.to_uppercase()), &port.to_string());
    }
    setup = setup.env("OAUTH_PRIVATE_PORT", &free_port().to_string()).env("OAUTH_DATA_DIR", "@root/data");
    let stack = setup.prepare();
    let shipped = fs::read_to_string(repository().join("supervisor.toml")).expect("it is shipped");
    let own = format!("runtime_dir = '{0}/run'\nstate_dir = '{0}/state'\n", stack.root().display());
    let file = shipped.replace("[supervisor]\n", &format!("[http]\nlisten = 'off'\n[supervisor]\n{own}"));
    stack.save(&file);
    let programs = stack.path("target/release");
    fs::create_dir_all(&programs).expect("ours");
    for name in NAMES {
        std::os::unix::fs::symlink(supervisor().with_file_name(name), programs.join(name)).expect("ours");
    }
    stack.cli(&["start"]).succeeded();
    Five { stack, ports }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lie in the repository").to_owned()
}

impl Five {
    fn port(&self, name: &str) -> u16 {
        let at = NAMES.iter().position(|one| *one == name).expect("one of the five");
        self.ports[at]
    }

    fn pids(&self) -> Vec<i32> {
        NAMES.iter().map(|name| self.stack.pid(name)).collect()
    }
}

#[test]
fn all_five_come_up_healthy_answer_for_themselves_and_have_their_logs() {
    let five = five();
    for name in NAMES {
        let health = over_tcp(("127.0.0.1", five.port(name)), "GET", "/health", &[]).expect("an answer");
        assert_eq!(health.status, 200, "{name}");
        assert_eq!(health.json()["status"], "healthy", "{name}");
        assert!(five.stack.path(&format!("logs/{name}.log")).exists(), "{name}");
    }
    let health = five.stack.get("/health");
    assert_eq!(health.status, 200);
    assert_eq!(health.json()["services"].as_object().map(serde_json::Map::len), Some(5));
}

#[test]
fn each_says_what_it_is_at_its_well_known_address_and_where_its_tokens_come_from() {
    let five = five();
    let document = |name: &str, path: &str| {
        let answer = over_tcp(("127.0.0.1", five.port(name)), "GET", path, &[]).expect("an answer");
        assert_eq!(answer.status, 200, "{name}{path}");
        answer.json()
    };
    let issuer = document("oauth", "/.well-known/oauth-authorization-server")["issuer"].clone();
    assert_eq!(issuer, format!("http://127.0.0.1:{}", five.port("oauth")));
    for name in ["mail", "onenote", "onedrive", "teams"] {
        let discovery = document(name, "/.well-known/mcp.json");
        assert_eq!(
            (&discovery["mcp_version"], &discovery["authorization_servers"][0]),
            (&"1.0".into(), &issuer),
            "{name}"
        );
        let resource = document(name, "/.well-known/oauth-protected-resource/messages");
        assert_eq!(resource["authorization_servers"][0], issuer, "{name}");
    }
}

#[test]
fn a_killed_service_is_back_with_a_new_process_and_the_others_never_noticed() {
    let five = five();
    let before = five.pids();
    send(before[1], Signal::SIGKILL);
    let mail = five
        .stack
        .wait_until("mail", "back", |service| service.state() == "running" && service.pid() != Some(before[1]));
    assert_eq!(mail.restarts(), 1);
    assert_eq!(over_tcp(("127.0.0.1", five.port("mail")), "GET", "/health", &[]).expect("an answer").status, 200);
    for (at, name) in NAMES.iter().enumerate().filter(|(at, _)| *at != 1) {
        assert_eq!(five.stack.service(name).pid(), Some(before[at]), "{name}");
    }
}

#[test]
fn no_client_sees_an_error_while_every_service_is_restarted() {
    let five = five();
    let before = five.pids();
    let clients: Vec<Client> = NAMES.iter().map(|name| Client::start(five.port(name))).collect();
    five.stack.cli(&["restart"]).succeeded();
    for name in NAMES {
        five.stack.wait_for(name, "running");
    }
    for client in clients {
        client.answered_more(20);
        client.end();
    }
    let after = five.pids();
    assert!(before.iter().zip(&after).all(|(old, new)| old != new), "{before:?} {after:?}");
}

#[test]
fn no_request_is_lost_and_no_process_changes_when_control_is_killed() {
    let five = five();
    let before = five.pids();
    let clients: Vec<Client> = NAMES.iter().map(|name| Client::start(five.port(name))).collect();
    for _ in 0..3 {
        five.stack.kill_control();
    }
    for client in clients {
        client.answered_more(20);
        client.end();
    }
    assert_eq!(five.pids(), before);
    assert!(before.iter().all(|pid| alive(*pid)));
    assert_eq!(five.stack.get("/health").status, 200);
}

#[test]
fn stop_ends_all_five_within_their_time_and_frees_the_ports() {
    let mut five = five();
    let done = five.stack.stop();
    assert!(done.took < Duration::from_secs(15), "it took {:?}", done.took);
    for port in &five.ports {
        assert!(TcpStream::connect(("127.0.0.1", *port)).is_err(), "{port} still answers");
    }
}

/// Asks for `/health` over one connection again and again, as long as the server keeps it, then over a new one. A
/// connection that the server closes between two answers is no error; one that is refused, cut in the middle, or closed
/// with a request on its way, is.
struct Client {
    answers: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), String>>,
}

impl Client {
    fn start(port: u16) -> Self {
        let answers = Arc::new(AtomicUsize::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let shared = (answers.clone(), over.clone());
        let thread = thread::spawn(move || {
            let (answers, over) = shared;
            while !over.load(Ordering::Relaxed) {
                let mut stream =
                    TcpStream::connect(("127.0.0.1", port)).map_err(|error| format!("connect: {error}"))?;
                stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(|error| error.to_string())?;
                while !over.load(Ordering::Relaxed) && ask(&mut stream)? == Connection::Kept {
                    answers.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(5));
                }
            }
            Ok(())
        });
        Self { answers, over, thread }
    }

    fn answered_more(&self, more: usize) {
        let now = self.answers.load(Ordering::Relaxed);
        e2e::eventually("further answers", || {
            (self.thread.is_finished() || self.answers.load(Ordering::Relaxed) >= now + more).then_some(())
        });
    }

    fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the client does not panic").expect("no request fails");
    }
}

#[derive(PartialEq)]
enum Connection {
    Kept,
    Closed,
}

fn ask(stream: &mut TcpStream) -> Result<Connection, String> {
    stream
        .write_all(b"GET /.well-known/mcp.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .map_err(|error| format!("send: {error}"))?;
    let mut answer = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let count = stream.read(&mut buffer).map_err(|error| format!("receive: {error}"))?;
        if count == 0 {
            return Err(format!("cut after {} bytes", answer.len()));
        }
        answer.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok())
            .unwrap_or(0);
        if body.len() < length {
            continue;
        }
        if head.starts_with("http/1.1 5") {
            return Err(head);
        }
        return Ok(if head.contains("connection: close") { Connection::Closed } else { Connection::Kept });
    }
}
