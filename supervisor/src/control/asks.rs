//! Requests of the API, turned into events.
//! Not here: HTTP, who may ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use supervisor_core::{Event, ServiceName};
use supervisor_keeper::Request;

use super::run_loop::Control;
use super::view::{Ask, Refusal, What};

/// The record that says that everything is to stop, and how.
const ENDING: &str = "ending";

/// How everything is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Haste {
    InOrder,
    AtOnce,
}

impl Haste {
    /// What an earlier control had begun.
    pub(crate) fn recorded(records: &BTreeMap<String, Vec<u8>>) -> Option<Self> {
        let recorded = records.get(ENDING)?;
        Some(if recorded == Self::AtOnce.word() { Self::AtOnce } else { Self::InOrder })
    }

    fn word(self) -> &'static [u8] {
        match self {
            Self::InOrder => b"in order",
            Self::AtOnce => b"at once",
        }
    }
}

impl Control {
    /// Everything is to stop. That is kept first: should we die over it, the next control goes on with it.
    pub(crate) fn shut_down(&mut self, haste: Haste) {
        tracing::info!(?haste, "asked to stop everything");
        let (key, value) = (ENDING.to_owned(), haste.word().to_vec());
        self.ask_keeper("keep that everything is to stop", &Request::Put { key, value });
        let within = u64::try_from(self.shutdown_timeout.as_millis()).unwrap_or(u64::MAX);
        self.happen(match haste {
            Haste::InOrder => Event::ShutdownRequested { within },
            Haste::AtOnce => Event::ShutdownNowRequested,
        });
    }

    pub(crate) fn answer(&mut self, ask: Ask) {
        let Ask { what, answer } = ask;
        let result = self.check(&what).map(|()| self.grant(what));
        // The asker may have left.
        let _ = answer.send(result);
    }

    fn check(&self, what: &What) -> Result<(), Refusal> {
        let services = match what {
            What::Start(services) | What::Restart(services) | What::Stop { services, .. } => services.as_slice(),
            What::Signal { service, .. } => std::slice::from_ref(service),
        };
        if let Some(unknown) = services.iter().find(|name| !self.services.contains_key(*name)) {
            return Err(Refusal::UnknownService(unknown.clone()));
        }
        match what {
            What::Start(_) | What::Restart(_) if self.fleet.shutting_down() => Err(Refusal::ShuttingDown),
            What::Signal { service, .. } if self.main_run(service).is_none() => {
                Err(Refusal::NotRunning(service.clone()))
            }
            What::Start(_) | What::Restart(_) | What::Stop { .. } | What::Signal { .. } => Ok(()),
        }
    }

    fn grant(&mut self, what: What) {
        let event = match what {
            What::Start(services) if services.is_empty() => super::startup::autostart(&self.stack),
            What::Start(services) => Event::StartRequested(services),
            What::Stop { services, now } if services.is_empty() => {
                return self.shut_down(if now { Haste::AtOnce } else { Haste::InOrder });
            }
            What::Stop { services, now: false } => Event::StopRequested(services),
            What::Stop { services, now: true } => Event::KillRequested(services),
            What::Restart(services) if services.is_empty() => Event::RestartRequested(self.wanted()),
            What::Restart(services) => Event::RestartRequested(services),
            What::Signal { service, signal } => {
                if let Some(run) = self.main_run(&service) {
                    tracing::info!(%service, signal, "a signal is sent by request");
                    let request = Request::Signal { run, signal, and_continue: false, group: false };
                    self.ask_keeper("signal", &request);
                }
                return;
            }
        };
        self.happen(event);
    }

    fn wanted(&mut self) -> Vec<ServiceName> {
        let services = self.fleet.snapshot();
        services.iter().filter(|service| service.wanted).map(|service: &Arc<_>| service.name.clone()).collect()
    }

    fn main_run(&self, service: &ServiceName) -> Option<u64> {
        let view = self.view.load();
        let found = view.services.iter().find(|one| one.name == *service)?;
        found.run.as_ref().filter(|run| run.pid.is_some()).map(|run| run.run)
    }
}
