//! HTTP/1 answers, byte by byte: nothing is forgiven and nothing is tried again.
//! Not here: when to ask.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Failure;

/// A connection, and what was read of it ahead.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
}

/// An answer's head.
pub(crate) struct Head {
    pub(crate) status: u16,
    /// It is the last one on its connection.
    pub(crate) closes: bool,
    length: Option<usize>,
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await.map_err(|error| Failure::from(&error))?;
        stream.set_nodelay(true).map_err(|error| Failure::from(&error))?;
        Ok(Self { stream, unread: Vec::new() })
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stream.write_all(bytes).await.map_err(|error| Failure::from(&error))
    }

    /// The other side has closed, or has said something unasked.
    pub(crate) fn is_stale(&self) -> bool {
        let mut byte = [0];
        match self.stream.try_read(&mut byte) {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    pub(crate) async fn head(&mut self) -> Result<Head, Failure> {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head: Vec<u8> = self.unread.drain(..end).collect();
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let value = |name: &str| {
            head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(|v| v.trim().to_owned()))
        };
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(Failure::Other)?;
        let closes = value("connection").is_some_and(|value| value == "close");
        Ok(Head { status, closes, length: value("content-length").and_then(|length| length.parse().ok()) })
    }

    /// The rest of an answer whose length its head told.
    pub(crate) async fn body(&mut self, head: &Head) -> Result<Vec<u8>, Failure> {
        let length = head.length.ok_or(Failure::Other)?;
        while self.unread.len() < length {
            self.more().await.map_err(|_| Failure::Short)?;
        }
        Ok(self.unread.drain(..length).collect())
    }

    /// One chunk of an answer without a length; empty is the last.
    pub(crate) async fn chunk(&mut self) -> Result<Vec<u8>, Failure> {
        let end = loop {
            if let Some(at) = self.unread.windows(2).position(|two| two == b"\r\n") {
                break at;
            }
            self.more().await.map_err(|_| Failure::Short)?;
        };
        let size = std::str::from_utf8(&self.unread[..end]).ok().and_then(|hex| usize::from_str_radix(hex, 16).ok());
        let size = size.ok_or(Failure::Other)?;
        while self.unread.len() < end + 2 + size + 2 {
            self.more().await.map_err(|_| Failure::Short)?;
        }
        let chunk = self.unread[end + 2..end + 2 + size].to_vec();
        self.unread.drain(..end + 2 + size + 2);
        Ok(chunk)
    }

    /// The first byte and the payload of a short frame of a WebSocket.
    pub(crate) async fn frame(&mut self) -> Result<(u8, Vec<u8>), Failure> {
        while self.unread.len() < 2 || self.unread.len() < 2 + usize::from(self.unread[1]) {
            self.more().await?;
        }
        let end = 2 + usize::from(self.unread[1]);
        let frame: Vec<u8> = self.unread.drain(..end).collect();
        Ok((frame[0], frame[2..].to_vec()))
    }

    async fn more(&mut self) -> Result<(), Failure> {
        let mut buffer = [0; 8192];
        match self.stream.read(&mut buffer).await {
            Ok(0) => Err(Failure::Eof),
            Ok(length) => {
                self.unread.extend_from_slice(&buffer[..length]);
                Ok(())
            }
            Err(error) => Err(Failure::from(&error)),
        }
    }
}
