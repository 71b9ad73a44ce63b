//! What a load asks of the disk, and the disk's answers, bounded.
//! Not here: what the texts mean.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::glob;
use super::ownership::check_ownership;
use super::stack::fnv1a;

/// A longer file is no configuration.
pub(crate) const MAX_FILE_BYTES: u64 = 10 * 1024 * 1024;

/// Where a load reads from.
pub(crate) trait Files {
    /// The whole text. An error of kind `NotFound` means that there is no such file.
    fn read(&mut self, path: &Path) -> io::Result<String>;

    /// The files that match, sorted.
    fn glob(&mut self, pattern: &Path) -> io::Result<Vec<PathBuf>>;

    /// Of a secret: whether it is another one than before. Its content goes nowhere.
    fn mark(&mut self, path: &Path) -> Mark;

    /// Who besides root and us could have written it; `None`: nobody.
    fn doubt(&mut self, path: &Path) -> Option<String>;
}

/// Stands for the content of a file. Of one that cannot be read, nothing is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark(Option<u64>);

impl Mark {
    pub(super) fn of(content: &[u8]) -> Self {
        Self(Some(fnv1a(content)))
    }

    /// Both are known, and they differ.
    pub(crate) fn differs(self, other: Self) -> bool {
        matches!((self.0, other.0), (Some(one), Some(other)) if one != other)
    }
}

/// The disk. Reads regular files only: a FIFO would never end, a device may do anything.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Disk;

impl Files for Disk {
    fn read(&mut self, path: &Path) -> io::Result<String> {
        String::from_utf8(bytes_of(path)?).map_err(|_| io::Error::other("it is not UTF-8 text"))
    }

    fn glob(&mut self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        glob::find(pattern)
    }

    fn mark(&mut self, path: &Path) -> Mark {
        bytes_of(path).map_or(Mark(None), |bytes| Mark::of(&bytes))
    }

    fn doubt(&mut self, path: &Path) -> Option<String> {
        let uid = nix::unistd::geteuid().as_raw();
        check_ownership([path], uid).err().map(|error| error.to_string())
    }
}

fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    // Asked before the open, which alone can disturb a device, and after it, as the name may have changed hands.
    require_regular(&fs::metadata(path)?)?;
    let flags = nix::fcntl::OFlag::O_NONBLOCK | nix::fcntl::OFlag::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    require_regular(&file.metadata()?)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other("it is larger than 10 MiB"));
    }
    Ok(bytes)
}

fn require_regular(meta: &fs::Metadata) -> io::Result<()> {
    if meta.is_file() { Ok(()) } else { Err(io::Error::other("it is not a regular file")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_utf8_files_of_a_bounded_size_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("good"), "héllo").unwrap();
        fs::write(path("latin1"), b"h\xe9llo").unwrap();
        fs::File::create(path("big")).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
        nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(Disk.read(&path("good")).unwrap(), "héllo");
        assert_eq!(Disk.read(&path("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
        for (name, why) in [
            ("latin1", "it is not UTF-8 text"),
            ("big", "it is larger than 10 MiB"),
            ("fifo", "it is not a regular file"),
            (".", "it is not a regular file"),
        ] {
            assert_eq!(Disk.read(&path(name)).unwrap_err().to_string(), why, "{name}");
        }
        assert_eq!(Disk.read(Path::new("/dev/zero")).unwrap_err().to_string(), "it is not a regular file");
    }
}
