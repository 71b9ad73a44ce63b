//! Removing what has expired, a little at a time.
//! Not here: revoking, which is immediate.

use rusqlite::{Connection, TransactionBehavior};

use crate::clock::Seconds;

/// Rows of one table that are removed at once: a few milliseconds, in which requests wait.
const CHUNK: usize = 500;
/// A code is remembered for an hour after its end, so that a replay is seen for what it is.
const CODE_MEMORY: Seconds = 3600;
/// A client that never got a token: somebody tried, or something floods.
const UNUSED_CLIENT: Seconds = 24 * 3600;
/// A client that once had one.
const IDLE_CLIENT: Seconds = 90 * 24 * 3600;
/// The trail of who did what.
const AUDIT: Seconds = 90 * 24 * 3600;
/// Its length, at most.
const AUDIT_ROWS: i64 = 200_000;

/// Whether there is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Swept {
    Whole,
    Partly,
}

/// Each takes the time before which something counts as expired.
fn tables(now: Seconds) -> [(&'static str, Seconds); 11] {
    [
        (
            "DELETE FROM access_tokens WHERE hash IN (SELECT hash FROM access_tokens WHERE expires_at < ?1 LIMIT ?2)",
            now,
        ),
        ("DELETE FROM grants WHERE id IN (SELECT id FROM grants WHERE expires_at < ?1 LIMIT ?2)", now),
        ("DELETE FROM codes WHERE hash IN (SELECT hash FROM codes WHERE expires_at < ?1 LIMIT ?2)", now - CODE_MEMORY),
        ("DELETE FROM logins WHERE hash IN (SELECT hash FROM logins WHERE expires_at < ?1 LIMIT ?2)", now),
        ("DELETE FROM questions WHERE hash IN (SELECT hash FROM questions WHERE expires_at < ?1 LIMIT ?2)", now),
        (
            "DELETE FROM client_documents WHERE url IN (SELECT url FROM client_documents WHERE expires_at < ?1 LIMIT ?2)",
            now,
        ),
        (
            "DELETE FROM consents WHERE (browser, client_id, redirect_uri, service) IN
             (SELECT browser, client_id, redirect_uri, service FROM consents WHERE expires_at < ?1 LIMIT ?2)",
            now,
        ),
        (
            "DELETE FROM clients WHERE id IN
             (SELECT id FROM clients WHERE used_at IS NULL AND created_at < ?1 LIMIT ?2)",
            now - UNUSED_CLIENT,
        ),
        ("DELETE FROM clients WHERE id IN (SELECT id FROM clients WHERE used_at < ?1 LIMIT ?2)", now - IDLE_CLIENT),
        (
            // A login that no grant is left of: its refresh token is a risk and no use.
            "DELETE FROM entra_tokens WHERE (user_id, app) IN
             (SELECT user_id, app FROM entra_tokens AS e WHERE updated_at < ?1
              AND NOT EXISTS (SELECT 1 FROM grants WHERE user_id = e.user_id AND app = e.app) LIMIT ?2)",
            now - CODE_MEMORY,
        ),
        ("DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < ?1 LIMIT ?2)", now - AUDIT),
    ]
}

/// Removes up to `CHUNK` rows of each table.
pub(super) fn sweep(connection: &mut Connection, now: Seconds) -> rusqlite::Result<Swept> {
    let chunk = i64::try_from(CHUNK).unwrap_or(i64::MAX);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut swept = Swept::Whole;
    for (sql, before) in tables(now) {
        if transaction.prepare_cached(sql)?.execute([before, chunk])? == CHUNK {
            swept = Swept::Partly;
        }
    }
    let longest = "DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?1";
    transaction.prepare_cached(longest)?.execute([AUDIT_ROWS])?;
    transaction.commit()?;
    Ok(swept)
}
