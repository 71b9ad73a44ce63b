//! `POST /revoke`: a client gives a token back (RFC 7009).
//! Not here: tokens that are taken back for other reasons.

use axum::response::Response;
use rusqlite::Connection;
use serde_json::json;

use crate::answer::{Refusal, fresh};
use crate::audit::{self, Event};
use crate::client_auth::Sent;
use crate::clock::Seconds;
use crate::grants::{self, RefreshToken, Worth};

/// The route. 200 also for a token that is unknown, or another client's: nothing is told of it.
pub(crate) async fn revoke(Sent { app, form, client }: Sent) -> Result<Response, Refusal> {
    let token = form.get("token").ok_or_else(|| Refusal::bad("invalid_request", "token is missing"))?.to_owned();
    let now = app.clock.now();
    app.store.write(move |connection| take_back(connection, now, &token, &client.id)).await?;
    Ok(fresh(json!({})))
}

/// A refresh token takes its whole grant with it; an access token goes alone.
fn take_back(connection: &Connection, now: Seconds, token: &str, client: &str) -> rusqlite::Result<()> {
    let grant = match RefreshToken::parse(token) {
        Some(refresh) => match grants::worth(connection, now, &refresh)? {
            Worth::Current(grant) | Worth::Lost(grant, _) | Worth::Reused(grant) => grant,
            Worth::Nothing => return Ok(()),
        },
        None => match grants::access(connection, now, token)? {
            Some(access) => access.grant,
            None => return Ok(()),
        },
    };
    if grant.client != client {
        return Ok(());
    }
    if RefreshToken::parse(token).is_some() {
        grants::revoke(connection, &grant.id)?;
    } else {
        grants::revoke_access(connection, token)?;
    }
    let (user, client) = (Some(grant.user.id.as_str()), Some(client));
    audit::note(connection, now, Event { what: "revoked", user, client, detail: Some(grant.service.name()) })
}
