//! The supervisor's own log: through a pipe that the keeper holds, into `supervisor.log` like the log of any service,
//! so that it is rotated, capped, and loses nothing when control is killed.
//! Not here: what is logged.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use supervisor_keeper::Request;
use supervisor_logs::{Feed, Pump};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::LevelFilter;

use crate::control::keeper::inventory::Inventory;
use crate::control::keeper::link::{Link, Purpose};
use crate::control::telling::log_files::OWN;
use crate::log_lines::OWN_FILE;
use crate::platform;

/// The pump's number for it; runs begin at 1.
pub(crate) const STREAM: u64 = 0;
/// The names under which the keeper holds both ends.
const READ: &str = "log/supervisor/read";
const WRITE: &str = "log/supervisor/write";
/// Lines that wait when the disk is slow; further ones are dropped.
const QUEUE: usize = 4096;

/// The file.
pub(crate) fn path(logs_dir: &Path) -> PathBuf {
    logs_dir.join(OWN_FILE)
}

/// Begins to log. Keep the guard: dropping it writes what waits.
pub(crate) fn start(
    link: &mut Link,
    inventory: &mut Inventory,
    pump: &Pump,
    logs_dir: &Path,
) -> io::Result<WorkerGuard> {
    let held = inventory.held.remove(READ).zip(inventory.held.remove(WRITE));
    let (read, write) = match held {
        Some(both) => both,
        None => {
            let (read, write) = platform::output_pipe()?;
            let names = vec![READ.to_owned(), WRITE.to_owned()];
            let fds = vec![read.try_clone()?, write.try_clone()?];
            link.send(Purpose::Note("hold the own log"), &Request::Hold { names }, fds)?;
            (read, write)
        }
    };
    pump.attach(Feed { id: STREAM, pipe: read, stage: None, path: path(logs_dir), generation: 0, settings: OWN });
    // A panic must be seen, too.
    nix::unistd::dup2_stderr(&write)?;
    let (writer, guard) =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(QUEUE).finish(PipeWriter(write.into()));
    let subscriber = tracing_subscriber::fmt()
        .with_writer(writer)
        .with_ansi(false)
        .with_target(false)
        .with_max_level(level())
        .finish();
    tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)?;
    Ok(guard)
}

fn level() -> LevelFilter {
    std::env::var("SUPERVISOR_LOG").ok().and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::INFO)
}

/// Each event arrives as one whole line, shorter than a pipe's atomic unit or not: there is one writer.
struct PipeWriter(std::fs::File);

impl Write for PipeWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
