//! The refresh tokens that Entra gave: sealed, kept, used, given up.
//! Not here: talking to Entra (`entra`), what users of ours may do (`grants`).

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};
use tokio::time::{Instant, sleep};

use crate::answer::Refusal;
use crate::app::App;
use crate::audit::{self, Event};
use crate::catalog::Service;
use crate::clock::Seconds;
use crate::entra::{Entra, EntraError, Identity, Tokens};
use crate::grants;
use crate::keys::KeyError;
use crate::secret::Secret;

/// A sealed refresh token, and how often it has been replaced.
struct Stored {
    sealed: Vec<u8>,
    version: i64,
}

/// Where a refresh token is at home: it cannot be opened in another row.
#[must_use]
pub(crate) fn place(user: &str, app: &str) -> String {
    format!("entra_tokens/{user}/{app}")
}

/// Stores who logged in, and the sealed token of the login.
///
/// # Errors
/// As SQLite says.
pub(crate) fn store(
    connection: &Connection,
    now: Seconds,
    who: &Identity,
    app: &str,
    sealed: &[u8],
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO users (id, tid, oid, upn, name, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (id) DO UPDATE SET upn = ?4, name = ?5, updated_at = ?6",
        )?
        .execute((who.id(), &who.tid, &who.oid, &who.upn, &who.name, now))?;
    // Versions begin at the time: one that was tried before a login must not be taken for the one after it.
    connection
        .prepare_cached(
            "INSERT INTO entra_tokens (user_id, app, sealed, version, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)
             ON CONFLICT (user_id, app) DO UPDATE SET sealed = ?3, version = version + 1, updated_at = ?4",
        )?
        .execute((who.id(), app, sealed, now))?;
    Ok(())
}

/// How often a token is tried: once for each process that may be using it, and once more.
const TRIES: usize = 3;
/// How long another process may take to store what Entra gave it.
const STORED_WITHIN: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// An access token for Graph, for a user who logged in once. Entra may replace the refresh token in passing, so one
/// request at a time uses it; and where another process used it at the same time, what that one got is used.
///
/// # Errors
/// `interaction_required` when the login is worth nothing any more: then everything that rested on it is gone; also when
/// consent is missing for these permissions: then nothing is gone. 503 when Entra does not answer, or refuses us rather
/// than the user.
pub(crate) async fn graph_token(
    app: &App,
    entra: &Entra,
    user: &str,
    service: Service,
    graph: &BTreeSet<&str>,
) -> Result<Tokens, Refusal> {
    let entra_app = entra.settings.app_of(service);
    let turn = app.turns.wait(&place(user, &entra_app)).await;
    let _turn = turn.ok_or_else(|| Refusal::unavailable("others are asking Microsoft Entra for the same user"))?;
    let mut tried = None;
    for _ in 0..TRIES {
        let Some(stored) = load_other_than(app, user, &entra_app, tried).await? else {
            break;
        };
        let token = match open(app, user, &entra_app, &stored.sealed) {
            Ok(token) => token,
            // The key is lost; so is the login.
            Err(KeyError::Sealed(_)) => {
                tried = Some(stored.version);
                break;
            }
            Err(error) => return Err(error.into()),
        };
        match entra.refresh(service, graph, &token).await {
            Ok(tokens) => {
                replace(app, user, &entra_app, &stored, &tokens).await?;
                return Ok(tokens);
            }
            Err(EntraError::LoginNeeded(codes)) => {
                tracing::info!(%codes, "Entra wants a new login");
                tried = Some(stored.version);
            }
            Err(error @ EntraError::Throttled(seconds)) => {
                tracing::warn!(%error, "no token from Entra");
                return Err(Refusal::unavailable("Microsoft Entra is asked too much").until(seconds));
            }
            Err(error @ EntraError::ConsentNeeded(_)) => {
                tracing::info!(%error, "no token from Entra");
                return Err(log_in_again());
            }
            Err(error @ (EntraError::Unavailable(_) | EntraError::Misconfigured(_) | EntraError::Unusable(_))) => {
                tracing::error!(%error, "no token from Entra");
                return Err(Refusal::unavailable("Microsoft Entra cannot be asked at the moment"));
            }
        }
    }
    give_up(app, user, &entra_app, tried).await?;
    Err(log_in_again())
}

fn log_in_again() -> Refusal {
    Refusal::bad("interaction_required", "the user must log in again")
}

/// The token, if it is another than the one that was tried; waits a moment for that.
async fn load_other_than(
    app: &App,
    user: &str,
    entra_app: &str,
    tried: Option<i64>,
) -> Result<Option<Stored>, Refusal> {
    let late = Instant::now() + STORED_WITHIN;
    loop {
        match load(app, user, entra_app).await? {
            Some(stored) if tried != Some(stored.version) => return Ok(Some(stored)),
            Some(_) if Instant::now() < late => sleep(LOOK_AGAIN).await,
            Some(_) | None => return Ok(None),
        }
    }
}

async fn load(app: &App, user: &str, entra_app: &str) -> Result<Option<Stored>, Refusal> {
    let key = (user.to_owned(), entra_app.to_owned());
    let load = app.store.read(move |connection| {
        connection
            .prepare_cached("SELECT sealed, version FROM entra_tokens WHERE user_id = ?1 AND app = ?2")?
            .query_row(key, |row| Ok(Stored { sealed: row.get(0)?, version: row.get(1)? }))
            .optional()
    });
    Ok(load.await?)
}

async fn replace(app: &App, user: &str, entra_app: &str, stored: &Stored, tokens: &Tokens) -> Result<(), Refusal> {
    let Some(token) = &tokens.refresh_token else {
        return Ok(());
    };
    let sealed = app.keys.seal(&place(user, entra_app), token.as_bytes())?;
    let (user, entra_app, version, now) = (user.to_owned(), entra_app.to_owned(), stored.version, app.clock.now());
    let replace = app.store.write(move |connection| {
        // Only what was used is replaced: a login in between has brought a better one.
        connection
            .prepare_cached(
                "UPDATE entra_tokens SET sealed = ?4, version = version + 1, updated_at = ?5
                 WHERE user_id = ?1 AND app = ?2 AND version = ?3",
            )?
            .execute((user, entra_app, version, sealed, now))
    });
    replace.await?;
    Ok(())
}

fn open(app: &App, user: &str, entra_app: &str, sealed: &[u8]) -> Result<Secret, KeyError> {
    let plain = app.keys.open_sealed(&place(user, entra_app), sealed)?;
    Ok(Secret::new(String::from_utf8_lossy(&plain)))
}

async fn give_up(app: &App, user: &str, entra_app: &str, tried: Option<i64>) -> Result<(), Refusal> {
    let (user, entra_app, now) = (user.to_owned(), entra_app.to_owned(), app.clock.now());
    let give_up = app.store.write(move |connection| forget(connection, now, &user, &entra_app, tried));
    Ok(give_up.await?)
}

/// Forgets the token that was tried, and the grants where none is left: a new login in between saves them.
fn forget(
    connection: &Connection,
    now: Seconds,
    user: &str,
    entra_app: &str,
    tried: Option<i64>,
) -> rusqlite::Result<()> {
    let gone = connection
        .prepare_cached("DELETE FROM entra_tokens WHERE user_id = ?1 AND app = ?2 AND version = ?3")?
        .execute((user, entra_app, tried))?;
    let left = connection
        .prepare_cached("SELECT 1 FROM entra_tokens WHERE user_id = ?1 AND app = ?2")?
        .exists((user, entra_app))?;
    if !left {
        grants::revoke_all_of(connection, user, entra_app)?;
    }
    if gone > 0 {
        audit::note(connection, now, Event { what: "login-lost", user: Some(user), client: None, detail: None })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_never_taken_for_the_one_that_was_given_up() {
        let connection = crate::store::in_memory();
        let [tid, oid, upn, name] = ["t", "o", "o@example.com", "O"].map(str::to_owned);
        let who = Identity { tid, oid, upn, name };
        let user = who.id();
        let log_in = |now| store(&connection, now, &who, "app", b"sealed").unwrap();
        let version = || {
            let sql = "SELECT version FROM entra_tokens";
            connection.query_row(sql, [], |row| row.get::<_, i64>(0)).optional().unwrap()
        };
        let forget = |tried| forget(&connection, 0, &user, "app", tried).unwrap();
        log_in(1000);
        let first = version();
        forget(first);
        assert_eq!(version(), None);
        log_in(1001);
        let second = version();
        for tried_before in [first, None] {
            forget(tried_before);
            assert_eq!(version(), second, "after {tried_before:?}");
        }
        log_in(1002);
        assert_ne!(version(), second);
    }
}
