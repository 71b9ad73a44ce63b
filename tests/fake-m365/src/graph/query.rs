//! OData system query options, as far as the answered parts take them.
//! Not here: any option of a part that does not take it; it is a broken rule.

use hyper::StatusCode;
use serde_json::{Map, Value};

use super::refused::Refusal;
use crate::call::Call;
use crate::journal::Rule;
use crate::world::World;

/// # Errors
/// When there is another option than those, or one twice.
pub(super) fn only(world: &mut World, call: &Call, options: &[&str]) -> Result<(), Refusal> {
    let unknown = call.query.names().find(|name| !options.contains(name)).map(str::to_owned);
    if let Some(name) = unknown {
        world.violated(call, Rule::KnownParameter, format!("`{name}` at {}", call.path));
        let why = format!("The query specified in the URI is not valid. '{name}' is not supported.");
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "BadRequest", why));
    }
    match call.query.repeated().map(str::to_owned) {
        Some(name) => {
            world.violated(call, Rule::NoRepetition, format!("`{name}` at {}", call.path));
            let why =
                format!("Query option '{name}' was specified more than once, but it must be specified at most once.");
            Err(Refusal::new(StatusCode::BAD_REQUEST, "BadRequest", why))
        }
        None => Ok(()),
    }
}

/// The properties that `$select` names, or all of them.
///
/// # Errors
/// When it names one that is not there.
pub(super) fn select(call: &Call, all: &Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    let Some(list) = call.query.value("$select") else {
        return Ok(all.clone());
    };
    let pick = |name: &str| {
        let value = all.get_key_value(name).map(|(name, value)| (name.clone(), value.clone()));
        value.ok_or_else(|| {
            let why = format!("Could not find a property named '{name}' on type 'microsoft.graph.user'.");
            Refusal::new(StatusCode::BAD_REQUEST, "BadRequest", why)
        })
    };
    list.split(',').map(|name| pick(name.trim())).collect()
}

/// What `@odata.context` says of the selection: `users(id,displayName)`.
pub(super) fn context(world: &World, call: &Call, set: &str, entity: &str) -> String {
    let selected = call.query.value("$select").map_or(String::new(), |list| format!("({})", list.replace(' ', "")));
    format!("{}/v1.0/$metadata#{set}{selected}{entity}", world.base)
}
