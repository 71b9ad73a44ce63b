//! The aggregate health of a fleet.
//! Not here: checks; this only sums up what is known.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::service::Service;
use crate::snapshot::State;
use crate::spec::ServiceName;
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
    pub(crate) fn of<'a>(services: impl Iterator<Item = &'a Service>) -> Self {
        let mut sum = Self { status: HealthStatus::Healthy, services: BTreeMap::new() };
        for service in services.filter(|service| service.wanted()) {
            let state = service.state();
            // What completed as it was meant to is no lack.
            if !service.ready() && state != State::Completed {
                sum.status = match (sum.status, service.spec.critical) {
                    (HealthStatus::Unhealthy, _) | (_, true) => HealthStatus::Unhealthy,
                    (HealthStatus::Healthy | HealthStatus::Degraded, false) => HealthStatus::Degraded,
                };
            }
            let facts = (state, service.spec.critical, service.since, service.cause.clone());
            sum.services.insert(service.spec.name.clone(), facts);
        }
        sum
    }
}
