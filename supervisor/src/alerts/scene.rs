//! What the configuration in force says of an event: whether it is an occasion, and of which area.
//! Not here: whether anybody is told (`ledger`).

use serde::{Deserialize, Serialize};
use supervisor_core::{Alarm, RolloutResult, ServiceName};

use crate::config::{Alert, Occasion, Service};
use crate::journal::{Kind, Note};

/// What the configuration in force says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) alerts: &'a [Alert],
    pub(super) services: &'a [Service],
}

impl Scene<'_> {
    pub(super) fn service(&self, name: &ServiceName) -> Option<&Service> {
        self.services.iter().find(|service| service.spec.name == *name)
    }

    /// A run this long is good, and its `live` checks would have found that it is not.
    pub(super) fn good_ms(&self, name: &ServiceName) -> i64 {
        let good = self.service(name).map_or(0, |service| service.spec.restart.reset_after.max(unnoticed_ms(service)));
        i64::try_from(good).unwrap_or(i64::MAX)
    }

    pub(super) fn occasion(&self, note: &Note) -> Option<Occasion> {
        match note.kind {
            Kind::State => Some(match note.to?.alarm()? {
                Alarm::CrashLoop => Occasion::CrashLoop,
                Alarm::Failed => Occasion::Failed,
                Alarm::Unhealthy => Occasion::Unhealthy,
            }),
            Kind::Exit => {
                let (exit, service) = (note.exit.as_ref()?, self.service(note.service.as_ref()?)?);
                let success = exit.code.is_some_and(|code| service.spec.restart.success_exit_codes.contains(&code));
                (!exit.asked && !success).then_some(Occasion::Crash)
            }
            Kind::Rollout => (note.result == Some(RolloutResult::RolledBack)).then_some(Occasion::RolledBack),
            Kind::Disk => (note.passed == Some(false)).then_some(Occasion::Disk),
            Kind::Limit => (note.passed == Some(false)).then_some(Occasion::Limit),
            Kind::Certificate => (note.passed == Some(false)).then_some(Occasion::Certificate),
            Kind::Probe
            | Kind::Request
            | Kind::Reload
            | Kind::Listener
            | Kind::Supervisor
            | Kind::Control
            | Kind::Gap
            | Kind::Other => None,
        }
    }
}

/// After this, `live` has replaced a run that never did any good: one round of checks more than it needs for that, as the
/// machine may be busy.
fn unnoticed_ms(service: &Service) -> u64 {
    let Some(live) = &service.spec.live else { return 0 };
    let timeouts =
        live.checks.iter().filter_map(|check| service.launch.probes.get(&check.id)).map(|probe| probe.timeout);
    let timeout = u64::try_from(timeouts.max().unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
    let round = live.interval.saturating_add(timeout);
    let checks = if live.checks.is_empty() { 0 } else { u64::from(live.failures).saturating_add(1) };
    let watchdog = live.watchdog.map_or(0, |watchdog| watchdog.saturating_add(round));
    round.saturating_mul(checks).max(watchdog)
}

/// Troubles of different areas begin and end on their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Area {
    Runs,
    Limits,
    Log,
    Certificate,
    /// Nothing that could be over.
    Nothing,
}

impl Area {
    pub(super) fn of(occasion: Occasion) -> Self {
        match occasion {
            Occasion::Crash | Occasion::CrashLoop | Occasion::Failed | Occasion::Unhealthy => Self::Runs,
            Occasion::Limit => Self::Limits,
            Occasion::Disk => Self::Log,
            Occasion::Certificate => Self::Certificate,
            Occasion::RolledBack | Occasion::Recovered | Occasion::Test => Self::Nothing,
        }
    }
}
