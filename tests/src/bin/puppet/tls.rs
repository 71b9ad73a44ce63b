//! A server that speaks TLS with a certificate that is good for as long as it is told.
//! Not here: HTTP beyond one answer.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, recv, send};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::args::Args;
use crate::ends;
use crate::listen;
use crate::output::say;

/// Listens as `listen` does. `--certificate FILE` names a file with two numbers, in seconds since 1970: from when and
/// until when its certificate is good; it is read for each connection. `--status CODE` is what it answers. Each request is
/// told with the name that the handshake asked for, and its Host.
pub(crate) fn main(mut args: Args) -> io::Result<()> {
    let certificate = PathBuf::from(args.option("certificate").unwrap_or_else(|| "certificate".to_owned()));
    let status = args.option("status").unwrap_or_else(|| "200 OK".to_owned());
    for listener in listen::listeners(&mut args)? {
        let (certificate, status) = (certificate.clone(), status.clone());
        listen::each_client(listener, move |client| serve(client, &certificate, &status));
    }
    ends::wait()
}

fn serve(client: RawFd, certificate: &std::path::Path, status: &str) -> io::Result<()> {
    let times = fs::read_to_string(certificate)?;
    let mut times = times.split_whitespace().map(|word| Duration::from_secs(word.parse().expect("a number")));
    let mut next = || date_time_ymd(1970, 1, 1) + times.next().expect("two numbers");
    let config = config(|params| (params.not_before, params.not_after) = (next(), next()))?;
    let mut stream = StreamOwned::new(ServerConnection::new(config).map_err(io::Error::other)?, Client(client));
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => head.extend_from_slice(&buffer[..count]),
        }
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    say(&format!("{} for {host}\n", stream.conn.server_name().unwrap_or("nobody")))?;
    stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok").as_bytes())?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn config(change: impl FnOnce(&mut CertificateParams)) -> io::Result<Arc<ServerConfig>> {
    let mut params = CertificateParams::new(["localhost".to_owned()]).map_err(io::Error::other)?;
    change(&mut params);
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into());
    config.map(Arc::new).map_err(io::Error::other)
}

/// A connection, whichever family it is of.
struct Client(RawFd);

impl Read for Client {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self.0, buffer, MsgFlags::empty())?)
    }
}

impl Write for Client {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(self.0, bytes, MsgFlags::MSG_NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
