//! What a configuration is resolved in: environment, user, and the directories that the system offers.
//! Not here: the configuration.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// All that a load depends on besides files. Holds the environment, so it is as secret as that.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Surroundings {
    /// Variables that are not UTF-8 are left out.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) uid: u32,
    /// Where `runtime_dir = "auto"` may be, best first; checked to exist where that matters. Never empty.
    pub(crate) runtime_bases: Vec<PathBuf>,
    /// Where `state_dir = "auto"` is; `None`: nobody said where this user's home is.
    pub(crate) state_base: Option<PathBuf>,
    pub(crate) cores: usize,
}

impl Surroundings {
    /// Those of this process.
    pub(crate) fn of_process() -> Self {
        let env =
            std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new(env.collect(), nix::unistd::geteuid().as_raw(), cores)
    }

    /// What another user's are in a usual session, as far as nobody else can have made them.
    pub(crate) fn of_user(uid: u32) -> Self {
        let session = ("XDG_RUNTIME_DIR".to_owned(), format!("/run/user/{uid}"));
        let mut surroundings = Self::new(BTreeMap::from([session]), uid, 1);
        surroundings.runtime_bases.retain(|base| fs::symlink_metadata(base).is_ok_and(|meta| meta.uid() == uid));
        surroundings
    }

    pub(crate) fn new(env: BTreeMap<String, String>, uid: u32, cores: usize) -> Self {
        let runtime_bases = runtime_bases(&env, uid);
        let state_base = state_base(&env, uid);
        Self { env, uid, runtime_bases, state_base, cores }
    }
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings")
            .field("env", &self.env.keys())
            .field("uid", &self.uid)
            .field("runtime_bases", &self.runtime_bases)
            .field("state_base", &self.state_base)
            .field("cores", &self.cores)
            .finish()
    }
}

/// Only absolute paths count, as the XDG specification says.
fn absolute<'a>(env: &'a BTreeMap<String, String>, name: &str) -> Option<&'a Path> {
    env.get(name).map(Path::new).filter(|path| path.is_absolute())
}

fn runtime_bases(env: &BTreeMap<String, String>, uid: u32) -> Vec<PathBuf> {
    let ours = |path: &Path| fs::metadata(path).is_ok_and(|meta| meta.is_dir() && meta.uid() == uid);
    let best = if uid == 0 { Some(Path::new("/run")) } else { absolute(env, "XDG_RUNTIME_DIR") };
    let best = best.filter(|path| ours(path)).map(|path| path.join("supervisor"));
    best.into_iter().chain([PathBuf::from(format!("/tmp/supervisor-{uid}"))]).collect()
}

fn state_base(env: &BTreeMap<String, String>, uid: u32) -> Option<PathBuf> {
    let state = absolute(env, "XDG_STATE_HOME").map(|state| state.join("supervisor"));
    let home = || absolute(env, "HOME").map(|home| home.join(".local/state/supervisor"));
    state.or_else(home).or_else(|| (uid == 0).then(|| PathBuf::from("/var/lib/supervisor")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(pairs: &[(&str, &str)], uid: u32) -> Surroundings {
        Surroundings::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(), uid, 2)
    }

    #[test]
    fn the_runtime_directory_of_the_session_counts_only_when_it_is_there_and_ours() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let uid = fs::metadata(path).unwrap().uid();
        let other = surroundings(&[("XDG_RUNTIME_DIR", path)], uid + 4711);
        assert_eq!(other.runtime_bases, [PathBuf::from(format!("/tmp/supervisor-{}", uid + 4711))]);
        let missing = surroundings(&[("XDG_RUNTIME_DIR", "/nonexistent")], 4711);
        assert_eq!(missing.runtime_bases, [PathBuf::from("/tmp/supervisor-4711")]);
        let ours = surroundings(&[("XDG_RUNTIME_DIR", path)], uid);
        let expected = if uid == 0 { PathBuf::from("/run/supervisor") } else { dir.path().join("supervisor") };
        assert_eq!(ours.runtime_bases[0], expected, "root has a place of its own");
    }

    #[test]
    fn state_survives_in_the_users_home() {
        let of = |pairs: &[(&str, &str)], uid| surroundings(pairs, uid).state_base;
        assert_eq!(of(&[("HOME", "/h")], 7), Some(PathBuf::from("/h/.local/state/supervisor")));
        assert_eq!(of(&[("HOME", "/h"), ("XDG_STATE_HOME", "/s")], 7), Some(PathBuf::from("/s/supervisor")));
        assert_eq!(
            of(&[("HOME", "/h"), ("XDG_STATE_HOME", "s")], 7),
            Some(PathBuf::from("/h/.local/state/supervisor"))
        );
        assert_eq!(of(&[], 7), None);
        assert_eq!(of(&[], 0), Some(PathBuf::from("/var/lib/supervisor")));
    }

    #[test]
    fn no_value_of_the_environment_is_printed() {
        let shown = format!("{:?}", surroundings(&[("TOKEN", "hunter2")], 7));
        assert!(shown.contains("TOKEN") && !shown.contains("hunter2"), "{shown}");
    }
}
