//! What is in force for a service, as far as it explains what becomes of it.
//! Not here: what it is started with, which is shown nowhere.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use supervisor_core::{Condition, Dependency, Policy, RestartPolicy, ServiceName};

use super::words::{ConditionWord, Name, PolicyWord};

/// `[services.NAME.restart]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RestartDocument {
    #[schemars(with = "PolicyWord")]
    pub(crate) policy: Policy,
    pub(crate) delay_ms: u64,
    pub(crate) factor: f64,
    pub(crate) max_delay_ms: u64,
    /// The share of a delay that is random, 0 to 1.
    pub(crate) jitter: f64,
    pub(crate) reset_after_ms: u64,
    /// 0: never.
    pub(crate) crash_loop: u32,
    /// 0: without end.
    pub(crate) max_restarts: u32,
    pub(crate) success_exit_codes: Vec<i32>,
}

/// An entry of `depends_on`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DependencyDocument {
    #[schemars(with = "Name")]
    pub(crate) name: ServiceName,
    #[schemars(with = "ConditionWord")]
    pub(crate) condition: Condition,
}

impl From<&RestartPolicy> for RestartDocument {
    fn from(of: &RestartPolicy) -> Self {
        Self {
            policy: of.policy,
            delay_ms: of.delay,
            factor: of.factor,
            max_delay_ms: of.max_delay,
            jitter: of.jitter,
            reset_after_ms: of.reset_after,
            crash_loop: of.crash_loop,
            max_restarts: of.max_restarts,
            success_exit_codes: of.success_exit_codes.clone(),
        }
    }
}

impl From<&Dependency> for DependencyDocument {
    fn from(of: &Dependency) -> Self {
        Self { name: of.on.clone(), condition: of.condition }
    }
}
