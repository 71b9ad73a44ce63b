//! One try of a check, over http or tcp. Bounded in time by its timeout and in memory by its buffers.
//! Not here: when to try, what a failure means (the core); command probes (`command`).

pub(crate) mod command;
mod tls;

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use nix::errno::Errno;
use supervisor_core::{CheckId, ProbeOutcome, Time};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::rustls::pki_types::ServerName;

use crate::certificates::Validity;
use crate::config::{Launch, ProbeHow};
use crate::untrusted::one_line;

/// What is said of a check on the private socket of a service that takes none of its connections.
pub(crate) const UNANSWERED: &str = "on its socket `supervisor-probe`";
/// Of an answer, this much is read.
const MAX_BODY: usize = 8 * 1024;
/// Of an answer's head, this much is read.
const MAX_HEAD: usize = 16 * 1024;
/// Of what was seen, this much is told.
const MAX_TOLD: usize = 256;

/// Where a run answers.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// Its own port.
    Port(SocketAddr),
    /// Its private `supervisor-probe` listener.
    Socket(PathBuf),
}

impl Target {
    /// The port of a service as the machine itself reaches it.
    pub(crate) fn port(launch: &Launch) -> Option<Self> {
        let ip = match launch.bind {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
        };
        launch.port.map(|port| Self::Port(SocketAddr::new(ip, port)))
    }
}

/// A try that is over.
#[derive(Debug)]
pub(crate) struct Probed {
    pub(crate) run: u64,
    pub(crate) check: CheckId,
    pub(crate) began: Time,
    pub(crate) outcome: ProbeOutcome,
    /// Of the certificate that the service has shown, whatever came after it.
    pub(crate) certificate: Option<Validity>,
}

/// How far it has come with TLS.
#[derive(Debug)]
enum Tls {
    /// There is none, or not yet.
    None,
    Handshake,
    Encrypted(Option<Validity>),
}

/// Tries once.
pub(crate) async fn attempt(how: &ProbeHow, target: Target, timeout: Duration) -> (ProbeOutcome, Option<Validity>) {
    let mut so_far = Tls::None;
    let place = if matches!(target, Target::Socket(_)) { format!(" {UNANSWERED}") } else { String::new() };
    let outcome = match (how, target) {
        (ProbeHow::Http { path, status, headers, host, tls }, target) => {
            let request = Ask { path, status, headers, host: host.as_deref(), tls: tls.as_ref() };
            tokio::time::timeout(timeout, http(request, target, &mut so_far)).await
        }
        (ProbeHow::Tcp, Target::Port(address)) => {
            let connect = async { TcpStream::connect(address).await.map(drop).map_err(|error| unreached(&error)) };
            tokio::time::timeout(timeout, connect).await
        }
        (ProbeHow::Tcp | ProbeHow::Command(_), _) => Ok(Err(failed("this check cannot be tried here"))),
    };
    let (ms, certificate) = (timeout.as_millis(), if let Tls::Encrypted(shown) = so_far { shown } else { None });
    let outcome = match outcome {
        Ok(Ok(())) => ProbeOutcome::Passed,
        Ok(Err(outcome)) => outcome,
        Err(_) if matches!(so_far, Tls::Handshake) => {
            ProbeOutcome::Failed(format!("no TLS handshake within {ms} ms; it may not speak TLS"))
        }
        Err(_) => ProbeOutcome::Failed(format!("no answer within {ms} ms{place}")),
    };
    (outcome, certificate)
}

#[derive(Clone, Copy)]
struct Ask<'a> {
    path: &'a str,
    status: &'a [u16],
    headers: &'a BTreeMap<String, String>,
    host: Option<&'a str>,
    tls: Option<&'a ServerName<'static>>,
}

async fn http(ask: Ask<'_>, target: Target, so_far: &mut Tls) -> Result<(), ProbeOutcome> {
    match target {
        Target::Port(address) => {
            let stream = TcpStream::connect(address).await.map_err(|error| unreached(&error))?;
            // Servers choose a site by this name, and over TLS it must be the one that the handshake asked for.
            let authority =
                if ask.tls.is_some() { format!("localhost:{}", address.port()) } else { address.to_string() };
            ask_over(ask, stream, &authority, so_far).await
        }
        Target::Socket(path) => {
            let stream = UnixStream::connect(path).await.map_err(|error| unreached(&error))?;
            ask_over(ask, stream, "localhost", so_far).await
        }
    }
}

async fn ask_over<S>(ask: Ask<'_>, stream: S, authority: &str, so_far: &mut Tls) -> Result<(), ProbeOutcome>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let outcome = match ask.tls {
        None => exchange(ask, TokioIo::new(stream), authority).await,
        // On the heap: within it, every check would be as large.
        Some(name) => Box::pin(exchange_encrypted(ask, name, stream, authority, so_far)).await,
    };
    outcome.map_err(failed)
}

async fn exchange_encrypted<S>(
    ask: Ask<'_>,
    name: &ServerName<'static>,
    stream: S,
    authority: &str,
    so_far: &mut Tls,
) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    *so_far = Tls::Handshake;
    let stream = tls::encrypted(stream, name.clone()).await?;
    *so_far = Tls::Encrypted(tls::shown(&stream));
    exchange(ask, TokioIo::new(stream), authority).await
}

async fn exchange(ask: Ask<'_>, io: impl Read + Write + Unpin, authority: &str) -> Result<(), String> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake::<_, Empty<Bytes>>(io)
        .await
        .map_err(|error| error.to_string())?;
    let mut request = hyper::Request::get(ask.path)
        .header("host", ask.host.unwrap_or(authority))
        .header("user-agent", concat!("supervisor/", env!("CARGO_PKG_VERSION")))
        .header("connection", "close");
    for (name, value) in ask.headers {
        request = request.header(name, value);
    }
    let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| in_words(&error))?;
        let status = response.status();
        if ask.status.contains(&status.as_u16()) {
            return Ok(());
        }
        // The first words of the answer often say why.
        let body =
            Limited::new(response.into_body(), MAX_BODY).collect().await.map(http_body_util::Collected::to_bytes);
        let text = body.map(|body| String::from_utf8_lossy(&body).into_owned()).unwrap_or_default();
        Err(format!("status {status}: {text}"))
    };
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        outcome = &mut answer => outcome,
        // It may end in the very poll that delivers the answer, so its end alone proves nothing.
        _ = connection => answer.await,
    }
}

/// With what it is about: a service that wants a certificate of ours says so only after the handshake.
fn in_words(error: &hyper::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |why| format!("{error}: {why}"))
}

fn failed(seen: impl AsRef<str>) -> ProbeOutcome {
    ProbeOutcome::Failed(one_line(seen.as_ref(), MAX_TOLD))
}

fn unreached(error: &io::Error) -> ProbeOutcome {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ECONNREFUSED) => failed("connection refused"),
        Some(errno) if is_shortage(errno) => ProbeOutcome::Untried(error.to_string()),
        Some(_) | None => failed(error.to_string()),
    }
}

/// What is short is ours or the machine's. (`EAGAIN` is not among them: a full queue of a service says so, too.)
fn is_shortage(errno: Errno) -> bool {
    [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::ENOBUFS].contains(&errno)
}
