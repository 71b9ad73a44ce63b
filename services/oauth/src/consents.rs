//! What a user agreed to in one browser, so that the same is not asked again for 30 days.
//! Not here: asking.

use rusqlite::{Connection, OptionalExtension};

use crate::browser::GOOD_FOR_SECONDS;
use crate::catalog::Scopes;
use crate::clock::Seconds;
use crate::pending::Wish;
use crate::redirect;
use crate::secret::Hash;

/// The user who agreed to this, or more, in this browser. Never for a program of the user's machine: any other
/// program there could pose as it.
///
/// # Errors
/// As SQLite says.
pub(crate) fn remembered(
    connection: &Connection,
    now: Seconds,
    browser: &Hash,
    wish: &Wish,
) -> rusqlite::Result<Option<String>> {
    if redirect::is_local(&wish.redirect_uri) {
        return Ok(None);
    }
    let found: Option<(String, String)> = connection
        .prepare_cached(
            "SELECT user_id, scopes FROM consents
             WHERE browser = ?1 AND client_id = ?2 AND redirect_uri = ?3 AND service = ?4 AND expires_at > ?5",
        )?
        .query_row((browser, &wish.client_id, &wish.redirect_uri, wish.service.name(), now), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    Ok(found.filter(|(_, scopes)| wish.scopes.within(&Scopes::stored(scopes))).map(|(user, _)| user))
}

/// Remembers it.
///
/// # Errors
/// As SQLite says.
pub(crate) fn remember(
    connection: &Connection,
    now: Seconds,
    browser: &Hash,
    wish: &Wish,
    user: &str,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO consents (browser, client_id, redirect_uri, service, user_id, scopes, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((
            browser,
            &wish.client_id,
            &wish.redirect_uri,
            wish.service.name(),
            user,
            wish.scopes.to_string(),
            now + GOOD_FOR_SECONDS,
        ))?;
    Ok(())
}
