//! A log: its file, its limit, its troubles, and the count of what was dropped.
//! Not here: where bytes come from, and what becomes of them while there is no file.

use std::fs::{self, File};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::boundary::Filling;
use crate::compress::Compressor;
use crate::ledger::{Account, Ledger};
use crate::live::{Live, next_file, open_live};
use crate::recorder::Recorder;
use crate::registry::{Registry, Shared, Trouble, lock};
use crate::settings::Compression;
use crate::stage::PIECE;
use crate::upkeep::Shortage;
use crate::worker::House;

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
    pub(crate) recorder: Recorder,
    live: Option<Live>,
    outage: Option<Outage>,
    dropped: Account,
    next_rotation: Option<Instant>,
}

struct Outage {
    since: Instant,
    next_try: Instant,
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
    pub(crate) fn new(shared: Arc<Shared>, ledger: Option<&Ledger>) -> Self {
        Self {
            dropped: Account::open(ledger, &shared.place.live()),
            recorder: Recorder::new(&shared.place),
            shared,
            pipes: 0,
            torn: false,
            live: None,
            outage: None,
            next_rotation: None,
        }
    }

    /// Before the first byte: finishes what a killed process left half done.
    pub(crate) fn tidy(&self, registry: &Registry, compressor: &Compressor) {
        let place = &self.shared.place;
        if !place.has_relics(&registry.found_beside(place)) {
            return;
        }
        {
            let _names = lock(&self.shared.names);
            place.sweep();
        }
        if self.shared.settings().compression == Compression::Gzip {
            compressor.submit(&self.shared);
        }
    }

    /// Finds the end of the file anew, and whether the path still names it: others may have shortened, moved or
    /// removed it.
    pub(crate) fn refresh(&mut self) {
        let Some(live) = &mut self.live else { return };
        match fs::symlink_metadata(self.shared.place.live()) {
            Ok(found) if found.ino() == live.inode => {
                if found.len() != live.end {
                    if found.len() < live.end {
                        self.recorder.shortened(live.end);
                    }
                    live.end = found.len();
                    live.ends_line = None;
                }
            }
            Ok(_) | Err(_) => self.live = None,
        }
    }

    /// Is there a file to write to, with all that was dropped before told of?
    pub(crate) fn ready(&mut self, now: Instant, house: &House) -> bool {
        if self.outage.as_ref().is_some_and(|outage| now < outage.next_try) {
            return false;
        }
        if self.outage.is_some() {
            // The old descriptor may be of a file that is gone.
            self.live = None;
        }
        if self.live.is_none()
            && let Err(reason) = self.open()
        {
            self.out(now, reason, REOPEN);
            return false;
        }
        if let Err(Shortage(reason)) = self.room(now, house) {
            self.out(now, reason, REOPEN);
            return false;
        }
        while let Err(error) = self.mark() {
            if self.failed(error, now, house) == After::Outage {
                return false;
            }
        }
        true
    }

    /// Where a file that has become too large is in the way, it becomes an archive, of which any may go.
    fn room(&mut self, now: Instant, house: &House) -> Result<(), Shortage> {
        let Some(live) = &self.live else { return Ok(()) };
        let room = lock(&house.upkeep).room(&live.file, now);
        if room.is_ok() || live.end <= self.limit(now).0 {
            return room;
        }
        self.rotate(now, house);
        self.live.as_ref().map_or(room, |live| lock(&house.upkeep).room(&live.file, now))
    }

    /// Bytes of a generation are about to be written.
    pub(crate) fn writes(&mut self, generation: u64) {
        if let Some(live) = &self.live {
            self.recorder.writes(live.end, generation);
        }
    }

    /// Bytes were written: whatever was wrong is over.
    pub(crate) fn wrote(&mut self, count: usize, ends_line: Option<bool>) {
        let count = count as u64;
        self.shared.counters.bytes.fetch_add(count, Ordering::Relaxed);
        self.shared.counters.writes.fetch_add(1, Ordering::Relaxed);
        if let Some(live) = &mut self.live {
            live.end += count;
            self.recorder.wrote(live.end);
            live.ends_line = ends_line;
        }
        if self.outage.take().is_some() {
            self.shared.counters.well(Trouble::Writing);
        }
    }

    /// A write failed. On a full disk, the oldest archive makes room.
    pub(crate) fn failed(&mut self, error: Errno, now: Instant, house: &House) -> After {
        if matches!(error, Errno::ENOSPC | Errno::EDQUOT) && lock(&house.upkeep).delete_oldest() {
            return After::Retry;
        }
        self.out(now, error.desc().to_owned(), REWRITE);
        After::Outage
    }

    pub(crate) fn drop_bytes(&mut self, bytes: &[u8]) {
        let reason = self.outage.as_ref().map(|outage| outage.reason.as_str());
        let dropped = self.dropped.add(bytes, reason);
        self.shared.counters.dropped(dropped);
    }

    /// Takes what was seen in a pipe out of it, perhaps less, and counts it; returns how much. 0: no writer is left.
    pub(crate) fn drop_seen(&mut self, pipe: BorrowedFd<'_>, seen: &mut [u8]) -> nix::Result<usize> {
        let reason = self.outage.as_ref().map(|outage| outage.reason.as_str());
        let dropped = self.dropped.take(pipe, seen, reason)?;
        self.shared.counters.dropped(dropped);
        Ok(usize::try_from(dropped.bytes).unwrap_or(usize::MAX))
    }

    /// How long the file could not be written, if so.
    pub(crate) fn out_for(&self, now: Instant) -> Option<Duration> {
        self.outage.as_ref().map(|outage| now.saturating_duration_since(outage.since))
    }

    /// Something is to be done although no pipe has anything: an outage to end, or to tell of.
    pub(crate) fn unsettled(&self) -> bool {
        self.outage.is_some() || self.dropped.owes()
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
        let (limit, _) = self.limit(now);
        let end = self.live.as_ref().map_or(0, |live| live.end);
        if limit == u64::MAX { Some(u64::MAX) } else { limit.checked_sub(end + WINDOW).filter(|&room| room > 0) }
    }

    /// So much is left of the piece of the file that is written now.
    pub(crate) fn piece(&self) -> usize {
        let end = self.live.as_ref().map_or(0, |live| live.end);
        PIECE - usize::try_from(end % PIECE as u64).unwrap_or(0)
    }

    pub(crate) fn filling(&mut self, now: Instant) -> Filling {
        let (limit, slack) = self.limit(now);
        let size = self.live.as_ref().map_or(0, |live| live.end);
        Filling { size, limit, slack, ends_line: self.ends_line() }
    }

    /// Without a limit, or while rotations fail, the file grows.
    fn limit(&self, now: Instant) -> (u64, u64) {
        if self.next_rotation.is_some_and(|next| now < next) { (u64::MAX, 0) } else { self.shared.limit() }
    }

    /// Whether the last byte is a line end, or there is none.
    pub(crate) fn ends_line(&mut self) -> bool {
        self.live.as_mut().is_none_or(Live::ends_line)
    }

    /// Begins the next file. If that fails, the old one grows for a while.
    pub(crate) fn rotate(&mut self, now: Instant, house: &House) {
        let settings = self.shared.settings();
        let end = self.live.as_ref().map_or(0, |live| live.end);
        match next_file(&self.shared, settings.keep) {
            Ok((live, deleted)) => {
                self.recorder.rotated(live.inode, end);
                self.live = Some(live);
                house.compressor.close(deleted);
                lock(&house.upkeep).rotated(if settings.keep > 0 { end } else { 0 });
                self.next_rotation = None;
                self.shared.counters.rotations.fetch_add(1, Ordering::Relaxed);
                self.shared.counters.well(Trouble::Rotating);
                if settings.compression == Compression::Gzip && settings.keep > 0 {
                    house.compressor.submit(&self.shared);
                }
            }
            Err(error) => {
                // Its name may be another's by now.
                self.live = None;
                self.next_rotation = Some(now + REROTATE);
                self.shared.counters.trouble(Trouble::Rotating, format!("rotate: {}", describe(&error)));
            }
        }
    }

    /// Lets go of the file; nothing feeds it any more.
    pub(crate) fn close(&mut self) {
        self.recorder.flush();
        self.live = None;
    }

    fn out(&mut self, now: Instant, reason: String, again: Duration) {
        self.shared.counters.trouble(Trouble::Writing, reason.clone());
        let since = self.outage.as_ref().map_or(now, |outage| outage.since);
        self.outage = Some(Outage { since, next_try: now + again, reason });
    }

    fn open(&mut self) -> Result<(), String> {
        let path = self.shared.place.live();
        let describe = |error: io::Error| format!("{}: {}", path.display(), describe(&error));
        fs::DirBuilder::new().recursive(true).mode(0o750).create(self.shared.place.directory()).map_err(describe)?;
        let live = open_live(&path).map_err(|refusal| format!("{}: {refusal}", path.display()))?;
        self.recorder.opened(live.inode, live.end, live.modified);
        self.live = Some(live);
        Ok(())
    }

    /// Writes down what was dropped, and ends a line that nobody will end.
    fn mark(&mut self) -> Result<(), Errno> {
        if let Some((file, offset)) = self.dropped.interrupted() {
            let marker = self.dropped.marker();
            let written = self.live.as_ref().is_some_and(|live| live.inode == file && live.holds(&marker, offset));
            self.dropped.told(written.then_some(()));
        }
        let owes = self.dropped.owes();
        if !self.torn && !owes {
            return Ok(());
        }
        let mut text = if self.ends_line() { String::new() } else { "\n".to_owned() };
        if owes {
            text.push_str(&self.dropped.marker());
        }
        if let Some(live) = &mut self.live
            && !text.is_empty()
        {
            if owes {
                self.dropped.tells(live.inode, live.end);
            }
            let written = live.append(text.as_bytes());
            if owes {
                self.dropped.told(written.ok());
            }
            written?;
            self.recorder.wrote(live.end);
            self.shared.counters.writes.fetch_add(1, Ordering::Relaxed);
        }
        self.torn = false;
        Ok(())
    }
}

pub(crate) fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// The system's words without the number.
pub(crate) fn describe(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |number| Errno::from_raw(number).desc().to_owned())
}
