//! The file that is being written: opening it safely, its end, its rotation, its troubles.
//! Not here: where bytes come from, and what becomes of them while there is no file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::archives::remove;
use crate::boundary::Filling;
use crate::compress::Compressor;
use crate::registry::{Registry, Shared, Trouble, lock};
use crate::settings::Compression;

/// Within this distance of the limit the pipe is looked at before its bytes are moved.
const WINDOW: u64 = 64 << 10;
/// A file that could not be opened is tried again after this.
const REOPEN: Duration = Duration::from_secs(1);
/// A file that could not be written is tried again no sooner than this.
const REWRITE: Duration = Duration::from_millis(50);
/// A rotation that failed is tried again after this; the file grows meanwhile.
const REROTATE: Duration = Duration::from_secs(10);

pub(crate) struct Log {
    pub(crate) shared: Arc<Shared>,
    /// Pipes that feed it.
    pub(crate) pipes: usize,
    /// A pipe was closed in the middle of a line: the next bytes begin a new one.
    pub(crate) torn: bool,
    live: Option<Live>,
    outage: Option<Outage>,
    dropped: Dropped,
    next_rotation: Option<Instant>,
    swept: bool,
}

struct Live {
    file: File,
    inode: u64,
    end: u64,
    /// The last byte is a line end, as far as known.
    ends_line: Option<bool>,
}

struct Outage {
    since: Instant,
    next_try: Instant,
    reason: String,
}

/// What was dropped and not yet told of in the file.
#[derive(Default)]
struct Dropped {
    bytes: u64,
    lines: u64,
    reason: String,
}

/// What to do after a failed write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Room was made: try again.
    Retry,
    /// There is no file to write to now.
    Outage,
}

impl Log {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            pipes: 0,
            torn: false,
            live: None,
            outage: None,
            dropped: Dropped::default(),
            next_rotation: None,
            swept: false,
        }
    }

    /// Finds the end of the file anew, and whether the path still names it: others may have shortened, moved or
    /// removed it.
    pub(crate) fn refresh(&mut self) {
        let Some(live) = &mut self.live else { return };
        match fs::symlink_metadata(self.shared.place.live()) {
            Ok(found) if found.ino() == live.inode => {
                if found.len() != live.end {
                    live.end = found.len();
                    live.ends_line = None;
                }
            }
            Ok(_) | Err(_) => self.live = None,
        }
    }

    /// Is there a file to write to, with all that was dropped before told of?
    pub(crate) fn ready(&mut self, now: Instant, registry: &Registry, compressor: &Compressor) -> bool {
        if self.outage.as_ref().is_some_and(|outage| now < outage.next_try) {
            return false;
        }
        if self.outage.is_some() {
            // The old descriptor may be of a file that is gone.
            self.live = None;
        }
        if self.live.is_none()
            && let Err(reason) = self.open(compressor)
        {
            self.out(now, reason, REOPEN);
            return false;
        }
        while let Err(error) = self.mark() {
            if self.failed(error, now, registry) == After::Outage {
                return false;
            }
        }
        true
    }

    /// Bytes were written: whatever was wrong is over.
    pub(crate) fn wrote(&mut self, count: usize, ends_line: Option<bool>) {
        let count = count as u64;
        self.shared.counters.bytes.fetch_add(count, Ordering::Relaxed);
        if let Some(live) = &mut self.live {
            live.end += count;
            live.ends_line = ends_line;
        }
        if self.outage.take().is_some() {
            self.shared.counters.well(Trouble::Writing);
        }
    }

    /// A write failed. On a full disk, the oldest archive of the directory makes room.
    pub(crate) fn failed(&mut self, error: Errno, now: Instant, registry: &Registry) -> After {
        if matches!(error, Errno::ENOSPC | Errno::EDQUOT) && delete_oldest(registry, &self.shared) {
            return After::Retry;
        }
        self.out(now, error.desc().to_owned(), REWRITE);
        After::Outage
    }

    pub(crate) fn drop_bytes(&mut self, bytes: &[u8]) {
        let lines = bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.dropped.bytes += bytes.len() as u64;
        self.dropped.lines += lines;
        self.shared.counters.dropped_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.shared.counters.dropped_lines.fetch_add(lines, Ordering::Relaxed);
        if let Some(outage) = &self.outage {
            self.dropped.reason.clone_from(&outage.reason);
        }
    }

    /// How long the file could not be written, if so.
    pub(crate) fn out_for(&self, now: Instant) -> Option<Duration> {
        self.outage.as_ref().map(|outage| now.saturating_duration_since(outage.since))
    }

    /// Something is to be done although no pipe has anything: an outage to end, or to tell of.
    pub(crate) fn unsettled(&self) -> bool {
        self.outage.is_some() || self.dropped.bytes > 0
    }

    /// The outage is over as far as a look can tell; a write will tell better.
    pub(crate) fn settle(&mut self) {
        if self.outage.take().is_some() {
            self.shared.counters.well(Trouble::Writing);
        }
    }

    /// The file and its end.
    pub(crate) fn target(&self) -> Option<(&File, u64)> {
        self.live.as_ref().map(|live| (&live.file, live.end))
    }

    /// How many bytes may be moved without looking at them; `None`: look.
    pub(crate) fn unlooked(&self, now: Instant) -> Option<u64> {
        let limit = self.limit(now);
        let end = self.live.as_ref().map_or(0, |live| live.end);
        if limit == u64::MAX { Some(u64::MAX) } else { limit.checked_sub(end + WINDOW).filter(|&room| room > 0) }
    }

    pub(crate) fn filling(&mut self, now: Instant) -> Filling {
        let limit = self.limit(now);
        let size = self.live.as_ref().map_or(0, |live| live.end);
        Filling { size, limit, ends_line: self.ends_line() }
    }

    /// Without a limit, or while rotations fail, the file grows.
    fn limit(&self, now: Instant) -> u64 {
        match self.shared.settings().max_size {
            0 => u64::MAX,
            _ if self.next_rotation.is_some_and(|next| now < next) => u64::MAX,
            limit => limit,
        }
    }

    /// Whether the last byte is a line end, or there is none.
    pub(crate) fn ends_line(&mut self) -> bool {
        let Some(live) = &mut self.live else {
            return true;
        };
        *live.ends_line.get_or_insert_with(|| {
            let mut last = [b'\n'];
            live.end == 0 || (live.file.read_exact_at(&mut last, live.end - 1).is_ok() && last == *b"\n")
        })
    }

    /// Begins the next file. If that fails, the old one grows for a while.
    pub(crate) fn rotate(&mut self, now: Instant, compressor: &Compressor) {
        let settings = self.shared.settings();
        match next_file(&self.shared, settings.keep) {
            Ok(live) => {
                self.live = Some(live);
                self.next_rotation = None;
                self.shared.counters.rotations.fetch_add(1, Ordering::Relaxed);
                self.shared.counters.well(Trouble::Rotating);
                if settings.compression == Compression::Gzip && settings.keep > 0 {
                    compressor.submit(&self.shared);
                }
            }
            Err(error) => {
                self.next_rotation = Some(now + REROTATE);
                self.shared.counters.trouble(Trouble::Rotating, format!("rotate: {}", describe(&error)));
            }
        }
    }

    /// Lets go of the file; nothing feeds it any more.
    pub(crate) fn close(&mut self) {
        self.live = None;
    }

    fn out(&mut self, now: Instant, reason: String, again: Duration) {
        self.shared.counters.trouble(Trouble::Writing, reason.clone());
        let since = self.outage.as_ref().map_or(now, |outage| outage.since);
        self.outage = Some(Outage { since, next_try: now + again, reason });
    }

    fn open(&mut self, compressor: &Compressor) -> Result<(), String> {
        let path = self.shared.place.live();
        let describe = |error: io::Error| format!("{}: {}", path.display(), describe(&error));
        fs::DirBuilder::new().recursive(true).mode(0o750).create(self.shared.place.directory()).map_err(describe)?;
        if !self.swept {
            let _names = lock(&self.shared.names);
            self.shared.place.sweep();
            self.swept = true;
        }
        self.live = Some(open_live(&path).map_err(|refusal| format!("{}: {refusal}", path.display()))?);
        if self.shared.settings().compression == Compression::Gzip {
            compressor.submit(&self.shared);
        }
        Ok(())
    }

    /// Writes down what was dropped, and ends a line that nobody will end.
    fn mark(&mut self) -> Result<(), Errno> {
        if !self.torn && self.dropped.bytes == 0 {
            return Ok(());
        }
        let mut text = if self.ends_line() { String::new() } else { "\n".to_owned() };
        let Dropped { bytes, lines, reason } = &self.dropped;
        if *bytes > 0 {
            text.push_str(&format!("[supervisor] dropped {bytes} bytes, {lines} lines: {reason}\n"));
        }
        if let Some(live) = &mut self.live
            && !text.is_empty()
        {
            live.append(text.as_bytes())?;
        }
        self.torn = false;
        self.dropped.bytes = 0;
        self.dropped.lines = 0;
        Ok(())
    }
}

impl Live {
    /// All of it or nothing.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        if let Err(error) = self.file.write_all_at(bytes, self.end) {
            // Nothing better can be done if even this fails.
            let _ = self.file.set_len(self.end);
            return Err(errno(&error));
        }
        self.end += bytes.len() as u64;
        self.ends_line = Some(bytes.ends_with(b"\n"));
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("is {0}, not a regular file")]
    Kind(&'static str),
    #[error("has {0} names (hard links): refused as root")]
    Linked(u64),
    #[error("{}", describe(.0))]
    Open(#[from] io::Error),
}

/// Opens a log without following links or waiting for anyone.
fn open_live(path: &Path) -> Result<Live, Refusal> {
    // Looked at first, as opening a device can have effects; and again when open, as names can change.
    match fs::symlink_metadata(path) {
        Ok(found) => check(&found)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let file = options().create(true).open(path)?;
    let found = file.metadata()?;
    check(&found)?;
    Ok(Live { file, inode: found.ino(), end: found.len(), ends_line: None })
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    options.read(true).write(true).mode(0o640).custom_flags(flags.bits());
    options
}

fn check(found: &fs::Metadata) -> Result<(), Refusal> {
    use std::os::unix::fs::FileTypeExt;
    let kind = found.file_type();
    if kind.is_file() {
        // A second name could be a file that root must not write for the one who made it.
        let linked = found.nlink() > 1 && nix::unistd::geteuid().is_root();
        return if linked { Err(Refusal::Linked(found.nlink())) } else { Ok(()) };
    }
    Err(Refusal::Kind(if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }))
}

/// The steps of a rotation. Whichever is the last before a kill, every byte has a name that readers look for, and
/// the next start or rotation finds its way.
fn next_file(shared: &Shared, keep: u32) -> io::Result<Live> {
    let place = &shared.place;
    let _names = lock(&shared.names);
    if keep == 0 {
        place.prune(0)?;
    } else {
        place.shift(keep)?;
    }
    let fresh = place.fresh();
    remove(&fresh)?;
    let file = options().create_new(true).open(&fresh)?;
    if keep > 0 {
        fs::rename(place.live(), place.archive(1, crate::archives::Form::Plain))?;
    }
    fs::rename(&fresh, place.live())?;
    Ok(Live { inode: file.metadata()?.ino(), file, end: 0, ends_line: Some(true) })
}

/// Deletes the archive that is oldest among all logs in the same directory. Logs of which this pump was never told
/// are not ours to delete.
fn delete_oldest(registry: &Registry, shared: &Shared) -> bool {
    let oldest = registry.neighbours(&shared.place).into_iter().filter_map(|log| Some((log.place.oldest()?, log)));
    let Some(((_, path), log)) = oldest.min_by(|left, right| left.0.cmp(&right.0)) else {
        return false;
    };
    let _names = lock(&log.names);
    fs::remove_file(path).is_ok()
}

pub(crate) fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// The system's words without the number.
pub(crate) fn describe(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |number| Errno::from_raw(number).desc().to_owned())
}
