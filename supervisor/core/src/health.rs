//! The aggregate health of a fleet.
//! Not here: checks; this only sums up what is known.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::snapshot::State;
use crate::spec::ServiceName;
use crate::time::Time;

/// The sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
