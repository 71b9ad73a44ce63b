//! Being told by the kernel that something happened to names in directories. Linux only; elsewhere callers look
//! themselves.
//! Not here: which directories, what is made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

/// What counts in each directory; of a file that is named here itself, everything does.
pub(crate) type Spots = BTreeMap<PathBuf, Names>;

/// Which names count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Names {
    All,
    These(BTreeSet<OsString>),
}

impl Names {
    /// Both.
    pub(crate) fn join(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::All, _) => {}
            (Self::These(own), Self::These(more)) => own.extend(more),
            (Self::These(_), Self::All) => *self = Self::All,
        }
    }
}

#[cfg(target_os = "linux")]
pub(crate) use linux::Watches;
#[cfg(not(target_os = "linux"))]
pub(crate) use other::Watches;

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashMap;
    use std::os::fd::{AsFd, OwnedFd};
    use std::sync::{Mutex, PoisonError};

    use nix::errno::Errno;
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
    use tokio::io::unix::AsyncFd;

    use super::super::raw::readable;
    use super::{Names, Spots, io};

    /// Not each write: whoever writes in parts is done when it closes, and a database beside the file wakes nobody.
    const EVENTS: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
        .union(AddWatchFlags::IN_CREATE)
        .union(AddWatchFlags::IN_DELETE)
        .union(AddWatchFlags::IN_MOVED_FROM)
        .union(AddWatchFlags::IN_MOVED_TO)
        .union(AddWatchFlags::IN_ATTRIB)
        .union(AddWatchFlags::IN_DELETE_SELF)
        .union(AddWatchFlags::IN_MOVE_SELF);

    /// Watches that the kernel keeps for us.
    #[derive(Debug)]
    pub(crate) struct Watches {
        inotify: Inotify,
        /// The same, for waiting.
        ready: AsyncFd<OwnedFd>,
        spots: Mutex<HashMap<WatchDescriptor, Names>>,
    }

    impl Watches {
        /// Nothing is watched yet. Within a runtime only.
        pub(crate) fn new() -> io::Result<Self> {
            let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            let ready = readable(inotify.as_fd().try_clone_to_owned()?)?;
            Ok(Self { inotify, ready, spots: Mutex::default() })
        }

        /// Watches these and nothing else. A spot that is gone by now counts as one that just went: look again.
        /// May wait for a disk.
        pub(crate) fn set(&self, spots: &Spots) -> io::Result<()> {
            let mut wanted: HashMap<WatchDescriptor, Names> = HashMap::new();
            for (path, names) in spots {
                match self.inotify.add_watch(path, EVENTS) {
                    // Several names may lead to one directory.
                    Ok(watch) => match wanted.get_mut(&watch) {
                        Some(known) => known.join(names.clone()),
                        None => drop(wanted.insert(watch, names.clone())),
                    },
                    Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            let mut known = self.spots.lock().unwrap_or_else(PoisonError::into_inner);
            for watch in known.keys().filter(|watch| !wanted.contains_key(watch)) {
                // It may have ended with its directory.
                let _ = self.inotify.rm_watch(*watch);
            }
            *known = wanted;
            Ok(())
        }

        /// Until something happened that counts.
        pub(crate) async fn wait(&self) -> io::Result<()> {
            loop {
                let mut ready = self.ready.readable().await?;
                match self.inotify.read_events() {
                    Ok(events) if events.iter().any(|event| self.counts(event)) => return Ok(()),
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(Errno::EAGAIN) => ready.clear_ready(),
                    Err(error) => return Err(error.into()),
                }
            }
        }

        fn counts(&self, event: &InotifyEvent) -> bool {
            if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                return true;
            }
            let spots = self.spots.lock().unwrap_or_else(PoisonError::into_inner);
            match (spots.get(&event.wd), &event.name) {
                (None, _) => false,
                // The directory itself.
                (Some(_), None) => true,
                (Some(Names::All), Some(_)) => true,
                (Some(Names::These(names)), Some(name)) => names.contains(name),
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use super::{Spots, io};

    /// There are none.
    #[derive(Debug)]
    pub(crate) struct Watches;

    impl Watches {
        pub(crate) fn new() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(crate) fn set(&self, _spots: &Spots) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(crate) async fn wait(&self) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}
