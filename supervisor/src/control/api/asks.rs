//! Requests of the API, turned into events.
//! Not here: HTTP, who may ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use supervisor_core::{Event, ServiceName};
use supervisor_keeper::Request;

use crate::control::api::operations::{Change, Operation, OperationKind, Outcome, Part};
use crate::control::api::view::{Ask, Refusal, What};
use crate::control::run_loop::Control;

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

    fn in_words(self) -> &'static str {
        match self {
            Self::InOrder => "stops everything, in order",
            Self::AtOnce => "stops everything, at once",
        }
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
        tracing::info!(?haste, "{}", crate::control::telling::narrator::STOPPING);
        self.history.supervisor(haste.in_words());
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
        if let Some(unknown) = services.iter().find(|name| !self.catalogue.knows(name)) {
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

    /// Begins an operation, or joins one that is under way. Either way the core is told: it knows best what is left to
    /// be done.
    fn grant(&mut self, what: What) -> Arc<Operation> {
        self.note_request(&what);
        let stack = &self.in_force.stack;
        let everything = || stack.services.iter().map(|service| service.spec.name.clone()).collect();
        let (kind, services) = match what {
            What::Start(services) if services.is_empty() => {
                (OperationKind::Start, crate::control::startup::autostart(stack))
            }
            What::Start(services) => (OperationKind::Start, services),
            What::Stop { services, now } if services.is_empty() => {
                let operation = self.begin(if now { OperationKind::Kill } else { OperationKind::Stop }, everything());
                self.shut_down(if now { Haste::AtOnce } else { Haste::InOrder });
                return operation;
            }
            What::Stop { services, now: false } => (OperationKind::Stop, services),
            What::Stop { services, now: true } => (OperationKind::Kill, services),
            What::Restart(services) if services.is_empty() => (OperationKind::Restart, self.wanted()),
            What::Restart(services) => (OperationKind::Restart, services),
            What::Signal { service, signal } => return self.signal(service, signal),
        };
        let operation = self.begin(kind, services.clone());
        self.wish(kind, services);
        operation
    }

    fn begin(&mut self, kind: OperationKind, mut services: Vec<ServiceName>) -> Arc<Operation> {
        services.sort();
        services.dedup();
        let generations: BTreeMap<ServiceName, u64> =
            self.fleet.snapshot().iter().map(|one| (one.name.clone(), one.generation)).collect();
        let from = |service: &ServiceName| generations.get(service).copied().unwrap_or(0);
        let parts: Vec<Part> = services
            .into_iter()
            .map(|service| (from(&service), service))
            .map(|(from, service)| Part::new(service, from))
            .collect();
        if let Some(operation) = self.operations.joinable(kind, &parts) {
            return operation;
        }
        self.add_operation(kind, parts)
    }

    fn add_operation(&mut self, kind: OperationKind, parts: Vec<Part>) -> Arc<Operation> {
        let (operation, changes) = self.operations.add(kind, parts, crate::control::now());
        self.keep_operations(changes);
        operation
    }

    fn wish(&mut self, kind: OperationKind, services: Vec<ServiceName>) {
        if kind == OperationKind::Start {
            self.start_anew(&services);
        }
        self.happen(match kind {
            OperationKind::Start => Event::StartRequested(services),
            OperationKind::Stop => Event::StopRequested(services),
            OperationKind::Kill => Event::KillRequested(services),
            OperationKind::Restart => return self.restart(services),
            OperationKind::Signal => return,
        });
    }

    fn signal(&mut self, service: ServiceName, signal: i32) -> Arc<Operation> {
        let mut part = Part::new(service, 0);
        if let Some((run, pid)) = self.main_run(&part.service) {
            tracing::info!(service = %part.service, signal, "a signal is sent by request");
            let request = Request::Signal { run, signal, and_continue: false, group: false };
            self.ask_keeper("signal", &request);
            part.cause = format!("{} sent to pid {pid}", crate::signals::name(signal));
            part.outcome = Outcome::Succeeded;
        }
        self.add_operation(OperationKind::Signal, vec![part])
    }

    pub(crate) fn keep_operations(&mut self, changes: Vec<Change>) {
        for change in changes {
            let (what, request) = match change {
                Change::Keep(operation) => {
                    let value = serde_json::to_vec(&*operation).unwrap_or_default();
                    ("keep an operation", Request::Put { key: operation.record_key(), value })
                }
                Change::Forget(operation) => ("forget an operation", Request::Delete { key: operation.record_key() }),
            };
            self.ask_keeper(what, &request);
        }
    }

    /// Asks again for what an earlier control may have died over. If one has died over that already, it is better left.
    pub(crate) fn resume_operations(&mut self) {
        let mut wishes = Vec::new();
        let snapshots = self.fleet.snapshot();
        let now = crate::control::now();
        let changes = self.operations.review(|operation| {
            if operation.resumed {
                for part in operation.parts.iter_mut().filter(|part| part.outcome == Outcome::Running) {
                    part.outcome = Outcome::Unknown;
                    "the supervisor was replaced more than once meanwhile".clone_into(&mut part.cause);
                }
                operation.sum_up(now);
                return;
            }
            operation.resumed = true;
            let open = |part: &&Part| {
                let snapshot = snapshots.iter().find(|one| one.name == part.service);
                let replaced = snapshot.is_some_and(|one| one.generation > part.from);
                part.outcome == Outcome::Running && !(operation.kind == OperationKind::Restart && replaced)
            };
            let services: Vec<ServiceName> =
                operation.parts.iter().filter(open).map(|part| part.service.clone()).collect();
            wishes.push((operation.kind, services));
        });
        self.keep_operations(changes);
        for (kind, services) in wishes {
            self.wish(kind, services);
        }
    }

    pub(crate) fn wanted(&mut self) -> Vec<ServiceName> {
        let services = self.fleet.snapshot();
        services.iter().filter(|service| service.wanted).map(|service: &Arc<_>| service.name.clone()).collect()
    }

    fn main_run(&self, service: &ServiceName) -> Option<(u64, i32)> {
        let view = self.view.load();
        let found = view.services.iter().find(|one| one.name == *service)?;
        found.run.as_ref().and_then(|run| Some((run.run, run.pid?)))
    }
}
