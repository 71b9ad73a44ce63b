//! The metrics: names, meanings, and where each value comes from. Cardinality is bounded by the number of services.
//! Not here: HTTP, formats (`metrics`).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    CounterValueEncoder, DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, GaugeValueEncoder, MetricEncoder,
    NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use supervisor_core::{HealthStatus, ServiceName, ServiceSnapshot, State, Time};
use supervisor_logs::Stats;

use super::render;
use crate::alerts::AlertState;
use crate::certificates::Validity;
use crate::config::Limits;
use crate::control::{Instruments, PROBE_BUCKETS_MS, ROLLOUT_BUCKETS_MS, START_BUCKETS_MS, Tally, View};
use crate::resources::{Sample, Usage};

/// Everything that one answer is made of, as it was at one moment.
#[derive(Debug)]
pub(super) struct Scrape {
    now: Time,
    view: Arc<View>,
    sample: Option<Arc<Sample>>,
    tallies: BTreeMap<ServiceName, Tally>,
    logs: BTreeMap<ServiceName, Stats>,
    limits: BTreeMap<ServiceName, Limits>,
}

/// One service of a scrape.
struct One<'a> {
    now: Time,
    snapshot: &'a ServiceSnapshot,
    usage: Option<&'a Usage>,
    log: Option<&'a Stats>,
    limits: Option<&'a Limits>,
    certificate: Option<Validity>,
}

enum Number {
    Whole(u64),
    Seconds(u64),
}

use Number::{Seconds, Whole};

/// A metric of many things of one kind, each with a label that names it.
struct Family<F> {
    /// Without the prefix `supervisor_` and without `_total`.
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    value: F,
}

const fn gauge<F>(name: &'static str, help: &'static str, value: F) -> Family<F> {
    Family { name, help, kind: MetricType::Gauge, value }
}

const fn counter<F>(name: &'static str, help: &'static str, value: F) -> Family<F> {
    Family { name, help, kind: MetricType::Counter, value }
}

type OfAlert = fn(&AlertState) -> u64;
type OfRole = fn(&Usage) -> Option<Number>;
type OfService = fn(&One<'_>) -> Option<Number>;
type OfTally = fn(&Tally) -> u64;

const STATES: [State; 11] = [
    State::Stopped,
    State::Waiting,
    State::Starting,
    State::Running,
    State::Unhealthy,
    State::Rolling,
    State::Backoff,
    State::CrashLoop,
    State::Stopping,
    State::Completed,
    State::Failed,
];

const OF_AN_ALERT: &[Family<OfAlert>] = &[
    gauge("alerts_queued", "Messages on their way to it", |alert| alert.queued),
    counter("alerts_sent", "Messages that arrived there", |alert| alert.sent),
    counter("alerts_lost", "Messages that were given up, or pushed out by newer ones", |alert| alert.lost),
];

const OF_A_ROLE: &[Family<OfRole>] = &[
    counter("role_cpu_seconds", "CPU time of the supervisor itself", |used| Some(Seconds(used.cpu_ms))),
    gauge("role_memory_bytes", "Its resident memory", |used| Some(Whole(used.memory_bytes))),
    gauge("role_open_fds", "Its open file descriptors", |used| used.open_fds.map(Whole)),
];

const COUNTED: [(&str, &str, OfTally); 3] = [
    ("service_oom_kills", "Ends of its runs for want of memory", |tally| tally.oom_kills),
    ("service_drained_connections", "Connections that old generations served to their end", |tally| tally.drained),
    ("service_cut_connections", "Connections that old generations had to cut", |tally| tally.cut),
];

const OF_A_SERVICE: &[Family<OfService>] = &[
    gauge("service_up", "Whether it has a process", |one| Some(flag(one.pid().is_some()))),
    gauge("service_ready", "Whether it is ready, or completed with success", |one| {
        Some(flag(one.snapshot.state.is_well()))
    }),
    gauge("service_wanted", "Whether it is wanted up", |one| Some(flag(one.snapshot.wanted))),
    counter("service_starts", "Starts, ever", |one| Some(Whole(one.snapshot.generation))),
    counter("service_restarts", "Restarts since it was last started by hand", |one| Some(Whole(one.snapshot.restarts))),
    gauge("service_generations", "Generations of which something lives", |one| {
        Some(Whole(u64::try_from(one.snapshot.generations.len()).unwrap_or(u64::MAX)))
    }),
    gauge("service_uptime_seconds", "Time since its process was started", |one| {
        one.pid().and(one.snapshot.run.as_ref()).map(|run| Seconds(one.now.since(run.started)))
    }),
    gauge("service_start_seconds", "Time that its last start took until it was ready", |one| {
        one.snapshot.run.as_ref().and_then(|run| Some(Seconds(run.ready?.since(run.started))))
    }),
    counter("service_cpu_seconds", "CPU time of its processes", |one| one.usage.map(|usage| Seconds(usage.cpu_ms))),
    gauge("service_memory_bytes", "Resident memory of its processes; what they share counts for each", |one| {
        one.usage.map(|usage| Whole(usage.memory_bytes))
    }),
    gauge("service_memory_limit_bytes", "More memory gets it killed; only where there is such a limit", |one| {
        one.limits?.memory.map(Whole)
    }),
    gauge("service_memory_soft_limit_bytes", "More memory gets it replaced; only where there is such a limit", |one| {
        one.limits?.memory_soft.map(Whole)
    }),
    gauge("service_open_fds", "Open file descriptors of its processes", |one| {
        one.usage.and_then(|usage| usage.open_fds).map(Whole)
    }),
    gauge("service_threads", "Threads of its processes", |one| one.usage.and_then(|usage| usage.threads).map(Whole)),
    gauge("service_processes", "Its processes", |one| one.usage.map(|usage| Whole(usage.processes))),
    gauge(
        "service_certificate_not_before_timestamp_seconds",
        "When the certificate that it shows began to be good",
        |one| one.certificate.map(|validity| Whole(u64::try_from(validity.not_before).unwrap_or(0))),
    ),
    gauge(
        "service_certificate_not_after_timestamp_seconds",
        "Until when the certificate that it shows is good",
        |one| one.certificate.map(|validity| Whole(u64::try_from(validity.not_after).unwrap_or(0))),
    ),
    counter("service_log_bytes", "Output that was written to its log", |one| one.log.map(|log| Whole(log.bytes))),
    counter("service_log_dropped_bytes", "Output that its log could not take", |one| {
        one.log.map(|log| Whole(log.dropped_bytes))
    }),
    counter("service_log_dropped_lines", "Lines that its log could not take", |one| {
        one.log.map(|log| Whole(log.dropped_lines))
    }),
];

impl Scrape {
    pub(super) fn new(now: Time, view: Arc<View>, sample: Option<Arc<Sample>>, instruments: &Instruments) -> Self {
        let mut logs: BTreeMap<ServiceName, Stats> = BTreeMap::new();
        for (name, facts) in view.facts.iter() {
            let sum = logs.entry(name.clone()).or_default();
            for stats in facts.logs.iter().filter_map(|path| instruments.pump.stats(path)) {
                sum.bytes += stats.bytes;
                sum.dropped_bytes += stats.dropped_bytes;
                sum.dropped_lines += stats.dropped_lines;
            }
        }
        let mut tallies = instruments.tallies(|name| view.facts.get(name).is_some());
        for (name, _) in view.facts.iter() {
            tallies.entry(name.clone()).or_default();
        }
        let limits = view.stack.services.iter().map(|one| (one.spec.name.clone(), one.launch.limits)).collect();
        Self { now, view, sample, tallies, logs, limits }
    }

    fn services(&self) -> impl Iterator<Item = One<'_>> {
        self.view.services.iter().map(|snapshot| One {
            now: self.now,
            snapshot,
            usage: self.sample.as_ref().and_then(|sample| sample.services.get(&snapshot.name)),
            log: self.logs.get(&snapshot.name),
            limits: self.limits.get(&snapshot.name),
            certificate: self.view.certificates.get(&snapshot.name).map(|(validity, _)| *validity),
        })
    }

    /// What is not about one service.
    fn whole(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        encoder
            .encode_descriptor("build", "The supervisor's version", None, MetricType::Info)?
            .encode_info(&version)?;
        let healthy = flag(render::health_status(&self.view) == HealthStatus::Healthy);
        let help = "Whether every service that is wanted up is ready";
        encoder.encode_descriptor("healthy", help, None, MetricType::Gauge)?.encode_gauge(&healthy)?;
        for Family { name, help, kind, value } in OF_AN_ALERT {
            let mut family = encoder.encode_descriptor(name, help, None, *kind)?;
            for alert in self.view.alerts.iter() {
                put(*kind, family.encode_family(&[("alert", alert.name.as_str())])?, &Whole(value(alert)))?;
            }
        }
        let Some(sample) = &self.sample else { return Ok(()) };
        let roles = [("keeper", &sample.keeper), ("control", &sample.control)];
        for Family { name, help, kind, value } in OF_A_ROLE {
            let mut family = encoder.encode_descriptor(name, help, None, *kind)?;
            for (role, usage) in &roles {
                if let Some(number) = value(usage) {
                    put(*kind, family.encode_family(&[("role", *role)])?, &number)?;
                }
            }
        }
        Ok(())
    }

    fn tallied(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Ends of its runs, by exit code or signal";
        let mut family = encoder.encode_descriptor("service_exits", help, None, MetricType::Counter)?;
        for (name, tally) in &self.tallies {
            for (exit, count) in &tally.exits {
                let labels = [("service", name.as_str()), ("exit", exit)];
                put(MetricType::Counter, family.encode_family(&labels)?, &Whole(*count))?;
            }
        }
        let help = "Time that tries of its checks took";
        let mut family = encoder.encode_descriptor("service_probe_seconds", help, None, MetricType::Histogram)?;
        for (name, tally) in &self.tallies {
            for (check, tries) in &tally.probes {
                let bounds = PROBE_BUCKETS_MS.iter().map(|ms| seconds(*ms)).chain([f64::INFINITY]);
                let buckets: Vec<(f64, u64)> = bounds.zip(tries.buckets).collect();
                let count = tries.buckets.iter().sum();
                let labels = [("service", name.as_str()), ("check", check)];
                let mut encoder = family.encode_family(&labels)?;
                encoder.encode_histogram::<NoLabelSet>(seconds(tries.sum_ms), count, &buckets, None)?;
            }
        }
        self.rolled(encoder)?;
        let help = "Tries of its checks that failed";
        let mut family = encoder.encode_descriptor("service_probe_failures", help, None, MetricType::Counter)?;
        for (name, tally) in &self.tallies {
            for (check, tries) in &tally.probes {
                let labels = [("service", name.as_str()), ("check", check)];
                put(MetricType::Counter, family.encode_family(&labels)?, &Whole(tries.failed))?;
            }
        }
        Ok(())
    }
}

impl Scrape {
    fn rolled(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Its rollouts, by what came of them";
        let mut family = encoder.encode_descriptor("service_rollouts", help, None, MetricType::Counter)?;
        for (name, tally) in &self.tallies {
            for (result, count) in tally.rollouts.by_result() {
                let labels = [("service", name.as_str()), ("result", result)];
                put(MetricType::Counter, family.encode_family(&labels)?, &Whole(count))?;
            }
        }
        let help = "Time from the request for a rollout until the new generation served";
        let mut family = encoder.encode_descriptor("service_rollout_seconds", help, None, MetricType::Histogram)?;
        for (name, Tally { rollouts, .. }) in &self.tallies {
            let count = rollouts.buckets.iter().sum();
            if count > 0 {
                let bounds = ROLLOUT_BUCKETS_MS.iter().map(|ms| seconds(*ms)).chain([f64::INFINITY]);
                let buckets: Vec<(f64, u64)> = bounds.zip(rollouts.buckets).collect();
                let labels = [("service", name.as_str())];
                let mut encoder = family.encode_family(&labels)?;
                encoder.encode_histogram::<NoLabelSet>(seconds(rollouts.sum_ms), count, &buckets, None)?;
            }
        }
        let help = "Time that its processes took until they were ready";
        let mut family = encoder.encode_descriptor("service_starting_seconds", help, None, MetricType::Histogram)?;
        for (name, Tally { starts, .. }) in &self.tallies {
            let bounds = START_BUCKETS_MS.iter().map(|ms| seconds(*ms)).chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(starts.buckets).collect();
            let count = starts.buckets.iter().sum();
            let labels = [("service", name.as_str())];
            let mut encoder = family.encode_family(&labels)?;
            encoder.encode_histogram::<NoLabelSet>(seconds(starts.sum_ms), count, &buckets, None)?;
        }
        for (name, help, value) in COUNTED {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (name, tally) in &self.tallies {
                put(MetricType::Counter, family.encode_family(&[("service", name.as_str())])?, &Whole(value(tally)))?;
            }
        }
        Ok(())
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.whole(&mut encoder)?;
        let help = "The state that it is in (1), and those that it is not in (0)";
        let mut states = encoder.encode_descriptor("service_state", help, None, MetricType::Gauge)?;
        for one in self.services() {
            for state in STATES {
                let labels = [("service", one.snapshot.name.as_str()), ("state", state.as_str())];
                put(MetricType::Gauge, states.encode_family(&labels)?, &flag(one.snapshot.state == state))?;
            }
        }
        for Family { name, help, kind, value } in OF_A_SERVICE {
            let mut family = encoder.encode_descriptor(name, help, None, *kind)?;
            for one in self.services() {
                if let Some(number) = value(&one) {
                    let labels = [("service", one.snapshot.name.as_str())];
                    put(*kind, family.encode_family(&labels)?, &number)?;
                }
            }
        }
        self.tallied(&mut encoder)
    }
}

impl One<'_> {
    fn pid(&self) -> Option<i32> {
        self.snapshot.run.as_ref().and_then(|run| run.pid)
    }
}

fn put(kind: MetricType, mut encoder: MetricEncoder<'_>, number: &Number) -> fmt::Result {
    if matches!(kind, MetricType::Counter) {
        encoder.encode_counter::<NoLabelSet, _, f64>(number, None)
    } else {
        encoder.encode_gauge(number)
    }
}

fn flag(holds: bool) -> Number {
    Whole(u64::from(holds))
}

fn seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}

impl EncodeGaugeValue for Number {
    fn encode(&self, encoder: &mut GaugeValueEncoder<'_>) -> fmt::Result {
        match self {
            Whole(number) => EncodeGaugeValue::encode(number, encoder),
            Seconds(ms) => EncodeGaugeValue::encode(&seconds(*ms), encoder),
        }
    }
}

impl EncodeCounterValue for Number {
    fn encode(&self, encoder: &mut CounterValueEncoder<'_>) -> fmt::Result {
        match self {
            Whole(number) => EncodeCounterValue::encode(number, encoder),
            Seconds(ms) => EncodeCounterValue::encode(&seconds(*ms), encoder),
        }
    }
}
