//! The API's sockets while control runs: served, watched, and made again when someone removes them.
//! Not here: making them at the start (`sockets`), who may ask what (`crate::api`).

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::control::api::sockets::{self, SocketError};
use crate::control::run_loop::{Control, News};
use crate::{api, state};

/// When the socket cannot be made again, on a full disk perhaps, it is tried again after this long.
const RETRY: Duration = Duration::from_secs(5);

impl Control {
    pub(crate) fn serve_api(&mut self) -> io::Result<()> {
        let Some(sockets) = self.sockets.take() else { return Ok(()) };
        let unix = tokio::net::UnixListener::from_std(sockets.unix)?;
        self.serve_on(api::Listeners { unix: Some(unix), tcp: None }, std::future::pending());
        self.serve_tcp(sockets.tcp)
    }

    /// Over this listener from now on, and over none that was before.
    fn serve_tcp(&mut self, tcp: Option<TcpListener>) -> io::Result<()> {
        self.serving_tcp = None;
        if let Some(tcp) = tcp {
            let tcp = tokio::net::TcpListener::from_std(tcp)?;
            let (ending, end) = oneshot::channel();
            self.serving_tcp = Some(ending);
            self.serve_on(api::Listeners { unix: None, tcp: Some(tcp) }, ended(end));
        }
        Ok(())
    }

    /// `[http] listen` has changed. Whoever is being answered over the old one still is.
    pub(crate) fn swap_http(&mut self, tcp: Option<TcpListener>) {
        let held = sockets::hold_tcp(&mut self.link, tcp.as_ref());
        let address = tcp.as_ref().and_then(|tcp| tcp.local_addr().ok());
        match held.and_then(|()| self.serve_tcp(tcp)) {
            Ok(()) => self.http = address,
            Err(error) => {
                self.http = None;
                tracing::warn!(%error, "the API does not answer over TCP");
            }
        }
    }

    fn serve_on(&mut self, listeners: api::Listeners, stop: impl Future<Output = ()> + Send + 'static) {
        let api = api::Api {
            view: self.view.clone(),
            shown: self.shown.subscribe(),
            asks: self.asks.0.clone(),
            reloads: self.reload_asks.0.clone(),
            alert_tests: self.alerts.tests.clone(),
            changes: self.change_rate.clone(),
            journal: self.history.journal.reader(),
            token: api::Token::new(&self.token),
            instruments: self.instruments.clone(),
            wall_offset_ms: crate::control::wall_offset_ms,
        };
        self.tasks.spawn(async move {
            api::serve(listeners, api, stop).await;
            Ok(())
        });
    }

    /// Without a watcher a removed socket stays removed until control is replaced; TCP answers all the same.
    pub(crate) fn watch_socket(&mut self) {
        let news = self.news.0.clone();
        let removed = move || {
            let _ = news.blocking_send(News::SocketRemoved);
        };
        let watcher = sockets::watch(&self.in_force.stack.runtime_dir, removed);
        self.watcher =
            watcher.inspect_err(|error| tracing::warn!(%error, "the runtime directory cannot be watched")).ok();
        if !sockets::api_socket(&self.in_force.stack.runtime_dir).exists() {
            // Gone before it was watched. A full queue holds news that lead here again, or the next control looks.
            let _ = self.news.0.try_send(News::SocketRemoved);
        }
    }

    /// The services go on whatever becomes of it, so that it fails ends nothing.
    pub(crate) fn reopen_socket(&mut self) {
        if self.fleet.shutting_down() || sockets::api_socket(&self.in_force.stack.runtime_dir).exists() {
            return;
        }
        match self.try_reopen() {
            Ok(()) => {
                tracing::warn!("the API's socket was removed; it was made again");
                // The directory may be another one now.
                self.watch_socket();
            }
            Err(error) => {
                tracing::warn!(%error, "the API's socket was removed and cannot be made again yet");
                let news = self.news.0.clone();
                self.tasks.spawn(async move {
                    tokio::time::sleep(RETRY).await;
                    let _ = news.send(News::SocketRemoved).await;
                    Ok(())
                });
            }
        }
    }

    fn try_reopen(&mut self) -> Result<(), SocketError> {
        let path = sockets::api_socket(&self.in_force.stack.runtime_dir);
        let failed = |source| SocketError::Unix { path: path.clone(), source };
        state::private_dir(&self.in_force.stack.runtime_dir).map_err(|error| failed(io::Error::other(error)))?;
        let unix = sockets::open_again(&self.in_force.stack.runtime_dir, &mut self.link)?;
        // An earlier one that was made again is removed by now, too: nobody can reach it.
        let (ending, end) = oneshot::channel();
        self.reopened = Some(ending);
        let unix = tokio::net::UnixListener::from_std(unix).map_err(failed)?;
        self.serve_on(api::Listeners { unix: Some(unix), tcp: None }, ended(end));
        Ok(())
    }
}

/// Until the other end is dropped.
async fn ended(end: oneshot::Receiver<()>) {
    let _ = end.await;
}
