//! The least that a server on axum and SQLite can do: one statement per request, no checks.
//! Not here: anything of the service.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use oauth::secret::{Secret, hash};
use rusqlite::Connection;
use tokio::net::TcpListener;
use tokio::task::{JoinSet, spawn_blocking};

use crate::load::Question;
use crate::question;

pub(crate) struct Floor {
    at: SocketAddr,
    keys: Vec<String>,
    _server: JoinSet<()>,
}

impl Floor {
    pub(crate) async fn start(dir: &Path, rows: usize) -> Self {
        let database = dir.join("floor.db");
        let keys: Vec<String> = (0..rows).map(|_| Secret::random("").unwrap().reveal().to_owned()).collect();
        let connect = || {
            let connection = Connection::open(&database).unwrap();
            connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").unwrap();
            connection
        };
        let mut filling = connect();
        filling.execute_batch("CREATE TABLE t (k BLOB PRIMARY KEY, v TEXT) WITHOUT ROWID").unwrap();
        let transaction = filling.transaction().unwrap();
        for key in &keys {
            let sql = "INSERT INTO t VALUES (?1, 'mail.read')";
            transaction.prepare_cached(sql).unwrap().execute([hash(key)]).unwrap();
        }
        transaction.commit().unwrap();
        let (reader, writer) = (Arc::new(Mutex::new(connect())), Arc::new(Mutex::new(filling)));
        let read = move |body: Bytes| {
            let reader = Arc::clone(&reader);
            async move { blocking(reader, body, "SELECT v FROM t WHERE k = ?1").await }
        };
        let write = move |body: Bytes| {
            let writer = Arc::clone(&writer);
            async move { blocking(writer, body, "INSERT OR REPLACE INTO t VALUES (?1, 'x') RETURNING v").await }
        };
        let routes = Router::new().route("/read", post(read)).route("/write", post(write));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { at, keys, _server: server }
    }

    pub(crate) fn reads(&self) -> Arc<Vec<Question>> {
        Arc::new(self.keys.iter().map(|key| question(self.at, "/read", "", key)).collect())
    }

    pub(crate) fn writes(&self) -> Arc<Vec<Question>> {
        Arc::new(self.keys.iter().map(|key| question(self.at, "/write", "", &key[1..])).collect())
    }
}

async fn blocking(connection: Arc<Mutex<Connection>>, body: Bytes, sql: &'static str) -> String {
    let work = move || {
        let connection = connection.lock().unwrap();
        let mut statement = connection.prepare_cached(sql).unwrap();
        statement.query_row([hash(body)], |row| row.get(0)).unwrap()
    };
    spawn_blocking(work).await.unwrap()
}
