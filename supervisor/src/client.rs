//! A client of the API over the unix socket, for commands. One request at a time, each on its own connection.
//! Not here: what is shown.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use supervisor_core::ServiceName;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::api::{
    AlertTestDocument, AlertTestRequest, EventsDocument, ExitsDocument, OperationDocument, OperationEntry,
    ProblemDocument, ReloadDocument, ServicesRequest, StatusDocument, StopRequest,
};
use crate::config::Diagnostic;
use crate::sse::{Message, Parser};

/// Control may be about to be replaced; the keeper holds the socket meanwhile, so waiting is better than failing.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Asked too often, it is asked again after this.
const BREATH: Duration = Duration::from_millis(500);
/// A question that broke off is asked again so often: the control that heard it was replaced, and more may be.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);
/// For questions that are asked of many, some of which may be dead.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// A stream says something every 15 s. One that is silent for so long has nobody behind it.
const SILENCE: Duration = Duration::from_secs(45);
/// A status of thousands of services is smaller.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Why there is no answer, or not the wanted one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// No socket, or nobody behind it.
    #[error("no supervisor runs (nobody answers at {0})")]
    NotRunning(PathBuf),
    #[error("the supervisor at {0} belongs to another user: {1}")]
    Denied(PathBuf, io::Error),
    #[error("the supervisor at {0} did not answer in time")]
    Timeout(PathBuf),
    /// It was there, and left while it was asked.
    #[error("the supervisor at {0} broke off: {1}")]
    Broken(PathBuf, String),
    #[error("{detail}")]
    Refused { status: u16, detail: String },
}

/// What came of a reload.
#[derive(Debug)]
pub(crate) enum ReloadAnswer {
    Done(ReloadDocument),
    /// All that is wrong, and the same in one line.
    Rejected {
        errors: Vec<Diagnostic>,
        detail: String,
    },
}

#[derive(Debug)]
pub(crate) struct Client {
    socket: PathBuf,
    runtime: Runtime,
    timeout: Duration,
}

impl Client {
    /// For the supervisor whose runtime directory this is. Nothing is connected yet.
    pub(crate) fn new(runtime_dir: &Path) -> io::Result<Self> {
        // A supervisor that goes away while it is asked must not end us: a handler, unlike ignoring, ends with `exec`.
        signal_hook::flag::register(signal_hook::consts::SIGPIPE, Arc::default())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { socket: runtime_dir.join("api.sock"), runtime, timeout: TIMEOUT })
    }

    /// As `new`, for one that may well be dead.
    pub(crate) fn prober(runtime_dir: &Path) -> io::Result<Self> {
        Ok(Self { timeout: PROBE_TIMEOUT, ..Self::new(runtime_dir)? })
    }

    /// The same, that does not wait for long.
    pub(crate) fn hasty(self) -> Self {
        Self { timeout: PROBE_TIMEOUT, ..self }
    }

    /// The same, that waits longer by this.
    pub(crate) fn patient(self, longer: Duration) -> Self {
        Self { timeout: self.timeout + longer, ..self }
    }

    /// Somebody holds its socket: whoever cannot answer now may yet. Waits for nobody.
    pub(crate) fn is_held(&self) -> bool {
        use std::os::fd::AsRawFd;

        use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let knocked = UnixAddr::new(&self.socket).and_then(|address| {
            let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
            connect(socket.as_raw_fd(), &address)
        });
        // So many wait already.
        knocked.is_ok() || knocked == Err(nix::errno::Errno::EAGAIN)
    }

    pub(crate) fn status(&self) -> Result<StatusDocument, ClientError> {
        let body = self.status_bytes()?;
        self.parsed(&body)
    }

    /// With what each service uses, which costs the supervisor a look at every process.
    pub(crate) fn status_with_resources(&self) -> Result<StatusDocument, ClientError> {
        let body = self.ask(Method::GET, "/api/v1/status?resources=true", Bytes::new())?;
        self.parsed(&body)
    }

    /// As it came.
    pub(crate) fn status_bytes(&self) -> Result<Bytes, ClientError> {
        self.ask(Method::GET, "/api/v1/status", Bytes::new())
    }

    pub(crate) fn start(&self, change: &ServicesRequest) -> Result<OperationEntry, ClientError> {
        self.post("/api/v1/start", change)
    }

    pub(crate) fn stop(&self, change: &StopRequest) -> Result<OperationEntry, ClientError> {
        self.post("/api/v1/stop", change)
    }

    pub(crate) fn restart(&self, change: &ServicesRequest) -> Result<OperationEntry, ClientError> {
        self.post("/api/v1/restart", change)
    }

    pub(crate) fn reload(&self, dry_run: bool) -> Result<ReloadAnswer, ClientError> {
        let (status, body) = self.asked(Method::POST, &format!("/api/v1/reload?dry_run={dry_run}"), Bytes::new())?;
        if status.is_success() {
            return self.parsed(&body).map(ReloadAnswer::Done);
        }
        match serde_json::from_slice::<ProblemDocument>(&body) {
            Ok(problem) if status == StatusCode::UNPROCESSABLE_ENTITY => {
                Ok(ReloadAnswer::Rejected { errors: problem.errors, detail: problem.detail })
            }
            Ok(_) | Err(_) => Err(refused(status, &body)),
        }
    }

    /// To be asked with patience: a test takes as long as an alert may.
    pub(crate) fn test_alerts(&self, request: &AlertTestRequest) -> Result<AlertTestDocument, ClientError> {
        let body = serde_json::to_vec(request).map_err(|error| self.broken(&error))?;
        let answer = self.ask(Method::POST, "/api/v1/alerts/test", body.into())?;
        self.parsed(&answer)
    }

    pub(crate) fn signal(&self, service: &str, signal: i32) -> Result<(), ClientError> {
        let path = format!("/api/v1/services/{service}/signal?signal={signal}");
        self.ask(Method::POST, &path, Bytes::new()).map(drop)
    }

    pub(crate) fn exits(&self, service: &ServiceName) -> Result<ExitsDocument, ClientError> {
        let body = self.ask(Method::GET, &format!("/api/v1/services/{service}/exits"), Bytes::new())?;
        self.parsed(&body)
    }

    /// A page of events; `query` as the API takes it.
    pub(crate) fn events(&self, query: &str) -> Result<EventsDocument, ClientError> {
        let body = self.ask(Method::GET, &format!("/api/v1/events?{query}"), Bytes::new())?;
        self.parsed(&body)
    }

    /// Shows each event of a stream of events, from behind `since`, until it ends: control may be replaced.
    pub(crate) fn follow(&self, since: u64, query: &str, mut each: impl FnMut(&Message)) -> Result<(), ClientError> {
        let path = format!("/api/v1/events?follow=true&since={since}&{query}");
        let (begun, begins) = oneshot::channel();
        let read = async |status: StatusCode, mut body: Incoming| {
            let _ = begun.send(());
            if !status.is_success() {
                return Err(refused(status, &self.collected(body).await?));
            }
            let mut parser = Parser::default();
            while let Ok(Some(Ok(frame))) = tokio::time::timeout(SILENCE, body.frame()).await {
                frame.data_ref().map(|bytes| parser.take(bytes)).unwrap_or_default().iter().for_each(&mut each);
            }
            Ok(())
        };
        let too_late = async {
            match tokio::time::timeout(self.timeout, begins).await {
                Ok(_) => std::future::pending().await,
                Err(_) => Err(ClientError::Timeout(self.socket.clone())),
            }
        };
        self.runtime.block_on(async {
            tokio::select! {
                read = self.exchange(Method::GET, &path, Bytes::new(), read) => read,
                late = too_late => late,
            }
        })
    }

    /// How far it is by now.
    pub(crate) fn operation(&self, id: &str) -> Result<OperationEntry, ClientError> {
        let body = self.ask(Method::GET, &format!("/api/v1/operations/{id}"), Bytes::new())?;
        self.parsed::<OperationDocument>(&body).map(|document| document.operation)
    }

    fn post(&self, path: &str, body: &impl Serialize) -> Result<OperationEntry, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.broken(&error))?;
        let answer = self.ask(Method::POST, path, body.into())?;
        self.parsed::<OperationDocument>(&answer).map(|document| document.operation)
    }

    fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        let (status, body) = self.asked(method, path, body)?;
        if status.is_success() { Ok(body) } else { Err(refused(status, &body)) }
    }

    fn asked(&self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), ClientError> {
        let read = async |status, body| Ok((status, self.collected(body).await?));
        let patient = async {
            let mut tries = TRIES;
            loop {
                match self.exchange(method.clone(), path, body.clone(), read).await {
                    Ok((StatusCode::TOO_MANY_REQUESTS, _)) => tokio::time::sleep(BREATH).await,
                    // What changes something may have been done.
                    Err(ClientError::Broken(..)) if method.is_safe() && tries > 0 => {
                        tries -= 1;
                        tokio::time::sleep(PAUSE).await;
                    }
                    answer => return answer,
                }
            }
        };
        let asking = async {
            match tokio::time::timeout(self.timeout, patient).await {
                Ok(answer) => answer,
                Err(_) => Err(ClientError::Timeout(self.socket.clone())),
            }
        };
        self.runtime.block_on(asking)
    }

    async fn collected(&self, body: Incoming) -> Result<Bytes, ClientError> {
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        Ok(body.map_err(|error| self.broken(&*error))?.to_bytes())
    }

    async fn exchange<T>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        read: impl AsyncFnOnce(StatusCode, Incoming) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.unreachable(error))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| self.broken(&error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(&error))?;
        let answered = async {
            let answer = sender.send_request(request).await.map_err(|error| self.broken(&error))?;
            read(answer.status(), answer.into_body()).await
        };
        let mut connection = std::pin::pin!(connection);
        let mut answered = std::pin::pin!(answered);
        tokio::select! {
            answer = &mut answered => answer,
            // The connection may end in the same moment in which the answer is complete.
            _ = &mut connection => answered.await,
        }
    }

    fn parsed<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| self.broken(&error))
    }

    fn unreachable(&self, error: io::Error) -> ClientError {
        let at = self.socket.clone();
        let kind = error.kind();
        if kind == io::ErrorKind::PermissionDenied {
            return ClientError::Denied(at, error);
        }
        if kind == io::ErrorKind::NotFound || kind == io::ErrorKind::ConnectionRefused {
            return ClientError::NotRunning(at);
        }
        ClientError::Broken(at, error.to_string())
    }

    fn broken(&self, error: &(dyn std::error::Error + '_)) -> ClientError {
        ClientError::Broken(self.socket.clone(), error.to_string())
    }
}

fn refused(status: StatusCode, body: &[u8]) -> ClientError {
    let detail = match serde_json::from_slice::<ProblemDocument>(body) {
        Ok(problem) => problem.detail,
        Err(_) => status.to_string(),
    };
    ClientError::Refused { status: status.as_u16(), detail }
}
