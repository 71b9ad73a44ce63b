//! The database: one thread writes, a few connections read. Nothing that must outlive a request is kept elsewhere.
//! Not here: what is stored; each module has its own statements.

mod pace;
mod schema;
mod sweep;
mod writer;

use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;

use crate::clock::Clock;
use crate::place;
use writer::{Queue, Work};

/// Connections that read at once, beyond which a request waits its turn: one for each processor within these bounds. What
/// is read lies in memory, so more of them only take turns: 8 on two processors answered a fifth less.
const READERS: RangeInclusive<usize> = 2..=8;
/// How long a connection waits for another process that writes: the two generations of a rollout share the file.
const BUSY: Duration = Duration::from_secs(5);
/// How long folding waits for another process; if that writes on, it folds, too.
const FOLD: Duration = Duration::from_millis(250);
/// What each connection keeps of the file, in KiB: the system keeps it too, for all of them, so this need not grow with
/// what is stored.
const CACHE_KIB: u32 = 256;
/// Prepared statements that each connection keeps; there are fewer in the whole program.
const STATEMENTS: usize = 64;

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    queue: Queue,
    readers: Arc<Readers>,
}

/// Connections that only read.
struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

/// Why something could not be stored or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// More is asked than can be written.
    #[error("the database is too busy")]
    Busy,
    /// What SQLite said.
    #[error("the database failed: {0}")]
    Failed(Arc<rusqlite::Error>),
    /// The thread that writes is gone, or a statement panicked.
    #[error("the database is closed")]
    Closed,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(Arc::new(error))
    }
}

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its directory.
    #[error("cannot open the database `{path}`: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What SQLite said.
    #[error("cannot open the database `{path}`: {source}", path = path.display())]
    Sqlite {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// It is no database, or not a whole one.
    #[error(
        "`{path}` is damaged: {why}; put a copy that `oauth backup` made in its place, or move it away: then everybody logs in again",
        path = path.display()
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it, as far as SQLite looked.
        why: String,
    },
    /// It belongs to another program.
    #[error("`{path}` is a database of another program; set DCR_DATABASE_PATH to a path of its own", path = .0.display())]
    Foreign(PathBuf),
    /// It was made by a version that this one cannot follow.
    #[error("`{path}` has schema {found}, this program knows up to {known}; run the newer program, or restore a backup", path = path.display())]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
}

impl OpenError {
    fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { path, why: source.to_string() }
            }
            Some(_) | None => Self::Sqlite { path, source },
        }
    }
}

impl Store {
    /// Opens the file, makes it where there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// When it cannot be opened, or is not ours.
    pub fn open(path: &Path, clock: Clock) -> Result<Self, OpenError> {
        match place::create_private(path) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                return Err(OpenError::File { path: path.to_owned(), source });
            }
            Ok(_) | Err(_) => {}
        }
        let failed = |source| OpenError::sqlite(path, source);
        let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
        schema::bring_up_to_date(&mut connection, path)?;
        let queue =
            writer::start(connection, clock).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
        let processors = available_parallelism().map_or(*READERS.start(), usize::from);
        let permits = Semaphore::new(processors.clamp(*READERS.start(), *READERS.end()));
        let readers = Readers { path: path.to_owned(), idle: Mutex::new(Vec::new()), permits };
        Ok(Self { queue, readers: Arc::new(readers) })
    }

    /// Carries out `work` in a transaction, and returns when the disk has it. An error of SQLite undoes all of it.
    ///
    /// # Errors
    /// When it could not be carried out.
    pub async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.queue.push(Box::new(Work::new(work, reply)))?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Carries out `work` on a connection that cannot write.
    ///
    /// # Errors
    /// When it could not be carried out.
    pub async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let readers = Arc::clone(&self.readers);
        let _permit = self.readers.permits.acquire().await.map_err(|_| StoreError::Closed)?;
        spawn_blocking(move || {
            let connection = readers.take()?;
            let read = work(&connection);
            readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            read.map_err(StoreError::from)
        })
        .await
        .map_err(|_| StoreError::Closed)?
    }
}

impl Readers {
    fn take(&self) -> rusqlite::Result<Connection> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| connect(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY), Ok)
    }
}

/// The file as it is, for what an operator does to it.
pub(crate) fn open_existing(path: &Path) -> Result<Connection, OpenError> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|source| OpenError::sqlite(path, source))
}

/// Folds what SQLite wrote beside the file into the file, which then holds everything alone.
///
/// # Errors
/// As SQLite says; not when another process is using it.
pub fn fold(path: &Path) -> Result<(), OpenError> {
    let connection = open_existing(path)?;
    let fold = || {
        connection.busy_timeout(FOLD)?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    };
    fold().map_err(|source| OpenError::sqlite(path, source))
}

/// Copies the whole database into a new file, while others use it.
///
/// # Errors
/// When the new file exists or cannot be written.
pub fn back_up(path: &Path, to: &Path) -> Result<(), OpenError> {
    // Made first, as SQLite would make it readable for others.
    place::create_private(to).map_err(|source| OpenError::File { path: to.to_owned(), source })?;
    let copy = || {
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.execute("VACUUM INTO ?1", [to.to_str().ok_or(rusqlite::Error::InvalidPath(to.to_owned()))?])
    };
    let copied = copy().map_err(|source| OpenError::sqlite(path, source));
    if copied.is_err() {
        // Empty or half: taken for a backup it would be worse than none, and the next try would find it in its way.
        let _ = std::fs::remove_file(to);
    }
    copied.map(|_| ())
}

fn connect(path: &Path, mode: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA synchronous = FULL;")?;
    connection.pragma_update(None, "cache_size", -i64::from(CACHE_KIB))?;
    Ok(connection)
}

/// Our tables and nothing in them.
#[cfg(test)]
pub(crate) fn in_memory() -> Connection {
    let mut connection = Connection::open_in_memory().expect("memory is there");
    schema::bring_up_to_date(&mut connection, Path::new("memory")).expect("it is new");
    connection
}
