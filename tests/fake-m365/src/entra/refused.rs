//! Refusals that say that the client is wrong: each one is also recorded as a broken rule.
//! Not here: errors that can happen to a client that does everything right (`fault`).

use super::fault::Failure;
use crate::call::Call;
use crate::journal::Rule;
use crate::world::World;

/// Records the rule and gives the error.
pub(super) fn refuse(
    world: &mut World,
    call: &Call,
    rule: Rule,
    error: &'static str,
    code: u32,
    why: impl Into<String>,
) -> Failure {
    let why = why.into();
    world.violated(call, rule, why.as_str());
    Failure::new(error, code, why)
}

pub(super) fn missing(world: &mut World, call: &Call, rule: Rule, name: &str) -> Failure {
    let why = format!("The request body must contain the following parameter: '{name}'.");
    refuse(world, call, rule, "invalid_request", 900_144, why)
}

pub(super) fn repeated(world: &mut World, call: &Call, name: &str) -> Failure {
    let why = format!("The request is not properly formatted. The parameter '{name}' is duplicated.");
    refuse(world, call, Rule::NoRepetition, "invalid_request", 9_000_411, why)
}

pub(super) fn resource(world: &mut World, call: &Call) -> Failure {
    let why = "The resource parameter provided in the request doesn't match with the requested scopes.";
    refuse(world, call, Rule::NoResource, "invalid_target", 9_010_010, why)
}

pub(super) fn unknown_app(world: &mut World, call: &Call, client_id: &str, tenant: &str) -> Failure {
    let why = format!("Application with identifier '{client_id}' was not found in the directory '{tenant}'.");
    refuse(world, call, Rule::KnownClient, "unauthorized_client", 700_016, why)
}

pub(super) fn unknown_scope(world: &mut World, call: &Call, scope: &str, app: &str) -> Failure {
    let why = format!(
        "The application '{app}' asked for scope '{scope}' that doesn't exist on the resource \
         '00000003-0000-0000-c000-000000000000'."
    );
    refuse(world, call, Rule::Scope, "invalid_client", 650_053, why)
}
