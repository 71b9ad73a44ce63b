//! What an operator does to the files, also while the service runs: a backup, a new key.
//! Not here: what the service does by itself (`store::sweep`).

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::keys::{KeyError, Keys};
use crate::logins;
use crate::place::Place;
use crate::store::{self, OpenError};

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// The database.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A statement.
    #[error("the database failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

/// Copies the database into a new file, for this user alone. The keys are not in it.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn back_up(place: &Place, to: &Path) -> Result<(), UpkeepError> {
    Ok(store::back_up(&place.database, to)?)
}

/// Makes a new key and seals with it what older ones sealed. Gives its number, and how much was sealed anew.
///
/// # Errors
/// When the keys or the database cannot be used. What was not sealed anew can still be opened.
pub fn rotate_key(place: &Place) -> Result<(u8, usize), UpkeepError> {
    let mut connection = store::open_existing(&place.database)?;
    let keys = Keys::open(&place.keys)?;
    let id = keys.rotate(&in_use(&connection)?)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut count = 0;
    for (user, app, sealed) in sealed_tokens(&transaction)? {
        let home = logins::place(&user, &app);
        // What no key opens any more is of no use; the next use of it asks for a new login.
        let Ok(plain) = keys.open_sealed(&home, &sealed) else {
            continue;
        };
        let sql = "UPDATE entra_tokens SET sealed = ?3 WHERE user_id = ?1 AND app = ?2";
        count += transaction.execute(sql, (&user, &app, keys.seal(&home, &plain)?))?;
    }
    transaction.commit()?;
    Ok((id, count))
}

/// The numbers of the keys that something is sealed with.
fn in_use(connection: &Connection) -> rusqlite::Result<Vec<u8>> {
    let sql = "SELECT substr(sealed, 1, 1) FROM entra_tokens UNION SELECT substr(verifier, 1, 1) FROM logins";
    let mut statement = connection.prepare(sql)?;
    let first_bytes = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    first_bytes.map(|bytes| bytes.map(|bytes| bytes.first().copied().unwrap_or(0))).collect()
}

fn sealed_tokens(connection: &Connection) -> rusqlite::Result<Vec<(String, String, Vec<u8>)>> {
    let mut statement = connection.prepare("SELECT user_id, app, sealed FROM entra_tokens")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
}
