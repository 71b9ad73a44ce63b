//! Reading a log as it grows, across rotations, every byte once.
//! Not here: pushing anything; whoever follows reads at their own pace, and the files are the buffer.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::archives::Place;
use crate::chain::{Mark, Segment};
use crate::platform::DirectoryWatch;
use crate::source::entries;

/// How long to wait where the directory cannot be watched (yet).
const SHORT: Duration = Duration::from_millis(100);

/// Where to begin in the file that is live now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At its first byte.
    Start,
    /// Behind its last byte.
    End,
    /// At this offset.
    Offset(u64),
}

/// Follows a log. The file need not exist yet.
pub struct Follower {
    place: Place,
    watch: Option<DirectoryWatch>,
    at: Option<Segment>,
    /// The file is an archive by now, and was read to its end since: it is complete.
    complete: bool,
}

impl Follower {
    /// Follows the log at `path`. Without a file, every byte that will be written is new.
    #[must_use]
    pub fn new(path: &Path, from: From) -> Self {
        let mut follower = Self::nowhere(Place::of(path));
        // What cannot be opened now is told by `read`, which tries again.
        follower.at = Segment::newest(&follower.place).ok().flatten();
        if let Some(segment) = &mut follower.at {
            let begin = match from {
                // In the middle of a rotation: what is live next is new.
                From::Start | From::Offset(_) if segment.archived => u64::MAX,
                From::Start => 0,
                From::Offset(offset) => offset,
                From::End => u64::MAX,
            };
            if segment.seek(begin).is_err() {
                follower.at = None;
            }
        }
        follower
    }

    /// Begins with the first file that there will be.
    pub(crate) fn nowhere(place: Place) -> Self {
        Self { place, watch: None, at: None, complete: false }
    }

    /// Goes on at a place that `mark` gave, in whatever file that is by now. `None`: it is no longer kept, and so is
    /// nothing that was before it.
    ///
    /// # Errors
    /// When a file of the log cannot be read.
    pub fn resume(path: &Path, mark: Mark) -> io::Result<Option<Self>> {
        let mut follower = Self::nowhere(Place::of(path));
        follower.at = Segment::at(&follower.place, mark)?;
        Ok(follower.at.is_some().then_some(follower))
    }

    /// Begins with the oldest byte that is kept.
    #[must_use]
    pub fn of_all(path: &Path) -> Self {
        Self::nowhere(Place::of(path))
    }

    /// The place right behind what was read last; `None` before there is a file.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        let (at, known) = (self.at.as_ref()?, self.at.as_ref()?.known(&entries(&self.place)));
        let place = at.mark();
        Some(Mark { base: place.base.or(known.base()).filter(|_| place.offset > 0), ..place })
    }

    /// The same without what came before the file.
    pub(crate) fn place(&self) -> Option<Mark> {
        self.at.as_ref().map(Segment::mark)
    }

    /// Goes on where `at` was left.
    pub(crate) fn go_on(&mut self, at: Segment) {
        self.at = Some(at);
    }

    /// Appends what is there and was not read yet, at most `max` bytes and of one file, without waiting. Returns how
    /// much; 0 when there is nothing more for now.
    ///
    /// # Errors
    /// When a file of the log cannot be read. It may be tried again.
    pub fn read(&mut self, buffer: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        let begin = buffer.len();
        while buffer.len() - begin < max {
            let old = buffer.len();
            let Some(at) = &mut self.at else {
                self.at = Segment::oldest(&self.place)?;
                if self.at.is_none() {
                    break;
                }
                continue;
            };
            buffer.resize(old + (max - (old - begin)).min(64 << 10), 0);
            let result = at.read(&mut buffer[old..]);
            buffer.truncate(old + result.as_ref().copied().unwrap_or(0));
            if result? > 0 {
                continue;
            }
            if !self.complete {
                if at.is_live(&self.place) {
                    break;
                }
                // It no longer grows, but may have grown since it was read.
                self.complete = true;
            } else if let Some(next) = at.newer(&self.place)? {
                // Bytes of two files would have no common mark.
                if buffer.len() > begin {
                    break;
                }
                self.at = Some(next);
                self.complete = false;
            } else {
                break;
            }
        }
        Ok(buffer.len() - begin)
    }

    /// Waits until there may be more to read, at most for `timeout`. The first call returns at once: from then on the
    /// directory is watched, and what was written before is there to read.
    ///
    /// # Errors
    /// When the system refuses to wait.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        if let Some(watch) = &self.watch {
            return watch.wait(self.place.name(), timeout);
        }
        self.watch = DirectoryWatch::new(self.place.directory()).ok();
        if self.watch.is_none() {
            std::thread::sleep(timeout.min(SHORT));
        }
        Ok(())
    }
}
