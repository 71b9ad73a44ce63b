//! Programs that ask for tokens: those that registered, and those whose id is the address of a document.
//! Not here: registering (`register`), fetching documents (`document`).

use rusqlite::{Connection, OptionalExtension};

use crate::clock::Seconds;
use crate::pending::PATIENCE;
use crate::redirect;
use crate::secret::{Hash, hash, same};

/// More clients than this are a flood.
pub const MOST_CLIENTS: i64 = 5_000;
/// So long a client that is new keeps its place: a question and a login, as long as they may take.
const FIRST_LOGIN: Seconds = 2 * PATIENCE;
/// A use is noted no more often: it would be a write for each request.
const NOTE_USE_EVERY: Seconds = 24 * 3600;

/// A program that asks for tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its id.
    pub id: String,
    /// What it calls itself.
    pub name: String,
    /// Where it may be sent back to.
    pub redirect_uris: Vec<String>,
    /// What proves that it is itself; `None` for a program that can keep no secret.
    pub secret_hash: Option<Hash>,
    /// Whether it can use refresh tokens.
    pub refreshes: Refreshes,
    /// Who says all that.
    pub origin: Origin,
}

/// Whether a client gets refresh tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshes {
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// Who vouches for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nobody: it registered itself.
    Registered,
    /// The host of its id.
    Document,
}

impl Client {
    /// Whether it may be sent back to `uri`.
    #[must_use]
    pub fn may_return_to(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|registered| redirect::matches(registered, uri))
    }

    /// Whether `secret` is its own; also when it has none and gives none.
    #[must_use]
    pub fn is_proved_by(&self, secret: Option<&str>) -> bool {
        match (&self.secret_hash, secret) {
            (Some(stored), Some(given)) => same(stored, &hash(given)),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

/// Writes a new one down. Where there are too many, one that never got a token makes room: else a few strangers could
/// keep everybody from registering.
///
/// # Errors
/// As SQLite says.
pub fn insert(connection: &Connection, now: Seconds, client: &Client) -> rusqlite::Result<Inserted> {
    let count: i64 = connection.prepare_cached("SELECT count(*) FROM clients")?.query_row([], |row| row.get(0))?;
    if count >= MOST_CLIENTS {
        let oldest = "DELETE FROM clients WHERE id =
                      (SELECT id FROM clients WHERE used_at IS NULL AND created_at < ?1 ORDER BY created_at LIMIT 1)";
        if connection.prepare_cached(oldest)?.execute([now - FIRST_LOGIN])? == 0 {
            return Ok(Inserted::Full);
        }
    }
    let uris = serde_json::to_string(&client.redirect_uris).expect("a list of texts is always JSON");
    connection
        .prepare_cached(
            "INSERT INTO clients (id, secret_hash, name, redirect_uris, refreshes, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((&client.id, client.secret_hash, &client.name, uris, client.refreshes == Refreshes::Yes, now))?;
    Ok(Inserted::Done)
}

/// Whether there was room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// There was.
    Done,
    /// There are `MOST_CLIENTS`, all of them new or in use.
    Full,
}

/// The registered client of this id.
///
/// # Errors
/// As SQLite says.
pub fn find(connection: &Connection, id: &str) -> rusqlite::Result<Option<Client>> {
    connection
        .prepare_cached("SELECT id, secret_hash, name, redirect_uris, refreshes FROM clients WHERE id = ?1")?
        .query_row([id], |row| {
            let uris: String = row.get(3)?;
            Ok(Client {
                id: row.get(0)?,
                secret_hash: row.get(1)?,
                name: row.get(2)?,
                redirect_uris: serde_json::from_str(&uris).unwrap_or_default(),
                refreshes: if row.get(4)? { Refreshes::Yes } else { Refreshes::No },
                origin: Origin::Registered,
            })
        })
        .optional()
}

/// Notes that a client is used, so that it is not removed for idleness.
///
/// # Errors
/// As SQLite says.
pub fn note_use(connection: &Connection, now: Seconds, id: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE clients SET used_at = ?1 WHERE id = ?2 AND (used_at IS NULL OR used_at < ?1 - ?3)")?
        .execute((now, id, NOTE_USE_EVERY))?;
    Ok(())
}
