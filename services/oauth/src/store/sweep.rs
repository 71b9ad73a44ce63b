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
fn tables(now: Seconds) -> [(&'static str, Seconds); 12] {
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
        (
            // Its refresh tokens may be good for longer, where the operator says so.
            "DELETE FROM clients WHERE id IN (SELECT id FROM clients WHERE used_at < ?1
             AND id NOT IN (SELECT client_id FROM grants) LIMIT ?2)",
            now - IDLE_CLIENT,
        ),
        (
            // A login that no grant is left of: its refresh token is a risk and no use.
            "DELETE FROM entra_tokens WHERE (user_id, app) IN
             (SELECT user_id, app FROM entra_tokens AS e WHERE updated_at < ?1
              AND NOT EXISTS (SELECT 1 FROM grants WHERE user_id = e.user_id AND app = e.app) LIMIT ?2)",
            now - CODE_MEMORY,
        ),
        (
            // Names of people of whom nothing is left.
            "DELETE FROM users WHERE id IN (SELECT id FROM users AS u WHERE updated_at < ?1
             AND NOT EXISTS (SELECT 1 FROM grants WHERE user_id = u.id)
             AND NOT EXISTS (SELECT 1 FROM entra_tokens WHERE user_id = u.id) LIMIT ?2)",
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

#[cfg(test)]
mod tests {
    use super::super::in_memory;
    use super::*;

    const NOW: Seconds = 1_000_000_000;
    const DAY: Seconds = 24 * 3600;

    fn database() -> Connection {
        let connection = in_memory();
        connection.execute_batch("INSERT INTO users VALUES ('u', 't', 'o', 'n', 'n', 0)").unwrap();
        connection
    }

    fn count(connection: &Connection, table: &str) -> i64 {
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn what_has_expired_goes_and_what_has_not_stays() {
        for (table, insert, end) in [
            ("questions", "INSERT INTO questions VALUES (x'01', x'01', '', ?1)", 0),
            ("logins", "INSERT INTO logins VALUES (x'01', x'01', '', NULL, x'01', x'01', ?1)", 0),
            ("codes", "INSERT INTO codes VALUES (x'01', '', 'u', 'a', ?1, NULL)", 3600),
            (
                "grants",
                "INSERT INTO grants VALUES (x'01', 'u', 'c', 'mail', '', 'a', 0, ?1, NULL, NULL, NULL, NULL)",
                0,
            ),
            ("client_documents", "INSERT INTO client_documents VALUES ('https://x/y', '', ?1)", 0),
            ("consents", "INSERT INTO consents VALUES (x'01', 'c', 'r', 'mail', 'u', '', ?1)", 0),
            ("clients", "INSERT INTO clients VALUES ('never used', NULL, '', '[]', 1, ?1, NULL)", DAY),
            ("clients", "INSERT INTO clients VALUES ('idle', NULL, '', '[]', 1, 0, ?1)", 90 * DAY),
            ("entra_tokens", "INSERT INTO entra_tokens VALUES ('u', 'a', x'01', 1, ?1)", 3600),
            ("users", "INSERT INTO users VALUES ('gone', 't', 'o', 'n', 'n', ?1)", 3600),
            ("audit", "INSERT INTO audit VALUES (NULL, ?1, 'x', NULL, NULL, NULL)", 90 * DAY),
        ] {
            for (from, left) in [(NOW - end, 1), (NOW - end - 1, 0)] {
                let mut connection = database();
                if table == "users" {
                    connection.execute("DELETE FROM users", []).unwrap();
                }
                connection.execute(insert, [from]).unwrap();
                assert_eq!(sweep(&mut connection, NOW).unwrap(), Swept::Whole);
                assert_eq!(count(&connection, table), left, "{insert} {from}");
            }
        }
    }

    #[test]
    fn a_grant_takes_its_tokens_along_and_keeps_its_login_its_user_and_its_client() {
        let mut connection = database();
        connection
            .execute_batch(
                "INSERT INTO entra_tokens VALUES ('u', 'a', x'01', 1, 0);
                 INSERT INTO clients VALUES ('c', NULL, '', '[]', 1, 0, 0);
                 INSERT INTO grants VALUES (x'01', 'u', 'c', 'mail', '', 'a', 0, 1000000000, NULL, NULL, NULL, NULL);
                 INSERT INTO access_tokens VALUES (x'01', x'01', '', 0, 2000000000)",
            )
            .unwrap();
        for (now, left) in [(NOW, 1), (NOW + 1, 0)] {
            sweep(&mut connection, now).unwrap();
            let tables = ["grants", "access_tokens", "entra_tokens", "users", "clients"];
            assert_eq!(tables.map(|table| count(&connection, table)), [left; 5]);
        }
    }

    #[test]
    fn much_is_removed_in_parts_and_the_trail_has_a_length() {
        let mut connection = database();
        let fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) INSERT INTO";
        connection.execute(&format!("{fill} questions SELECT CAST(i AS BLOB), x'01', '', 0 FROM n"), [501]).unwrap();
        let longer = AUDIT_ROWS + 10;
        connection.execute(&format!("{fill} audit SELECT i, ?2, 'x', NULL, NULL, NULL FROM n"), [longer, NOW]).unwrap();
        assert_eq!(sweep(&mut connection, NOW).unwrap(), Swept::Partly);
        assert_eq!((count(&connection, "questions"), count(&connection, "audit")), (1, AUDIT_ROWS));
        assert_eq!(sweep(&mut connection, NOW).unwrap(), Swept::Whole);
        assert_eq!(count(&connection, "questions"), 0);
    }
}
