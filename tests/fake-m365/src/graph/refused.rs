//! Errors in Graph's words.
//! Not here: when they happen.

use hyper::StatusCode;
use hyper::header::{HeaderName, WWW_AUTHENTICATE};
use serde_json::json;

use crate::call::Call;
use crate::journal::Rule;
use crate::reply::Reply;
use crate::world::World;
use crate::{clock, random};

const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("client-request-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// The resource that Graph is to Entra.
const GRAPH: &str = "00000003-0000-0000-c000-000000000000";

#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(super) fn reply(&self, world: &World, call: &Call) -> Reply {
        let request_id = random::guid();
        let client_request_id = call.header(CLIENT_REQUEST_ID).unwrap_or(&request_id);
        let body = json!({"error": {
            "code": self.code,
            "message": self.message,
            "innerError": {
                "date": clock::graph_stamp(world.now()),
                "request-id": request_id,
                "client-request-id": client_request_id,
            },
        }});
        let reply = Reply::json(self.status, &body);
        if self.status != StatusCode::UNAUTHORIZED {
            return reply;
        }
        let login = format!("{}/common/oauth2/v2.0/authorize", world.base);
        reply.with(WWW_AUTHENTICATE, format!("Bearer realm=\"\", authorization_uri=\"{login}\", client_id=\"{GRAPH}\""))
    }
}

/// Every answer names itself, and the request by the name that the client gave it.
pub(super) fn with_ids(reply: Reply, call: &Call) -> Reply {
    let request_id = random::guid();
    let client_request_id = call.header(CLIENT_REQUEST_ID).unwrap_or(&request_id).to_owned();
    reply.with(REQUEST_ID, request_id).with(CLIENT_REQUEST_ID, client_request_id)
}

/// Records that the client asked for something that Graph does not have, or that this stand-in does not.
pub(super) fn no_such_path(world: &mut World, call: &Call) -> Refusal {
    world.violated(call, Rule::KnownPath, format!("{} {}", call.method, call.path));
    let last = call.segments().last().copied().unwrap_or_default().to_owned();
    Refusal::new(StatusCode::BAD_REQUEST, "BadRequest", format!("Resource not found for the segment '{last}'."))
}
