//! What `supervisor.toml` promises, key by key.
//! Not here: the grammars, which are tested beside their parsers.

mod alerts;
mod changes;
mod diagnostics;
mod includes;
mod limits;
mod policy;
mod readme;
mod schema;
mod services;
mod stack;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use supervisor_core::Sign;

use super::diagnostics::Diagnostic;
use super::files::{Files, Mark};
use super::keys::{Shape, Status, keys};
use super::*;

const FILE: &str = "/stack/supervisor.toml";

/// Files in memory; what is in `/shared` others can write. A glob matches every file with the right beginning and end.
#[derive(Default)]
struct Memory(BTreeMap<PathBuf, String>);

impl Files for Memory {
    fn read(&mut self, path: &Path) -> io::Result<String> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn glob(&mut self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let pattern = pattern.to_str().unwrap();
        let Some((begin, end)) = pattern.split_once('*') else { return Ok(Vec::new()) };
        let matches =
            |path: &&PathBuf| path.to_str().is_some_and(|path| path.starts_with(begin) && path.ends_with(end));
        Ok(self.0.keys().filter(matches).cloned().collect())
    }

    fn mark(&mut self, path: &Path) -> Mark {
        self.0.get(path).map_or(Mark::default(), |text| Mark::of(text.as_bytes()))
    }

    fn doubt(&mut self, path: &Path) -> Option<String> {
        path.starts_with("/shared").then(|| "others can write it".to_owned())
    }
}

fn surroundings(env: &[(&str, &str)]) -> Surroundings {
    Surroundings {
        env: env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        uid: 1000,
        runtime_bases: vec![PathBuf::from("/run/user/1000/supervisor"), PathBuf::from("/tmp/supervisor-1000")],
        state_base: Some(PathBuf::from("/home/u/.local/state/supervisor")),
        cores: 4,
    }
}

/// Loads `text` as the main file, with further files by their paths.
fn load_with(text: &str, files: &[(&str, &str)], env: &[(&str, &str)]) -> Result<Stack, Diagnostics> {
    let all = files.iter().copied().chain([(FILE, text)]);
    let mut memory = Memory(all.map(|(path, text)| (PathBuf::from(path), text.to_owned())).collect());
    load(Path::new(FILE), &surroundings(env), &mut memory)
}

#[track_caller]
fn stack(text: &str) -> Stack {
    load_with(text, &[], &[]).unwrap_or_else(|error| panic!("{error}"))
}

/// The one service of a file with these keys and a command.
#[track_caller]
fn service(keys: &str) -> Service {
    stack(&format!("[services.a]\ncommand = [\"/bin/a\"]\n{keys}")).services.remove(0)
}

/// `message (help)` of each problem.
#[track_caller]
fn problems(text: &str) -> Vec<String> {
    problems_with(text, &[], &[])
}

#[track_caller]
fn problems_with(text: &str, files: &[(&str, &str)], env: &[(&str, &str)]) -> Vec<String> {
    let error = load_with(text, files, env).expect_err("this should be refused");
    let one = |diagnostic: &Diagnostic| match &diagnostic.help {
        Some(help) => format!("{} ({help})", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    error.list.iter().map(one).collect()
}

/// The problems of a file whose one service has these keys and a command.
#[track_caller]
fn service_problems(keys: &str) -> Vec<String> {
    problems(&format!("[services.a]\ncommand = [\"/bin/a\"]\n{keys}"))
}

#[test]
fn the_shipped_configuration_loads() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../supervisor.toml");
    let file = std::fs::canonicalize(file).unwrap();
    let mut recorder = Recorder::new(Disk);
    let stack = load(&file, &surroundings(&[("MAIL_PORT", "9002")]), &mut recorder).unwrap_or_else(|e| panic!("{e}"));
    let names: Vec<&str> = stack.services.iter().map(|service| service.spec.name.as_str()).collect();
    assert_eq!(names, ["oauth", "mail", "onenote", "onedrive", "teams"]);
    for service in &stack.services {
        assert_eq!(service.launch.handoff, Handoff::Socket);
        assert!(service.launch.notify && service.spec.ready.signs.contains_key(&Sign::Notify));
        assert_eq!(service.spec.live.as_ref().unwrap().checks[0].title, "http /health");
    }
    assert_eq!(stack.services[1].launch.port, Some(9002));
    assert_eq!(load(&file, &surroundings(&[("MAIL_PORT", "9002")]), &mut recorder.into_recorded()), Ok(stack));
}
