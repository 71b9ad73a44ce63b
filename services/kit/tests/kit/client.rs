//! A client as naive as they come: it never retries, and never looks whether its connection is still open.
//! Not here: the server.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a helper of several test programs, each of which needs a part of it"
)]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

pub(crate) struct Client<S = TcpStream> {
    stream: S,
    unread: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, unread: Vec::new() }
    }

    pub(crate) fn get(&mut self, path: &str) -> io::Result<Response> {
        self.request("GET", path, "")
    }

    pub(crate) fn request(&mut self, method: &str, path: &str, body: &str) -> io::Result<Response> {
        self.send(&request(method, path, body))?;
        self.response(method)
    }

    pub(crate) fn send(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes())
    }

    pub(crate) fn response(&mut self, method: &str) -> io::Result<Response> {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            self.more()?;
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut response = Response { status, head, body: String::new() };
        let has_body = method != "HEAD" && status != 204;
        let length = if has_body { response.header("content-length").unwrap().parse().unwrap() } else { 0 };
        while self.unread.len() < length {
            self.more()?;
        }
        response.body = String::from_utf8(self.unread.drain(..length).collect()).unwrap();
        Ok(response)
    }

    /// Waits until the server closes; true if it did so in good order and without a word.
    pub(crate) fn is_closed_silently(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0))
    }

    fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            length => {
                self.unread.extend_from_slice(&buffer[..length]);
                Ok(())
            }
        }
    }
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// This was the last answer on its connection.
    pub(crate) fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

pub(crate) fn request(method: &str, path: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// One request on a connection of its own.
pub(crate) fn get(address: SocketAddr, path: &str) -> Response {
    Client::connect(address).unwrap().get(path).unwrap()
}
