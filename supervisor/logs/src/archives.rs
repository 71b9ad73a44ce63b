//! The files of a log by their names: `NAME`, `NAME.1`, `NAME.2.gz` …; a larger number is older.
//! Not here: their content.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirEntryExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// So many deleted files may be open at once: where far fewer are kept than before, all go together.
pub(crate) const MOST_OPEN: usize = 16;

/// Where a log and its archives are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    directory: PathBuf,
    name: OsString,
}

/// The names of all files in a directory, as they were when it was first looked at: what killed processes left behind
/// is among them. One look serves all logs of a directory.
#[derive(Debug, Default)]
pub(crate) struct Found(BTreeSet<OsString>);

/// One archive, as a listing of the directory showed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Archive {
    pub(crate) number: u32,
    pub(crate) form: Form,
    pub(crate) inode: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    Plain,
    Gzip,
}

impl Found {
    pub(crate) fn in_directory(directory: &Path) -> Self {
        Self(fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect())
    }

    /// Any but `other`.
    fn begins_with(&self, prefix: Vec<u8>, other: &OsStr) -> bool {
        let prefix = OsString::from_vec(prefix);
        let mut from = self.0.range(prefix.clone()..).filter(|name| *name != other);
        from.next().is_some_and(|name| name.as_bytes().starts_with(prefix.as_bytes()))
    }
}

impl Place {
    /// Were there, besides the live file, any files of this log?
    pub(crate) fn has_relics(&self, found: &Found) -> bool {
        let (name, index) = (self.name.as_bytes(), self.index());
        let sound = index.file_name().unwrap_or_default();
        found.begins_with([name, b"."].concat(), sound) || found.begins_with([b".", name, b"."].concat(), sound)
    }

    pub(crate) fn of(path: &Path) -> Self {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            Some(_) | None => PathBuf::from("."),
        };
        Self { directory, name: path.file_name().unwrap_or_default().to_owned() }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn name(&self) -> &OsStr {
        &self.name
    }

    /// The file that is written to.
    pub(crate) fn live(&self) -> PathBuf {
        self.directory.join(&self.name)
    }

    pub(crate) fn archive(&self, number: u32, form: Form) -> PathBuf {
        let suffix = match form {
            Form::Plain => "",
            Form::Gzip => ".gz",
        };
        self.with(b"", format!(".{number}{suffix}").as_bytes())
    }

    /// The next live file, before it gets its name.
    pub(crate) fn fresh(&self) -> PathBuf {
        self.with(b".", b".new")
    }

    /// The index of the log.
    pub(crate) fn index(&self) -> PathBuf {
        self.with(b"", b".idx")
    }

    /// What the index is thinned out to.
    pub(crate) fn unfinished_index(&self) -> PathBuf {
        self.with(b".", b".idx.new")
    }

    /// What the archive with this inode is being compressed to.
    pub(crate) fn unfinished(&self, inode: u64) -> PathBuf {
        self.with(b".", format!(".{inode}.gz.new").as_bytes())
    }

    fn with(&self, before: &[u8], after: &[u8]) -> PathBuf {
        self.directory.join(OsString::from_vec([before, self.name.as_bytes(), after].concat()))
    }

    /// The archives, newest first; of one number the plain file before its compressed copy.
    pub(crate) fn list(&self) -> io::Result<Vec<Archive>> {
        let mut archives = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            if let Some((number, form)) = self.parse(&entry.file_name()) {
                archives.push(Archive { number, form, inode: entry.ino() });
            }
        }
        archives.sort_unstable();
        Ok(archives)
    }

    pub(crate) fn is_archive(&self, file: &OsStr) -> bool {
        self.parse(file).is_some()
    }

    fn parse(&self, file: &OsStr) -> Option<(u32, Form)> {
        let rest = file.as_bytes().strip_prefix(self.name.as_bytes())?.strip_prefix(b".")?;
        let (digits, form) = match rest.strip_suffix(b".gz") {
            Some(digits) => (digits, Form::Gzip),
            None => (rest, Form::Plain),
        };
        let plain = !digits.is_empty() && digits[0] != b'0' && digits.iter().all(u8::is_ascii_digit);
        let number = str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()?;
        Some((number, form))
    }

    /// Removes what a killed process left half done: new files without a name, compressed copies without an end, and
    /// originals whose finished copy is there. What cannot be removed costs nothing but its space.
    pub(crate) fn sweep(&self) {
        let prefix = self.with(b".", b".").into_os_string().into_vec();
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let rest = path.as_os_str().as_bytes().strip_prefix(prefix.as_slice());
            if rest.is_some_and(is_leftover) {
                let _ = remove(&path);
            }
        }
        let archives = self.list().unwrap_or_default();
        for pair in archives.windows(2) {
            if pair[0].number == pair[1].number && self.is_copy_of(&pair[1], &pair[0]) {
                let _ = remove(&self.archive(pair[0].number, pair[0].form));
            }
        }
    }

    fn is_copy_of(&self, copy: &Archive, original: &Archive) -> bool {
        let copied = crate::compress::origin(&self.archive(copy.number, copy.form));
        original.form == Form::Plain && copied == Some(original.inode)
    }

    /// Frees number 1, from the oldest on, so that being killed in between leaves a gap and never replaces a file; a
    /// gap ends the shift, so the next rotation heals it. Deletes what `keep` (at least 1) has no room for, and gives
    /// some of that back, still open: closing it frees its blocks, a millisecond for each ten MiB.
    pub(crate) fn shift(&self, keep: u32) -> io::Result<Vec<File>> {
        let archives = self.list()?;
        let used: BTreeSet<u32> = archives.iter().map(|archive| archive.number).collect();
        let free = (1..=keep).find(|number| !used.contains(number));
        let mut deleted = Vec::new();
        for archive in archives.iter().rev() {
            let (number, form) = (archive.number, archive.form);
            let path = self.archive(number, form);
            if number > keep || (number == keep && free.is_none()) {
                if deleted.len() < MOST_OPEN {
                    deleted.extend(open_archive(&path));
                }
                remove(&path)?;
            } else if free.is_none_or(|free| number < free) {
                fs::rename(path, self.archive(number + 1, form))?;
            }
        }
        Ok(deleted)
    }

    /// Deletes every archive beyond `keep`.
    pub(crate) fn prune(&self, keep: u32) -> io::Result<()> {
        for archive in self.list()?.iter().rev().take_while(|archive| archive.number > keep) {
            remove(&self.archive(archive.number, archive.form))?;
        }
        Ok(())
    }
}

fn is_leftover(rest: &[u8]) -> bool {
    let inode = rest.strip_suffix(b".gz.new");
    rest == b"new"
        || rest == b"idx.new"
        || inode.is_some_and(|inode| !inode.is_empty() && inode.iter().all(u8::is_ascii_digit))
}

/// Opens an archive without following links or waiting for anyone.
pub(crate) fn open_archive(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

/// Deletes a file; that it is gone already is as good.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_archives_go_at_once_few_of_them_are_open() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::of(&dir.path().join("a.log"));
        for number in 1..=100 {
            fs::write(place.archive(number, Form::Plain), "").unwrap();
        }
        assert_eq!(place.shift(5).unwrap().len(), MOST_OPEN);
        let numbers: Vec<u32> = place.list().unwrap().iter().map(|archive| archive.number).collect();
        assert_eq!(numbers, [2, 3, 4, 5]);
    }
}
