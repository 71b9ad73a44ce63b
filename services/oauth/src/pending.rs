//! What is under way between a client's wish and its code: questions on a page, logins at Entra, codes.
//! Not here: what follows from a code (`grants`).

use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};

use crate::catalog::{Scopes, Service};
use crate::clock::Seconds;
use crate::secret::{Hash, same};

/// How long a page or a login may take. 10 minutes.
pub(crate) const PATIENCE: Seconds = 600;
/// How long a code is good. 60 seconds: a program fetches its tokens at once.
pub(crate) const CODE_TTL: Seconds = 60;
/// Questions and logins that may be open at once, each. Beyond it the oldest goes: a flood shortens the time that people
/// have, where it would else keep all of them out.
const MOST_OPEN: i64 = 20_000;

/// What a client wants, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Who wants it.
    pub client_id: String,
    /// Where the answer goes.
    pub redirect_uri: String,
    /// What the client recognises the answer by.
    pub state: Option<String>,
    /// The S256 challenge of its PKCE verifier.
    pub challenge: String,
    /// What it is for.
    pub service: Service,
    /// What may be done there.
    pub scopes: Scopes,
}

/// A login that went to Entra.
pub(crate) struct Login {
    /// What it is for.
    pub wish: Wish,
    /// The user who agreed to this before, in this browser; the page was not shown.
    pub remembered_user: Option<String>,
    /// The PKCE verifier for Entra, sealed.
    pub verifier: Vec<u8>,
    /// What the id token must hold.
    pub nonce: Hash,
}

/// What was found under a secret.
pub(crate) enum Found<T> {
    /// It, once: it is gone now.
    Taken(T),
    /// Nothing: never there, used, or too old.
    Nothing,
    /// Something, of another browser. It is still there.
    OtherBrowser(T),
}

/// Puts a question, to be answered by the same browser.
///
/// # Errors
/// As SQLite says.
pub(crate) fn ask(
    connection: &Connection,
    now: Seconds,
    hash: &Hash,
    browser: &Hash,
    wish: &Wish,
) -> rusqlite::Result<()> {
    let oldest_beyond = "DELETE FROM questions WHERE hash IN (SELECT hash FROM questions ORDER BY expires_at DESC
                         LIMIT 1 OFFSET ?1)";
    connection.prepare_cached(oldest_beyond)?.execute([MOST_OPEN - 1])?;
    connection
        .prepare_cached("INSERT INTO questions (hash, browser, request, expires_at) VALUES (?1, ?2, ?3, ?4)")?
        .execute((hash, browser, json(wish), now + PATIENCE))?;
    Ok(())
}

/// Looks at a question without answering it.
///
/// # Errors
/// As SQLite says.
pub(crate) fn question(
    connection: &Connection,
    now: Seconds,
    hash: &Hash,
    browser: &Hash,
) -> rusqlite::Result<Found<Wish>> {
    let found: Option<(Hash, String)> = connection
        .prepare_cached("SELECT browser, request FROM questions WHERE hash = ?1 AND expires_at > ?2")?
        .query_row((hash, now), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(match found.and_then(|(theirs, wish)| Some((theirs, parsed(&wish)?))) {
        None => Found::Nothing,
        Some((theirs, wish)) if same(&theirs, browser) => Found::Taken(wish),
        Some((_, wish)) => Found::OtherBrowser(wish),
    })
}

/// Takes a question away, for it is answered.
///
/// # Errors
/// As SQLite says.
pub(crate) fn answered(connection: &Connection, hash: &Hash) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM questions WHERE hash = ?1")?.execute([hash])?;
    Ok(())
}

/// Notes a login that goes to Entra now.
///
/// # Errors
/// As SQLite says.
pub(crate) fn begin(
    connection: &Connection,
    now: Seconds,
    state: &Hash,
    browser: &Hash,
    login: &Login,
) -> rusqlite::Result<()> {
    let oldest_beyond = "DELETE FROM logins WHERE hash IN (SELECT hash FROM logins ORDER BY expires_at DESC
                         LIMIT 1 OFFSET ?1)";
    connection.prepare_cached(oldest_beyond)?.execute([MOST_OPEN - 1])?;
    connection
        .prepare_cached(
            "INSERT INTO logins (hash, browser, request, remembered_user, verifier, nonce, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((
            state,
            browser,
            json(&login.wish),
            &login.remembered_user,
            &login.verifier,
            login.nonce,
            now + PATIENCE,
        ))?;
    Ok(())
}

/// Takes the login that came back, once.
///
/// # Errors
/// As SQLite says.
pub(crate) fn take_login(
    connection: &Connection,
    now: Seconds,
    state: &Hash,
    browser: Option<&Hash>,
) -> rusqlite::Result<Found<Login>> {
    let found = connection
        .prepare_cached(
            "SELECT browser, request, remembered_user, verifier, nonce FROM logins WHERE hash = ?1 AND expires_at > ?2",
        )?
        .query_row((state, now), |row| {
            let (theirs, wish): (Hash, String) = (row.get(0)?, row.get(1)?);
            let (remembered_user, verifier, nonce) = (row.get(2)?, row.get(3)?, row.get(4)?);
            Ok((theirs, parsed(&wish).map(|wish| Login { wish, remembered_user, verifier, nonce })))
        })
        .optional()?;
    let Some((theirs, Some(login))) = found else {
        return Ok(Found::Nothing);
    };
    if !browser.is_some_and(|browser| same(browser, &theirs)) {
        return Ok(Found::OtherBrowser(login));
    }
    connection.prepare_cached("DELETE FROM logins WHERE hash = ?1")?.execute([state])?;
    Ok(Found::Taken(login))
}

/// Notes a code that goes to the client now.
///
/// # Errors
/// As SQLite says.
pub(crate) fn insert_code(
    connection: &Connection,
    now: Seconds,
    code: &Hash,
    wish: &Wish,
    user: &str,
    app: &str,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO codes (hash, request, user_id, app, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute((code, json(wish), user, app, now + CODE_TTL))?;
    Ok(())
}

/// A code, as it was noted.
pub struct Code {
    /// What it is for.
    pub wish: Wish,
    /// Whose it is.
    pub user: String,
    /// The application of the login.
    pub app: String,
    /// Until when it is good.
    pub expires_at: Seconds,
    /// What it was turned into.
    pub grant: Option<[u8; 16]>,
}

/// The code of this hash, used or not.
///
/// # Errors
/// As SQLite says.
pub(crate) fn code(connection: &Connection, code: &Hash) -> rusqlite::Result<Option<Code>> {
    let found = connection
        .prepare_cached("SELECT request, user_id, app, expires_at, grant_id FROM codes WHERE hash = ?1")?
        .query_row([code], |row| {
            let wish: String = row.get(0)?;
            Ok((wish, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })
        .optional()?;
    Ok(found.and_then(|(wish, user, app, expires_at, grant)| {
        Some(Code { wish: parsed(&wish)?, user, app, expires_at, grant })
    }))
}

/// Notes what a code was turned into; it is good for nothing more.
///
/// # Errors
/// As SQLite says.
pub(crate) fn used(connection: &Connection, code: &Hash, grant: &[u8; 16]) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE codes SET grant_id = ?2 WHERE hash = ?1")?.execute((code, grant))?;
    Ok(())
}

fn json(wish: &Wish) -> String {
    serde_json::to_string(wish).expect("a wish is texts only, which are always JSON")
}

fn parsed(wish: &str) -> Option<Wish> {
    serde_json::from_str(wish).ok()
}
