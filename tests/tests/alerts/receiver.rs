//! A server that takes what is posted to it, and answers as a test says.
//! Not here: what should have been posted.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use e2e::eventually;
use serde_json::Value;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    Status(u16),
    /// Never, and the connection stays.
    Silence,
}

/// What was posted, and how it was answered.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) path: String,
    /// Whole lines, names in lower case.
    pub(crate) headers: Vec<String>,
    pub(crate) body: Value,
    pub(crate) reply: Reply,
}

#[derive(Default)]
struct Desk {
    posts: Vec<Post>,
    /// For the next requests; then `always`.
    next: VecDeque<Reply>,
    always: Option<Reply>,
    /// Connections that nobody answers.
    silent: Vec<TcpStream>,
}

#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    desk: Arc<Mutex<Desk>>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        Self::at("127.0.0.1:0")
    }

    pub(crate) fn at(address: &str) -> Self {
        Self::listening(address, None)
    }

    pub(crate) fn encrypted(config: Arc<ServerConfig>) -> Self {
        Self::listening("127.0.0.1:0", Some(config))
    }

    /// It lives as long as the test's process.
    fn listening(address: &str, config: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(address).expect("the loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let desk = Arc::new(Mutex::new(Desk::default()));
        let shared = Arc::clone(&desk);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (desk, config) = (Arc::clone(&shared), config.clone());
                std::thread::spawn(move || match config {
                    None => serve(&stream, &stream, &desk),
                    Some(config) => {
                        let connection = ServerConnection::new(config).expect("the configuration is whole");
                        let mut encrypted = StreamOwned::new(connection, &stream);
                        serve(&mut encrypted, &stream, &desk);
                        encrypted.conn.send_close_notify();
                        let _gone = encrypted.flush();
                    }
                });
            }
        });
        Self { address, desk }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn answer_next(&self, replies: &[u16]) {
        self.desk.lock().expect("no test panics with it").next =
            replies.iter().map(|status| Reply::Status(*status)).collect();
    }

    pub(crate) fn answer_always(&self, reply: Reply) {
        self.desk.lock().expect("no test panics with it").always = Some(reply);
    }

    pub(crate) fn posts(&self) -> Vec<Post> {
        self.desk.lock().expect("no test panics with it").posts.clone()
    }

    /// What was taken with success.
    pub(crate) fn taken(&self) -> Vec<Value> {
        let taken = self.posts().into_iter().filter(|post| post.reply == Reply::Status(200));
        taken.map(|post| post.body).collect()
    }

    /// The first post of which that holds.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, holds: impl Fn(&Post) -> bool) -> Post {
        eventually(what, || self.posts().into_iter().find(|post| holds(post)))
    }

    /// The first message about that.
    #[track_caller]
    pub(crate) fn wait_for(&self, occasion: &str) -> Value {
        let taken = |post: &Post| post.reply == Reply::Status(200) && post.body["occasion"] == occasion;
        self.wait(&format!("an alert of `{occasion}`"), taken).body
    }
}

fn serve(mut client: impl Read + Write, stream: &TcpStream, desk: &Mutex<Desk>) {
    let Some((path, headers, body)) = read(&mut client) else { return };
    let mut desk = desk.lock().expect("no test panics with it");
    let reply = desk.next.pop_front().or(desk.always).unwrap_or(Reply::Status(200));
    // As careless servers do.
    let said =
        if reply == Reply::Status(500) { format!("no: POST {path} {}", headers.join(" ")) } else { "plain".to_owned() };
    desk.posts.push(Post { path, headers, body, reply });
    match reply {
        Reply::Status(status) => {
            let length = said.len();
            let answer =
                format!("HTTP/1.1 {status} Said\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{said}");
            let _gone = client.write_all(answer.as_bytes());
        }
        Reply::Silence => desk.silent.extend(stream.try_clone()),
    }
}

fn read(stream: impl Read) -> Option<(String, Vec<String>, Value)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split_whitespace().nth(1)?.to_owned();
    let (mut headers, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        let name = name.to_lowercase();
        if name == "content-length" {
            length = value.trim().parse().ok()?;
        }
        headers.push(format!("{name}: {}", value.trim()));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, headers, serde_json::from_slice(&body).ok()?))
}
