//! Schemas of words. Most stand for types of the core, which knows nothing of schemas.
//! Not here: documents.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

macro_rules! word {
    ($(#[$about:meta])* $stand_in:ident as $name:literal: $schema:tt) => {
        $(#[$about])*
        #[derive(Debug)]
        pub(crate) enum $stand_in {}

        impl JsonSchema for $stand_in {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

word!(
    /// For `supervisor_core::ServiceName`.
    Name as "ServiceName": { "type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$" }
);

word!(
    /// For `supervisor_core::OutOfMemory`.
    OutOfMemoryWord as "OutOfMemory": { "type": "string", "enum": ["limit", "machine", "unknown"] }
);

word!(
    /// For `supervisor_core::State`.
    StateWord as "State": {
        "type": "string",
        "enum": [
            "stopped", "waiting", "starting", "running", "unhealthy", "rolling", "backoff", "crash-loop", "stopping",
            "completed", "failed",
        ],
    }
);

word!(
    /// For `supervisor_core::Kind`.
    KindWord as "Kind": { "type": "string", "enum": ["service", "oneshot"] }
);

word!(
    /// For `supervisor_core::Policy`.
    PolicyWord as "Policy": { "type": "string", "enum": ["always", "on-failure", "no"] }
);

word!(
    /// For `supervisor_core::Condition`.
    ConditionWord as "Condition": { "type": "string", "enum": ["started", "ready", "completed"] }
);

word!(
    /// For `supervisor_core::HealthStatus`.
    HealthWord as "Health": { "type": "string", "enum": ["healthy", "degraded", "unhealthy"] }
);

word!(
    /// For `supervisor_core::Role`.
    RoleWord as "Role": { "type": "string", "enum": ["serving", "starting", "baking", "draining", "ending"] }
);

word!(
    /// For `supervisor_core::RolloutPhase`.
    RolloutPhaseWord as "RolloutPhase": {
        "type": "string",
        "enum": ["waiting", "starting", "baking", "draining", "over"],
    }
);

word!(
    /// For `supervisor_core::RolloutResult`.
    RolloutResultWord as "RolloutResult": {
        "type": "string",
        "enum": ["done", "rolled-back", "superseded", "abandoned"],
    }
);

word!(
    /// The number of an operation, as text: a client is not to count with it.
    OperationNumber as "OperationNumber": { "type": "string", "pattern": "^[0-9]{1,20}$" }
);

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use supervisor_core::{
        Condition, HealthStatus, Kind, Policy, Role, RolloutPhase, RolloutResult, ServiceName, State,
    };

    /// Every word is one of the type's, and `number` (a match without `_`) says that none is missing.
    fn all<W: JsonSchema, T: DeserializeOwned + Serialize>(number: impl Fn(&T) -> usize, count: usize) {
        let schema = W::json_schema(&mut SchemaGenerator::default());
        let words = schema.get("enum").and_then(|words| words.as_array()).unwrap();
        let mut numbers: Vec<usize> =
            words.iter().map(|word| number(&serde_json::from_value(word.clone()).unwrap())).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..count).collect::<Vec<_>>());
    }

    #[test]
    fn the_words_are_those_of_the_core() {
        all::<StateWord, State>(
            |state| match state {
                State::Stopped => 0,
                State::Waiting => 1,
                State::Starting => 2,
                State::Running => 3,
                State::Unhealthy => 4,
                State::Rolling => 5,
                State::Backoff => 6,
                State::CrashLoop => 7,
                State::Stopping => 8,
                State::Completed => 9,
                State::Failed => 10,
            },
            11,
        );
        all::<KindWord, Kind>(
            |kind| match kind {
                Kind::Service => 0,
                Kind::Oneshot => 1,
            },
            2,
        );
        all::<HealthWord, HealthStatus>(
            |status| match status {
                HealthStatus::Healthy => 0,
                HealthStatus::Degraded => 1,
                HealthStatus::Unhealthy => 2,
            },
            3,
        );
        all::<RoleWord, Role>(
            |role| match role {
                Role::Serving => 0,
                Role::Starting => 1,
                Role::Baking => 2,
                Role::Draining => 3,
                Role::Ending => 4,
            },
            5,
        );
        all::<RolloutPhaseWord, RolloutPhase>(
            |phase| match phase {
                RolloutPhase::Waiting => 0,
                RolloutPhase::Starting => 1,
                RolloutPhase::Baking => 2,
                RolloutPhase::Draining => 3,
                RolloutPhase::Over => 4,
            },
            5,
        );
        all::<RolloutResultWord, RolloutResult>(
            |result| match result {
                RolloutResult::Done => 0,
                RolloutResult::RolledBack => 1,
                RolloutResult::Superseded => 2,
                RolloutResult::Abandoned => 3,
            },
            4,
        );
        assert!(ServiceName::new(&"a".repeat(63)).is_ok() && ServiceName::new(&"a".repeat(64)).is_err());
    }

    #[test]
    fn the_words_of_policies_are_those_of_the_core() {
        all::<PolicyWord, Policy>(
            |policy| match policy {
                Policy::Always => 0,
                Policy::OnFailure => 1,
                Policy::No => 2,
            },
            3,
        );
        all::<ConditionWord, Condition>(
            |condition| match condition {
                Condition::Started => 0,
                Condition::Ready => 1,
                Condition::Completed => 2,
            },
            3,
        );
    }
}
