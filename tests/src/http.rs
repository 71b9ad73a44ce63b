//! The smallest HTTP client that can be trusted to send exactly what a test says.
//! Not here: conveniences.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first header of that name, which is given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// One request over TCP; `extra` are whole header lines.
///
/// # Errors
/// When there is no connection or no answer.
pub fn over_tcp(address: impl ToSocketAddrs, method: &str, path: &str, extra: &[&str]) -> io::Result<Response> {
    let mut stream = tcp(address)?;
    let host = stream.peer_addr()?.to_string();
    stream.write_all(request(method, path, &host, extra).as_bytes())?;
    answer(stream)
}

/// One request over a unix socket.
///
/// # Errors
/// When there is no connection or no answer.
pub fn over_unix(socket: &Path, method: &str, path: &str, extra: &[&str]) -> io::Result<Response> {
    let mut stream = unix(socket)?;
    stream.write_all(request(method, path, "localhost", extra).as_bytes())?;
    answer(stream)
}

/// Sends bytes as they are over TCP, and reads the answer.
///
/// # Errors
/// When there is no connection, or it ends without an answer.
pub fn raw_over_tcp(address: impl ToSocketAddrs, bytes: &[u8]) -> io::Result<Response> {
    let mut stream = tcp(address)?;
    // The other side may hang up in the middle: its answer counts all the same.
    let _cut_short = stream.write_all(bytes);
    answer(stream)
}

/// Sends bytes as they are over a unix socket, and reads the answer.
///
/// # Errors
/// When there is no connection, or it ends without an answer.
pub fn raw_over_unix(socket: &Path, bytes: &[u8]) -> io::Result<Response> {
    let mut stream = unix(socket)?;
    let _cut_short = stream.write_all(bytes);
    answer(stream)
}

fn tcp(address: impl ToSocketAddrs) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn unix(socket: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn request(method: &str, path: &str, host: &str, extra: &[&str]) -> String {
    let own_host = extra.iter().any(|line| line.to_ascii_lowercase().starts_with("host:"));
    let host = if own_host { String::new() } else { format!("Host: {host}\r\n") };
    let extra: String = extra.iter().map(|line| format!("{line}\r\n")).collect();
    let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
    format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n{length}{extra}\r\n")
}

fn answer(mut stream: impl Read) -> io::Result<Response> {
    let mut all = Vec::new();
    let mut buffer = [0; 65536];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            // A reset after the answer does not undo it.
            Err(error) if all.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    parse(&all).ok_or_else(|| io::Error::other(format!("no answer: {:?}", String::from_utf8_lossy(&all))))
}

fn parse(all: &[u8]) -> Option<Response> {
    let end = all.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let chunked = headers.iter().any(|(key, value)| key == "transfer-encoding" && value == "chunked");
    let body = &all[end + 4..];
    let body = if chunked { unchunked(body) } else { body.to_vec() };
    Some(Response { status, headers, body })
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).ok().and_then(|hex| usize::from_str_radix(hex, 16).ok());
        let start = end + 2;
        match size {
            Some(size) if size > 0 && rest.len() >= start + size => {
                body.extend_from_slice(&rest[start..start + size]);
                rest = rest.get(start + size + 2..).unwrap_or_default();
            }
            Some(_) | None => break,
        }
    }
    body
}
