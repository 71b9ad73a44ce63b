//! A view as documents.
//! Not here: when they are made (`cache`).

use std::net::SocketAddr;

use supervisor_core::{
    ExitReport, GenerationSnapshot, Health, HealthStatus, RolloutSnapshot, ServiceName, ServiceSnapshot, Time,
};

use super::change::{OperationEntry, OutcomeEntry};
use super::document::{
    AlertDocument, ConfigDocument, ExecutableDocument, ExitDocument, FailingCheck, GenerationDocument, HealthDocument,
    HealthEntry, RejectedDocument, ResourcesDocument, RolloutDocument, SCHEMA_VERSION, ServiceDocument,
    ServicesDocument, ShortDocument, ShortEntry, StatusDocument, SupervisorDocument,
};
use crate::alerts::AlertState;
use crate::config::{Launch, ProbeHow, Service};
use crate::control::{ConfigView, Executable, Operation, Part, View};
use crate::resources::Sample;
use crate::{log_lines, rollouts, signals, timestamp};

pub(crate) fn status(view: &View) -> StatusDocument {
    StatusDocument {
        schema_version: SCHEMA_VERSION,
        supervisor: supervisor(view),
        config: config(view),
        alerts: view.alerts.iter().map(alert).collect(),
        services: all(view),
    }
}

fn alert(state: &AlertState) -> AlertDocument {
    let AlertState { name, way, queued, sent, lost, sent_at, error } = state.clone();
    AlertDocument { name, way: way.to_owned(), queued, sent, lost, sent_at, error }
}

pub(crate) fn services(view: &View) -> ServicesDocument {
    ServicesDocument { schema_version: SCHEMA_VERSION, services: all(view) }
}

/// A supervisor that shuts down is about to serve nothing, however well its services are.
pub(crate) fn health_status(view: &View) -> HealthStatus {
    if view.shutting_down { HealthStatus::Unhealthy } else { sum(view).status }
}

fn sum(view: &View) -> Health {
    Health::of(view.services.iter().map(AsRef::as_ref))
}

pub(crate) fn health(view: &View) -> HealthDocument {
    let entry = |(state, critical, since, cause): &(_, bool, Time, String)| HealthEntry {
        state: *state,
        critical: *critical,
        since: wall(view, *since),
        cause: cause.clone(),
    };
    HealthDocument {
        schema_version: SCHEMA_VERSION,
        status: health_status(view),
        services: sum(view).services.iter().map(|(name, health)| (name.clone(), entry(health))).collect(),
    }
}

pub(crate) fn short(view: &View) -> ShortDocument {
    let entry = |snapshot: &ServiceSnapshot| ShortEntry {
        state: snapshot.state,
        pid: snapshot.run.as_ref().and_then(|run| run.pid),
        started: snapshot.run.as_ref().map(|run| wall(view, run.started)),
        restarts: snapshot.restarts,
        address: launch(view, snapshot).and_then(address),
    };
    ShortDocument {
        schema_version: SCHEMA_VERSION,
        name: view.stack.name.clone(),
        status: health_status(view),
        services: view.services.iter().map(|snapshot| (snapshot.name.clone(), entry(snapshot))).collect(),
    }
}

pub(crate) fn service(view: &View, snapshot: &ServiceSnapshot) -> ServiceDocument {
    let run = snapshot.run.as_ref();
    let (said, launch) = (said(view, snapshot), launch(view, snapshot));
    let facts = view.facts.get(&snapshot.name);
    ServiceDocument {
        name: snapshot.name.clone(),
        kind: snapshot.kind,
        critical: snapshot.critical,
        wanted: snapshot.wanted,
        state: snapshot.state,
        cause: snapshot.cause.clone(),
        waits_in_vain: snapshot.in_vain,
        since: wall(view, snapshot.since),
        generation: snapshot.generation,
        revision: shown_revision(snapshot).or_else(|| facts.and_then(|facts| facts.revision)),
        wanted_revision: said.map(|service| service.spec.revision),
        pid: run.and_then(|run| run.pid),
        started: run.map(|run| wall(view, run.started)),
        ready_since: run.and_then(|run| run.ready).map(|ready| wall(view, ready)),
        restarts: snapshot.restarts,
        failures: snapshot.failures,
        next_attempt: snapshot.next_attempt.map(|at| wall(view, at)),
        last_exit: snapshot.last_exit.as_ref().map(|exit| exited(view, exit)),
        port: launch.and_then(|launch| launch.port),
        ports: launch.map(|launch| launch.ports.clone()).unwrap_or_default(),
        bind: launch.map(|launch| launch.bind.to_string()).unwrap_or_default(),
        address: launch.and_then(address),
        status_text: run.and_then(|run| run.status.clone()),
        failing: snapshot
            .failing
            .iter()
            .map(|(check, answer)| FailingCheck { check: check.clone(), answer: answer.clone() })
            .collect(),
        logs: facts.map(|facts| facts.logs.clone()).unwrap_or_default(),
        log_dropped_bytes: facts.map_or(0, |facts| facts.log_trouble.dropped_bytes),
        log_dropped_lines: facts.map_or(0, |facts| facts.log_trouble.dropped_lines),
        log_error: facts.and_then(|facts| facts.log_trouble.error.clone()),
        certificate: view.certificates.get(&snapshot.name).map(|(_, certificate)| certificate.clone()),
        executable: facts.and_then(|facts| facts.executable.as_ref()).map(executable),
        instances: snapshot.instances,
        restart: said.map(|service| (&service.spec.restart).into()),
        depends_on: said.map(|service| service.spec.depends_on.iter().map(Into::into).collect()).unwrap_or_default(),
        generations: snapshot.generations.iter().map(|of| generation(view, of)).collect(),
        rollout: snapshot.rollout.as_ref().map(|of| rollout(view, of)),
        resources: None,
    }
}

fn generation(view: &View, of: &GenerationSnapshot) -> GenerationDocument {
    GenerationDocument {
        instance: of.instance,
        generation: of.run.generation,
        role: of.role,
        revision: of.revision,
        pid: of.run.pid,
        started: wall(view, of.run.started),
        ready_since: of.run.ready.map(|ready| wall(view, ready)),
        cause: of.cause.clone(),
    }
}

fn rollout(view: &View, of: &RolloutSnapshot) -> RolloutDocument {
    RolloutDocument {
        number: of.number,
        phase: of.phase,
        result: of.result,
        text: rollouts::in_words(of),
        asked_at: wall(view, of.asked),
        instance: of.instance,
        from: of.from,
        to: of.to,
        waited_ms: of.waited,
        starting_ms: of.starting,
        baking_ms: of.baking,
        draining_ms: of.draining,
        took_ms: of.took,
        drained: of.seen_off.map(|seen_off| seen_off.drained),
        cut: of.seen_off.map(|seen_off| seen_off.cut),
    }
}

pub(crate) fn operation(view: &View, operation: &Operation) -> OperationEntry {
    let outcome =
        |part: &Part| (part.service.clone(), OutcomeEntry { outcome: part.outcome, cause: part.cause.clone() });
    OperationEntry {
        id: operation.id.to_string(),
        kind: operation.kind,
        state: operation.state,
        services: operation.parts.iter().map(|part| part.service.clone()).collect(),
        started_at: wall(view, operation.started),
        ended_at: operation.ended.map(|at| wall(view, at)),
        outcomes: operation.parts.iter().map(outcome).collect(),
    }
}

/// Nothing when nothing of it lives.
pub(crate) fn resources(view: &View, sample: &Sample, name: &ServiceName) -> Option<ResourcesDocument> {
    let usage = sample.services.get(name).filter(|usage| usage.processes > 0)?;
    Some(ResourcesDocument {
        sampled_at: wall(view, sample.at),
        cpu_cores: usage.cpu_cores,
        cpu_ms: usage.cpu_ms,
        memory_bytes: usage.memory_bytes,
        open_fds: usage.open_fds,
        threads: usage.threads,
        processes: usage.processes,
    })
}

fn all(view: &View) -> Vec<ServiceDocument> {
    view.services.iter().map(|snapshot| service(view, snapshot)).collect()
}

fn supervisor(view: &View) -> SupervisorDocument {
    SupervisorDocument {
        name: view.stack.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        file: view.stack.file.clone(),
        log: Some(view.stack.logs_dir.join(log_lines::OWN_FILE)),
        keeper_pid: view.keeper_pid,
        control_pid: std::process::id(),
        http: view.http,
        shutting_down: view.shutting_down,
        health: health_status(view),
        view: view.version,
    }
}

fn config(view: &View) -> ConfigDocument {
    let ConfigView { revision, loaded_ms, rejected, pending } = &*view.config;
    let rejected = rejected.as_ref().map(|rejected| RejectedDocument {
        at: timestamp::format(rejected.at_ms),
        errors: rejected.diagnostics.list.clone(),
        more: rejected.diagnostics.more,
    });
    ConfigDocument {
        revision: *revision,
        loaded_at: timestamp::format(*loaded_ms),
        auto_reload: view.stack.auto_reload,
        rejected,
        pending: pending.clone(),
    }
}

/// Of the run that is shown: a newer one may have been taken back.
fn shown_revision(snapshot: &ServiceSnapshot) -> Option<u64> {
    let run = snapshot.run.as_ref()?.run;
    snapshot.generations.iter().find(|generation| generation.run.run == run).map(|generation| generation.revision)
}

fn said<'a>(view: &'a View, snapshot: &ServiceSnapshot) -> Option<&'a Service> {
    view.stack.services.iter().find(|service| service.spec.name == snapshot.name)
}

/// Of what runs, where it is known; else of what would be started.
fn launch<'a>(view: &'a View, snapshot: &ServiceSnapshot) -> Option<&'a Launch> {
    let (said, runs) = (said(view, snapshot)?, shown_revision(snapshot));
    let facts = view.facts.get(&snapshot.name).filter(|facts| facts.revision == runs);
    let older = facts.filter(|_| runs.is_some_and(|runs| runs != said.spec.revision));
    Some(older.and_then(|facts| facts.launch.as_deref()).unwrap_or(&said.launch))
}

/// A service whose port is only seen to accept may speak anything.
fn address(launch: &Launch) -> Option<String> {
    let checked_by = |wanted: fn(&ProbeHow) -> bool| launch.probes.values().any(|probe| wanted(&probe.how));
    let any = checked_by(|how| matches!(how, ProbeHow::Tcp)) && !checked_by(|how| matches!(how, ProbeHow::Http { .. }));
    let encrypted = checked_by(ProbeHow::is_encrypted);
    let scheme = match (any, encrypted) {
        (true, _) => "",
        (false, true) => "https://",
        (false, false) => "http://",
    };
    launch.port.map(|port| format!("{scheme}{}", reachable(SocketAddr::new(launch.bind, port))))
}

/// Where a client on this machine finds it: nobody connects to the unspecified address.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn exited(view: &View, exit: &ExitReport) -> ExitDocument {
    ExitDocument {
        generation: exit.generation,
        pid: exit.pid,
        code: exit.code,
        signal: exit.signal.map(signals::name),
        core_dumped: exit.core_dumped,
        reason: exit.reason.clone(),
        asked: exit.asked,
        at: wall(view, exit.at),
        ran_ms: exit.ran,
        cpu_ms: exit.cpu,
        max_rss_bytes: exit.max_rss,
        leftovers: exit.leftovers.clone(),
        oom: exit.oom,
    }
}

fn executable(executable: &Executable) -> ExecutableDocument {
    ExecutableDocument {
        path: executable.path.clone(),
        device: executable.device,
        inode: executable.inode,
        modified_ns: executable.modified_ns,
        size: executable.size,
    }
}

fn wall(view: &View, at: Time) -> String {
    timestamp::format(i64::try_from(at.0).unwrap_or(i64::MAX).saturating_add(view.wall_offset_ms))
}
