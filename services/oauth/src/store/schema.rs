//! The tables, and how an older file becomes a newer one.
//! Not here: the statements that use them.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::OpenError;

/// Marks a file as ours; "m365" in ASCII.
const APPLICATION_ID: i64 = 0x6d33_3635;

/// A step from one schema to the next.
struct Step {
    sql: &'static str,
    /// The oldest program that can work on the result: during a rollout, and after a rollback, an older one will.
    oldest_reader: i64,
}

/// Step N leads to schema N + 1. Steps are only ever added.
const STEPS: &[Step] = &[Step { sql: FIRST, oldest_reader: 1 }];

const FIRST: &str = "
CREATE TABLE clients (
    id TEXT PRIMARY KEY,
    secret_hash BLOB,
    name TEXT NOT NULL,
    redirect_uris TEXT NOT NULL,
    refreshes INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE client_documents (
    url TEXT PRIMARY KEY,
    document TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    tid TEXT NOT NULL,
    oid TEXT NOT NULL,
    upn TEXT NOT NULL,
    name TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE consents (
    browser BLOB NOT NULL,
    client_id TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    service TEXT NOT NULL,
    user_id TEXT NOT NULL,
    scopes TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (browser, client_id, redirect_uri, service)
) STRICT, WITHOUT ROWID;
CREATE INDEX consents_expiry ON consents (expires_at);

CREATE TABLE questions (
    hash BLOB PRIMARY KEY,
    browser BLOB NOT NULL,
    request TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX questions_expiry ON questions (expires_at);

CREATE TABLE logins (
    hash BLOB PRIMARY KEY,
    browser BLOB NOT NULL,
    request TEXT NOT NULL,
    remembered_user TEXT,
    verifier BLOB NOT NULL,
    nonce BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX logins_expiry ON logins (expires_at);

CREATE TABLE codes (
    hash BLOB PRIMARY KEY,
    request TEXT NOT NULL,
    user_id TEXT NOT NULL,
    app TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    grant_id BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX codes_expiry ON codes (expires_at);

CREATE TABLE grants (
    id BLOB PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    client_id TEXT NOT NULL,
    service TEXT NOT NULL,
    scopes TEXT NOT NULL,
    app TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    refresh_hash BLOB,
    previous_hash BLOB,
    previous_key INTEGER,
    rotated_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_expiry ON grants (expires_at);
CREATE INDEX grants_user ON grants (user_id, app);

CREATE TABLE access_tokens (
    hash BLOB PRIMARY KEY,
    grant_id BLOB NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    scopes TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX access_tokens_expiry ON access_tokens (expires_at);
CREATE INDEX access_tokens_grant ON access_tokens (grant_id);

CREATE TABLE entra_tokens (
    user_id TEXT NOT NULL REFERENCES users (id),
    app TEXT NOT NULL,
    sealed BLOB NOT NULL,
    version INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, app)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    event TEXT NOT NULL,
    user_id TEXT,
    client_id TEXT,
    detail TEXT
) STRICT;
CREATE INDEX audit_time ON audit (at);
";

/// Makes the tables, or whatever a newer program needs that an older one did not.
pub(super) fn bring_up_to_date(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::sqlite(path, source);
    refuse_foreign(connection, path)?;
    let _: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(failed)?;
    refuse_damaged(connection, path)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let (found, oldest_reader) = version(&transaction).map_err(failed)?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    if oldest_reader > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    for (step, number) in STEPS.iter().zip(1..).skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(step.sql).map_err(failed)?;
        let note = "INSERT INTO schema (version, oldest_reader) VALUES (?1, ?2)";
        transaction.execute(note, [number, step.oldest_reader]).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

/// An empty file, and nothing else, becomes ours.
fn refuse_foreign(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::sqlite(path, source);
    let id: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(failed)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    match (id, tables) {
        (APPLICATION_ID, _) => Ok(()),
        (0, 0) => connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed),
        _ => Err(OpenError::Foreign(path.to_owned())),
    }
}

/// A hole in the file would else show itself to one user after the other, as an outage that does not pass.
fn refuse_damaged(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let check = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match check.map_err(|source| OpenError::sqlite(path, source))? {
        fine if fine == "ok" => Ok(()),
        why => Err(OpenError::Damaged { path: path.to_owned(), why }),
    }
}

/// The schema of the file, and the oldest program that can work on it. Both 0 when there is none.
fn version(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema (version INTEGER PRIMARY KEY, oldest_reader INTEGER NOT NULL) STRICT",
    )?;
    connection.query_row("SELECT coalesce(max(version), 0), coalesce(max(oldest_reader), 0) FROM schema", [], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(sql: &str) -> (tempfile::TempDir, Connection, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(sql).unwrap();
        (dir, connection, path)
    }

    #[test]
    fn a_file_is_brought_up_to_date_once() {
        let (_dir, mut connection, path) = file("");
        for _ in 0..2 {
            bring_up_to_date(&mut connection, &path).unwrap();
        }
        assert_eq!(version(&connection).unwrap(), (1, 1));
    }

    #[test]
    fn a_database_of_another_program_is_left_alone() {
        let (_dir, mut connection, path) = file("CREATE TABLE dcr_clients (id TEXT)");
        let error = bring_up_to_date(&mut connection, &path).unwrap_err();
        assert!(matches!(error, OpenError::Foreign(_)), "{error}");
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!(tables, 1);
    }

    #[test]
    fn a_newer_schema_is_accepted_while_it_says_that_we_can_read_it() {
        let (_dir, mut connection, path) = file("");
        bring_up_to_date(&mut connection, &path).unwrap();
        connection.execute("INSERT INTO schema VALUES (2, 1)", []).unwrap();
        bring_up_to_date(&mut connection, &path).unwrap();
        connection.execute("INSERT INTO schema VALUES (3, 3)", []).unwrap();
        let error = bring_up_to_date(&mut connection, &path).unwrap_err().to_string();
        assert!(error.contains("schema 3") && error.contains("up to 1"), "{error}");
    }
}
