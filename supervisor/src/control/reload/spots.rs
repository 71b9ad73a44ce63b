//! Where something must happen for a file to become another one: its directory, and that of each link on the way.
//! Not here: waiting for it (`watching`).

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::{self, MAX_LINKS, steps};
use crate::control::reload::watching::Targets;
use crate::platform::{Names, Spots};

/// More directories are not watched; the files are looked at instead.
const MAX_SPOTS: usize = 4096;

/// The spots of all targets, as they are now.
pub(crate) fn spots(targets: &Targets) -> io::Result<Spots> {
    let mut spots = Spots::new();
    for file in &targets.files {
        along(&mut spots, file, End::File);
    }
    for pattern in &targets.patterns {
        let reach = config::reach(pattern)?;
        for directory in reach.directories {
            along(&mut spots, &directory, End::Directory);
        }
        for name in reach.names {
            along(&mut spots, &name, End::File);
        }
    }
    if spots.len() > MAX_SPOTS {
        return Err(io::Error::other(format!("more than {MAX_SPOTS} directories")));
    }
    Ok(spots)
}

#[derive(Debug, Clone, Copy)]
enum End {
    File,
    /// All names in it count.
    Directory,
}

/// Follows `path`, and notes each name that decides where it leads. What is missing is waited for where it would be.
fn along(spots: &mut Spots, path: &Path, end: End) {
    let mut at = PathBuf::from("/");
    let mut ahead = steps(path);
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        let target = fs::read_link(&next).ok().filter(|_| links < MAX_LINKS);
        if let Some(target) = target {
            links += 1;
            note(spots, &at, Names::These(BTreeSet::from([name])));
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            ahead.extend(steps(&target));
        } else if next.symlink_metadata().is_err() {
            note(spots, &at, Names::These(BTreeSet::from([name])));
            return;
        } else {
            if let (true, End::File) = (ahead.is_empty(), end) {
                note(spots, &at, Names::These(BTreeSet::from([name])));
            }
            at = next;
        }
    }
    // Of a file, too: mounted alone it may be changed from elsewhere, and its directory here hears nothing.
    note(spots, &at, Names::All);
}

fn note(spots: &mut Spots, directory: &Path, names: Names) {
    match spots.get_mut(directory) {
        Some(known) => known.join(names),
        None => drop(spots.insert(directory.to_owned(), names)),
    }
}

/// How the targets look from outside: enough to see that something was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Looks(Vec<(PathBuf, Option<[u64; 4]>)>);

impl Looks {
    pub(crate) fn of(targets: &Targets) -> Self {
        let matching = targets.patterns.iter().flat_map(|pattern| config::matching(pattern));
        let all = targets.files.iter().cloned().chain(matching);
        Self(all.map(|path| (look(&path), path)).map(|(look, path)| (path, look)).collect())
    }
}

fn look(path: &Path) -> Option<[u64; 4]> {
    let meta = fs::metadata(path).ok()?;
    let changed =
        meta.ctime().cast_unsigned().wrapping_mul(1_000_000_000).wrapping_add(meta.ctime_nsec().cast_unsigned());
    Some([meta.dev(), meta.ino(), meta.size(), changed])
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::fs::symlink;

    use super::*;

    fn these(names: &[&str]) -> Names {
        Names::These(names.iter().map(OsString::from).collect())
    }

    fn spots_of(file: &Path) -> Spots {
        spots(&Targets { files: vec![file.to_owned()], patterns: Vec::new() }).unwrap()
    }

    #[test]
    fn a_file_is_watched_in_its_directory_and_wherever_links_lead() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("releases/1")).unwrap();
        fs::write(root.join("releases/1/conf"), "").unwrap();
        symlink("releases/1", root.join("current")).unwrap();
        symlink("current/conf", root.join("conf")).unwrap();
        let found = spots_of(&root.join("conf"));
        let expected = Spots::from([
            (root.clone(), these(&["conf", "current"])),
            (root.join("releases/1"), these(&["conf"])),
            (root.join("releases/1/conf"), Names::All),
        ]);
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_not_there_is_waited_for_in_the_nearest_directory_that_is() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        assert_eq!(spots_of(&root.join("a/b/.env")), Spots::from([(root.clone(), these(&["a"]))]));
        symlink("nowhere", root.join("link")).unwrap();
        assert_eq!(spots_of(&root.join("link")), Spots::from([(root.clone(), these(&["link", "nowhere"]))]));
        symlink("loop", root.join("loop")).unwrap();
        assert_eq!(spots_of(&root.join("loop")).get(&root), Some(&these(&["loop"])), "a loop has an end");
    }

    #[test]
    fn every_name_counts_where_a_pattern_looks() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("one")).unwrap();
        let patterns = vec![root.join("*/part.toml"), root.join("none/*.toml")];
        let found = spots(&Targets { files: Vec::new(), patterns }).unwrap();
        assert_eq!(found.get(&root), Some(&Names::All));
        assert_eq!(found.get(&root.join("one")), Some(&these(&["part.toml"])));
    }
}
