//! A database as it is after much use: so many users' grants, each with an access token, and codes to be redeemed.
//! Not here: measuring.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oauth::clock::Clock;
use oauth::secret::{Secret, challenge, encode, hash, random};

use crate::load::Question;
use crate::{Oauth, question};

pub(crate) const APP: &str = "app";
pub(crate) const TENANT: &str = "organizations";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

pub(crate) struct Seeded {
    credential: String,
    access: Vec<String>,
    codes: Vec<String>,
}

/// Starts the service once, for it to make its files, and fills its database.
pub(crate) fn seed(data: &Path, tokens: usize, codes: usize) -> Seeded {
    drop(Oauth::start(data));
    let mut database = rusqlite::Connection::open(data.join("oauth.db")).unwrap();
    let now = Clock::default().now();
    let later = now + 24 * 3600;
    let transaction = database.transaction().unwrap();
    transaction.execute("INSERT INTO users VALUES ('u@t', 't', 'u', 'u@example.com', 'U', ?1)", [now]).unwrap();
    let client = "INSERT INTO clients VALUES ('client', NULL, 'App', '[\"https://app.example/cb\"]', 1, ?1, ?1)";
    transaction.execute(client, [now]).unwrap();
    let app = format!("{TENANT}/{APP}");
    let access = (0..tokens).map(|_| {
        let (grant, token): ([u8; 16], _) = (random().unwrap(), Secret::random("mcp_at_").unwrap());
        let refresh = hash(grant);
        let sql =
            "INSERT INTO grants (id, user_id, client_id, service, scopes, app, created_at, expires_at, refresh_hash)
                   VALUES (?1, 'u@t', 'client', 'mail', 'mail.read', ?2, ?3, ?4, ?5)";
        transaction.prepare_cached(sql).unwrap().execute((grant, &app, now, later, refresh)).unwrap();
        let sql = "INSERT INTO access_tokens VALUES (?1, ?2, 'mail.read', ?3, ?4)";
        transaction.prepare_cached(sql).unwrap().execute((token.hash(), grant, now, later)).unwrap();
        token.reveal().to_owned()
    });
    let access = access.collect();
    let wish = serde_json::json!({
        "client_id": "client", "redirect_uri": "https://app.example/cb", "state": null,
        "challenge": challenge(VERIFIER), "service": "mail", "scopes": ["mail.read"],
    });
    let codes = (0..codes).map(|_| {
        let code = Secret::random("mcp_code_").unwrap();
        let sql = "INSERT INTO codes (hash, request, user_id, app, expires_at) VALUES (?1, ?2, 'u@t', ?3, ?4)";
        transaction.prepare_cached(sql).unwrap().execute((code.hash(), wish.to_string(), &app, later)).unwrap();
        code.reveal().to_owned()
    });
    let codes = codes.collect();
    transaction.commit().unwrap();
    let secret = std::fs::read_to_string(data.join("svc-mail.secret")).unwrap();
    Seeded { credential: STANDARD.encode(format!("svc-mail:{secret}")), access, codes }
}

/// How many access tokens there are now.
pub(crate) fn tokens(data: &Path) -> usize {
    let database = rusqlite::Connection::open(data.join("oauth.db")).unwrap();
    let count: i64 = database.query_row("SELECT count(*) FROM access_tokens", [], |row| row.get(0)).unwrap();
    usize::try_from(count).unwrap()
}

impl Seeded {
    pub(crate) fn introspections(&self, at: SocketAddr) -> Arc<Vec<Question>> {
        let headers = format!("Authorization: Basic {}\r\n", self.credential);
        let mut all: Vec<&String> = self.access.iter().collect();
        // Not in the order in which they lie in the file.
        all.sort_unstable_by_key(|token| hash(encode(token.as_bytes())));
        Arc::new(
            all.into_iter().map(|token| question(at, "/introspect", &headers, &format!("token={token}"))).collect(),
        )
    }

    pub(crate) fn redemptions(&self, at: SocketAddr) -> Arc<Vec<Question>> {
        let form = |code: &String| {
            format!("grant_type=authorization_code&client_id=client&code={code}&code_verifier={VERIFIER}")
        };
        Arc::new(self.codes.iter().map(|code| question(at, "/token", "", &form(code))).collect())
    }
}
