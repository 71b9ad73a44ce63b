//! What a load read, so that a later process can load the same without the disk.
//! Not here: where the record is kept.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::{Files, Mark};

/// Everything that a load read. A load from it gives the same result, given the same `Surroundings`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recorded {
    texts: BTreeMap<AnyPath, Found>,
    globs: BTreeMap<AnyPath, Listed>,
    marks: BTreeMap<AnyPath, Mark>,
    /// Records of earlier versions have none.
    #[serde(default)]
    doubts: BTreeMap<AnyPath, Option<String>>,
}

/// Passes questions on to `F` and writes the answers down.
#[derive(Debug)]
pub(crate) struct Recorder<F> {
    files: F,
    recorded: Recorded,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Found {
    Text(String),
    Missing,
    Failed(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Listed {
    Paths(Vec<AnyPath>),
    Failed(String),
}

/// A path that survives serialisation whatever its bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
struct AnyPath(PathBuf);

impl Recorded {
    /// The files that were there, in order.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.texts.iter().filter(|(_, found)| matches!(found, Found::Text(_))).map(|(path, _)| path.0.as_path())
    }
}

impl Recorded {
    /// Every file that was asked for, there or not.
    pub(crate) fn asked(&self) -> impl Iterator<Item = &Path> {
        self.texts.keys().chain(self.marks.keys()).map(|path| path.0.as_path())
    }

    /// Every pattern that was looked up.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = &Path> {
        self.globs.keys().map(|pattern| pattern.0.as_path())
    }

    /// Would `files` give the same answers now?
    pub(crate) fn holds(&self, files: &mut dyn Files) -> bool {
        let mut recorder = Recorder::new(files);
        for AnyPath(path) in self.texts.keys() {
            let _ = recorder.read(path);
        }
        for AnyPath(path) in self.marks.keys() {
            recorder.mark(path);
        }
        for pattern in self.patterns() {
            let _ = recorder.glob(pattern);
        }
        for AnyPath(path) in self.doubts.keys() {
            recorder.doubt(path);
        }
        recorder.recorded == *self
    }
}

impl<F> Recorder<F> {
    pub(crate) fn new(files: F) -> Self {
        Self { files, recorded: Recorded::default() }
    }

    pub(crate) fn into_recorded(self) -> Recorded {
        self.recorded
    }
}

impl<F: Files + ?Sized> Files for &mut F {
    fn read(&mut self, path: &Path) -> io::Result<String> {
        (**self).read(path)
    }

    fn glob(&mut self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        (**self).glob(pattern)
    }

    fn mark(&mut self, path: &Path) -> Mark {
        (**self).mark(path)
    }

    fn doubt(&mut self, path: &Path) -> Option<String> {
        (**self).doubt(path)
    }
}

impl<F: Files> Files for Recorder<F> {
    fn read(&mut self, path: &Path) -> io::Result<String> {
        let answer = self.files.read(path);
        let found = match &answer {
            Ok(text) => Found::Text(text.clone()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Missing,
            Err(error) => Found::Failed(error.to_string()),
        };
        self.recorded.texts.insert(AnyPath(path.to_owned()), found);
        answer
    }

    fn glob(&mut self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let answer = self.files.glob(pattern);
        let listed = match &answer {
            Ok(paths) => Listed::Paths(paths.iter().cloned().map(AnyPath).collect()),
            Err(error) => Listed::Failed(error.to_string()),
        };
        self.recorded.globs.insert(AnyPath(pattern.to_owned()), listed);
        answer
    }

    fn mark(&mut self, path: &Path) -> Mark {
        let mark = self.files.mark(path);
        self.recorded.marks.insert(AnyPath(path.to_owned()), mark);
        mark
    }

    fn doubt(&mut self, path: &Path) -> Option<String> {
        let doubt = self.files.doubt(path);
        self.recorded.doubts.insert(AnyPath(path.to_owned()), doubt.clone());
        doubt
    }
}

impl Files for Recorded {
    fn read(&mut self, path: &Path) -> io::Result<String> {
        match self.texts.get(&AnyPath(path.to_owned())) {
            Some(Found::Text(text)) => Ok(text.clone()),
            Some(Found::Failed(why)) => Err(io::Error::other(why.clone())),
            Some(Found::Missing) | None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn glob(&mut self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        match self.globs.get(&AnyPath(pattern.to_owned())) {
            Some(Listed::Paths(paths)) => Ok(paths.iter().map(|path| path.0.clone()).collect()),
            Some(Listed::Failed(why)) => Err(io::Error::other(why.clone())),
            None => Ok(Vec::new()),
        }
    }

    fn mark(&mut self, path: &Path) -> Mark {
        self.marks.get(&AnyPath(path.to_owned())).copied().unwrap_or_default()
    }

    fn doubt(&mut self, path: &Path) -> Option<String> {
        self.doubts.get(&AnyPath(path.to_owned())).cloned().flatten()
    }
}

/// A path holds no NUL, so a NUL can announce that hexadecimal digits follow.
const HEX: char = '\0';

impl From<AnyPath> for String {
    fn from(path: AnyPath) -> Self {
        match path.0.into_os_string().into_string() {
            Ok(text) => text,
            Err(bytes) => {
                std::iter::once(HEX.to_string()).chain(bytes.as_bytes().iter().map(|b| format!("{b:02x}"))).collect()
            }
        }
    }
}

impl From<String> for AnyPath {
    fn from(text: String) -> Self {
        let Some(hex) = text.strip_prefix(HEX) else { return Self(PathBuf::from(text)) };
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(0);
        let pairs = hex.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) * 16 + digit(pair[1]));
        Self(PathBuf::from(OsString::from_vec(pairs.collect())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_any_bytes_survives() {
        for bytes in [b"/plain".to_vec(), b"/h\xe9".to_vec(), vec![0xff; 3]] {
            let path = AnyPath(PathBuf::from(OsString::from_vec(bytes)));
            let json = serde_json::to_vec(&path).unwrap();
            assert_eq!(serde_json::from_slice::<AnyPath>(&json).unwrap(), path);
        }
    }
}
