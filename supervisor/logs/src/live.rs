//! The file that is being written: opened without trusting its name, ended, and replaced by the next one.
//! Not here: when to replace it, and what to do when it cannot be written.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::archives::{Form, remove};
use crate::log::{describe, errno};
use crate::recorder::written;
use crate::registry::{Shared, lock};

pub(crate) struct Live {
    pub(crate) file: File,
    pub(crate) inode: u64,
    pub(crate) end: u64,
    /// The last byte is a line end, as far as known.
    pub(crate) ends_line: Option<bool>,
    /// When it was last written to before it was opened, in milliseconds since 1970.
    pub(crate) modified: u64,
}

impl Live {
    /// Whether the last byte is a line end, or there is none.
    pub(crate) fn ends_line(&mut self) -> bool {
        *self.ends_line.get_or_insert_with(|| {
            let mut last = [b'\n'];
            self.end == 0 || (self.file.read_exact_at(&mut last, self.end - 1).is_ok() && last == *b"\n")
        })
    }

    /// Is this line at `offset`, or right behind a line end there?
    pub(crate) fn holds(&self, line: &str, offset: u64) -> bool {
        let mut found = vec![0; line.len()];
        [offset, offset + 1]
            .iter()
            .any(|at| self.file.read_exact_at(&mut found, *at).is_ok() && found == line.as_bytes())
    }

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
pub(crate) enum Refusal {
    #[error("is {0}, not a regular file")]
    Kind(&'static str),
    #[error("has {0} names (hard links): refused as root")]
    Linked(u64),
    #[error("{}", describe(.0))]
    Open(#[from] io::Error),
}

/// Opens a log without following links or waiting for anyone.
pub(crate) fn open_live(path: &Path) -> Result<Live, Refusal> {
    // Looked at first, as opening a device can have effects; and again when open, as names can change.
    match fs::symlink_metadata(path) {
        Ok(found) => check(&found)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let file = options().create(true).open(path)?;
    let found = file.metadata()?;
    check(&found)?;
    let modified = written(&found);
    Ok(Live { file, inode: found.ino(), end: found.len(), ends_line: None, modified })
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    options.read(true).write(true).mode(0o640).custom_flags(flags.bits());
    options
}

fn check(found: &fs::Metadata) -> Result<(), Refusal> {
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
pub(crate) fn next_file(shared: &Shared, keep: u32) -> io::Result<(Live, Vec<File>)> {
    let place = &shared.place;
    let _names = lock(&shared.names);
    let deleted = if keep == 0 { place.prune(0).map(|()| Vec::new()) } else { place.shift(keep) }?;
    let fresh = place.fresh();
    remove(&fresh)?;
    let file = options().create_new(true).open(&fresh)?;
    if keep > 0 {
        fs::rename(place.live(), place.archive(1, Form::Plain))?;
    }
    fs::rename(&fresh, place.live())?;
    let live = Live { inode: file.metadata()?.ino(), file, end: 0, ends_line: Some(true), modified: 0 };
    Ok((live, deleted))
}
