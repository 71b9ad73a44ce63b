//! File name patterns: `*`, `?`, `[a-z]`, `[!a-z]` within a name, `**` for any number of directories. A name that
//! begins with a dot is matched only by a pattern that does. Symbolic links are followed, but not by `**`.
//! Not here: what the files are for.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// So many directory entries are looked at for one pattern.
const MAX_ENTRIES: usize = 100_000;

/// `PATH_MAX`: no file has a longer name.
const MAX_PATTERN_BYTES: usize = 4096;

/// What a search depended on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Directories of which every name counted, there or not.
    pub(crate) directories: Vec<PathBuf>,
    /// Files that were looked for and are not there.
    pub(crate) names: Vec<PathBuf>,
}

/// The files (no directories) that match an absolute pattern, sorted.
pub(super) fn find(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = search(pattern)?.found;
    found.sort();
    found.dedup();
    Ok(found)
}

/// As `find`; nothing when that fails.
pub(crate) fn matching(pattern: &Path) -> Vec<PathBuf> {
    find(pattern).unwrap_or_default()
}

/// Where a change could change what `find` gives.
pub(crate) fn reach(pattern: &Path) -> io::Result<Reach> {
    search(pattern).map(|search| search.reach)
}

fn search(pattern: &Path) -> io::Result<Search> {
    if pattern.as_os_str().len() > MAX_PATTERN_BYTES {
        return Err(io::Error::other("the pattern is too long"));
    }
    let segments: Vec<&[u8]> = pattern
        .components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.as_bytes()),
            Component::ParentDir => Some(b"..".as_slice()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect();
    let mut search = Search { found: Vec::new(), reach: Reach::default(), looked_at: 0 };
    search.walk(PathBuf::from("/"), &segments)?;
    Ok(search)
}

/// Does it hold anything but plain characters?
pub(super) fn is_pattern(path: &Path) -> bool {
    path.as_os_str().as_bytes().iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// A pattern that matches `path` alone.
pub(super) fn escape(path: &Path) -> PathBuf {
    let mut escaped = Vec::new();
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'*' | b'?' | b'[' => escaped.extend([b'[', byte, b']']),
            _ => escaped.push(byte),
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(escaped))
}

struct Search {
    found: Vec<PathBuf>,
    reach: Reach,
    looked_at: usize,
}

impl Search {
    fn walk(&mut self, dir: PathBuf, segments: &[&[u8]]) -> io::Result<()> {
        let Some((first, rest)) = segments.split_first() else {
            let goal = if dir.is_file() { &mut self.found } else { &mut self.reach.names };
            goal.push(dir);
            return Ok(());
        };
        if *first == b"**" {
            self.walk(dir.clone(), rest)?;
            for (name, is_real_dir) in self.entries(&dir)? {
                if is_real_dir && !name.as_bytes().starts_with(b".") {
                    self.walk(dir.join(name), segments)?;
                }
            }
            return Ok(());
        }
        if !is_pattern(Path::new(OsStr::from_bytes(first))) {
            return self.walk(dir.join(OsStr::from_bytes(first)), rest);
        }
        for (name, _) in self.entries(&dir)? {
            if matches(first, name.as_bytes()) {
                self.walk(dir.join(name), rest)?;
            }
        }
        Ok(())
    }

    /// Names, and whether each is a directory and no link to one. A directory that is not there has none.
    fn entries(&mut self, dir: &Path) -> io::Result<Vec<(std::ffi::OsString, bool)>> {
        self.reach.directories.push(dir.to_owned());
        let listing = match fs::read_dir(dir) {
            Ok(listing) => listing,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let mut entries = Vec::new();
        for entry in listing {
            let entry = entry?;
            self.looked_at += 1;
            if self.looked_at > MAX_ENTRIES {
                return Err(io::Error::other(format!("it makes for more than {MAX_ENTRIES} names to look at")));
            }
            entries.push((entry.file_name(), entry.file_type().is_ok_and(|kind| kind.is_dir())));
        }
        Ok(entries)
    }
}

/// Does `name` match `pattern`? Goes back to the last `*` only, so the time is at most the product of the lengths.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            retry = Some((p, n));
            p += 1;
        } else if let Some(length) = match_one(&pattern[p..], name[n]) {
            p += length;
            n += 1;
        } else if let Some((star, from)) = retry {
            retry = Some((star, from + 1));
            p = star + 1;
            n = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// The length of the piece of pattern that matches this byte.
fn match_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern.first()? {
        b'?' => Some(1),
        b'[' => match class(pattern) {
            Some((length, negated, set)) => (in_set(set, byte) != negated).then_some(length),
            None => (byte == b'[').then_some(1),
        },
        plain => (*plain == byte).then_some(1),
    }
}

/// `[set]` or `[!set]`: its length, whether it is negated, the set. A `]` in the first place belongs to the set.
fn class(pattern: &[u8]) -> Option<(usize, bool, &[u8])> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let start = if negated { 2 } else { 1 };
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|byte| *byte == b']')?;
    Some((end + 1, negated, &pattern[start..end]))
}

fn in_set(mut set: &[u8], byte: u8) -> bool {
    loop {
        match set {
            [from, b'-', to, rest @ ..] => {
                if (*from..=*to).contains(&byte) {
                    return true;
                }
                set = rest;
            }
            [one, rest @ ..] => {
                if *one == byte {
                    return true;
                }
                set = rest;
            }
            [] => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_matches_names() {
        for (pattern, name, expected) in [
            ("*.toml", "a.toml", true),
            ("*.toml", ".a.toml", false),
            (".*", ".a", true),
            ("*.toml", "a.tom", false),
            ("a*b*c", "aXbYbZc", true),
            ("?.x", "ab.x", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]", "]", true),
            ("[*]", "*", true),
            ("[*]", "x", false),
            ("[", "[", true),
            ("**", "x", true),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn files_are_found_in_order_and_hidden_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("od[d]*");
        for name in ["b.toml", "a.toml", ".h.toml", "c.txt", "deep/x.toml", "deep/er/y.toml", ".git/z.toml"] {
            let path = odd.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        fs::create_dir(odd.join("dir.toml")).unwrap();
        std::os::unix::fs::symlink(&odd, odd.join("loop")).unwrap();
        let found = |pattern: &str| {
            let found = find(&escape(&odd).join(pattern)).unwrap();
            found.iter().map(|path| path.strip_prefix(&odd).unwrap().display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found("*.toml"), ["a.toml", "b.toml"]);
        assert_eq!(found("**/*.toml"), ["a.toml", "b.toml", "deep/er/y.toml", "deep/x.toml"]);
        assert_eq!(found("deep/./x.toml"), ["deep/x.toml"]);
        assert_eq!(found("none/*.toml"), [""; 0]);
        assert_eq!(found("?.txt"), ["c.txt"]);
    }

    proptest! {
        #[test]
        fn no_pattern_is_a_panic(pattern in "[*?a\\[\\]!^.-]{0,20}", name in "[ab\\[\\].-]{0,20}") {
            let _ = matches(pattern.as_bytes(), name.as_bytes());
        }

        #[test]
        fn an_escaped_name_matches_itself(name in "[*?a\\[\\]!^.-]{1,20}") {
            prop_assert!(matches(escape(Path::new(&name)).as_os_str().as_bytes(), name.as_bytes()));
        }
    }
}
