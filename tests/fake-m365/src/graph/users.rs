//! `GET /users`: the people of the tenant, page by page.
//! Not here: one person by id.

use serde_json::Value;

use super::bearer::Bearer;
use super::refused::Refusal;
use super::{me, page, query};
use crate::call::Call;
use crate::reply::Reply;
use crate::world::World;

pub(super) fn answer(world: &mut World, call: &Call, who: &Bearer) -> Result<Reply, Refusal> {
    query::only(world, call, &["$select", "$top", page::TOKEN])?;
    who.needs(&["User.ReadBasic.All", "User.Read.All"])?;
    let colleagues = world.users.iter().filter(|user| user.tenant_id == who.user.tenant_id);
    let all: Result<Vec<Value>, Refusal> =
        colleagues.map(|user| query::select(call, &me::properties(user)).map(Value::Object)).collect();
    page::reply(world, call, &query::context(world, call, "users", ""), all?)
}
