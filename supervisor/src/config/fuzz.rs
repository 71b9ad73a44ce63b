//! The configuration's entries for fuzzers: no text is a panic, and what is understood keeps its promises.
//! Not here: choosing the texts.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::files::{Files, Mark};
use super::{Stack, Surroundings, env_file, load, quantity};

const MAIN: &str = "/stack/supervisor.toml";

/// A main file, and one text for whatever else is asked for.
struct Texts<'a> {
    main: &'a str,
    other: &'a str,
}

impl Files for Texts<'_> {
    fn read(&mut self, path: &Path) -> io::Result<String> {
        Ok(if path == Path::new(MAIN) { self.main } else { self.other }.to_owned())
    }

    fn glob(&mut self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(vec![pattern.to_owned()])
    }

    fn mark(&mut self, _path: &Path) -> Mark {
        Mark::of(self.other.as_bytes())
    }

    fn doubt(&mut self, path: &Path) -> Option<String> {
        (path != Path::new(MAIN)).then(|| "others can write it".to_owned())
    }
}

/// Loads a file, whose includes and env files are what follows the first NUL.
pub(crate) fn configuration(text: &str) -> Option<Stack> {
    let (main, other) = text.split_once('\0').unwrap_or((text, ""));
    let env = BTreeMap::from([("HOME".to_owned(), "/home/one".to_owned()), ("A".to_owned(), "1".to_owned())]);
    let surroundings = Surroundings::new(env, 1000, 2);
    match load(Path::new(MAIN), &surroundings, &mut Texts { main, other }) {
        Ok(stack) => Some(stack),
        Err(diagnostics) => {
            assert!(!diagnostics.to_string().is_empty());
            None
        }
    }
}

/// Reads an env file: names are names, and no value can end a variable early.
pub(crate) fn env_file(text: &str) {
    let mut values = BTreeMap::new();
    if env_file::read_into(&mut values, &BTreeMap::new(), text).is_ok() {
        for (name, value) in &values {
            assert!(!name.is_empty() && !name.contains(['=', '\0', '\n']), "{name:?}");
            assert!(!value.contains('\0'), "{value:?}");
        }
    }
}

/// Reads a duration and a size.
pub(crate) fn quantities(text: &str) {
    if let Ok(duration) = quantity::duration(text) {
        assert!(duration.as_secs() <= 10 * 365 * 24 * 3600, "{duration:?}");
    }
    let _ = quantity::size(text);
}
