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
    connection
        .prepare_cached(
            "INSERT INTO entra_tokens (user_id, app, sealed, version, busy_until, updated_at)
             VALUES (?1, ?2, ?3, 1, 0, ?4)
             ON CONFLICT (user_id, app) DO UPDATE
             SET sealed = ?3, version = version + 1, busy_until = 0, updated_at = ?4",
        )?
        .execute((who.id(), app, sealed, now))?;
    Ok(())
}

/// An access token for Graph, for a user who logged in once. Entra may replace the refresh token in passing, so one
/// request at a time uses it, of all processes: a second one would bring the old one, and look like a thief.
///
/// # Errors
/// `interaction_required` when the login is worth nothing any more: then everything that rested on it is gone. 503 when
/// Entra does not answer, or refuses us rather than the user.
pub(crate) async fn graph_token(
    app: &App,
    entra: &Entra,
    user: &str,
    service: Service,
    graph: &BTreeSet<&str>,
) -> Result<Tokens, Refusal> {
    let entra_app = entra.settings.app_of(service);
    let mut tried = None;
    // A login in between brings another token: then that one is tried, once.
    for _ in 0..2 {
        let stored = borrow(app, user, &entra_app).await?;
        let Some(stored) = stored.filter(|stored| tried != Some(stored.version)) else {
            break;
        };
        let token = match open(app, user, &entra_app, &stored.sealed) {
            Ok(token) => token,
            // The key is lost; so is the login.
            Err(KeyError::Sealed(_)) => break,
            Err(error) => return Err(error.into()),
        };
        match entra.refresh(service, graph, &token).await {
            Ok(tokens) => {
                give_back(app, user, &entra_app, &stored, tokens.refresh_token.as_deref()).await?;
                return Ok(tokens);
            }
            Err(EntraError::LoginNeeded(codes)) => {
                tracing::info!(%codes, "Entra wants a new login");
                tried = Some(stored.version);
            }
            Err(error @ (EntraError::Unavailable(_) | EntraError::Misconfigured(_) | EntraError::Unusable(_))) => {
                tracing::error!(%error, "no token from Entra");
                give_back(app, user, &entra_app, &stored, None).await?;
                return Err(Refusal::unavailable("Microsoft Entra cannot be asked at the moment"));
            }
        }
    }
    give_up(app, user, &entra_app, tried).await?;
    Err(Refusal::bad("interaction_required", "the user must log in again"))
}

/// Who borrows a token must give it back by then: longer than a question to Entra takes. Who is killed meanwhile
/// holds up nobody for longer.
const LOAN: Seconds = 12;
/// Between two looks whether it is back.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// Takes the refresh token for oneself, as soon as nobody else has it. Nothing when there is none.
async fn borrow(app: &App, user: &str, entra_app: &str) -> Result<Option<Stored>, Refusal> {
    let late = Instant::now() + Duration::from_secs(2 * LOAN.unsigned_abs());
    loop {
        let (key, now) = ((user.to_owned(), entra_app.to_owned()), app.clock.now());
        match app.store.write(move |connection| borrow_now(connection, now, &key)).await? {
            Loan::Made(stored) => return Ok(Some(stored)),
            Loan::Nothing => return Ok(None),
            Loan::Elsewhere if Instant::now() < late => sleep(LOOK_AGAIN).await,
            Loan::Elsewhere => return Err(Refusal::unavailable("others are asking Microsoft Entra for the same user")),
        }
    }
}

enum Loan {
    Made(Stored),
    Elsewhere,
    Nothing,
}

fn borrow_now(connection: &Connection, now: Seconds, key: &(String, String)) -> rusqlite::Result<Loan> {
    let (user, app) = key;
    let found = connection
        .prepare_cached("SELECT sealed, version, busy_until FROM entra_tokens WHERE user_id = ?1 AND app = ?2")?
        .query_row((user, app), |row| {
            let busy_until: Seconds = row.get(2)?;
            Ok((Stored { sealed: row.get(0)?, version: row.get(1)? }, busy_until))
        })
        .optional()?;
    Ok(match found {
        None => Loan::Nothing,
        // A clock that was set back must not lend it for ever.
        Some((_, busy_until)) if (now..=now + LOAN).contains(&busy_until) => Loan::Elsewhere,
        Some((stored, _)) => {
            connection
                .prepare_cached("UPDATE entra_tokens SET busy_until = ?3 WHERE user_id = ?1 AND app = ?2")?
                .execute((user, app, now + LOAN))?;
            Loan::Made(stored)
        }
    })
}

/// Gives it back, or the one that Entra gave in its place.
async fn give_back(app: &App, user: &str, entra_app: &str, stored: &Stored, new: Option<&str>) -> Result<(), Refusal> {
    let sealed = match new {
        Some(token) => Some(app.keys.seal(&place(user, entra_app), token.as_bytes())?),
        None => None,
    };
    let (user, entra_app, version, now) = (user.to_owned(), entra_app.to_owned(), stored.version, app.clock.now());
    let give_back = app.store.write(move |connection| {
        // Only what was borrowed is replaced: a login in between has brought a better one.
        connection
            .prepare_cached(
                "UPDATE entra_tokens SET sealed = coalesce(?4, sealed), version = version + 1, busy_until = 0,
                                         updated_at = ?5
                 WHERE user_id = ?1 AND app = ?2 AND version = ?3",
            )?
            .execute((user, entra_app, version, sealed, now))
    });
    give_back.await?;
    Ok(())
}

fn open(app: &App, user: &str, entra_app: &str, sealed: &[u8]) -> Result<Secret, KeyError> {
    let plain = app.keys.open_sealed(&place(user, entra_app), sealed)?;
    Ok(Secret::new(String::from_utf8_lossy(&plain)))
}

async fn give_up(app: &App, user: &str, entra_app: &str, tried: Option<i64>) -> Result<(), Refusal> {
    let (user, entra_app, now) = (user.to_owned(), entra_app.to_owned(), app.clock.now());
    let give_up = app.store.write(move |connection| {
        let gone = connection
            .prepare_cached(
                "DELETE FROM entra_tokens WHERE user_id = ?1 AND app = ?2 AND (?3 IS NULL OR version = ?3)",
            )?
            .execute((&user, &entra_app, tried))?;
        let left = connection
            .prepare_cached("SELECT 1 FROM entra_tokens WHERE user_id = ?1 AND app = ?2")?
            .exists((&user, &entra_app))?;
        // A new login in between saves the grants.
        if !left {
            grants::revoke_all_of(connection, &user, &entra_app)?;
        }
        if gone > 0 {
            audit::note(connection, now, Event { what: "login-lost", user: Some(&user), client: None, detail: None })?;
        }
        Ok(())
    });
    Ok(give_up.await?)
}
