//! The thread that compresses archives and lets go of deleted ones, off the way of the bytes.
//! Not here: deciding when a file becomes an archive.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use flate2::read::MultiGzDecoder;
use flate2::{Compression as Level, GzBuilder};
use nix::fcntl::OFlag;

use crate::archives::{Archive, Form, MOST_OPEN, open_archive, remove};
use crate::index::{self, Known};
use crate::log::describe;
use crate::registry::{Shared, Trouble, lock};
use crate::settings::Compression;

/// Starts the comment in the header of our archives; the inode of the original follows. A reader that is in the
/// middle of the original finds its place by it.
const ORIGIN: &str = "supervisor inode ";
/// Goes on there, and what came before the original in the log follows: once that is deleted, its inode is another's.
const BASE: &str = " base ";
/// A handle to the thread, which is started when there is something to do.
#[derive(Clone, Default)]
pub(crate) struct Compressor {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    queue: Mutex<Queue>,
    filled: Condvar,
    stop: AtomicBool,
}

#[derive(Default)]
struct Queue {
    /// Each log at most once.
    logs: Vec<Arc<Shared>>,
    /// Deleted files, to be closed.
    deleted: Vec<File>,
    started: bool,
}

enum Task {
    Compress(Arc<Shared>),
    Close(Vec<File>),
}

impl Compressor {
    /// The log may have archives to compress.
    pub(crate) fn submit(&self, log: &Arc<Shared>) {
        let mut queue = lock(&self.inner.queue);
        if !queue.logs.iter().any(|queued| Arc::ptr_eq(queued, log)) {
            queue.logs.push(Arc::clone(log));
        }
        self.wake(&mut queue);
    }

    /// Closes deleted files, which frees their blocks; beyond a few that wait, at once.
    pub(crate) fn close(&self, files: Vec<File>) {
        let mut queue = lock(&self.inner.queue);
        if !files.is_empty() && queue.deleted.len() < MOST_OPEN {
            queue.deleted.extend(files);
            self.wake(&mut queue);
        }
    }

    fn wake(&self, queue: &mut Queue) {
        if !queue.started {
            let inner = Arc::clone(&self.inner);
            let thread = thread::Builder::new().name("log-compress".to_owned());
            queue.started = thread.spawn(move || inner.run()).is_ok();
        }
        self.inner.filled.notify_one();
    }

    /// Ends the thread, soon; a copy that it has begun is left for the next start to sweep.
    pub(crate) fn stop(&self) {
        self.inner.stop.store(true, Ordering::Relaxed);
        drop(lock(&self.inner.queue));
        self.inner.filled.notify_all();
    }
}

impl Inner {
    fn run(&self) {
        while let Some(task) = self.next() {
            let log = match task {
                Task::Compress(log) => log,
                Task::Close(files) => {
                    drop(files);
                    continue;
                }
            };
            match self.compress_all(&log) {
                Ok(()) => log.counters.well(Trouble::Compressing),
                // The originals stay, and the next rotation tries again.
                Err(error) => log.counters.trouble(Trouble::Compressing, format!("compress: {}", describe(&error))),
            }
        }
    }

    fn next(&self) -> Option<Task> {
        let queue = lock(&self.queue);
        let idle =
            |queue: &mut Queue| queue.logs.is_empty() && queue.deleted.is_empty() && !self.stop.load(Ordering::Relaxed);
        let mut queue = self.filled.wait_while(queue, idle).unwrap_or_else(PoisonError::into_inner);
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let deleted = std::mem::take(&mut queue.deleted);
        Some(if deleted.is_empty() { Task::Compress(queue.logs.remove(0)) } else { Task::Close(deleted) })
    }

    /// The oldest first, as it is the one that is needed least.
    fn compress_all(&self, log: &Shared) -> io::Result<()> {
        let archives = log.place.list()?;
        for archive in archives.iter().rev().filter(|archive| archive.form == Form::Plain) {
            if self.stop.load(Ordering::Relaxed) || log.settings().compression == Compression::None {
                break;
            }
            let unfinished = log.place.unfinished(archive.inode);
            let result = self.compress(log, archive, &unfinished);
            if result.is_err() {
                remove(&unfinished)?;
            }
            result?;
        }
        Ok(())
    }

    fn compress(&self, log: &Shared, archive: &Archive, unfinished: &Path) -> io::Result<()> {
        // A rotation may move it between the listing and here, so that another file has the name.
        let Some(number) = number_of(log, archive.inode)? else {
            return Ok(());
        };
        let path = log.place.archive(number, Form::Plain);
        let mut original = match open_archive(&path) {
            Ok(file) if file.metadata()?.ino() == archive.inode => file,
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        remove(unfinished)?;
        let modified = original.metadata()?.modified()?;
        let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let copy =
            OpenOptions::new().write(true).create_new(true).mode(0o640).custom_flags(flags.bits()).open(unfinished)?;
        let known = Known::of(&index::load(&log.place.index()), (archive.inode, None), 0);
        let base = known.base().map_or_else(String::new, |base| format!("{BASE}{base}"));
        let header = GzBuilder::new().comment(format!("{ORIGIN}{}{base}", archive.inode));
        let mut encoder = header.write(copy, Level::new(4));
        let mut block = vec![0; 64 << 10];
        loop {
            match original.read(&mut block)? {
                0 => break,
                count => encoder.write_all(&block[..count])?,
            }
            if self.stop.load(Ordering::Relaxed) {
                return Err(io::Error::other("stopped"));
            }
        }
        let copy = encoder.finish()?;
        copy.set_modified(modified)?;
        copy.sync_all()?;
        replace(log, archive.inode, unfinished)
    }
}

/// Puts the finished copy in the place of its original, wherever rotations have moved that meanwhile.
fn replace(log: &Shared, inode: u64, finished: &Path) -> io::Result<()> {
    let _names = lock(&log.names);
    match number_of(log, inode)? {
        Some(number) => {
            fs::rename(finished, log.place.archive(number, Form::Gzip))?;
            remove(&log.place.archive(number, Form::Plain))
        }
        // Deleted: there was no room for it any more.
        None => remove(finished),
    }
}

fn number_of(log: &Shared, inode: u64) -> io::Result<Option<u32>> {
    let archives = log.place.list()?;
    let original = archives.iter().find(|archive| archive.form == Form::Plain && archive.inode == inode);
    Ok(original.map(|archive| archive.number))
}

/// The inode of the file that this archive was made of, if we made it.
pub(crate) fn origin(path: &Path) -> Option<u64> {
    origin_and_base(path).map(|(inode, _)| inode)
}

/// That, and what came before it in the log, if the index told.
pub(crate) fn origin_and_base(path: &Path) -> Option<(u64, Option<u64>)> {
    let mut decoder = MultiGzDecoder::new(BufReader::with_capacity(512, open_archive(path).ok()?));
    let _ = decoder.read(&mut [0]);
    let comment = str::from_utf8(decoder.header()?.comment()?).ok()?;
    let told = comment.strip_prefix(ORIGIN)?;
    let (inode, base) = told.split_once(BASE).map_or((told, None), |(inode, base)| (inode, base.parse().ok()));
    Some((inode.parse().ok()?, base))
}
