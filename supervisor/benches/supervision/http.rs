//! A small HTTP/1.1 client that asks as fast as it is answered.
//! Not here: who answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::Error;

const CONNECTIONS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of asking for a while.
#[derive(Debug, Default)]
pub(crate) struct Load {
    latencies_ns: Vec<u64>,
    spent: Duration,
}

impl Load {
    /// Keeps every connection busy for `spell`.
    pub(crate) fn add(&mut self, server: SocketAddr, path: &str, spell: Duration) -> Result<(), Error> {
        let began = Instant::now();
        let until = began + spell;
        let all: Vec<Result<Vec<u64>, String>> = std::thread::scope(|scope| {
            let ask = || ask_until(server, path, until).map_err(|error| error.to_string());
            let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(ask)).collect();
            let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
            joined.map(|joined| joined.unwrap_or_else(|_| Err("a connection panicked".to_owned()))).collect()
        });
        self.spent += began.elapsed();
        for latencies in all {
            self.latencies_ns.extend(latencies?);
        }
        self.latencies_ns.sort_unstable();
        Ok(())
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.latencies_ns.len() as f64 / self.spent.as_secs_f64()
    }

    pub(crate) fn percentile_ms(&self, percent: usize) -> f64 {
        let place = self.latencies_ns.len() * percent / 100;
        self.latencies_ns.get(place).map_or(f64::NAN, |ns| *ns as f64 / 1e6)
    }
}

/// The body of one answer.
pub(crate) fn fetch(server: SocketAddr, path: &str) -> Result<Vec<u8>, Error> {
    let mut connection = Connection::open(server, path)?;
    let answer = connection.ask()?;
    Ok(connection.answer[answer.body..answer.end].to_vec())
}

fn ask_until(server: SocketAddr, path: &str, until: Instant) -> Result<Vec<u64>, Error> {
    let mut connection = Connection::open(server, path)?;
    let mut latencies = Vec::new();
    loop {
        let asked = Instant::now();
        if asked >= until {
            return Ok(latencies);
        }
        connection.ask()?;
        latencies.push(u64::try_from(asked.elapsed().as_nanos())?);
    }
}

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    /// The bytes of the latest answer; never shortened, so that they are zeroed once only.
    answer: Vec<u8>,
}

/// Where the body is in the bytes of an answer.
struct Answer {
    body: usize,
    end: usize,
}

impl Connection {
    fn open(server: SocketAddr, path: &str) -> Result<Self, Error> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nAccept: application/json\r\n\r\n").into_bytes();
        Ok(Self { stream, request, answer: vec![0; 64 * 1024] })
    }

    fn ask(&mut self) -> Result<Answer, Error> {
        self.stream.write_all(&self.request)?;
        let mut have = 0;
        let mut whole: Option<Answer> = None;
        while whole.as_ref().is_none_or(|answer| have < answer.end) {
            if have == self.answer.len() {
                self.answer.resize(have * 2, 0);
            }
            let read = self.stream.read(&mut self.answer[have..])?;
            if read == 0 {
                return Err("the connection was closed".into());
            }
            have += read;
            if whole.is_none() {
                whole = head(&self.answer[..have])?;
            }
        }
        whole.ok_or_else(|| "no answer".into())
    }
}

/// `None` while the head is not all there.
fn head(bytes: &[u8]) -> Result<Option<Answer>, Error> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..end])?.to_ascii_lowercase();
    if !text.starts_with("http/1.1 200 ") {
        return Err(format!("not answered: {text}").into());
    }
    let length =
        text.lines().find_map(|line| line.strip_prefix("content-length:")).ok_or("an answer without length")?;
    let body = end + 4;
    Ok(Some(Answer { body, end: body + length.trim().parse::<usize>()? }))
}
