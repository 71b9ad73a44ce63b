//! Lists in pages, with `@odata.nextLink`: an address that a client must use as it is.
//! Not here: what is listed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::refused::Refusal;
use crate::call::Call;
use crate::reply::Reply;
use crate::world::World;

/// Where the next page begins: opaque to the client.
pub(super) const TOKEN: &str = "$skiptoken";

/// Pages of Graph's directory have 100 entries unless `$top` says otherwise, at most 999.
const USUAL: usize = 100;
const LARGEST: usize = 999;

pub(super) fn reply(world: &World, call: &Call, context: &str, all: Vec<Value>) -> Result<Reply, Refusal> {
    let refused = |why: &str| Refusal::new(StatusCode::BAD_REQUEST, "BadRequest", why);
    let top = match call.query.value("$top") {
        None => USUAL,
        Some(text) => text
            .parse()
            .ok()
            .filter(|top| (1..=LARGEST).contains(top))
            .ok_or_else(|| refused("Invalid page size specified. Must be between 1 and 999 inclusive."))?,
    };
    let from = match call.query.value(TOKEN) {
        None => 0,
        Some(token) => opened(token).ok_or_else(|| refused("Skip token is malformed."))?,
    };
    let total = all.len();
    let items: Vec<Value> = all.into_iter().skip(from).take(top).collect();
    let next = from + items.len();
    let mut body = json!({"@odata.context": context});
    if next < total {
        body["@odata.nextLink"] = json!(next_link(world, call, next));
    }
    body["value"] = json!(items);
    Ok(Reply::json(StatusCode::OK, &body))
}

/// The same request, with its options, from there on.
fn next_link(world: &World, call: &Call, next: usize) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let kept = ["$select", "$top"].into_iter().filter_map(|name| Some((name, call.query.value(name)?)));
    query.extend_pairs(kept);
    query.append_pair(TOKEN, &URL_SAFE_NO_PAD.encode(format!("from {next}")));
    format!("{}{}?{}", world.base, call.path, query.finish())
}

fn opened(token: &str) -> Option<usize> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?.strip_prefix("from ")?.parse().ok()
}
