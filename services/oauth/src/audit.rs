//! The trail: who registered, agreed, logged in, got and lost tokens. In the database and in the log.
//! Not here: secrets; a row names users, clients and services only.

use rusqlite::Connection;

use crate::clock::Seconds;

/// What happened.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// `registered`, `consented`, `denied`, `logged-in`, `refused`, `issued`, `refreshed`, `replayed`, `reused`,
    /// `revoked`, `login-lost`.
    pub what: &'static str,
    /// The user's id.
    pub user: Option<&'a str>,
    /// The client's id.
    pub client: Option<&'a str>,
    /// A service, a reason.
    pub detail: Option<&'a str>,
}

/// Writes it down, with whatever else the transaction does.
///
/// # Errors
/// As SQLite says.
pub fn note(connection: &Connection, now: Seconds, event: Event<'_>) -> rusqlite::Result<()> {
    let Event { what, user, client, detail } = event;
    tracing::info!(event = what, user, client, detail, "audit");
    connection
        .prepare_cached("INSERT INTO audit (at, event, user_id, client_id, detail) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute((now, what, user, client, detail))?;
    Ok(())
}
