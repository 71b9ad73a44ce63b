//! Who asks, by the access token.
//! Not here: what the person may see.

use hyper::StatusCode;
use hyper::header::AUTHORIZATION;

use super::refused::{Refusal, with_ids};
use crate::call::Call;
use crate::journal::Rule;
use crate::people::User;
use crate::reply::Reply;
use crate::world::World;

/// A person, through an application, with what it may do.
#[derive(Debug)]
pub(super) struct Bearer {
    pub(super) user: User,
    scopes: Vec<String>,
}

impl Bearer {
    /// # Errors
    /// When none of the permissions is there; any one is enough.
    pub(super) fn needs(&self, any_of: &[&str]) -> Result<(), Refusal> {
        if self.scopes.iter().any(|scope| any_of.contains(&scope.as_str())) {
            return Ok(());
        }
        let why = "Insufficient privileges to complete the operation.";
        Err(Refusal::new(StatusCode::FORBIDDEN, "Authorization_RequestDenied", why))
    }
}

pub(super) fn check(world: &mut World, call: &Call) -> Result<Bearer, Reply> {
    if call.query.names().any(|name| name == "access_token") {
        world.violated(call, Rule::NothingInQuery, "an access token in the query");
    }
    let refused = |world: &World, why: &str| {
        let refusal = Refusal::new(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", why);
        Err(with_ids(refusal.reply(world, call), call))
    };
    let token = call.header(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if token.is_empty() {
        world.violated(call, Rule::IssuedHere, "no access token");
        return refused(world, "Access token is empty.");
    }
    let Some(grant) = world.accesses.get(token).cloned() else {
        world.violated(call, Rule::IssuedHere, "an access token that was not issued here");
        return refused(world, "Invalid authentication token.");
    };
    if grant.expires <= world.now() {
        return refused(world, "Lifetime validation failed, the token is expired.");
    }
    match world.user(&grant.user_id).cloned() {
        Some(user) => Ok(Bearer { user, scopes: grant.scopes }),
        None => refused(world, "The identity of the calling application could not be established."),
    }
}
