//! Variables that decide which code a program loads, from env files that others can write.
//! Not here: whether others can (`ownership`), and what else env files hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use super::env_file::Assigned;
use super::files::Files;

/// What the dynamic loaders of Linux, the BSDs and macOS (`DYLD_`) take code from, and what interpreters do. The list is
/// of whole names: `LD_` begins others as well, such as keys of LaunchDarkly. Sources: ld.so(8), dyld(1), the
/// `env_delete` of sudo.
const NAMES: [&str; 27] = [
    "BASH_ENV",
    "CLASSPATH",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "LD_AUDIT",
    "LD_CONFIG",
    "LD_ELF_HINTS_PATH",
    "LD_LIBMAP",
    "LD_LIBRARY_PATH",
    "LD_LIBRARY_PATH_FDS",
    "LD_ORIGIN_PATH",
    "LD_PRELOAD",
    "LD_PRELOAD_FDS",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PATH",
    "PERL5DB",
    "PERL5LIB",
    "PERL5OPT",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "RUBYLIB",
    "RUBYOPT",
    "_JAVA_OPTIONS",
];

fn decides_code(name: &str) -> bool {
    name.starts_with("DYLD_") || NAMES.binary_search(&name).is_ok()
}

/// A variable that was left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Withheld {
    file: PathBuf,
    name: String,
    why: String,
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}` is left out: {}", self.file.display(), self.name, self.why)
    }
}

/// The values that an env file may not replace, should others be able to write it.
pub(super) fn guarded(values: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    values.iter().filter(|(name, _)| decides_code(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Puts `guarded` back where the env file `file` is trusted less than `named_by`, which names it. Where others can write
/// both, nothing is gained: they could change the command.
pub(super) fn withhold(
    values: &mut BTreeMap<String, String>,
    guarded: &BTreeMap<String, String>,
    assigned: &[Assigned],
    (file, named_by): (&Path, &Path),
    files: &mut dyn Files,
) -> BTreeSet<Withheld> {
    let names: BTreeSet<&str> =
        assigned.iter().map(|assigned| assigned.name.as_str()).filter(|name| decides_code(name)).collect();
    // The disk is asked only where there is something to lose.
    let doubt = if names.is_empty() || files.doubt(named_by).is_some() { None } else { files.doubt(file) };
    let Some(why) = doubt else { return BTreeSet::new() };
    for name in &names {
        match guarded.get(*name) {
            Some(value) => values.insert((*name).to_owned(), value.clone()),
            None => values.remove(*name),
        };
    }
    let one = |name: &str| Withheld { file: file.to_owned(), name: name.to_owned(), why: why.clone() };
    names.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_only_begin_alike_are_left_alone() {
        assert!(NAMES.is_sorted());
        for name in ["LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "PATH", "_JAVA_OPTIONS"] {
            assert!(decides_code(name), "{name}");
        }
        for name in ["LD_SDK_KEY", "LD", "PATHS", "PORT", "NODE_ENV", "DYLD", ""] {
            assert!(!decides_code(name), "{name}");
        }
    }
}
