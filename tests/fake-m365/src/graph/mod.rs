//! Microsoft Graph v1.0: one module for each part of it. A further part is a module with an `answer` of the same shape
//! and a line in the `match` below.
//! Not here: faults like throttling, which are scripted; the login (`entra`).

mod bearer;
mod me;
mod page;
mod query;
mod refused;
mod users;

use hyper::Method;

use crate::call::Call;
use crate::reply::Reply;
use crate::world::World;

/// The first part of every path.
pub(crate) const VERSION: &str = "v1.0";

pub(crate) fn answer(world: &mut World, call: &Call, path: &[&str]) -> Reply {
    let who = match bearer::check(world, call) {
        Ok(who) => who,
        Err(reply) => return reply,
    };
    let answered = match (&call.method, path) {
        (&Method::GET, ["me"]) => me::answer(world, call, &who),
        (&Method::GET, ["users"]) => users::answer(world, call, &who),
        _ => Err(refused::no_such_path(world, call)),
    };
    let reply = answered.unwrap_or_else(|refusal| refusal.reply(world, call));
    refused::with_ids(reply, call)
}
