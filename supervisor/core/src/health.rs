//! The aggregate health of a fleet.
//! Not here: checks; this only sums up what is known.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::snapshot::{ServiceSnapshot, State};
use crate::spec::{Kind, ServiceName};
use crate::time::Time;

/// The sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// Every service that is wanted up is ready.
    Healthy,
    /// Every critical service is ready; an optional one is not.
    Degraded,
    /// A critical service is not ready.
    Unhealthy,
}

/// The aggregate, and what it was made of: the services that are wanted up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The sum.
    pub status: HealthStatus,
    /// State, critical, since, cause.
    pub services: BTreeMap<ServiceName, (State, bool, Time, String)>,
}

impl Health {
    /// Sums up the services that are wanted up; nothing wanted is healthy.
    pub fn of<'a>(services: impl IntoIterator<Item = &'a ServiceSnapshot>) -> Self {
        let mut sum = Self { status: HealthStatus::Healthy, services: BTreeMap::new() };
        for service in services.into_iter().filter(|service| service.wanted) {
            if !is_well(service) {
                sum.status = match (sum.status, service.critical) {
                    (HealthStatus::Unhealthy, _) | (_, true) => HealthStatus::Unhealthy,
                    (HealthStatus::Healthy | HealthStatus::Degraded, false) => HealthStatus::Degraded,
                };
            }
            let facts = (service.state, service.critical, service.since, service.cause.clone());
            sum.services.insert(service.name.clone(), facts);
        }
        sum
    }
}

/// Ready, or completed as it was meant to; a oneshot that still runs is not there yet.
fn is_well(service: &ServiceSnapshot) -> bool {
    service.state.is_well() && (service.kind == Kind::Service || service.state == State::Completed)
}
